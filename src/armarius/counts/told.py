"""What was said and run in a file, to be found again.

Owns gathering those words, each once however often the file has them. Does not own where they come
from (`scan`), nor the counts (`tally`).
Invariant: the words of a command stand where it was called, if they do, and else in its item.
"""

from armarius.counts.entries import TurnCount
from armarius.counts.kept import action_in, words_of
from armarius.counts.summary import Text
from armarius.counts.tally import Tally
from armarius.counts.windows import timestamp_in
from armarius.rollouts.calls import Answer
from armarius.rollouts.parts import at_us
from armarius.rollouts.records import EventLine, ItemCompleted, Record, ResponseLine
from armarius.thread import Command

__all__ = ["Told"]


class Told:
    """The words of one file since they were last taken; beside the tally that counts it."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._texts = list[Text]()

    def take(self) -> list[Text]:
        """What was gathered since the last call. A call without an answer is told now."""
        for call_id in self._tally.calls:
            self.tell(call_id)
        texts, self._texts = self._texts, []
        return texts

    def add(self, kind: str, text: str, timestamp: str, byte: int, size: int) -> None:
        """Words, and the line that has them."""
        self._texts.append(Text(kind, byte, size, text, at_us(timestamp)))

    def has(self, kind: str, item_id: str, turn: TurnCount | None) -> bool:
        """Whether the words of an item are told; those of its call are, when it has any."""
        if kind != "command":
            return turn is not None and item_id != "" and item_id.encode() in turn.said
        if self._tally.open_call(item_id):
            return self.tell(item_id)
        turn = self._tally.caller_of(item_id) or turn
        return turn is not None and item_id in turn.codes

    def tell(self, call_id: str) -> bool:
        """Add the words of an open call; whether it has any."""
        call = self._tally.calls[call_id]
        if not call.is_told:
            action = action_in(call.line.data)
            if isinstance(action, Command):
                call.is_told = True
                self.add("command", action.command, timestamp_in(call.line.data), call.line.byte, call.line.size)
        return call.is_told

    def new_in(self, record: Record, turn: TurnCount | None) -> tuple[str, str] | None:
        """The kind and words of a record that are not told yet; those of a call wait for its item or answer.

        `turn` is the one that runs, for a record that names none.
        """
        match record:
            case ResponseLine(payload=Answer(call_id=str() as call_id)) if self._tally.open_call(call_id):
                self.tell(call_id)
            case EventLine(payload=ItemCompleted() as event) if self._tally.is_foreign(event.thread_id):
                return None
            case EventLine(payload=event) if words := words_of(record):
                kind, item_id, text = words
                turn = self._tally.turn(getattr(event, "turn_id", None)) or turn
                return None if self.has(kind, item_id, turn) else (kind, text)
            case _:
                pass
        return None

"""A transcript of Claude Code, for the index.

Owns reading one whole and giving it the interface of `Scan`. Does not own its format.
Invariant: what it says is as of one reading from the beginning; nothing is kept to go on from.
"""

from pathlib import Path

import msgspec

from armarius.counts.away import Away
from armarius.counts.summary import Summary, Text
from armarius.counts.whole import summary_of
from armarius.rollouts.claude import TranscriptReader
from armarius.thread import AgentMessage, Command, FileSpot, Item, Thread, UserMessage

__all__ = ["WholeScan"]


class WholeScan:
    """One transcript, read anew each time that it changed; see `Scan`."""

    def __init__(self, path: Path) -> None:
        self._reader = TranscriptReader(path)

    @property
    def offset(self) -> int:
        return self._reader.offset

    def advance(self) -> bool:
        return self._reader.advance()

    def summary(self) -> Summary:
        """The session. What sub-agents spent that older versions wrote into the same file is in it."""
        own = summary_of(self._reader.thread(), self.offset)
        helpers = (response for helper in self._reader.helpers() for response in helper.responses)
        return msgspec.structs.replace(own, responses=(*own.responses, *helpers))

    def take_texts(self) -> list[Text]:
        threads: tuple[Thread, ...] = (self._reader.thread(), *self._reader.helpers())
        items = (item for thread in threads for turn in thread.turns for item in turn.items)
        return [text for item in items if (text := _text(item))]

    def saved(self) -> Away:
        return Away(b"")


def _text(item: Item) -> Text | None:
    match item:
        case UserMessage():
            kind, text = "user", item.text
        case AgentMessage():
            kind, text = "agent", item.text
        case Command():
            kind, text = "command", item.command
        case _:
            return None
    # The size of the line is not kept: whoever reads it again reads to its end.
    return Text(kind, item.spot.byte, 0, text, item.at_us) if isinstance(item.spot, FileSpot) else None

"""A rollout is counted without reading most of it.

Owns the short cuts: what a line changes of which only a few fields were decoded. Does not own where
lines are (`windows`), those fields (`slim`), nor what a whole record changes (`effects`).
Invariant: the counts are those that decoding every line whole gives, which is done with each line that
its few fields do not tell enough of, and with all lines of a window in which anything is unusual.
"""

import re
from pathlib import Path
from typing import ClassVar

import msgspec

from armarius.counts.away import Away, Room, filled, put_away
from armarius.counts.effects import count_record
from armarius.counts.entries import Line, Past, Place, TurnCount
from armarius.counts.slim import (
    AgentItem,
    AgentSaid,
    Answered,
    Begin,
    Called,
    Compacted,
    Completed,
    Context,
    End,
    Item,
    Meta,
    Nothing,
    RanItem,
    Reasoned,
    Record,
    Settings,
    Spending,
    Tokens,
    Unread,
    UserItem,
    UserSaid,
    by_shape,
    records_in,
)
from armarius.counts.summary import Summary, Text
from armarius.counts.tally import Tally
from armarius.counts.told import Told
from armarius.counts.totals import summary_of
from armarius.counts.windows import START, LongLine, begins_in, timestamp_in, windows
from armarius.rollouts.bare import decode_any
from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.paginated import script_of
from armarius.rollouts.parts import text_of
from armarius.rollouts.reader import RECORD_START
from armarius.rollouts.records import Record as WholeRecord
from armarius.rollouts.records import SessionMeta
from armarius.rollouts.salvage import UNREADABLE, salvaged

__all__ = ["Scan"]

_EXEC = b'"name":"exec_command"'
_OUTPUT = b'"output":"'
_EXITED = re.compile(
    rb"(?:Chunk ID: \w+\\n)?Wall time: \d{1,9}(?:\.\d{1,9})? seconds\\n"
    rb"Process exited with code (-?\d{1,10})\\n(?:Original token count: \d+\\n)?Output:\\n"
)
_COPIED = b'"subagent_history_start_ordinal":'


class Scan:
    """One file, counted while it grows. `offset` is the byte up to which it has been taken in."""

    def __init__(self, path: Path, *, with_texts: bool = False) -> None:
        self.path = path
        self.offset = 0
        self._tally = Tally(SessionMeta(id=thread_id_of(path.name)))
        self._told = Told(self._tally) if with_texts else None
        self._turn: TurnCount | None = None
        self._data = b""
        self._limits_at = (0, 0)

    @staticmethod
    def restored(path: Path, saved: bytes, past: Past, *, with_texts: bool = False) -> "Scan":
        """The scan that was put away, to go on with; ValueError when another version saved it.

        `past` has the parts that it left behind. The few lines that matter to what comes are read
        again; OSError when the file cannot be opened.
        """
        scan = Scan(path, with_texts=with_texts)
        scan.offset, scan._tally = msgspec.msgpack.decode(saved, type=tuple[int, Tally])
        filled(path, scan._tally.lines())
        scan._tally.past = past
        scan._told = Told(scan._tally) if with_texts else None
        scan._look_up()
        return scan

    def saved(self, *room: Room) -> Away:
        """All that is needed to go on later, without secrets."""
        return put_away(self._tally, self.offset, *room)

    def summary(self) -> Summary:
        """The file as far as it has been taken in."""
        return summary_of(self._tally, str(self.path), self.offset)

    def take_texts(self) -> list[Text]:
        """What was said and run in the lines that were taken in since the last call."""
        return self._told.take() if self._told else []

    def advance(self) -> bool:
        """Take in the whole lines that were written since; whether there were any.

        OSError when the file cannot be opened (any more); what was counted before stays.
        """
        start = self.offset
        with open_rollout(self.path) as stream:
            try:
                for data in windows(stream, start):
                    self._window(data)
            except OSError:
                self._tally.bad_lines += 1
        return self.offset > start

    def _window(self, data: bytes | LongLine) -> None:
        if isinstance(data, LongLine):
            if data.head.startswith(START):
                self._tally.saw(timestamp_in(data.head))
            self._tally.bad_lines += 1
            self.offset += data.size + 1
            return
        end = data.rfind(b"\n") + 1
        begins = None if self._may_be_copied(data) else begins_in(data)
        records = None if begins is None else records_in(memoryview(data)[:end])
        if begins is None or records is None or len(records) != len(begins) - 1:
            self._carefully(data, 0)
        else:
            self._plainly(data, begins, records)
        self.offset += end

    def _may_be_copied(self, data: bytes) -> bool:
        """Whether some of the lines may be another thread's; that they begin so stands in the first line of a file."""
        if self._tally.is_named:
            return self._tally.copy is not None
        return data.find(_COPIED, 0, data.find(b"\n")) >= 0

    # A window in which nothing is unusual

    def _plainly(self, data: bytes, begins: list[int], records: list[Record]) -> None:
        short_cuts, stop = self._SHORT_CUTS, 0
        self._data = data
        self._tally.saw(next((record.timestamp for record in records if record.timestamp), ""))
        for record, begin, end in zip(records, begins, begins[1:], strict=False):
            payload = record.payload
            take = short_cuts[type(payload)]
            if take and take(self, payload, record.timestamp, begin, end - 1):
                stop = begin
                break
        self._remember_limits()
        self._data = b""
        own = records[: begins.index(stop)] if stop else records
        self._tally.saw(next((record.timestamp for record in reversed(own) if record.timestamp), ""))
        if stop:
            self._carefully(data, stop)

    def _line_at(self, begin: int, end: int) -> Line:
        return Line(self.offset + begin, end - begin, self._data[begin:end])

    def _remember_limits(self) -> None:
        if self._limits_at[1]:
            self._tally.limits = self._line_at(*self._limits_at)
            self._limits_at = (0, 0)

    def _meta(self, meta: Meta, timestamp: str, begin: int, end: int) -> bool:
        """Who the thread is; what follows it elsewhere may be a copy of that thread's history."""
        if begin == 0:
            self._any(meta, timestamp, begin, end)
        return begin != 0

    def _any(self, _payload: object, _timestamp: str, begin: int, end: int) -> None:
        self._remember_limits()
        self._line(self._data[begin:end], self.offset + begin)
        self._look_up()

    def _spending(self, spent: Spending, timestamp: str, begin: int, _end: int) -> None:
        if not self._tally.is_foreign(spent.thread_id):
            self._tally.spend(spent.response_id, spent.turn_id, spent.usage, self.offset + begin, timestamp)

    def _look_up(self) -> None:
        self._turn = self._tally.running()

    def _completed(self, event: Completed, timestamp: str, begin: int, end: int) -> None:
        """An item; of those of the turn that runs, few have to be read."""
        turn, item = self._turn, event.item
        if turn is None or event.turn_id != turn.id or event.thread_id != self._tally.meta.id:
            self._any(event, timestamp, begin, end)
        elif isinstance(item, Item):
            turn.is_empty = False
        elif isinstance(item, UserItem):
            self._user_item(item, turn, timestamp, begin, end)
        elif isinstance(item, AgentItem):
            self._agent_item(item, turn, timestamp, begin, end)
        elif isinstance(item, RanItem):
            self._command_item(item, turn, timestamp, begin, end)
        else:
            self._any(event, timestamp, begin, end)

    def _user_item(self, item: UserItem, turn: TurnCount, timestamp: str, begin: int, end: int) -> None:
        if self._tally.hear("user", item.id.encode(), turn, None) and (self._told or self._tally.title is None):
            text = text_of(item.content)
            self._tally.entitle(text)
            self._tell("user", text, timestamp, begin, end)

    def _agent_item(self, item: AgentItem, turn: TurnCount, timestamp: str, begin: int, end: int) -> None:
        if self._tally.hear("agent", item.id.encode(), turn, self._line_at(begin, end)) and self._told:
            self._tell("agent", text_of(item.content), timestamp, begin, end)

    def _command_item(self, item: RanItem, turn: TurnCount, timestamp: str, begin: int, end: int) -> None:
        if self._told and not self._told.has("command", item.id, turn):
            self._tell("command", script_of(item.command), timestamp, begin, end)
        self._tally.ran(item.id, turn, item.exit_code)

    def _tell(self, kind: str, text: str, timestamp: str, begin: int, end: int) -> None:
        if self._told:
            self._told.add(kind, text, timestamp, self.offset + begin, end - begin)

    def _begin(self, event: Begin, timestamp: str, begin: int, _end: int) -> None:
        self._turn = self._tally.begin(event.turn_id, Place(self.offset + begin, timestamp))

    def _end(self, event: End, timestamp: str, begin: int, end: int) -> None:
        """The turn that runs came to its end; why one failed is not to be had without decoding."""
        turn = self._turn
        if turn is None or turn.id != event.turn_id or event.error is not None or turn.id in self._tally.of_others:
            self._any(event, timestamp, begin, end)
        else:
            self._tally.complete(turn, timestamp)
            self._turn = None

    def _context(self, context: Context, timestamp: str, begin: int, end: int) -> None:
        if self._turn is None or self._turn.id != context.turn_id:
            self._any(context, timestamp, begin, end)
        else:
            self._tally.runs_with(self._turn, context.model, self._line_at(begin, end))

    def _settings(self, event: Settings, _timestamp: str, _begin: int, _end: int) -> None:
        self._tally.model = event.thread_settings.model

    def _tokens(self, event: Tokens, timestamp: str, begin: int, end: int) -> None:
        """Where responses have records, the last running total matters alone, for what it says of limits."""
        total = event.info
        if total and not self._tally.has_records:
            place = Place(self.offset + begin, timestamp)
            self._tally.count(total.total_token_usage, total.last_token_usage, place)
        self._limits_at = (begin, end)

    def _user(self, event: UserSaid, timestamp: str, begin: int, end: int) -> None:
        if self._told or self._tally.title is None or event.kind:
            self._any(event, timestamp, begin, end)
            return
        self._turn = self._tally.user_turn(Place(self.offset + begin, timestamp))
        self._tally.hear("user", b"", self._turn, None)

    def _agent(self, event: AgentSaid, timestamp: str, begin: int, end: int) -> None:
        if self._turn is None or self._told or event.turn_id not in {None, self._turn.id}:
            self._any(event, timestamp, begin, end)
        else:
            self._tally.hear("agent", b"", self._turn, self._line_at(begin, end))

    def _reasoned(self, event: Reasoned, timestamp: str, begin: int, end: int) -> None:
        if self._turn is None or event.turn_id not in {None, self._turn.id}:
            self._any(event, timestamp, begin, end)
        else:
            self._turn.is_empty = False

    def _called(self, call: Called, timestamp: str, begin: int, end: int) -> None:
        if self._turn is None:
            self._any(call, timestamp, begin, end)
        else:
            self._tally.call(call.call_id, self._turn, self._line_at(begin, end))

    def _answered(self, answer: Answered, timestamp: str, begin: int, end: int) -> None:
        tally, turn, data = self._tally, self._turn, self._data
        if turn is None or answer.call_id is None:
            self._any(answer, timestamp, begin, end)
            return
        turn.is_empty = False
        if (call := tally.open_call(answer.call_id)) is None:
            return
        if self._told:
            self._told.tell(answer.call_id)
        start = data.find(_OUTPUT, begin, end)
        exited = _EXITED.match(data, start + len(_OUTPUT), end) if start > 0 else None
        if exited and _EXEC in call.line.data:
            tally.ran(answer.call_id, turn, int(exited[1]))
        else:
            tally.answer(answer.call_id, data[begin:end], Place(self.offset + begin, timestamp))

    # Any line

    def _carefully(self, data: bytes, begin: int) -> None:
        """Decode the whole lines of a window from `begin` on."""
        while (end := data.find(b"\n", begin)) >= 0:
            if end > begin:
                self._line(data[begin:end], self.offset + begin)
            begin = end + 1
        self._look_up()

    def _line(self, line: bytes, byte: int) -> None:
        try:
            if not line.isascii():
                line.decode()
            record = decode_any(line)
        except UNREADABLE:
            self._salvage(line, byte)
        else:
            self._add(record, line, byte)

    def _salvage(self, line: bytes, byte: int) -> None:
        for piece in salvaged(line, RECORD_START, decode_any):
            self._tally.bad_lines += len(piece.problems)
            if piece.record is not None:
                self._add(piece.record, piece.data, byte + piece.at)

    def _add(self, record: WholeRecord, line: bytes, byte: int) -> None:
        place = Place(byte, record.timestamp, record.ordinal)
        words = self._told.new_in(record, self._turn) if self._told else None
        if count_record(self._tally, record, line, place) and words and self._told:
            self._told.add(*words, record.timestamp, byte, len(line))

    def _compacted(self, event: Compacted, timestamp: str, begin: int, end: int) -> None:
        """Where there are items, one of them says so."""
        if self._tally.meta.history_mode != "paginated":
            self._any(event, timestamp, begin, end)

    _SHORT_CUTS: ClassVar = by_shape(
        {
            Nothing: None,
            Meta: _meta,
            Unread: _any,
            Spending: _spending,
            Completed: _completed,
            Begin: _begin,
            End: _end,
            Context: _context,
            Settings: _settings,
            Tokens: _tokens,
            UserSaid: _user,
            AgentSaid: _agent,
            Reasoned: _reasoned,
            Called: _called,
            Answered: _answered,
            Compacted: _compacted,
        }
    )

"""A rollout is counted without reading most of it.

Owns the short cuts: which bytes of a line are looked at when only counts are wanted. Does not own
where lines are and which matter (`windows`), nor what a record changes (`tally`).
Invariant: the counts are those that decoding every line gives. A line that does not look as Codex
writes it, and every line of a window in which anything is unusual, is decoded whole.
"""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import msgspec

from armarius.counts.kept import action_in, at_us, words_of
from armarius.counts.slim import NO_WORDS, Spending, are_records, spending_in, total_in, words_of_item
from armarius.counts.summary import Summary, Text
from armarius.counts.tally import Line, Place, Tally, TurnCount
from armarius.counts.totals import summary_of
from armarius.counts.windows import (
    START,
    Kind,
    LongLine,
    PlainWindow,
    exactly,
    is_text,
    plain_window,
    timestamp_in,
    windows,
)
from armarius.redact import redact
from armarius.rollouts.bare import decode_any
from armarius.rollouts.calls import Answer
from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.paginated import script_of
from armarius.rollouts.parts import text_of
from armarius.rollouts.reader import RECORD_START
from armarius.rollouts.records import EventLine, ItemCompleted, Record, ResponseLine, SessionMeta
from armarius.rollouts.salvage import UNREADABLE, salvaged
from armarius.thread import Command

__all__ = ["Scan"]

_AT = len(b'{"timestamp":"2026-11-20T12:21:12.958Z"')

_USER_ITEM = len('UserMessage","id":"')
_AGENT_ITEM = len('AgentMessage","id":"')
_COMMAND_ITEM = len('CommandExecution","id":"')
_QUOTE = ord('"')
_KIND = b'"kind":'
_CALLS = (b'function_call"', b'custom_tool_call"')
_ANSWERS = (b'function_call_output"', b'custom_tool_call_output"')
_META = int(Kind.META)
_EXEC = b'"name":"exec_command"'
_EXITED = re.compile(
    rb'"output":"(?:Chunk ID: \w+\\n)?Wall time: \d{1,9}(?:\.\d{1,9})? seconds\\n'
    rb"Process exited with code (-?\d{1,10})\\n(?:Original token count: \d+\\n)?Output:\\n"
)
_CALL_ID = b'"call_id":"'
_TURN_ID = b'"turn_id":"'
_COPIED = b'"subagent_history_start_ordinal":'
_ERROR = b'"error":{'
_IN_CONTEXT = len(b',"type":"turn_context","payload":{"turn_id":"')
_ID_SIZE = len("01a1f8e7-5676-70b3-858d-4ade9b9a49ef")
_MODEL = re.compile(rb'"model":"([^"\\]*)"')
_EXIT_CODE = re.compile(rb'"exit_code":(?:(-?\d{1,10})|null)[,}]')


class Scan:
    """One file, counted while it grows. `offset` is the byte up to which it has been taken in."""

    def __init__(self, path: Path, *, with_texts: bool = False) -> None:
        self.path = path
        self.offset = 0
        self._tally = Tally(SessionMeta(id=thread_id_of(path.name)))
        self._texts: list[Text] | None = [] if with_texts else None
        self._at = _AT
        self._last: int | None = None
        self._turn: TurnCount | None = None
        self._thread_id = ""
        self._ids = b""
        self._limits_at = (0, 0)
        self._spent: Iterator[Spending] = iter(())

    @staticmethod
    def restored(path: Path, saved: bytes, *, with_texts: bool = False) -> "Scan":
        """The scan that was put away, to go on with; ValueError when another version saved it.

        The few lines that matter to what comes are read again; OSError when the file cannot be opened.
        """
        scan = Scan(path, with_texts=with_texts)
        scan.offset, scan._tally = msgspec.msgpack.decode(saved, type=tuple[int, Tally])
        if lines := scan._tally.lines():
            with open_rollout(path) as stream:
                for line in lines:
                    stream.seek(line.byte)
                    line.data = exactly(stream, line.size)
        scan._look_up()
        return scan

    def saved(self) -> bytes:
        """All that is needed to go on later: places, numbers, the title and the goal, without secrets."""
        tally = self._tally
        lines, title, goal = tally.lines(), tally.title, tally.goal
        held = [line.data for line in lines]
        tally.title = None if title is None else redact(title)
        tally.goal = None if goal is None else msgspec.structs.replace(goal, objective=redact(goal.objective))
        for line in lines:
            line.data = b""
        try:
            return msgspec.msgpack.encode((self.offset, tally))
        finally:
            tally.title, tally.goal = title, goal
            for line, data in zip(lines, held, strict=True):
                line.data = data

    def summary(self) -> Summary:
        """The file as far as it has been taken in."""
        return summary_of(self._tally, str(self.path), self.offset)

    def take_texts(self) -> list[Text]:
        """What was said and run in the lines that were taken in since the last call."""
        if self._texts is None:
            return []
        for call_id in self._tally.calls:
            self._tell(call_id)
        texts, self._texts = self._texts, []
        return texts

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
                self._tally.saw(timestamp_in(data.head, 0))
            self._tally.bad_lines += 1
            self._last = None
            self.offset += data.size + 1
            return
        found = plain_window(data, self._at, self._last) if is_text(data) else None
        if found is not None and (
            self._may_be_copied(data)
            or not are_records(data[: data.find(b"\n")], data[found.last_begin : data.rfind(b"\n")])
        ):
            found = None
        spent = None if found is None else spending_in(data, found.usage)
        if found is None or spent is None:
            self._last = None
            self._carefully(data, 0)
        else:
            self._plainly(data, found, spent)
        self.offset += data.rfind(b"\n") + 1

    def _may_be_copied(self, data: bytes) -> bool:
        """Whether some of the lines may be another thread's; that they begin so stands in the first line of a file."""
        if self._tally.is_named:
            return self._tally.copy is not None
        return data.find(_COPIED, 0, data.find(b"\n")) >= 0

    # A window in which nothing is unusual

    def _plainly(self, data: bytes, found: PlainWindow, spent: list[Spending]) -> None:
        take, stop = self._SHORT_CUTS, len(data)
        self._spent = iter(spent)
        if not self._tally.first:
            self._tally.saw(timestamp_in(data, 0))
        for kind, begin, where, end in found.lines:
            if kind == _META and begin:  # what follows may be a copy of that thread's history
                stop = begin
                break
            take[kind](self, data, begin, where, end)
        self._remember_limits(data)
        self._tally.saw(timestamp_in(data, found.last_begin if stop == len(data) else 0))
        self._at, self._last = found.at, found.last
        if stop < len(data):
            self._carefully(data, stop)

    def _line_at(self, data: bytes, begin: int, end: int) -> Line:
        return Line(self.offset + begin, end - begin, data[begin:end])

    def _remember_limits(self, data: bytes) -> None:
        if self._limits_at[1]:
            self._tally.limits = self._line_at(data, *self._limits_at)
            self._limits_at = (0, 0)

    def _any(self, data: bytes, begin: int, _where: int, end: int) -> None:
        self._remember_limits(data)
        self._line(data[begin:end], self.offset + begin)
        self._look_up()

    def _usage(self, _data: bytes, begin: int, _where: int, _end: int) -> None:
        """The lines of this kind are decoded together."""
        line = next(self._spent)
        usage = line.payload
        if not self._tally.is_foreign(usage.thread_id):
            self._tally.spend(usage.response_id, usage.turn_id, usage.usage, self.offset + begin, line.timestamp)

    def _item(self, data: bytes, begin: int, where: int, end: int) -> None:
        """Nothing that counts, unless it is the first sign that a turn is another thread's."""
        if self._turn is None or self._turn.is_empty:
            self._any(data, begin, where, end)

    def _look_up(self) -> None:
        """The turn that runs, and how the ids of thread and turn stand before each of its items."""
        turn, thread_id = self._tally.running(), self._tally.meta.id
        if turn is not None and (turn is not self._turn or thread_id != self._thread_id):
            self._ids = f'","thread_id":"{thread_id}","turn_id":"{turn.id}","item":{{"type":"'.encode()
        self._turn, self._thread_id = turn, thread_id

    def _is_own(self, data: bytes, where: int) -> bool:
        """Whether the item whose kind stands there belongs to the turn that runs."""
        return self._turn is not None and data[where - len(self._ids) : where] == self._ids

    def _user_item(self, data: bytes, begin: int, where: int, end: int) -> None:
        tally, turn = self._tally, self._turn
        start = where + _USER_ITEM
        needs_words = self._texts is not None or tally.title is None
        item = words_of_item(data[begin:end]) if needs_words else NO_WORDS
        if turn is None or item is None or not self._is_own(data, where):
            self._any(data, begin, where, end)
        elif tally.hear("user", data[start : data.find(b'"', start, end)], turn, None) and needs_words:
            tally.entitle(text_of(item.content))
            self._keep("user", text_of(item.content), data, begin, end)

    def _agent_item(self, data: bytes, begin: int, where: int, end: int) -> None:
        turn, line = self._turn, self._line_at(data, begin, end)
        start = where + _AGENT_ITEM
        item = NO_WORDS if self._texts is None else words_of_item(line.data)
        if turn is None or item is None or not self._is_own(data, where):
            self._any(data, begin, where, end)
        elif self._tally.hear("agent", data[start : data.find(b'"', start, end)], turn, line):
            self._keep("agent", text_of(item.content), data, begin, end)

    def _command_item(self, data: bytes, begin: int, where: int, end: int) -> None:
        turn = self._turn
        start = where + _COMMAND_ITEM
        stop = data.find(b'"', start, end)
        code = _EXIT_CODE.search(data, stop, end)
        item = NO_WORDS if self._texts is None else words_of_item(data[begin:end])
        if turn is None or item is None or code is None or not self._is_own(data, where):
            self._any(data, begin, where, end)
            return
        item_id = data[start:stop].decode(errors="replace")
        if self._texts is not None and not self._is_told("command", item_id, turn):
            self._keep("command", script_of(item.command), data, begin, end)
        self._tally.ran(item_id, turn, None if code[1] is None else int(code[1]))

    def _keep(self, who: str, text: str, data: bytes, begin: int, end: int) -> None:
        """Words to be found again, if anybody wants to."""
        if self._texts is not None:
            self._texts.append(Text(who, self.offset + begin, end - begin, text, at_us(timestamp_in(data, begin))))

    def _is_told(self, kind: str, item_id: str, turn: TurnCount | None) -> bool:
        """Whether the words of an item are kept: those of a command stand where it was called, if they do."""
        if kind != "command":
            return turn is not None and item_id != "" and item_id.encode() in turn.said
        if item_id in self._tally.calls:
            return self._tell(item_id)
        turn = self._tally.caller_of(item_id) or turn
        return turn is not None and item_id in turn.codes

    def _tell(self, call_id: str) -> bool:
        """Keep the words of a call; whether it has any."""
        call = self._tally.calls[call_id]
        if self._texts is not None and not call.is_told:
            action = action_in(call.line.data)
            if isinstance(action, Command):
                call.is_told = True
                when = at_us(timestamp_in(call.line.data, 0))
                self._texts.append(Text("command", call.line.byte, call.line.size, action.command, when))
        return call.is_told

    def _begin(self, data: bytes, begin: int, where: int, end: int) -> None:
        start = data.rfind(_TURN_ID, where, end) + len(_TURN_ID)
        turn_id = data[start : start + _ID_SIZE].decode(errors="replace")
        if start < where or data[start + _ID_SIZE] != _QUOTE:
            self._any(data, begin, where, end)
            return
        self._tally.begin(turn_id, Place(self.offset + begin, timestamp_in(data, begin)))
        self._look_up()

    def _end(self, data: bytes, begin: int, where: int, end: int) -> None:
        """The turn that runs came to its end; why one failed is not to be had without decoding."""
        turn = self._turn
        if turn is None or data.find(turn.id.encode(), where, end) < 0 or data.find(_ERROR, where, end) >= 0:
            self._any(data, begin, where, end)
        else:
            self._tally.complete(turn, timestamp_in(data, begin))
            self._turn = None

    def _context(self, data: bytes, begin: int, where: int, end: int) -> None:
        """What a turn runs with: the line begins with its turn, and of several models the first is meant."""
        start = where + _IN_CONTEXT
        model = _MODEL.search(data, start, end)
        turn = self._turn
        if turn is None or model is None or data[start : start + _ID_SIZE].decode(errors="replace") != turn.id:
            self._any(data, begin, where, end)
        else:
            self._tally.runs_with(turn, sys.intern(model[1].decode(errors="replace")), self._line_at(data, begin, end))

    def _settings(self, data: bytes, begin: int, where: int, end: int) -> None:
        model = _MODEL.search(data, where, end)
        if model is None or not data.startswith(b'thread_settings_applied"', where):
            self._any(data, begin, where, end)
        else:
            self._tally.model = sys.intern(model[1].decode(errors="replace"))

    def _tokens(self, data: bytes, begin: int, where: int, end: int) -> None:
        if self._tally.has_records:
            self._limits_at = (begin, end)
            return
        line = data[begin:end]
        event = total_in(line)
        if event is None:
            self._any(data, begin, where, end)
            return
        self._tally.limits = self._line_at(data, begin, end)
        if event.info:
            place = Place(self.offset + begin, timestamp_in(data, begin))
            self._tally.count(event.info.total_token_usage, event.info.last_token_usage, place)

    def _user(self, data: bytes, begin: int, where: int, end: int) -> None:
        if self._texts is not None or self._tally.title is None or data.find(_KIND, where, end) >= 0:
            self._any(data, begin, where, end)
            return
        turn = self._tally.user_turn(Place(self.offset + begin, timestamp_in(data, begin)))
        self._tally.hear("user", b"", turn, None)
        self._look_up()

    def _agent(self, data: bytes, begin: int, where: int, end: int) -> None:
        if self._turn is None or self._texts is not None:
            self._any(data, begin, where, end)
        else:
            self._tally.hear("agent", b"", self._turn, self._line_at(data, begin, end))

    def _reasoning(self, data: bytes, begin: int, where: int, end: int) -> None:
        if self._turn is None or not data.startswith(b'agent_reasoning"', where):
            self._any(data, begin, where, end)
        else:
            self._turn.is_empty = False

    def _compacted(self, data: bytes, begin: int, where: int, end: int) -> None:
        """Where there are items, one of them says so."""
        if self._tally.meta.history_mode != "paginated":
            self._any(data, begin, where, end)

    def _call(self, data: bytes, begin: int, where: int, end: int) -> None:
        tally, turn = self._tally, self._turn
        start = data.find(_CALL_ID, where, end) + len(_CALL_ID)
        if turn is None or start < where:
            self._any(data, begin, where, end)
            return
        call_id = data[start : data.find(b'"', start, end)].decode(errors="replace")
        if data.startswith(_CALLS, where):
            tally.call(call_id, turn, self._line_at(data, begin, end))
        elif data.startswith(_ANSWERS, where):
            turn.is_empty = False
            if (call := tally.calls.get(call_id)) is None:
                return
            self._tell(call_id)
            exited = _EXITED.search(data, start, end)
            if exited and _EXEC in call.line.data:
                tally.ran(call_id, turn, int(exited[1]))
            else:
                tally.answer(call_id, data[begin:end], Place(self.offset + begin, timestamp_in(data, begin)))
        else:
            self._any(data, begin, where, end)

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

    def _add(self, record: Record, line: bytes, byte: int) -> None:
        place = Place(byte, record.timestamp, record.ordinal)
        words = None if self._texts is None else self._words_of(record)
        if self._tally.add(record, line, place) and words and self._texts is not None:
            self._texts.append(Text(words[0], byte, len(line), words[1], at_us(record.timestamp)))

    def _words_of(self, record: Record) -> tuple[str, str] | None:
        """The kind and words of a record; those of a call wait for its item, or for its answer."""
        match record:
            case ResponseLine(payload=Answer(call_id=str() as call_id)) if call_id in self._tally.calls:
                self._tell(call_id)
            case EventLine(payload=ItemCompleted() as event) if self._tally.is_foreign(event.thread_id):
                return None
            case EventLine(payload=event) if words := words_of(record):
                kind, item_id, text = words
                turn = self._tally.turns.get(getattr(event, "turn_id", None) or "") or self._turn
                return None if self._is_told(kind, item_id, turn) else (kind, text)
            case _:
                pass
        return None

    _SHORT_CUTS: ClassVar[dict[int, Callable[["Scan", bytes, int, int, int], None]]] = {
        Kind.ANY: _any,
        Kind.META: _any,
        Kind.USAGE: _usage,
        Kind.ITEM: _item,
        Kind.USER_ITEM: _user_item,
        Kind.AGENT_ITEM: _agent_item,
        Kind.COMMAND_ITEM: _command_item,
        Kind.CALL: _call,
        Kind.CONTEXT: _context,
        Kind.BEGIN: _begin,
        Kind.END: _end,
        Kind.SETTINGS: _settings,
        Kind.TOKENS: _tokens,
        Kind.USER: _user,
        Kind.AGENT: _agent,
        Kind.REASONING: _reasoning,
        Kind.COMPACTED: _compacted,
    }

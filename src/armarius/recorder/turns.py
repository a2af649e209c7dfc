"""What people did, out of the journal: sessions, their turns, the skills in them.

Owns which exchanges are a turn of the user's, in whose words, and what of skills is seen in it. Does not own the
journal's lines (exchange.py, journal.py).
Invariant: a turn is told by the id that Codex gave it. Compactions, guardian reviews and sub-agents are listed
and never counted as turns of the user.
"""

import contextlib
import re
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

import msgspec

from armarius.recorder.exchange import Exchange
from armarius.recorder.items import Item, read_item, said_in, text_of
from armarius.recorder.journal import Place, read_journal

__all__ = [
    "RecordedSession",
    "RecordedSessions",
    "RecordedTurn",
    "exchanges_in",
    "ids_in",
    "list_sessions",
    "placed_in",
    "read_exchange",
]

_MENTIONED = re.compile(r"\s*<skill>\s*<name>([^<]{1,200})</name>")
_SKILL_FILE = re.compile(r"([\w.@+-]{1,200})/SKILL\.md\b")


class RecordedTurn(msgspec.Struct):
    """One turn of the user's. `said` are the user's own words, `answered` the last of the assistant's."""

    turn: str | None
    at_us: int
    said: list[str] = []
    answered: str = ""
    exchanges: int = 0
    calls: int = 0
    end: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    skills_mentioned: list[str] = []
    skills_read: list[str] = []
    skills_injected: list[str] = []


class RecordedSession(msgspec.Struct):
    """One session. `others` counts what is no turn of the user's, by kind or by sub-agent."""

    session: str | None
    first_us: int
    last_us: int
    models: list[str] = []
    threads: list[str] = []
    exchanges: int = 0
    ends: dict[str, int] = {}
    others: dict[str, int] = {}
    input_tokens: int = 0
    output_tokens: int = 0
    turns: list[RecordedTurn] = []


class RecordedSessions(msgspec.Struct, frozen=True):
    """What `armarius proxy sessions` answers (`armarius.proxy_sessions.v1`), the newest first."""

    sessions: tuple[RecordedSession, ...]
    broken: tuple[str, ...] = ()
    schema: str = "armarius.proxy_sessions.v1"


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0


class _Identified(msgspec.Struct):
    id: str


_exchange = msgspec.json.Decoder(Exchange)
_identified = msgspec.json.Decoder(_Identified)


def exchanges_in(folder: Path, broken: list[str], since_us: int = 0) -> Iterator[Exchange]:
    """Every exchange of the journal, oldest first; the places of lines that are none are put into `broken`.

    Files that were last written to before `since_us` are left out.
    """
    return (exchange for exchange, _ in placed_in(folder, broken, since_us))


def placed_in(folder: Path, broken: list[str], since_us: int = 0) -> Iterator[tuple[Exchange, Place]]:
    """The same, each with the place of its line."""
    for read in read_journal(folder, since_us):
        try:
            if read.data is None:
                raise msgspec.DecodeError("too long")
            yield read_exchange(read.data), Place(str(read.path), read.at, len(read.data))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            broken.append(f"{read.path}:{read.line}")


def ids_in(folder: Path, since_us: int, wanted: Container[str]) -> set[str]:
    """Which of these ids the exchanges of the journal have; the rest of a line is not decoded."""
    found = set[str]()
    for read in read_journal(folder, since_us):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            name = _identified.decode(read.data or b"").id
            if name in wanted:
                found.add(name)
    return found


def read_exchange(line: bytes) -> Exchange:
    """The exchange that a line of the journal says; msgspec.MsgspecError when it is none."""
    return _exchange.decode(line)


def list_sessions(folder: Path) -> RecordedSessions:
    """What the journal below `folder` says."""
    broken = list[str]()
    sessions = dict[str | None, RecordedSession]()
    seen = defaultdict[str | None, set[str]](set)
    for exchange in exchanges_in(folder, broken):
        name = exchange.identity.session
        session = sessions.setdefault(name, RecordedSession(name, exchange.at_us, exchange.at_us))
        _add(session, exchange, seen[name])
    newest = sorted(sessions.values(), key=lambda session: session.last_us, reverse=True)
    return RecordedSessions(tuple(newest), tuple(broken))


def _add(session: RecordedSession, exchange: Exchange, seen: set[str]) -> None:
    """Count an exchange in. `seen` are the ids of the session's items so far: a history that had to be recorded
    whole again, after a restart or a compaction, says nothing new with those.
    """
    identity, usage = exchange.identity, _usage(exchange)
    session.first_us = min(session.first_us, exchange.at_us)
    session.last_us = max(session.last_us, exchange.at_us + exchange.duration_us)
    session.exchanges += 1
    session.ends[exchange.end] = session.ends.get(exchange.end, 0) + 1
    session.input_tokens += usage.input_tokens
    session.output_tokens += usage.output_tokens
    for value, known in ((exchange.model, session.models), (identity.thread, session.threads)):
        if isinstance(value, str) and value not in known:
            known.append(value)
    if not identity.is_user_turn:
        what = identity.kind if identity.kind != "turn" else f"subagent {identity.subagent}".rstrip()
        session.others[what] = session.others.get(what, 0) + 1
        return
    items = [item for raw in exchange.input if (item := read_item(raw)).id not in seen]
    seen.update(item.id for item in items if item.id)
    turn = _turn_of(session, exchange, items)
    if turn is not None:
        _extend(turn, exchange, items, usage)


def _turn_of(session: RecordedSession, exchange: Exchange, items: list[Item]) -> RecordedTurn | None:
    """The turn that an exchange is part of. Without an id, words of the user's begin a new one."""
    name = exchange.identity.turn
    last = session.turns[-1] if session.turns else None
    if last is not None and (last.turn == name if name else not _words_in(items, whole=exchange.base is None)):
        return last
    earlier = next((turn for turn in session.turns if name and turn.turn == name), None)
    if earlier is not None:
        return earlier
    turn = RecordedTurn(name, exchange.at_us)
    session.turns.append(turn)
    return turn


def _extend(turn: RecordedTurn, exchange: Exchange, items: list[Item], usage: _Usage) -> None:
    outputs = [read_item(item) for item in exchange.output]
    for words in _words_in(items, whole=exchange.base is None):
        if words not in turn.said:
            turn.said.append(words)
    turn.answered = next((text for item in reversed(outputs) if (text := text_of(item))), turn.answered)
    turn.exchanges += 1
    turn.calls += sum(item.is_call for item in outputs)
    turn.end = exchange.end
    turn.input_tokens += usage.input_tokens
    turn.output_tokens += usage.output_tokens
    _union(turn.skills_injected, exchange.injected)
    _union(turn.skills_mentioned, (found[1] for item in items if (found := _MENTIONED.match(text_of(item)))))
    called = (value for item in outputs for value in (item.arguments, item.input) if isinstance(value, str))
    _union(turn.skills_read, (name for text in called for name in _SKILL_FILE.findall(text)))


def _words_in(items: list[Item], *, whole: bool) -> list[str]:
    """The user's own words among items; of a `whole` history only those after the last answer."""
    if whole:
        answers = [place for place, item in enumerate(items) if item.is_answer]
        later = items[answers[-1] + 1 :] if answers else items
        said = said_in(later)
        return said or said_in(items)[-1:]
    return said_in(items)


def _usage(exchange: Exchange) -> _Usage:
    try:
        return msgspec.convert(exchange.usage or {}, _Usage)
    except msgspec.ValidationError:
        return _Usage()


def _union(known: list[str], more: Iterable[str]) -> None:
    known.extend(name for name in dict.fromkeys(more) if name not in known)

"""Snapshots of sessions, in a folder or a bucket, from which a team's skills are improved.

Owns when a part of a session is written, and what waits for it. Does not own what a part says (snapshot.py), or how
far each session is known to be (snapshot_log.py).
Invariant: a part is written once and never again, and whoever is to know of it is told, though maybe twice. The log
has it before the next part is made, and where that was lost, the part itself says how far it goes. What cannot be
written stays due: the journal has it.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.errors import ArmariusError, DataError
from armarius.recorder.exchange import Exchange
from armarius.recorder.items import read_item
from armarius.recorder.journal import Place
from armarius.recorder.snapshot import Progress, Snapshot, build, join
from armarius.recorder.snapshot_log import SnapshotLog
from armarius.recorder.turns import ids_in, placed_in, read_exchange
from armarius.store.objects import Missing, Objects

__all__ = ["NOTHING", "Cadence", "Noted", "Snapshots", "SnapshotsState", "note", "read_session"]

_LARGEST_PART = 256 << 20
_MOST_PENDING = 4 << 20
_MOST_NOTED = 20_000
_MOST_CLOSED = 2_000
_MOST_QUIET = 256
_MOST_SEEN = 20_000
_CATCH_UP_US = 7 * 86_400 * 1_000_000
_RETRY_US = 30_000_000


class Cadence(msgspec.Struct, frozen=True):
    """A part is written after so many turns of the user, and when nothing happened for so long."""

    turns: int = 1
    idle_s: float = 180.0


class SnapshotsState(msgspec.Struct):
    """How writing went; `trouble` is the newest failure, None again after the next success."""

    place: str
    written: int = 0
    bytes: int = 0
    failed: int = 0
    trouble: str | None = None


class Noted(msgspec.Struct, frozen=True):
    """What has to be known of an exchange before it is written; the rest stands in the journal."""

    id: str
    session: str
    turn: str | None
    is_user_turn: bool
    ends_turn: bool
    place: Place


NOTHING = Noted("", "", None, False, False, Place("", 0, 0))
"""There is something to be read in the journal."""


def note(exchange: Exchange, place: Place) -> Noted | None:
    """What there is to know of an exchange whose line is at `place`; None: nobody could say whose it is."""
    identity = exchange.identity
    if identity.session is None:
        return None
    is_user_turn = identity.is_user_turn
    ends = is_user_turn and _ends_turn(exchange)
    return Noted(exchange.id, identity.session, identity.turn, is_user_turn, ends, place)


class _Session:
    """What of a session is not written yet."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.pending = list[Noted]()
        self.ids = set[str]()
        self.bytes = 0
        self.over = 0
        """Turns of the user that are over and not written."""
        self.turn: str | None = None
        self.last_us = 0
        self.try_us = 0


_snapshot = msgspec.json.Decoder(Snapshot)


class Snapshots:
    """Takes in what was noted of the journal and writes parts; used by one thread. It holds places, not lines.

    `written` is told the key of each part.
    """

    def __init__(
        self,
        objects: Objects,
        folder: Path,
        clock: Clock,
        written: Callable[[str], None],
        *,
        cadence: Cadence | None = None,
        alias: str = "",
        most: int = _MOST_NOTED,
        most_closed: int = _MOST_CLOSED,
    ) -> None:
        self._objects, self._clock, self._written = objects, clock, written
        self._cadence, self._alias = cadence or Cadence(), alias
        self._most = most
        name = hashlib.sha256(objects.shown.encode()).hexdigest()[:16]
        self._log = SnapshotLog(folder / f"{name}.jsonl", clock, most_closed)
        self._open = dict[str, _Session]()
        self._is_behind = True
        self._told = self._taken = 0
        self._caught = dict[str, None]()
        """What was read in the journal and may yet be told."""
        self.state = SnapshotsState(objects.shown)

    def catch_up(self, journal: Path) -> None:
        """Take in what the journal has and no part does: a recorder that ended could not write it."""
        self._is_behind = False
        oldest = max(self._log.since_us, self._clock.now_us() - _CATCH_UP_US)
        known = {progress.through for progress in self._log.progress.values()}
        there = ids_in(journal, oldest, known) if known else set[str]()
        behind = {name for name, progress in self._log.progress.items() if progress.through in there}
        for exchange, place in placed_in(journal, [], oldest):
            name = exchange.identity.session
            if name in behind:
                self._log.progress[name].seen.update(_ids(exchange))
                if self._log.progress[name].through == exchange.id:
                    behind.discard(name)
            elif self._is_wanted(exchange) and (noted := note(exchange, place)):
                self._caught[noted.id] = None
                if len(self._caught) > 2 * self._most:  # more than that is never told and not yet taken in
                    del self._caught[next(iter(self._caught))]
                self.take(noted)
                if self._held() > self._most:
                    self.write_due(every=True)
                    if self._is_behind:
                        return  # it cannot be written either; later
        for name, progress in self._log.progress.items():
            if name not in self._open:
                progress.seen = set()

    def _is_wanted(self, exchange: Exchange) -> bool:
        """Whether an exchange in the journal may be in no part: of a session that was forgotten, all was written."""
        is_known = exchange.identity.session in self._log.progress
        return exchange.at_us >= self._log.since_us and (is_known or exchange.at_us > self._log.forgotten_us)

    def take(self, noted: Noted) -> None:
        """Take in an exchange that is in the journal."""
        name = noted.session
        session = self._open.get(name)
        if session is None:
            session = self._open[name] = _Session(self._log.progress.setdefault(name, Progress()))
        self._open[name] = self._open.pop(name)  # the one that was heard of last stands last
        if noted.id in session.ids:
            return
        session.ids.add(noted.id)
        session.pending.append(noted)
        session.bytes += noted.place.size
        session.last_us = self._clock.monotonic_us()
        if noted.is_user_turn:
            if noted.turn != session.turn and session.turn is not None:
                session.over += 1  # its turn began without an end of the one before
            session.turn = noted.turn
            if noted.ends_turn:
                session.over += 1
                session.turn = None

    def write_due(self, *, every: bool = False) -> None:
        """Write what is due; with `every`, what there is."""
        now = self._clock.monotonic_us()
        for name, session in list(self._open.items()):
            is_idle = now - session.last_us >= self._cadence.idle_s * 1e6
            is_due = is_idle or session.over >= self._cadence.turns or session.bytes > _MOST_PENDING
            if session.pending and (every or (is_due and now >= session.try_us)):
                self._write(name, session, now)
            if is_idle and not session.pending:
                self._close(name)
        quiet = [name for name, session in self._open.items() if not session.pending]
        seen = sum(len(self._open[name].progress.seen) for name in quiet)
        for number, name in enumerate(quiet):
            if len(quiet) - number <= _MOST_QUIET and seen <= _MOST_SEEN:
                break
            seen -= len(self._open[name].progress.seen)
            self._close(name)
        if self._held() > self._most:
            self._open.clear()
            self._is_behind = True  # the journal has it all

    def step(self, told: list[Noted], journal: Path) -> float | None:
        """Take in what was noted of `journal` and write what is due; in how many seconds to come again, None: when
        there is more.
        """
        if self._is_behind:
            self.catch_up(journal)
        for noted in told:
            if noted is not NOTHING:
                self._taken += 1
                if noted.id not in self._caught:
                    self._caught.clear()  # it is newer, as is all that will be told
                    self.take(noted)
        self.write_due()
        return _RETRY_US / 1e6 if self._is_behind else self.next_s()

    def accepts(self) -> bool:
        """Whether one more may be handed over; called by the thread that does so. A place that is slow to be written
        to makes no queue without measure: what is left out is read in the journal later.
        """
        if self._told - self._taken > self._most:
            self._is_behind = True
            return False
        self._told += 1
        return True

    def next_s(self) -> float | None:
        """In how many seconds something may be due; None: not before something happens."""
        now = self._clock.monotonic_us()
        waits = [
            max(session.last_us + int(self._cadence.idle_s * 1e6), session.try_us) - now
            for session in self._open.values()
        ]
        return max(0.0, min(waits) / 1e6) if waits else None

    def _held(self) -> int:
        return sum(len(session.pending) for session in self._open.values())

    def _close(self, name: str) -> None:
        del self._open[name]
        self._log.close(name, self._open)

    # ---------------------------------------------------------------- writing

    def _write(self, name: str, session: _Session, now: int) -> None:
        try:
            while session.pending:
                exchanges, gone = _read(session.pending)
                if gone:
                    self._lose(session, gone)
                    continue
                progress = _copy(session.progress)
                data = msgspec.json.encode(build(name, self._alias, exchanges, progress))
                key = f"{_begins(name)}{progress.part:06}.json"
                if self._objects.create(key, data):
                    self.state.written += 1
                    self.state.trouble = None
                    self.state.bytes += len(data)
                    self._written(key)
                    self._advance(name, session, progress, len(exchanges))
                else:
                    self._skip(name, session, key, exchanges)
        except ArmariusError as error:
            self.state.failed += 1
            self.state.trouble = error.message
            session.try_us = now + _RETRY_US

    def _lose(self, session: _Session, gone: str) -> None:
        """What the journal has no more cannot be written."""
        self.state.failed += 1
        self.state.trouble = gone
        session.pending = session.pending[1:]

    def _skip(self, name: str, session: _Session, key: str, exchanges: list[Exchange]) -> None:
        """There is such a part: written by us before a crash, or by another recorder."""
        progress = _copy(session.progress)
        progress.part += 1
        count = 0
        try:
            theirs = _part_in(self._objects, key)
        except DataError:
            theirs = None  # whatever it is, it has the key
        ids = [one.id for one in exchanges]
        if theirs is not None and theirs.armarius.through in ids:
            count = ids.index(theirs.armarius.through) + 1
            progress = _copy(session.progress)
            build(name, self._alias, exchanges[:count], progress)
            self._written(key)  # whoever wrote it may have ended before it told anybody
        elif theirs is not None:
            numbers = [(turn.turn_num, turn.user_turn_num or 0) for turn in theirs.turns]
            progress.turns = max([progress.turns, *(number for number, _ in numbers)])
            progress.user_turns = max([progress.user_turns, *(number for _, number in numbers)])
        self._advance(name, session, progress, count)

    def _advance(self, name: str, session: _Session, progress: Progress, count: int) -> None:
        progress.at_us = self._clock.now_us()
        session.progress = progress
        session.pending = session.pending[count:]
        session.ids = {one.id for one in session.pending}
        session.bytes = session.over = 0
        self._log.wrote(name, progress)


def _begins(session: str) -> str:
    """How the keys of a session begin: directly below `sessions/`, where SkillClaw looks; no id becomes a path."""
    return f"sessions/{hashlib.sha256(session.encode()).hexdigest()[:32]}-"


def read_session(objects: Objects, session: str) -> Snapshot:
    """A whole session out of its parts; Missing when there is none."""
    parts = list[Snapshot]()
    for key in objects.keys("sessions"):
        if key.startswith(_begins(session)):
            parts.append(_part_in(objects, key))
    if not parts:
        raise Missing("session-missing", f"no snapshot of session {session[:80]!r}", "see `armarius proxy sessions`")
    return join(parts)


def _part_in(objects: Objects, key: str) -> Snapshot:
    found = objects.get(key, _LARGEST_PART)
    assert found is not None
    try:
        return _snapshot.decode(found.data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DataError("snapshot", f"{objects.shown}/{key} is no snapshot: {error}", "take it away") from error


def _read(pending: Sequence[Noted]) -> tuple[list[Exchange], str]:
    """The first that wait, as many as make a part; or why the very first cannot be read."""
    exchanges, size = list[Exchange](), 0
    for noted in pending:
        size += noted.place.size
        if exchanges and size > _MOST_PENDING:
            break
        try:
            exchanges.append(read_exchange(noted.place.read()))
        except (DataError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            return exchanges, "" if exchanges else f"cannot be written: {error}"
    return exchanges, ""


def _copy(progress: Progress) -> Progress:
    return msgspec.structs.replace(progress, last=dict(progress.last), seen=set(progress.seen))


def _ids(exchange: Exchange) -> set[str]:
    return {name for raw in (*exchange.input, *exchange.output) if (name := read_item(raw).id)}


def _ends_turn(exchange: Exchange) -> bool:
    """Whether the model has nothing more to do: it completed, and asked for no tool."""
    return exchange.end == "completed" and not any(read_item(raw).is_call for raw in exchange.output)

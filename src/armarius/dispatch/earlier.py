"""What goes on from an earlier thread may do, and whether it may go on at all.

Owns finding the thread that a person means, by a run or by its own names, and reading what its last
turn was allowed. Does not own names (`sessions.names`) nor whether a thread is in use (`observe`).
Invariant: nothing is taken over that is wider than what was recorded, and what was not recorded is
taken for the least: Codex itself hands on nothing. A thread that a living process holds is refused.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.codex.processes import Holder, holder
from armarius.counts.scan import Scan
from armarius.errors import DataError, Refused
from armarius.rollouts.discovery import find_rollout, find_rollouts
from armarius.rollouts.reader import read_rollout
from armarius.runs.records import QUERIES, RunRow, find_run
from armarius.runs.request import RunRequest
from armarius.sessions.folders import Place
from armarius.sessions.names import find_named
from armarius.sessions.observe import observe
from armarius.store.database import Database
from armarius.thread import Sandbox

__all__ = ["Earlier", "find_earlier", "last_thread", "queue_holder", "refuse_live"]

_ID_LENGTH = 36
_LIVE = ("held", "open")


class Earlier(msgspec.Struct, frozen=True):
    """A thread that may go on, where and as what. `run` is what we had asked of it, in `run_id`, if it was ours."""

    thread_id: str
    codex_home: Path
    cwd: str | None = None
    sandbox: Sandbox = Sandbox.READ_ONLY
    model: str | None = None
    effort: str | None = None
    run: RunRequest | None = None
    run_id: str | None = None


def find_earlier(ledger: Database, homes: Sequence[Path], name: str) -> Earlier:
    """The thread of the run or session that `name` means, in any of these CODEX_HOMEs.

    DataError when there is none, or more.
    """
    if name.startswith("run_"):
        return _of_run(find_run(ledger, name))
    thread_id, codex_home, unknown = None, homes[0], None
    try:
        named = find_named([Place("codex", home) for home in homes], name)
        thread_id, codex_home = named.thread_id, named.place.path if named.place else homes[0]
    except DataError as error:
        if error.code != "thread-unknown":
            raise
        unknown = error
    if thread_id is None or len(name) < _ID_LENGTH:
        try:
            run = find_run(ledger, name)
        except DataError as error:
            if error.code != "run-unknown":
                raise
            run = None
        if run is not None and thread_id is not None:
            hint = f"write run_{name} or more of the session's id"
            raise DataError("name-ambiguous", f"{name!r} begins a run and names a session", hint)
        if run is not None:
            return _of_run(run)
    if thread_id is None:
        assert unknown is not None  # one of the two was found or refused
        raise unknown
    ours = ledger.fetch_one(QUERIES.run_by_thread, RunRow, thread_id=thread_id)
    return _of_thread(codex_home, thread_id) if ours is None else _of_run(ours)


def last_thread(homes: Sequence[Path], folder: Path | None) -> str:
    """The thread that was written to last, in `folder` if one is named; sub-agents and the archive do not count."""
    files = [file for home in homes for file in find_rollouts(home) if not file.is_archived]
    for file in sorted(files, key=lambda file: file.changed_us, reverse=True):
        scan = Scan(file.path)
        try:
            scan.advance()
        except OSError:
            continue
        summary = scan.summary()
        if summary.parent_id is None and (folder is None or _is_same(summary.cwd, folder)):
            return file.thread_id
    where = "" if folder is None else f" in {folder}"
    hint = "start one with `armarius run`" if folder is None else "add --all to look everywhere"
    raise DataError("thread-none", f"no session under {homes[0]}{where}", hint)


def refuse_live(earlier: Earlier, clock: Clock) -> None:
    """Refuse a thread that somebody else writes to now, and say who; Codex allows one writer."""
    path = find_rollout(earlier.codex_home, earlier.thread_id)
    if path is None:
        return
    seen = observe(earlier.codex_home, clock).of(earlier.thread_id, str(path))
    if seen.presence in _LIVE:
        who = None if seen.pid is None else holder(seen.pid)
        raise Refused(
            "thread-live",
            f"{_told(who)} has the session {earlier.thread_id} open, and Codex allows one writer",
            _ways_out(who),
        )


def queue_holder(earlier: Earlier, clock: Clock) -> Holder | None:
    """Who will run what is put into the queue of a thread now; Refused when nobody would."""
    path = find_rollout(earlier.codex_home, earlier.thread_id)
    seen = None if path is None else observe(earlier.codex_home, clock).of(earlier.thread_id, str(path))
    if seen is None or seen.presence not in _LIVE:
        raise Refused(
            "thread-idle",
            f"nobody has the session {earlier.thread_id} open, so what is queued would wait for somebody",
            "leave out --queue: then it goes on at once",
        )
    who = None if seen.pid is None else holder(seen.pid)
    if who is not None and not who.takes_queued:
        raise Refused("queue-deaf", f"{_told(who)} has the session open and takes nothing from a queue", _ways_out(who))
    return who


def _told(who: Holder | None) -> str:
    if who is None:
        return "a process that is not ours to see"
    program = f" ({who.program})" if who.program else ""
    return f"process {who.pid}{program}, {who.front_end},"


def _ways_out(who: Holder | None) -> str:
    if who is not None and who.attempt is not None:
        run_id = Path(who.attempt).parent.name
        return f"`armarius runs steer {run_id} TEXT`, `armarius runs wait {run_id}` or `armarius runs cancel {run_id}`"
    wait = "wait until it is done, or interrupt it there"
    return wait if who is not None and not who.takes_queued else f"{wait}; or add --queue, and it takes it up next"


def _of_run(run: RunRow) -> Earlier:
    asked = run.asked
    if run.ended_at_us is None:
        raise Refused(
            "run-live",
            f"{run.id} is {run.state}; it cannot be resumed before it has ended",
            f"`armarius runs wait {run.id}`, `armarius runs cancel {run.id}`"
            + ("" if asked.approval == "never" else f", or `armarius runs steer {run.id} TEXT`"),
        )
    if run.thread_id is None:
        raise DataError("run-threadless", f"{run.id} never had a session: {run.error_message or run.state}", "retry it")
    recorded = _of_thread(Path(asked.codex_home), run.thread_id)
    return msgspec.structs.replace(
        recorded,
        cwd=asked.cwd,
        sandbox=Sandbox.from_flag(asked.sandbox),
        model=asked.model or recorded.model,
        effort=asked.effort or recorded.effort,
        run=asked,
        run_id=run.id,
    )


def _of_thread(codex_home: Path, thread_id: str) -> Earlier:
    """What the last turn of a thread recorded: the widest that may be taken over from it."""
    path = find_rollout(codex_home, thread_id)
    if path is None:
        raise DataError("thread-unknown", f"no session {thread_id} under {codex_home}", "see `armarius sessions list`")
    thread = read_rollout(path)
    turn = next((turn for turn in reversed(thread.turns) if turn.cwd is not None), None)
    return Earlier(
        thread_id=thread_id,
        codex_home=codex_home,
        cwd=(turn.cwd if turn else None) or thread.cwd,
        sandbox=(turn.sandbox if turn else None) or Sandbox.READ_ONLY,
        model=turn.model if turn else None,
        effort=turn.effort if turn else None,
    )


def _is_same(cwd: str | None, folder: Path) -> bool:
    return cwd is not None and (cwd == str(folder) or Path(cwd).resolve() == folder.resolve())

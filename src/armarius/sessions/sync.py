"""What is new in the session files comes into the index.

Owns telling an unchanged file from one that grew, was replaced, moved or vanished, and reading no more
than that asks for. Does not own reading a file (`scan`), nor the rows (`index_rows`).
Invariant: after a sync the index says of each file what one reading of it from its beginning says,
however it came to be as it is. A file that cannot be used is counted and stops nothing; one that is
no more is marked as gone, and stays known until it is forgotten on purpose.

A file is unchanged when its device, inode, size and mtime are. Otherwise it goes on from where it was
read to, if what was read is still there: it is no shorter, and sha256 of its first 4 KiB and of the
last 4 KiB before that place are as they were. A change of the time alone is read anew, because
something in the middle may be another. A path that nobody knows is matched with the paths that are
missing: by its name, which holds the thread, and by the inode if there are several. That it is
compressed meanwhile, or not any more, makes no difference.
"""

import itertools
from collections.abc import Callable, Iterable

import msgspec

from armarius.rollouts.opening import COMPRESSED
from armarius.sessions.folders import Found, Place, Sweep, sweep
from armarius.sessions.index_rows import QUERIES, Known, Writer
from armarius.sessions.intake import Intake, Job, Tally, move
from armarius.store.index_database import IndexDatabase

__all__ = ["Synced", "sync_places"]


class Synced(msgspec.Struct, frozen=True, kw_only=True):
    """What a sync found (`armarius.sync.v1`).

    Of the `files` that there are, `read` were new or changed and `bytes` is what was read of them;
    `moved` and `gone` are those that are elsewhere or no more. `unreadable` could not be opened,
    `closed` are folders that could not be listed. `waited` says that another sync was at work for so
    long that nothing was done.
    """

    files: int = 0
    read: int = 0
    bytes: int = 0
    moved: int = 0
    gone: int = 0
    forgotten: int = 0
    unreadable: int = 0
    closed: tuple[str, ...] = ()
    waited: bool = False
    schema: str = "armarius.sync.v1"


class _Plan(msgspec.Struct):
    """What is to be done in all places."""

    jobs: list[Job] = []
    moves: list[tuple[int, Found, Known]] = []
    gone: list[int] = []
    closed: list[str] = []
    files: int = 0

    @property
    def backlog(self) -> int:
        """About how many bytes there are to read."""
        return sum(job.found.size - (job.known.offset if job.known else 0) for job in self.jobs)


def sync_places(
    index: IndexDatabase, places: Iterable[Place], now_us: int, on_backlog: Callable[[int, int], None] | None
) -> Synced:
    """Bring the index up to date with these places; the caller holds the right to fill it.

    `on_backlog` is told how many files and bytes are going to be read.
    """
    plan = _Plan()
    numbers = _numbers(index, places)
    for place, number in numbers.items():
        _plan_place(plan, place, number, sweep(place), _known(index, number))
    if plan.moves or plan.gone:
        with index.transaction():
            for number, found, known in plan.moves:
                move(index, number, found, known.id)
            index.many(QUERIES.put_gone, [(now_us, file) for file in plan.gone])
    if plan.jobs and on_backlog:
        on_backlog(len(plan.jobs), plan.backlog)
    tally = _read(index, plan.jobs)
    return Synced(
        files=plan.files,
        read=tally.files,
        bytes=tally.bytes,
        moved=len(plan.moves) + tally.moved,
        gone=len(plan.gone),
        unreadable=tally.unreadable,
        closed=tuple(plan.closed),
    )


def _read(index: IndexDatabase, jobs: list[Job]) -> Tally:
    """Read what was planned and write it, in batches."""
    free_file, free_row = index.rows(QUERIES.free_numbers)[0]
    numbers = itertools.count(free_file)
    intake = Intake()
    with Writer(index, free_row) as writer:
        for job in jobs:
            if job.known:
                writer.settle()  # the connection is used by one thread at a time
                intake.go_on(index, job, job.known)
            else:
                intake.read_anew(msgspec.structs.replace(job, id=next(numbers)))
            if intake.is_full:
                writer.put(intake.rows())
        writer.put(intake.rows())
    return intake.tally


def _numbers(index: IndexDatabase, places: Iterable[Place]) -> dict[Place, int]:
    wanted = {(place.kind, bytes(place.path)): place for place in places}
    known = {(kind, path): number for number, kind, path in index.rows(QUERIES.places)}
    if missing := wanted.keys() - known.keys():
        with index.transaction():
            index.many(QUERIES.add_place, sorted(missing))
        known = {(kind, path): number for number, kind, path in index.rows(QUERIES.places)}
    return {place: known[key] for key, place in wanted.items()}


def _known(index: IndexDatabase, place: int) -> list[Known]:
    return [Known(*row) for row in index.rows(QUERIES.known_files, place)]


def _plan_place(plan: _Plan, place: Place, number: int, seen: Sweep, known: list[Known]) -> None:
    """Compare a place with what is remembered of it."""
    plan.files += len(seen.files)
    plan.closed += seen.closed
    by_path = {row.path: row for row in known}
    missing = _Missing(row for row in known if row.path not in seen.files)
    for path, found in seen.files.items():
        row = by_path.get(path)
        if row is None and (row := missing.claim(found)) and _is_untouched(found, row) and row.problem is None:
            plan.moves.append((number, found, row))
            continue
        if row is None or row.path != path or row.is_gone or row.problem is not None or not _is_untouched(found, row):
            plan.jobs.append(Job(row.id if row else 0, number, place.kind, place.path / path, found, row))
    shut = tuple(f"{folder}/" for folder in seen.closed)
    plan.gone += [row.id for row in missing.rest() if not row.is_gone and not f"{row.path}/".startswith(shut)]


class _Missing:
    """The files that were known and are not where they were."""

    def __init__(self, rows: Iterable[Known]) -> None:
        self._by_name = dict[str, list[Known]]()
        for row in rows:
            self._by_name.setdefault(_name(row.path), []).append(row)

    def claim(self, found: Found) -> Known | None:
        """The row of a file that lay elsewhere, or in the other form."""
        rows = self._by_name.get(_name(found.path))
        if not rows:
            return None
        spot = (found.device, found.inode)
        row = next((row for row in rows if (row.device, row.inode) == spot), rows[0])
        rows.remove(row)
        return row

    def rest(self) -> list[Known]:
        return [row for rows in self._by_name.values() for row in rows]


def _name(path: str) -> str:
    """What stays of a path when the file moves or is compressed; a thread's name holds its id and birth."""
    return path.rpartition("/")[2].removesuffix(COMPRESSED)


def _is_untouched(found: Found, row: Known) -> bool:
    """Whether nothing tells the file from what it was when it was read."""
    return (found.device, found.inode, found.size, found.mtime_ns) == (row.device, row.inode, row.size, row.mtime_ns)

"""Whether anything was changed since it was recorded.

Owns the comparison of the chain, the files, the ledger's rows and the mark, each with the others. Does not own any of
them, and changes none.
Invariant: whatever differs is named, with the run and the place; nothing is taken on its own word. What cannot be
seen from here is said, and is no change: the folders of another host, a session file that Codex has put away.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from armarius.audit import run_sealed
from armarius.audit.streams import Streams
from armarius.identity import hash_bytes
from armarius.proof import chain
from armarius.proof.receipt import Artefact, Receipt
from armarius.runs.decisions import Decision
from armarius.runs.receipts import tokens_of, tried_of
from armarius.runs.records import QUERIES, RunRow
from armarius.store.database import Database

__all__ = ["NOTHING", "Finding", "Verification", "verify", "with_streams"]

_BATCH = 500
_CHUNK = 1 << 20
_LARGEST = 64 << 20
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Code = Literal[
    "receipt-missing",
    "receipt-edited",
    "receipt-exposed",
    "receipt-other",
    "artefact-missing",
    "artefact-edited",
    "row-edited",
    "row-missing",
    "chain-broken",
    "events-changed",
    "run-changed",
    "usage-changed",
    "attempts-changed",
    "run-unsealed",
    "run-gone",
    "mark-missing",
    "mark-ahead",
    "mark-differs",
    "mark-broken",
    "head-unknown",
    "elsewhere",
    "put-away",
    "stream-missing",
    "stream-edited",
]

_NOTES = frozenset({"elsewhere", "put-away"})


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it was recorded: what, of which run, and where."""

    code: Code
    what: str
    run: str | None = None
    seq: int | None = None
    path: str | None = None


class Verification(msgspec.Struct, frozen=True):
    """What came of a check (`armarius.audit_verify.v1`). `notes` are what could not be looked at, and is no change.

    `seq` and `head` are the end of the chain: noted elsewhere, they show later that nothing was rewritten. `streams`
    is how many recorded streams were looked at.
    """

    is_intact: bool
    receipts: int
    files: int
    events: int
    seq: int
    head: str
    changes: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    streams: int = 0
    schema: str = "armarius.audit_verify.v1"


NOTHING = Verification(is_intact=True, receipts=0, files=0, events=0, seq=0, head=chain.GENESIS, changes=(), notes=())
"""Of somebody who has run nothing."""


class _Began(msgspec.Struct, frozen=True):
    applied_at_us: int


def verify(ledger: Database, home: Path, *, run_id: str | None = None, expected: str | None = None) -> Verification:
    """Compare everything with everything; of one run its files and rows alone, beside the whole chain.

    `home` is where marks of ledgers on a server lie; `expected` a head that somebody has noted.
    """
    marks = chain.marks_in(chain.mark_of(ledger, home))  # before the rows, to which more may be added meanwhile
    rows = list(_rows(ledger))
    found = [*_chain(ledger, rows), *_mark(ledger, home, rows, marks)]
    last = {row.run_id: row for row in rows if row.kind == "run"}
    files = 0
    for row in rows:
        if run_id is not None and row.run_id != run_id:
            continue
        files += 1
        found += _papers(ledger, row, is_last=last.get(row.run_id) == row)
    found += _unsealed(ledger, set(last), run_id)
    if expected is not None and expected not in {row.chain for row in rows}:
        found.append(Finding("head-unknown", f"no row of the chain has the hash {expected}"))
    changes = tuple(one for one in found if one.code not in _NOTES)
    return Verification(
        is_intact=not changes,
        receipts=len(rows),
        files=files,
        events=rows[-1].last_event if rows else 0,
        seq=rows[-1].seq if rows else 0,
        head=rows[-1].chain if rows else chain.GENESIS,
        changes=changes,
        notes=tuple(one for one in found if one.code in _NOTES),
    )


def with_streams(done: Verification, streams: Streams) -> Verification:
    """The same, and the bytes of every recorded stream held against the hash by which they were taken in."""
    found = list[Finding]()
    for broken in streams.verify():
        path = streams.place(broken.sha256)
        code: Code = "stream-edited" if path.exists() else "stream-missing"
        found.append(Finding(code, f"{broken.id}: {broken.problem}", path=str(path)))
    count = sum(row.pruned_at_us is None for row in streams.since(0))
    return msgspec.structs.replace(
        done, is_intact=done.is_intact and not found, changes=(*done.changes, *found), streams=count
    )


def _rows(ledger: Database) -> Iterator[chain.Row]:
    seq = 0
    while rows := ledger.fetch(chain.QUERIES.receipts_after, chain.Row, seq=seq, most=_BATCH):
        yield from rows
        seq = rows[-1].seq


def _chain(ledger: Database, rows: list[chain.Row]) -> Iterator[Finding]:
    """Each row by itself, after the one before it, and the events that it seals."""
    before, events = chain.GENESIS, 0
    for expected, row in enumerate(rows, 1):
        if row.seq != expected and (expected == 1 or rows[expected - 2].seq + 1 != row.seq):
            yield Finding("row-missing", f"row {row.seq} does not follow the one before it", row.run_id, row.seq)
        if chain.chain_of(row) != row.chain:
            yield Finding("row-edited", f"row {row.seq} does not have the hash that it says", row.run_id, row.seq)
        if row.previous != before:
            yield Finding("chain-broken", f"row {row.seq} follows another row than it says", row.run_id, row.seq)
        if chain.events_hash(ledger, events, row.last_event) != row.events_sha256:
            said = f"events {events + 1} to {row.last_event} are not those that row {row.seq} sealed"
            yield Finding("events-changed", said, row.run_id, row.seq)
        before, events = row.chain, row.last_event


def _mark(ledger: Database, home: Path, rows: list[chain.Row], marks: list[chain.Mark | None]) -> Iterator[Finding]:
    """The heads that were noted beside the database."""
    path = chain.mark_of(ledger, home)
    # A kill between the first commit and its mark leaves one row and no mark.
    if not marks and len(rows) > 1:
        # A host that never recorded a run has no mark of a server's ledger.
        code: Code = "mark-missing" if ledger.server_time_us() is None else "elsewhere"
        yield Finding(code, "the heads of the chain are not noted beside the ledger", path=str(path))
    known = {row.seq: row.chain for row in rows}
    for one in marks:
        if one is None:
            yield Finding("mark-broken", "a line of the mark is none", path=str(path))
        elif one.seq not in known:
            yield Finding("mark-ahead", f"row {one.seq} was there and is gone", seq=one.seq, path=str(path))
        elif known[one.seq] != one.chain:
            yield Finding("mark-differs", f"row {one.seq} was another one", seq=one.seq, path=str(path))


def _papers(ledger: Database, row: chain.Row, *, is_last: bool) -> Iterator[Finding]:
    """The file of a row, what the file names, and for a run's last receipt what the ledger says of the run."""
    path = Path(row.path)
    try:
        data = _read(path)
    except OSError as error:
        if not path.parent.is_dir() and not _runs_of(row).is_dir():
            yield Finding("elsewhere", "its folder is not on this host", row.run_id, row.seq, row.path)
        else:
            why = "a link is in its place" if path.is_symlink() else error.strerror
            yield Finding("receipt-missing", f"cannot be read: {why}", row.run_id, row.seq, row.path)
        return
    if path.lstat().st_mode & 0o077 or path.lstat().st_uid != os.geteuid():
        yield Finding("receipt-exposed", "others than its owner may use it", row.run_id, row.seq, row.path)
    if hash_bytes(data) != row.sha256:
        yield Finding("receipt-edited", "is not what was recorded", row.run_id, row.seq, row.path)
        return
    try:
        paper = msgspec.json.decode(data, type=Receipt if row.kind == "run" else msgspec.Raw)
        if row.kind == "decision":
            paper = msgspec.json.decode(data, type=Decision)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        yield Finding("receipt-other", f"is no {row.kind} of ours: {error}", row.run_id, row.seq, row.path)
        return
    if isinstance(paper, Decision) and (paper.run, paper.number) != (row.run_id, row.number):
        yield Finding("receipt-other", f"is about {paper.run}", row.run_id, row.seq, row.path)
    if isinstance(paper, Receipt):
        if (paper.run, paper.attempt) != (row.run_id, row.number):
            yield Finding("receipt-other", f"is the receipt of {paper.run}", row.run_id, row.seq, row.path)
        for artefact in paper.artefacts:
            yield from _artefact(row, path.parent, artefact)
        if is_last:
            yield from _run(ledger, row, paper)


def _artefact(row: chain.Row, folder: Path, artefact: Artefact) -> Iterator[Finding]:
    path = folder / artefact.path
    is_codex = artefact.kind == "rollout"
    try:
        digest = _hash_beginning(path, artefact.size)
        size = path.lstat().st_size
    except OSError as error:
        if is_codex and isinstance(error, FileNotFoundError):
            yield Finding("put-away", "Codex has moved or removed its session file", row.run_id, row.seq, str(path))
            return
        why = "a link is in its place" if path.is_symlink() else error.strerror
        yield Finding("artefact-missing", f"{artefact.kind}: {why}", row.run_id, row.seq, str(path))
        return
    if digest != artefact.sha256 or (size != artefact.size and not is_codex):
        yield Finding("artefact-edited", f"{artefact.kind} is not what was recorded", row.run_id, row.seq, str(path))


def _run(ledger: Database, row: chain.Row, receipt: Receipt) -> Iterator[Finding]:
    """The rows of a run, unless another attempt of it has begun since."""
    run = ledger.fetch_one(QUERIES.run_by_id, RunRow, id=row.run_id)
    if run is None:
        yield Finding("run-gone", "the ledger has no such run any more", row.run_id, row.seq)
        return
    tried = tried_of(ledger, run.id)
    if [one for one in tried if one.number <= max(row.number, 0)] != list(receipt.attempts):
        yield Finding("attempts-changed", "its attempts are not those that were recorded", run.id, row.seq)
    if run.ended_at_us is None or any(one.number > row.number > 0 for one in tried):
        return
    if changed := run_sealed.differs(ledger, run, row, receipt):
        said = f"the ledger says something else of its {', '.join(changed)} than was recorded"
        yield Finding("run-changed", said, run.id, row.seq)
    if tokens_of(ledger, run.id) != receipt.responses:
        yield Finding("usage-changed", "its usage is not what was recorded", run.id, row.seq)


def _unsealed(ledger: Database, sealed: set[str], run_id: str | None) -> Iterator[Finding]:
    """Runs that ended since there are receipts, and have none."""
    began = ledger.fetch(chain.QUERIES.receipts_began, _Began)
    since_us = began[0].applied_at_us if began else 0
    last = ""
    while runs := ledger.fetch(chain.QUERIES.ended_runs_after, RunRow, id=last, since_us=since_us, most=_BATCH):
        for run in runs:
            is_here = run_id in (None, run.id) and Path(run.folder).parent.is_dir()
            # Once more: it may have ended after the chain was read.
            if run.id not in sealed and is_here and not _is_sealed(ledger, run.id):
                yield Finding("run-unsealed", "it ended, and there is no receipt of it", run.id)
        last = runs[-1].id


def _is_sealed(ledger: Database, run_id: str) -> bool:
    rows = ledger.fetch(chain.QUERIES.receipts_of_run, chain.Row, run_id=run_id)
    return any(row.kind == "run" for row in rows)


def _runs_of(row: chain.Row) -> Path:
    """The folder of all runs, as the path of a receipt has it."""
    folder = Path(row.path).parent
    return folder.parent if folder.name == row.run_id else folder.parent.parent


def _read(path: Path) -> bytes:
    with os.fdopen(_open(path), "rb") as file:
        return file.read(_LARGEST)


def _hash_beginning(path: Path, size: int) -> str:
    """The hash of the first `size` bytes of a file."""
    digest, left = hashlib.sha256(), size
    with os.fdopen(_open(path), "rb") as file:
        while left and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return "sha256:" + digest.hexdigest()


def _open(path: Path) -> int:
    descriptor = os.open(path, _FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "no regular file", str(path))
    return descriptor

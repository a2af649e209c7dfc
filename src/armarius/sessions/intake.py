"""Files become rows of the index.

Owns reading one file anew or from where it was left, telling which of the two is right, and counting
what was read. Does not own which files are read (`sync`), nor writing the rows (`index_rows`).
Invariant: a file that cannot be read is counted and stops nothing.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from armarius.counts.away import name_of, parts_of
from armarius.counts.entries import Part
from armarius.counts.scan import Scan
from armarius.counts.summary import Summary
from armarius.rollouts.opening import COMPRESSED, ByteStream, open_rollout
from armarius.sessions.folders import Found, Kind
from armarius.sessions.index_rows import QUERIES, Batch, Known, Reading, Rows, own_name, unpacked
from armarius.sessions.whole_scan import WholeScan
from armarius.store.index_database import IndexDatabase

__all__ = ["Intake", "Job", "Tally", "move"]

_MARK: Final = 4 << 10
_BATCH_SIZE: Final = 512 << 10


class Job(msgspec.Struct, frozen=True):
    """A file to look into: as it was found, and its row if it has one; `id` is 0 until it gets one."""

    id: int
    place: int
    kind: Kind
    path: Path
    found: Found
    known: Known | None


class Tally(msgspec.Struct):
    """What was read. `moved` counts files that were read at another place than before."""

    files: int = 0
    bytes: int = 0
    moved: int = 0
    unreadable: int = 0


class Intake:
    """Reads files into batches of rows; `tally` says how much that was."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._batch = Batch()

    @property
    def is_full(self) -> bool:
        return self._batch.size > _BATCH_SIZE

    def rows(self) -> Rows:
        """What was read since the last call."""
        batch, self._batch = self._batch, Batch()
        return batch.rows()

    def read_anew(self, job: Job) -> None:
        """Read a file from its beginning; one that cannot be read is counted, and stops nothing."""
        try:
            scan = WholeScan(job.path) if job.kind == "claude" else Scan(job.path, with_texts=True)
            scan.advance()
            self._take(job, scan, None)
        except FileNotFoundError:
            return  # gone since the folder was listed: the next sync says so
        except OSError as error:
            self.tally.unreadable += 1
            if job.known is None:
                summary = Summary(path="", thread_id=job.found.thread_id, offset=0)
                problem = error.strerror or str(error)
                self._batch.add(Reading(id=job.id, place=job.place, found=job.found, summary=summary, problem=problem))

    def go_on(self, index: IndexDatabase, job: Job, known: Known) -> None:
        """Read what is new in a file, or all of it when what was read is not there any more."""
        try:
            scan = _restored(index, job, known)
            if scan is None:
                self.read_anew(job)
            elif scan.advance():
                self._take(job, scan, known)
            else:
                with index.transaction():
                    move(index, job.place, job.found, known.id)
                self.tally.moved += job.found.path != known.path
        except FileNotFoundError:
            return
        except OSError as error:
            self.tally.unreadable += 1
            if known.problem is None:
                with index.transaction():
                    index.rows(QUERIES.put_problem, error.strerror or str(error), known.id)

    def _take(self, job: Job, scan: Scan | WholeScan, before: Known | None) -> None:
        texts = scan.take_texts()  # before `saved`, which remembers what was told
        summary = scan.summary()
        head, tail = _marks(job.path, scan.offset)
        self._batch.add(
            Reading(
                id=job.id,
                place=job.place,
                found=job.found,
                summary=summary,
                head=head,
                tail=tail,
                away=scan.saved(),
                texts=texts,
                before=before,
                replaces=before is None and job.known is not None,
            )
        )
        self.tally.files += 1
        self.tally.bytes += summary.offset - (before.offset if before else 0)
        self.tally.moved += job.known is not None and job.found.path != job.known.path


class _Past:
    """What readings of a file left behind in the index."""

    def __init__(self, index: IndexDatabase, path: Path, known: Known) -> None:
        self._index = index
        self._path = path
        self._known = known

    def holds(self, name: bytes) -> bool:
        return bool(self._index.rows(QUERIES.is_in_part, self._known.id, name_of(name)))

    def paid(self, response_id: str) -> bool:
        name = own_name(response_id, self._known.thread_id)
        return bool(self._index.rows(QUERIES.is_paid, name, self._known.id))

    def parts(self) -> list[Part]:
        return parts_of(self._path, (unpacked(part) for (part,) in self._index.rows(QUERIES.parts, self._known.id)))


def _restored(index: IndexDatabase, job: Job, known: Known) -> Scan | None:
    """The reading of a file as it was left; None when it has to begin anew."""
    saved = index.rows(QUERIES.saved, known.id)
    if job.kind == "claude" or not saved or not _holds_still(job, known):
        return None
    try:
        return Scan.restored(job.path, unpacked(saved[0][0]), _Past(index, job.path, known), with_texts=True)
    except ValueError:  # of another edition of Scan
        return None


def _holds_still(job: Job, known: Known) -> bool:
    """Whether what was read of a file is still there."""
    found = job.found
    if found.path == known.path and found.size == known.size and found.mtime_ns != known.mtime_ns:
        return False
    if not known.tail or (found.size < known.offset and not found.is_packed):
        return False
    with open_rollout(job.path) as stream:
        head = _bytes_of(stream, min(_MARK, known.offset))
        if hashlib.sha256(head).digest() != known.head:
            return False
        stream.seek(max(0, known.offset - _MARK))
        return hashlib.sha256(_bytes_of(stream, min(_MARK, known.offset))).digest() == known.tail


def _marks(path: Path, offset: int) -> tuple[bytes, bytes]:
    """What the part that was read is recognised by. Of a compressed file only its head: its end is far."""
    with open_rollout(path) as stream:
        head = hashlib.sha256(_bytes_of(stream, min(_MARK, offset))).digest()
        if path.suffix == COMPRESSED:
            return head, b""
        stream.seek(max(0, offset - _MARK))
        return head, hashlib.sha256(_bytes_of(stream, min(_MARK, offset))).digest()


def _bytes_of(stream: ByteStream, size: int) -> bytes:
    """`size` bytes, or as many as there are."""
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def move(index: IndexDatabase, place: int, found: Found, file: int) -> None:
    """A file is elsewhere, or was only touched; within a transaction."""
    index.rows(
        QUERIES.put_spot,
        *(place, found.path, found.is_archived, found.device, found.inode, found.size, found.mtime_ns, file),
    )

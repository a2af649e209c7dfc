"""Receipts in the ledger, one hash after the other, and a mark outside of it.

Owns the rows, what each of them seals, and the mark. Does not own what a receipt says.
Invariant: a row's hash covers its file's hash, every event since the row before, and that row's hash. The mark is a
file beside the database to which the head is appended after each commit: a row that was there and is not any more is
missed there. Whoever can rewrite the ledger, the files and the mark alike is not found out; they are when somebody
has noted the head elsewhere (`armarius audit verify` prints it, `--head` asks for it).
"""

import hashlib
import os
from pathlib import Path
from typing import Literal

import msgspec

from armarius.identity import canonical_json, hash_bytes, hash_value
from armarius.store.database import Database
from armarius.store.ledger import Event
from armarius.store.queries import load

__all__ = [
    "GENESIS",
    "QUERIES",
    "Kind",
    "Mark",
    "Row",
    "add_row",
    "chain_of",
    "events_hash",
    "head",
    "mark",
    "mark_of",
    "marks_in",
]

Kind = Literal["run", "decision", "verdict"]

GENESIS = "sha256:" + "0" * 64
"""What the first row follows."""

QUERIES = load(Path(__file__).with_name("queries.sql"))

_BATCH = 2_000


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the chain. `last_event` is the newest event that it and the rows before it seal."""

    seq: int
    kind: Kind
    run_id: str
    number: int
    path: str
    sha256: str
    last_event: int
    events_sha256: str
    previous: str
    at_us: int
    chain: str = ""


class Mark(msgspec.Struct, frozen=True):
    """The head of the chain at a moment."""

    seq: int
    chain: str


class _Number(msgspec.Struct, frozen=True):
    seq: int


def chain_of(row: Row) -> str:
    """The hash of a row: of everything in it but itself."""
    return hash_value({name: value for name, value in msgspec.structs.asdict(row).items() if name != "chain"})


def head(ledger: Database) -> Row | None:
    """The newest row."""
    return ledger.fetch_one(QUERIES.last_receipt, Row)


def add_row(ledger: Database, now_us: int, *, kind: Kind, run_id: str, number: int, path: Path, data: bytes) -> Row:
    """Add a row for a file that holds `data`, inside the caller's transaction."""
    last = head(ledger)
    newest = ledger.fetch(QUERIES.last_event, _Number)[0].seq
    row = Row(
        seq=1 if last is None else last.seq + 1,
        kind=kind,
        run_id=run_id,
        number=number,
        path=str(path),
        sha256=hash_bytes(data),
        last_event=newest,
        events_sha256=events_hash(ledger, 0 if last is None else last.last_event, newest),
        previous=GENESIS if last is None else last.chain,
        at_us=now_us,
    )
    row = msgspec.structs.replace(row, chain=chain_of(row))
    ledger.execute(QUERIES.add_receipt, **msgspec.structs.asdict(row))
    return row


def events_hash(ledger: Database, above: int, upto: int) -> str:
    """The hash of the events between two numbers, in their order."""
    digest = hashlib.sha256()
    while above < upto:
        events = ledger.fetch(QUERIES.events_between, Event, above=above, upto=upto, most=_BATCH)
        for event in events:
            digest.update(canonical_json(msgspec.to_builtins(event)) + b"\n")
        if not events:
            break
        above = events[-1].seq
    return "sha256:" + digest.hexdigest()


def mark_of(ledger: Database, home: Path) -> Path:
    """Where the mark of a ledger is: beside its file, or for one on a server in `home`."""
    place = Path(ledger.place)
    if place.is_absolute():
        return place.with_name(place.name + ".receipts")
    return home / f"receipts-{hash_bytes(ledger.place.encode())[7:23]}.mark"


def mark(ledger: Database, home: Path, row: Row) -> None:
    """Append the head to the mark, once it is committed."""
    line = canonical_json(msgspec.to_builtins(Mark(row.seq, row.chain))) + b"\n"
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(mark_of(ledger, home), flags, 0o600)
    try:
        os.write(descriptor, line)  # one short line at the end: whole or not at all, whoever else writes
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def marks_in(path: Path) -> list[Mark | None]:
    """Every line of a mark; None for one that is none. A file that is not there has no lines."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    found = list[Mark | None]()
    for line in filter(None, lines):
        try:
            found.append(msgspec.json.decode(line, type=Mark))
        except (msgspec.DecodeError, msgspec.ValidationError):
            found.append(None)
    return found

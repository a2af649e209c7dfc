"""Where notes are kept, and finding them again.

Owns the database of notes, cutting a document into pieces, the search and which notes count. Does not own what
may be a note (`notes.py`).
Invariant: every text went through `check_text`; of a document all pieces are kept or none; a later version of a
document replaces the earlier one; what is forgotten or over is deleted, bytes and words.
"""

from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, UsageError
from armarius.files import private_folder
from armarius.identity import hash_bytes, new_id
from armarius.memory.notes import Kind, Note, check_text, rank_of
from armarius.redact import redact
from armarius.sessions.search import phrases
from armarius.store.migrations import migrate, migrations_in
from armarius.store.queries import load
from armarius.store.sqlite import SqliteDatabase

__all__ = ["Draft", "Memory", "chunks_of", "open_memory"]

_QUERIES = load(Path(__file__).with_name("memory.sql"))
_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_CHUNK: Final = 1_600
_MOST_CHUNKS: Final = 10_000
_MORE: Final = 4
_OVERWRITE: Final = "PRAGMA secure_delete = ON"
_CHECKPOINT: Final = "PRAGMA wal_checkpoint(TRUNCATE)"
"""What was deleted is overwritten in the file, and does not stay behind in the log of it either."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A note that is not kept yet."""

    kind: Kind
    key: str
    value: str
    scope: str
    source: str
    confidence: float = 1.0
    expires_at_us: int | None = None


@contextmanager
def open_memory(path: Path, clock: Clock) -> Generator["Memory"]:
    """The memory in this file, which is made when it is missing."""
    private_folder(path.parent)
    with closing(SqliteDatabase(path)) as database:
        migrate(database, migrations_in(_MIGRATIONS), clock)
        database.script(_OVERWRITE)
        yield Memory(database, clock)


class Memory:
    """Notes; for the thread that opened it."""

    def __init__(self, database: SqliteDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, drafts: Sequence[Draft]) -> list[Note]:
        """Keep these, all or none; DataError for what may not be kept."""
        for draft in drafts:
            check_text(draft.key, draft.value)
        with self._database.transaction():
            self._forget_expired()
            return [self._insert(draft) for draft in drafts]

    def add_document(self, name: str, text: str, *, scope: str, expires_at_us: int | None = None) -> list[Note]:
        """Keep a document in pieces, instead of what was kept under its name; its secrets are replaced."""
        pieces = chunks_of(redact(text))
        if not pieces or len(pieces) > _MOST_CHUNKS:
            raise DataError(
                "memory-document", f"{name} has {len(pieces):,} pieces", f"1 to {_MOST_CHUNKS:,} can be kept"
            )
        source = f"file:{name}#{hash_bytes(text.encode(errors='replace'))}"
        drafts = list[Draft]()
        for number, (line, piece) in enumerate(pieces, 1):
            key = f"{Path(name).name}#{number}"
            try:
                check_text(key, piece)
            except DataError as error:
                raise DataError(error.code, f"{name}, line {line}: {error.message}", error.hint) from error
            drafts.append(
                Draft(kind="chunk", key=key, value=piece, scope=scope, source=source, expires_at_us=expires_at_us)
            )
        with self._database.transaction():
            self._forget_expired()
            self._database.execute(_QUERIES.forget_document, document=name, scope=scope)
            return [self._insert(draft, document=name) for draft in drafts]

    def search(self, query: str, scopes: Sequence[str], *, most: int) -> list[Note]:
        """The best notes of these scopes; a nearer scope hides the same key of a farther one."""
        wanted = phrases(query)
        if not wanted:
            raise UsageError("search-empty", f"nothing to look for in {query!r}", "write a word or a number")
        found = self._database.fetch(
            _QUERIES.search_notes,
            Note,
            query=" OR ".join(phrase.fts for phrase in wanted),
            scopes=msgspec.json.encode(scopes).decode(),
            now_us=self._clock.now_us(),
            most=most * _MORE,
        )
        return _nearest(found)[:most]

    def notes(self, *, scope: str | None = None, kind: Kind | None = None, most: int = 100) -> list[Note]:
        """Notes that count, newest first."""
        return self._database.fetch(
            _QUERIES.latest_notes, Note, scope=scope, kind=kind, now_us=self._clock.now_us(), most=most
        )

    def forget(self, name: str) -> list[Note]:
        """Delete notes by id, key or document, with what they had replaced; DataError when there is none."""
        with self._database.transaction():
            named = self._database.fetch(_QUERIES.notes_named, Note, name=name) if name else []
            if not named:
                raise DataError("memory-unknown", f"there is no note {name!r}", "see `armarius memory list`")
            if len({(note.scope, note.document or (note.kind, note.key)) for note in named}) > 1:
                raise UsageError("memory-which", f"{name!r} means several notes", "name more of an id: `memory list`")
            found = named
            if named[0].document is None:
                one = named[0]
                found = self._database.fetch(_QUERIES.notes_alike, Note, scope=one.scope, kind=one.kind, key=one.key)
            for note in found:
                self._database.execute(_QUERIES.forget_note, id=note.id)
        self._database.script(_CHECKPOINT)
        return found

    def _insert(self, draft: Draft, document: str | None = None) -> Note:
        fields = {name: getattr(draft, name) for name in Draft.__struct_fields__}
        note = Note(id=new_id("note", self._clock), created_at_us=self._clock.now_us(), document=document, **fields)
        self._database.execute(_QUERIES.insert_note, **msgspec.structs.asdict(note))
        return note

    def _forget_expired(self) -> None:
        self._database.execute(_QUERIES.forget_expired, now_us=self._clock.now_us())


def chunks_of(text: str) -> list[tuple[int, str]]:
    """A text in pieces at its empty lines, each with the line where it begins; a long paragraph is cut."""
    pieces = list[tuple[int, str]]()
    begun, lines, size = 1, list[str](), 0
    for number, line in enumerate(text.splitlines(), 1):
        for part in [line[at : at + _CHUNK] for at in range(0, len(line), _CHUNK)] or [""]:
            if lines and (size + len(part) > _CHUNK or (not part.strip() and size > _CHUNK // 2)):
                pieces.append((begun, "\n".join(lines)))
                lines, size = [], 0
            if not lines:
                begun = number
            lines.append(part)
            size += len(part) + 1
    if lines:
        pieces.append((begun, "\n".join(lines)))
    return [(line, piece.strip("\n")) for line, piece in pieces if piece.strip()]


def _nearest(found: list[Note]) -> list[Note]:
    """Of several with one kind and key the one of the nearest scope, in the order in which they were found."""
    best = dict[tuple[str, str], Note]()
    for note in found:
        known = best.get((note.kind, note.key))
        if known is None or rank_of(note.scope) > rank_of(known.scope):
            best[note.kind, note.key] = note
    return [note for note in found if best[note.kind, note.key] is note]

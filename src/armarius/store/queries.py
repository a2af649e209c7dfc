"""Named SQL, read from `.sql` files.

Owns the form of such a file and the translation of parameters. Does not own running a query.
Invariant: every query has a name, a description and one statement; parameters are written `:name`.

    -- name: fetch_run
    -- One run by its id.
    SELECT * FROM run WHERE id = :id;

Ledger SQL is the one subset that SQLite and PostgreSQL read alike. What differs between them in
silence, and so is left out or spelled out:

* `LIKE` ignores case in SQLite alone: not used.
* Ordering by text follows the server's locale: only ids and other plain ASCII are ordered.
* NULL sorts first in SQLite and last in PostgreSQL: `NULLS FIRST` or `NULLS LAST` is written.
* `INSERT … SELECT … ON CONFLICT` needs `WHERE true` before ON CONFLICT (a parsing rule of SQLite).
* A parameter that is only tested for NULL has no type: `CAST(:x AS TEXT) IS NULL`.
* A failed statement ends a transaction in PostgreSQL: nobody catches one and goes on inside it.
"""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from armarius.errors import nearest

__all__ = ["Queries", "Query", "for_psycopg", "load", "parameters", "parse"]

_NAME_LINE = re.compile(r"^-- name:(.*)$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")

# Whatever may hold a colon without meaning a parameter comes first; the rest is looked at.
_TOKEN = re.compile(
    r"""
      '(?:[^']|'')*'            # string
    | "(?:[^"]|"")*"            # quoted name
    | --[^\n]*                  # comment to the end of the line
    | /\*.*?(?:\*/|\Z)         # comment in between
    | ::                        # PostgreSQL's cast
    | :(?P<name>\w+)
    """,
    re.VERBOSE | re.DOTALL,
)


class Query(msgspec.Struct, frozen=True):
    """One statement with its name and the sentence that says what it is for."""

    name: str
    description: str
    sql: str

    @property
    def reads(self) -> bool:
        """Whether it certainly writes nothing."""
        return self.sql[:6].upper() == "SELECT"


class Queries:
    """The queries of one file, by attribute or by key."""

    def __init__(self, source: str, queries: tuple[Query, ...]) -> None:
        self._source = source
        self._queries = {query.name: query for query in queries}

    def __getattr__(self, name: str) -> Query:
        try:
            return self._queries[name]
        except KeyError:
            hint = nearest(name, list(self._queries))
            raise AttributeError(f"{self._source} has no query {name!r}; {hint}") from None

    def __getitem__(self, name: str) -> Query:
        return self._queries[name]

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())


def load(path: Path) -> Queries:
    """The queries of a file, e.g. `load(Path(__file__).with_name("queries.sql"))`.

    A path, because importlib.resources costs three times what opening a ledger may cost.
    """
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, source: str) -> Queries:
    """The queries of a text; ValueError when one lacks its name, description or statement."""
    head, *parts = _NAME_LINE.split(text)
    if any(line and not line.startswith("--") for line in head.splitlines()):
        raise ValueError(f"{source}: SQL before the first `-- name:`")
    queries = [_query(name.strip(), rest, source) for name, rest in zip(parts[::2], parts[1::2], strict=True)]
    names = [query.name for query in queries]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{source}: named twice: {', '.join(sorted(twice))}")
    return Queries(source, tuple(queries))


def _query(name: str, rest: str, source: str) -> Query:
    lines = rest.strip("\n").splitlines()
    sentences = 0
    while sentences < len(lines) and lines[sentences].startswith("--"):
        sentences += 1
    description = " ".join(line[2:].strip() for line in lines[:sentences]).strip()
    sql = "\n".join(lines[sentences:]).strip().removesuffix(";").rstrip()
    for what, there in (
        ("name", _NAME.fullmatch(name)),
        ("description", description),
        ("statement", sql),
    ):
        if not there:
            raise ValueError(f"{source}: query {name!r} has no usable {what}")
    return Query(name, description, sql)


def parameters(sql: str) -> tuple[str, ...]:
    """The names of the parameters, each once, in the order in which they first appear."""
    found = (match["name"] for match in _TOKEN.finditer(sql))
    return tuple(dict.fromkeys(name for name in found if name))


@functools.cache
def for_psycopg(sql: str) -> str:
    """The statement as psycopg wants it: `%(name)s` for `:name`, and each other `%` doubled."""
    pieces: list[str] = []
    end = 0
    for match in _TOKEN.finditer(sql):
        if match["name"]:
            pieces += [sql[end : match.start()].replace("%", "%%"), f"%({match['name']})s"]
            end = match.end()
    pieces.append(sql[end:].replace("%", "%%"))
    return "".join(pieces)

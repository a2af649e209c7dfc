"""Analyses by their key: put, get, list, prune.

Owns the folder, its bound, and the check of every byte that is given back. Does not own the state of a repository.
Invariant: an entry is there whole or not at all, and its content is what its hash says, or it is taken away; what is
kept has no secret in it; together it is never more than was allowed: what was used longest ago goes first.
"""

import contextlib
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from armarius.artefacts.state import State
from armarius.clock import Clock
from armarius.errors import DataError, NoAnswer
from armarius.files import locked, private_folder, read_bounded, write_atomic
from armarius.identity import hash_bytes, hash_value
from armarius.redact import redact

__all__ = ["Artefact", "Artefacts", "key_of"]

_LARGEST: Final = 16 << 20
_MOST: Final = 256 << 20
_LARGEST_ENTRY: Final = 64 << 10
_MOST_PARAMETERS: Final = 32
_LONGEST: Final = 1_000


class Artefact(msgspec.Struct, frozen=True, kw_only=True):
    """An analysis that is kept. `sha256` is that of its text, `key` that of what it was made for."""

    key: str
    tool: str
    parameters: dict[str, str]
    state: State
    repository: str
    sha256: str
    size: int
    created_at_us: int


def key_of(tool: str, parameters: dict[str, str], state: State) -> str:
    """The key of an analysis; the place of a repository is no part of it."""
    return hash_value([tool, parameters, state.head, state.tree])


class Artefacts:
    """The kept analyses below `folder`."""

    def __init__(self, folder: Path, clock: Clock, *, most: int = _MOST) -> None:
        self._entries = private_folder(folder / "entries")
        self._blobs = private_folder(folder / "blobs")
        self._clock = clock
        self._most = most

    def put(self, tool: str, parameters: dict[str, str], state: State, repository: str, text: str) -> Artefact:
        """Keep an analysis, its secrets replaced; in place of an earlier one with the same key."""
        _check(tool, parameters)
        data = redact(text).encode(errors="backslashreplace")
        if len(data) > min(_LARGEST, self._most):
            raise DataError("cache-large", f"{len(data):,} bytes are too many for one analysis", "keep a summary")
        made = Artefact(
            key=key_of(tool, parameters, state), tool=tool, parameters=parameters, state=state, repository=repository,
            sha256=hash_bytes(data), size=len(data), created_at_us=self._clock.now_us(),
        )  # fmt: skip
        with self._locked():
            write_atomic(self._blob(made.sha256), data)
            write_atomic(self._entry(made.key), msgspec.json.encode(made))
            self._shrink(keep=made.key)
        return made

    def get(self, tool: str, parameters: dict[str, str], state: State) -> tuple[Artefact, str]:
        """An analysis and its text; NoAnswer when there is none for this content."""
        _check(tool, parameters)
        key = key_of(tool, parameters, state)
        entry = self._read(self._entry(key))
        if entry is not None:
            with contextlib.suppress(DataError):
                data = read_bounded(self._blob(entry.sha256), _LARGEST)
                if entry.key == key and hash_bytes(data) == entry.sha256:
                    with contextlib.suppress(FileNotFoundError):  # somebody pruned meanwhile; we have it
                        os.utime(self._entry(key))
                    return entry, data.decode()
            self._entry(key).unlink(missing_ok=True)  # it is not what was put
        raise NoAnswer("cache-miss", f"no {tool} is kept for this state ({key})", "make it, and `armarius cache put`")

    def all(self) -> list[Artefact]:
        """Every analysis, the one that was used last first."""
        times = list[tuple[int, str, Artefact]]()
        for path in self._entries.glob("*.json"):
            entry = self._read(path)
            if entry is not None:
                with contextlib.suppress(FileNotFoundError):
                    times.append((path.stat().st_mtime_ns, entry.key, entry))
        return [entry for _, _, entry in sorted(times, key=lambda one: one[:2], reverse=True)]

    def prune(self, *, most: int = 0, dry_run: bool = False) -> list[Artefact]:
        """Take away what was used longest ago until no more than `most` bytes are left; what goes."""
        with self._locked():
            going = self._too_much(most)
            if not dry_run:
                self._remove(going)
            return going

    def _shrink(self, keep: str) -> None:
        self._remove([entry for entry in self._too_much(self._most) if entry.key != keep])

    def _too_much(self, most: int) -> list[Artefact]:
        """What is over when the newest are kept up to `most` bytes."""
        size, over = 0, list[Artefact]()
        for entry in self.all():
            size += entry.size
            if size > most:
                over.append(entry)
        return over

    def _remove(self, going: list[Artefact]) -> None:
        for entry in going:
            self._entry(entry.key).unlink(missing_ok=True)
        held = {entry.sha256 for entry in self.all()}
        for blob in self._blobs.iterdir():
            if f"sha256:{blob.name}" not in held:
                blob.unlink(missing_ok=True)

    def _read(self, path: Path) -> Artefact | None:
        """An entry; None for one that is missing, broken or not ours."""
        try:
            return msgspec.json.decode(read_bounded(path, _LARGEST_ENTRY), type=Artefact)
        except (DataError, msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _entry(self, key: str) -> Path:
        return self._entries / f"{key.removeprefix('sha256:')}.json"

    def _blob(self, sha256: str) -> Path:
        name = sha256.removeprefix("sha256:")
        if not (len(name) == 64 and name.isalnum()):  # noqa: PLR2004  # a hash, and so no path
            raise DataError("cache-entry", "an entry names no hash", "`armarius cache prune`")
        return self._blobs / name

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self._entries.parent / "lock")


def _check(tool: str, parameters: dict[str, str]) -> None:
    words = [tool, *parameters, *parameters.values()]
    if not tool or len(words) > 2 * _MOST_PARAMETERS + 1 or any(len(word) > _LONGEST for word in words):
        raise DataError("cache-key", "a tool and its parameters are too long, or the tool has no name", "shorten them")
    if any(redact(word) != word for word in words):
        raise DataError("cache-secret", "a parameter looks like a secret", "leave it out of the key")

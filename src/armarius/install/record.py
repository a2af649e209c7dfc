"""What was put where: the record that makes every step of an installation undoable.

Owns `installed.json`, the copies of a person's files, and the lock under which both change. Does not
own the changes.
Invariant: the copies and the record are on disk before the first change to a person's file, and stay
until the last one is undone.
"""

import hashlib
import os
import shutil
import stat
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from armarius.errors import DataError, HostError, Refused
from armarius.files import locked, private_folder, read_bounded, write_atomic

__all__ = ["Installed", "Kept", "Records", "Theirs", "digest"]

_LARGEST = 8 << 20


class Theirs(msgspec.Struct, frozen=True):
    """A person's file: `data` is None when there is none. A link to it stays one."""

    path: Path
    data: bytes | None
    mode: int = 0o600

    @classmethod
    def read(cls, path: Path) -> "Theirs":
        path = path.resolve()
        if not os.path.lexists(path):
            return cls(path, None)
        return cls(path, read_bounded(path, _LARGEST), stat.S_IMODE(path.stat().st_mode))

    @property
    def text(self) -> str:
        try:
            return (self.data or b"").decode()
        except UnicodeDecodeError as error:
            raise Refused("not-utf8", f"{self.path}: byte {error.start} is not UTF-8", "save it as UTF-8") from error

    def replace(self, data: bytes | None) -> None:
        """Write or remove it; HostError when somebody else changed it since it was read."""
        if Theirs.read(self.path).data != self.data:
            raise HostError("changed-meanwhile", f"{self.path} was changed meanwhile", "try again")
        if data is None:
            self.path.unlink(missing_ok=True)
        elif data != self.data:
            write_atomic(self.path, data, mode=self.mode)
        else:
            self.path.chmod(self.mode)  # Codex makes it private when it writes


class Kept(msgspec.Struct, frozen=True):
    """How a person's file was before, and what it became by our hand; None: not there, or not known."""

    before: str | None
    mode: int
    after: str | None = None


class Installed(msgspec.Struct, frozen=True):
    """One CODEX_HOME's hooks. `created` is what stands in `hooks.json` because of us.

    `complete` is false while files are being changed. `moves` are the keys of a person's own hooks
    whose place changes while ours are taken out.
    """

    at_us: int
    created: tuple[str, ...]
    hashes: dict[str, str]
    hooks: Kept
    config: Kept
    complete: bool = False
    moves: dict[str, str] = {}


class _File(msgspec.Struct, frozen=True):
    homes: dict[str, Installed] = {}
    schema: str = "armarius.installed.v1"


class Records:
    """The record in `folder`; everything but `get` is for the holder of the lock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "installed.json"

    def locked(self) -> AbstractContextManager[None]:
        """Be the only one who installs; HostError when another one is at it."""
        busy = HostError("install-busy", "another armarius is installing hooks", "wait for it")
        return locked(private_folder(self._folder) / "lock", busy)

    def get(self, codex_home: Path) -> Installed | None:
        return self._read().homes.get(str(codex_home))

    def put(self, codex_home: Path, installed: Installed) -> None:
        homes = self._read().homes | {str(codex_home): installed}
        write_atomic(self._path, msgspec.json.encode(_File(homes)))

    def drop(self, codex_home: Path) -> bool:
        """Forget a home and its copies; whether any other home is left."""
        homes = self._read().homes
        homes.pop(str(codex_home), None)
        write_atomic(self._path, msgspec.json.encode(_File(homes)))
        shutil.rmtree(self._copies(codex_home), ignore_errors=True)
        return bool(homes)

    def keep(self, codex_home: Path, name: str, file: Theirs) -> Kept:
        """Copy a file before it is changed."""
        if file.data is not None:
            write_atomic(private_folder(self._copies(codex_home)) / name, file.data)
        return Kept(None if file.data is None else digest(file.data), file.mode)

    def copy_of(self, codex_home: Path, name: str, kept: Kept) -> bytes | None:
        """A file as it was before; DataError when the copy is not what was kept."""
        if kept.before is None:
            return None
        data = read_bounded(self._copies(codex_home) / name, _LARGEST)
        if digest(data) != kept.before:
            raise DataError(
                "copy-changed",
                f"the copy of {name} in {self._copies(codex_home)} is not what was kept",
                f"take `report.py` out of {codex_home / name} by hand",
            )
        return data

    def _copies(self, codex_home: Path) -> Path:
        return self._folder / f"before-{hashlib.sha256(os.fsencode(codex_home)).hexdigest()[:12]}"

    def _read(self) -> _File:
        if not self._path.exists():
            return _File()
        try:
            return msgspec.json.decode(read_bounded(self._path, _LARGEST), type=_File)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(
                "record-broken",
                f"{self._path}: {error}",
                "remove it; `armarius uninstall hooks` then takes out what it recognises",
            ) from error


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"

"""Where a team's skills come from: a hub, or a plain folder of skills.

Owns reading both, and that what came is what was promised. Does not own the transport, which is handed in, or where
skills go (`managed`).
Invariant: nothing is handed out whose bytes do not have the hashes of the listing. A skill that cannot be taken is
named in `refused` and holds up no other.

A hub has `manifest.jsonl`, a line for each skill (`name`, `tree_sha256`, `files` of `path`, `sha256`, `size`), and the
files at `skills/NAME/SKILL.md` and `skills/NAME/files/PATH`: what SkillClaw shares.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from armarius.errors import DataError
from armarius.skills.bundle import ENTRY, MOST_BYTES, Bundle, BundleFile, bundle_of, check_bundle, read_bundle
from armarius.store.objects import Found, Missing

__all__ = ["MANIFEST", "FolderSource", "HubSource", "Listing", "Read", "Source", "key_of", "manifest_line"]

MANIFEST = "manifest.jsonl"
_LARGEST_MANIFEST = 16 << 20
_MOST_SKILLS = 2_000

Read = Callable[[str, int, str | None], Found | None]
"""An object by its key, at most so large; None when it is still the one with that mark. Missing where it is not."""


class Listing(msgspec.Struct, frozen=True):
    """The skills of a source. `refused` says which of them cannot be taken, and why. Where it is not there, nothing was
    published yet, or it is elsewhere, which is no reason to remove anything.
    """

    skills: tuple[Bundle, ...]
    refused: tuple[str, ...]
    etag: str | None
    is_there: bool = True


class Source(Protocol):
    """Somewhere skills come from."""

    def listing(self, etag: str | None) -> Listing | None:
        """What there is; None when nothing changed since the listing with `etag`."""
        ...

    def fetch(self, bundle: Bundle) -> dict[str, bytes]:
        """The files of a skill; DataError when they are not what was listed."""
        ...


class _Line(msgspec.Struct):
    """A line of a manifest. `sha256` alone is of a skill that has nothing but its SKILL.md."""

    name: str
    tree_sha256: str | None = None
    files: tuple[BundleFile, ...] = ()


_line = msgspec.json.Decoder(_Line)


class HubSource:
    """A hub; `read` reaches it."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def listing(self, etag: str | None) -> Listing | None:
        try:
            found = self._read(MANIFEST, _LARGEST_MANIFEST, etag)
        except Missing:
            return Listing((), (), None, is_there=False)
        if found is None:
            return None
        refused = list[str]()
        skills = dict[str, Bundle]()
        for number, line in enumerate(found.data.split(b"\n"), 1):
            if line.strip():
                if len(skills) == _MOST_SKILLS:
                    refused.append(f"{MANIFEST}:{number}: more than {_MOST_SKILLS:,} skills; the first are taken")
                    break
                try:
                    bundle = _bundle(line)
                    if skills.setdefault(bundle.name.casefold(), bundle) is not bundle:
                        refused.append(f"{MANIFEST}:{number}: {bundle.name} is listed twice")
                except DataError as error:
                    refused.append(f"{MANIFEST}:{number}: {error.message}")
        return Listing(tuple(skills.values()), tuple(refused), found.etag)

    def fetch(self, bundle: Bundle) -> dict[str, bytes]:
        contents = dict[str, bytes]()
        for file in bundle.files:
            found = self._read(key_of(bundle.name, file.path), file.size, None)
            data = b"" if found is None else found.data
            if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
                raise DataError("bundle-hash", f"{bundle.name}/{file.path} is not what was listed", "publish it again")
            contents[file.path] = data
        bundle_of(bundle.name, contents)
        return contents


class FolderSource:
    """A plain folder, in which every folder with a SKILL.md is a skill."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def listing(self, etag: str | None) -> Listing | None:
        """Everything is read: only that tells a change in any file of any skill."""
        refused = list[str]()
        skills = list[Bundle]()
        for folder in self._folders():
            try:
                skills.append(read_bundle(folder)[0])
            except DataError as error:
                refused.append(error.message)
        mark = hashlib.sha256(repr(([(one.name, one.tree) for one in skills], refused)).encode()).hexdigest()
        return None if mark == etag else Listing(tuple(skills), tuple(refused), mark)

    def fetch(self, bundle: Bundle) -> dict[str, bytes]:
        found, contents = read_bundle(self._folder / bundle.name)
        if found != bundle:
            raise DataError("bundle-hash", f"{bundle.name} changed while it was read", "it is read again")
        return contents

    def _folders(self) -> Iterable[Path]:
        try:
            entries = sorted(self._folder.iterdir())
        except OSError as error:
            reason = error.strerror
            raise DataError("skills", f"cannot read the skills in {self._folder}: {reason}", "name a folder") from error
        return [entry for entry in entries if entry.is_dir() and not entry.is_symlink() and (entry / ENTRY).exists()]


def _bundle(line: bytes) -> Bundle:
    try:
        said = _line.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise DataError("manifest", f"no entry of a skill: {error}", "publish it again") from error
    if said.tree_sha256 is None:
        raise DataError("bundle-hash", f"{said.name[:80]!r} has no hash", "publish it as a bundle")
    return check_bundle(Bundle(said.name, said.tree_sha256, said.files))


def key_of(name: str, path: str) -> str:
    """Where a file of a skill is in a hub."""
    return f"skills/{name}/{path}" if path == ENTRY else f"skills/{name}/files/{path}"


def manifest_line(bundle: Bundle) -> bytes:
    """The line of the manifest for `bundle`."""
    fields = {"name": bundle.name, "format": "bundle_v1", "entrypoint": ENTRY, "tree_sha256": bundle.tree}
    assert sum(file.size for file in bundle.files) <= MOST_BYTES
    return msgspec.json.encode(fields | {"files": bundle.files}) + b"\n"

"""A skill as a bundle: its files with their hashes, and one hash over all.

Owns which names and paths may be in one, its hash, and reading a folder as one. Does not own where bundles come from
(`hub`) or go to (`managed`).
Invariant: a path of a bundle stays below whatever folder it is put into, on every system: it is made of allowed
letters, never absolute, never `..`, no drive, no device. No link is followed and nothing is read that is no file.
The hash is SkillClaw's `tree_sha256` of a `bundle_v1`, so that both can read one hub.
"""

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from armarius.errors import DataError
from armarius.files import file_kind
from armarius.skills.document import parse_document

__all__ = [
    "ENTRY",
    "MOST_BYTES",
    "Bundle",
    "BundleFile",
    "bundle_of",
    "check_bundle",
    "check_name",
    "check_path",
    "read_bundle",
]

ENTRY = "SKILL.md"
MOST_BYTES = 8 << 20
_MOST_FILES = 200
_DEEPEST = 8
_LONGEST_PATH = 240
_NAME = re.compile(r"[^\W_][\w.-]{0,63}")
_PART = re.compile(r"[^\W_][\w @+.()-]{0,99}|_[\w @+.()-]{0,99}")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
_HASH = re.compile(r"[0-9a-f]{64}")
_LEFT_OUT = re.compile(r"\.DS_Store|\.git|__pycache__|\..*_cache|.*\.py[co]")


class BundleFile(msgspec.Struct, frozen=True):
    """One file of a bundle."""

    path: str
    sha256: str
    size: int


class Bundle(msgspec.Struct, frozen=True):
    """A skill, by its content. `name` is that of its folder."""

    name: str
    tree: str
    files: tuple[BundleFile, ...]


def check_name(name: str) -> str:
    """`name`, when a folder of a skill may have it; DataError otherwise."""
    if _NAME.fullmatch(name) is None or _DEVICE.fullmatch(name) or name.endswith("."):
        raise DataError(
            "skill-name", f"{name[:80]!r} is no name for a skill", "use letters, digits, . _ - and begin with a letter"
        )
    return name


def check_path(path: str) -> str:
    """`path`, when a file of a bundle may have it; DataError otherwise."""
    parts = path.split("/")
    if len(path) <= _LONGEST_PATH and len(parts) <= _DEEPEST and all(_is_part(part) for part in parts):
        return path
    raise DataError(
        "bundle-path", f"{path[:200]!r} is no path inside a skill", "use relative paths of plain names, / between them"
    )


def _is_part(part: str) -> bool:
    return _PART.fullmatch(part) is not None and not _DEVICE.fullmatch(part) and part[-1] not in ". "


def check_bundle(bundle: Bundle) -> Bundle:
    """`bundle`, when everything it says of itself is possible and fits together; DataError otherwise."""
    check_name(bundle.name)
    paths = [check_path(file.path) for file in bundle.files]
    if len({path.casefold() for path in paths}) < len(paths):
        raise DataError("bundle-path", f"{bundle.name}: two paths are one, but for case", "rename one of them")
    if ENTRY not in paths or len(paths) > _MOST_FILES:
        raise DataError("bundle", f"{bundle.name}: a skill has a {ENTRY} and at most {_MOST_FILES} files", "mend it")
    if min(file.size for file in bundle.files) < 0 or sum(file.size for file in bundle.files) > MOST_BYTES:
        raise DataError("bundle", f"{bundle.name}: a skill has at most {MOST_BYTES:,} bytes", "shorten it")
    if not all(_HASH.fullmatch(file.sha256) for file in bundle.files) or bundle.tree != _tree(bundle.files):
        raise DataError("bundle-hash", f"{bundle.name}: the hash is not that of its files", "publish it again")
    return bundle


def bundle_of(name: str, contents: Mapping[str, bytes]) -> Bundle:
    """The bundle of these files; DataError when it would be none, or Codex could not use it."""
    files = tuple(
        BundleFile(path, hashlib.sha256(data).hexdigest(), len(data)) for path, data in sorted(contents.items())
    )
    bundle = check_bundle(Bundle(name, _tree(files), files))
    parse_document(contents[ENTRY], f"{name}/{ENTRY}")
    return bundle


def read_bundle(folder: Path, name: str | None = None) -> tuple[Bundle, dict[str, bytes]]:
    """The folder of a skill, and what is in it; DataError where something in it is no plain file or folder.

    `name` is the skill's, where the folder has another.
    """
    contents = dict[str, bytes]()
    _read_into(contents, folder, "")
    return bundle_of(name or folder.name, contents), contents


def _read_into(contents: dict[str, bytes], folder: Path, above: str) -> None:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if _LEFT_OUT.fullmatch(entry.name):
            continue
        path = check_path(above + entry.name)
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            _read_into(contents, folder / entry.name, f"{path}/")
        elif not stat.S_ISREG(mode):
            raise DataError("bundle-kind", f"{entry.path} is a {file_kind(mode)}", "a skill has plain files only")
        else:
            left = MOST_BYTES - sum(map(len, contents.values()))
            contents[path] = _read_file(folder / entry.name, left)
        if len(contents) > _MOST_FILES:
            raise DataError("bundle", f"{folder} has more than {_MOST_FILES} files", "a skill is smaller")


def _read_file(path: Path, limit: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DataError("bundle-kind", f"{path} is no plain file", "a skill has plain files only")
            data = file.read(limit + 1)
    except OSError as error:
        raise DataError("unreadable", f"cannot read {path}: {error.strerror}", "check the path") from error
    if len(data) > limit:
        raise DataError("bundle", f"{path.parent} has more than {MOST_BYTES:,} bytes", "shorten it")
    return data


def _tree(files: tuple[BundleFile, ...]) -> str:
    lines = (f"{file.path}\0{file.sha256}\0{file.size}\n" for file in sorted(files, key=lambda file: file.path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()

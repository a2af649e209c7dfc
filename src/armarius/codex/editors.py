"""The codex programs that editors bring along: the extension of Cursor and of VS Code.

Owns where they lie, which is the newest, and whether one may be trusted to be what its owner installed. Does not
own whether one is used (`binary.py`).
Invariant: nothing is started. What another user owns or anybody may write to, and what is no program for this
machine, is passed over with its reason; no link is followed out of an extension.
"""

import os
import platform
import re
import stat
import sys
from pathlib import Path

import msgspec

__all__ = ["EditorProgram", "Editors", "editor_programs"]

_PLACES = (
    (".cursor", "Cursor"),
    (".vscode", "VS Code"),
    (".vscode-server", "VS Code server"),
)
_PREFIX = "openai.chatgpt-"
_NAME = re.compile(r"openai\.chatgpt-(\d{1,9}(?:\.\d{1,9}){1,3})(?:-[a-z0-9-]{1,40})?")
_SYSTEMS = {"linux": ("linux",), "darwin": ("darwin", "macos")}
_MACHINES = {
    "x86_64": ("x86_64", "x64", "amd64"),
    "amd64": ("x86_64", "x64", "amd64"),
    "aarch64": ("aarch64", "arm64"),
    "arm64": ("aarch64", "arm64"),
}


class EditorProgram(msgspec.Struct, frozen=True):
    """A codex of an extension; `version` is the extension's."""

    path: Path
    editor: str
    version: tuple[int, ...]


class Editors(msgspec.Struct, frozen=True):
    """The programs, newest first, and a line for each that was passed over."""

    programs: tuple[EditorProgram, ...] = ()
    skipped: tuple[str, ...] = ()


def editor_programs(user_home: Path) -> Editors:
    """Every codex of an extension in somebody's home."""
    found, skipped = list[EditorProgram](), list[str]()
    for place, editor in _PLACES:
        folder = user_home / place / "extensions"
        for extension in _extensions(folder):
            named = _NAME.fullmatch(extension.name)
            if named is None:
                skipped.append(f"{_shown(extension)}: no version in its name")
                continue
            program = _program(extension)
            reason = "no program for this machine" if program is None else _distrust(folder, program)
            if program is None or reason:
                skipped.append(f"{_shown(program or extension)}: {reason}")
                continue
            found.append(EditorProgram(program, editor, tuple(map(int, named[1].split(".")))))
    found.sort(key=lambda one: one.version, reverse=True)
    return Editors(tuple(found), tuple(skipped))


def _extensions(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.startswith(_PREFIX))
    except OSError:
        return []


def _program(extension: Path) -> Path | None:
    """The program for this machine: `bin/<system>-<machine>/codex`."""
    systems = _SYSTEMS.get(sys.platform, ())
    machines = _MACHINES.get(platform.machine().lower(), ())
    wanted = [f"{system}-{machine}" for system in systems for machine in machines]
    places = [extension / "bin" / name / "codex" for name in wanted]
    return next((place for place in places if os.path.lexists(place)), None)


def _distrust(folder: Path, program: Path) -> str:
    """Why a program is not taken; empty when it is. Every folder on the way counts, from the extensions on."""
    way = [folder, *(folder / part for part in _parts(program.relative_to(folder)))]
    for step in way:
        try:
            seen = step.lstat()
        except OSError as error:
            return f"{step.name}: {error.strerror}"
        kind = stat.S_ISREG if step == program else stat.S_ISDIR
        if not kind(seen.st_mode):
            return f"{step.name} is a link, or no {'file' if step == program else 'folder'}"
        if seen.st_uid not in (os.geteuid(), 0):
            return f"{step.name} belongs to another user"
        if seen.st_mode & stat.S_IWOTH:
            return f"anybody may write to {step.name}"
    return "" if os.access(program, os.X_OK) else "it may not be executed"


def _parts(path: Path) -> list[Path]:
    """`a/b/c` as `a`, `a/b`, `a/b/c`."""
    return [*reversed(path.parents[:-1]), path]


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")

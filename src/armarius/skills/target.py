"""Which file may be changed.

Owns the one question whether a path is a SKILL.md or AGENTS.md of ours to edit. Does not own the roots: the
caller takes them from the owner's configuration, never from a project's.
Invariant: a returned path is real (no link in any part of it), lies below a root, and is a regular
file with one name. It was so at the time of asking; whoever commits a change asks again.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from armarius.errors import DataError, Refused
from armarius.files import file_kind
from armarius.skills.document import MEMORY

__all__ = ["resolve_target"]

_NAME = "SKILL.md"
_NAMES = frozenset({_NAME, MEMORY})


def resolve_target(path: Path, roots: Sequence[Path]) -> Path:
    """The real path of the SKILL.md that `path` names, as the file or as its folder, or of an AGENTS.md.

    Refused when it leads out of `roots` or has a second name; DataError when it is no such file.
    """
    real_roots = [_real(root) for root in roots]
    own = _real(path)
    is_skill = own in real_roots and (own / _NAME).is_file()  # a repository may be one as a whole
    real = own if is_skill else _inside(path, real_roots)
    status = _status(real)
    if stat.S_ISDIR(status.st_mode) and (real.name not in _NAMES or real in real_roots):
        real = _inside(real / _NAME, real_roots)
        status = _status(real)
    if not stat.S_ISREG(status.st_mode):
        raise DataError("target-kind", f"{real} is a {file_kind(status.st_mode)}", f"name a {_NAME} file")
    if real.name not in _NAMES:
        message = f"{path} is {real}, which is not named {_NAME}"
        raise DataError("target-name", message, f"name a {_NAME}, or a project's {MEMORY}")
    if status.st_nlink != 1:
        raise Refused(
            "target-links",
            f"{real} has {status.st_nlink} names (hard links), so an edit would reach another path",
            "copy it to a file of its own",
        )
    return real


def _inside(path: Path, real_roots: list[Path]) -> Path:
    """The real path; Refused, before anything about the file is told, when no root is above it."""
    real = _real(path)
    if any(root in real.parents for root in real_roots):
        return real
    shown = ", ".join(str(root) for root in real_roots) or "none"
    if real in real_roots:
        raise Refused("target-outside", f"{real} is a folder of skills and no skill", f"name a {_NAME} or its folder")
    named = f"{path} is {real}, which" if path != real else f"{path}"
    raise Refused(
        "target-outside",
        f"{named} lies outside the skill roots ({shown})",
        "move the skill below a root, or name its root in your own configuration",
    )


def _real(path: Path) -> Path:
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:  # a NUL byte
        raise DataError("target-path", f"{str(path)!r} is no path", "check the path") from error


def _status(real: Path) -> os.stat_result:
    try:
        return real.lstat()
    except FileNotFoundError as error:
        raise DataError("missing", f"{real} does not exist", f"name a {_NAME} or its folder") from error
    except OSError as error:
        raise DataError("unreadable", f"cannot look at {real}: {error.strerror}", "check the path") from error

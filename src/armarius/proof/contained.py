"""Files that a packet or a receipt names, reached without being led astray.

Owns opening what lies below a root, and saying that it does. Does not own what is in the files.
Invariant: the way is walked name by name from an open root, and no name on it may be a link, so that nothing that
is swapped meanwhile leads anywhere else. What has a second name, or is no regular file, is refused.
"""

import os
import stat
from pathlib import Path

from armarius.errors import DataError, Refused

__all__ = ["folder_below", "inside", "open_below", "read_below", "write_below"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def inside(name: str, root: Path, *, field: str) -> tuple[str, ...]:
    """The names that lead from `root` to what `name` says; Refused when it says another place."""
    if "\0" in name or not name.strip():
        raise Refused("path", f"{field}: {name!a} is no path", "name a file below the packet's folder")
    absolute = name.startswith("/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if absolute:
        above = [part for part in str(root).split("/") if part]
        if parts[: len(above)] != above:
            raise Refused("path-outside", f"{field}: {name} lies outside of {root}", "name a file below it")
        parts = parts[len(above) :]
    if ".." in parts or not parts:
        raise Refused("path-outside", f"{field}: {name} leads out of {root}", "name a file below it, without `..`")
    return tuple(parts)


def open_below(name: str, root: Path, *, field: str) -> int:
    """A descriptor of the regular file `name` below `root`, for reading; Refused or DataError when it is none."""
    parts = inside(name, root, field=field)
    folder = _walk(parts[:-1], name, root, field=field)
    try:
        descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
    except OSError as error:
        if _is_link(parts, root):
            why = f"{field}: {name} goes through a link, which may lead anywhere"
            raise Refused("path-link", why, "name the file itself") from error
        raise DataError("path", f"{field}: cannot open {name}: {error.strerror}", "check the path") from error
    finally:
        os.close(folder)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        what = "has a second name" if stat.S_ISREG(status.st_mode) else "is no regular file"
        raise Refused("path-kind", f"{field}: {name} {what}", "copy it into a file of its own")
    return descriptor


def read_below(name: str, root: Path, limit: int, *, field: str) -> bytes:
    """The bytes of a regular file below `root`; DataError when it has more than `limit`."""
    with os.fdopen(open_below(name, root, field=field), "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise DataError("too-large", f"{field}: {name} has more than {limit:,} bytes", "shorten it")
    return data


def folder_below(name: str, root: Path, *, field: str) -> Path:
    """The folder `name` below `root`, itself `root` for "."; Refused when a link is on the way."""
    if not [part for part in name.split("/") if part not in ("", ".")] and not name.startswith("/"):
        return root
    if os.path.normpath(name) == str(root):
        return root
    parts = inside(name, root, field=field)
    os.close(_walk(parts, name, root, field=field))
    return root.joinpath(*parts)


def write_below(name: str, root: Path, data: bytes, *, field: str) -> None:
    """Make a file that was not there before, for its owner alone; Refused when its name is taken."""
    parts = inside(name, root, field=field)
    folder = _walk(parts[:-1], name, root, field=field)
    try:
        descriptor = os.open(parts[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    except FileExistsError as error:
        raise Refused("path-taken", f"{field}: {name} is there already", "name a file that is not") from error
    except OSError as error:
        raise DataError("path", f"{field}: cannot make {name}: {error.strerror}", "check its folder") from error
    finally:
        os.close(folder)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _walk(parts: tuple[str, ...], name: str, root: Path, *, field: str) -> int:
    """A descriptor of the folder that `parts` lead to."""
    try:
        folder = os.open(os.path.realpath(root), _FOLDER)
    except OSError as error:
        raise DataError("path", f"{field}: cannot open {root}: {error.strerror}", "check the folder") from error
    for part in parts:
        try:
            below = os.open(part, _FOLDER, dir_fd=folder)
        except OSError as error:
            if _is_link(parts, root):
                why = f"{field}: {name} goes through a link, which may lead anywhere"
                raise Refused("path-link", why, "name the place itself") from error
            raise DataError("path", f"{field}: cannot open {name}: {error.strerror}", "check the path") from error
        finally:
            os.close(folder)
        folder = below
    return folder


def _is_link(parts: tuple[str, ...], root: Path) -> bool:
    """For the words of the refusal alone: whether a name on the way is a link by now."""
    return any(root.joinpath(*parts[:length]).is_symlink() for length, _ in enumerate(parts, 1))

"""Which thread somebody means.

Owns every way in which a thread is named: its id, a unique beginning of it, the name that was given
to it in Codex, `codex://threads/<id>`, the path of its file. Does not own what stands in the file.
Invariant: a name means one thread or is refused, with those it could mean. Nothing is opened but
Codex's list of names, so that naming works without an index and however large the files are.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from armarius.errors import ArmariusError, DataError, nearest
from armarius.files import read_bounded
from armarius.rollouts.discovery import thread_id_of
from armarius.rollouts.opening import COMPRESSED
from armarius.sessions.folders import Found, Place, sweep

__all__ = ["Named", "find_named", "thread_names"]

_ADDRESS: Final = "codex://threads/"
_LONGEST_LIST: Final = 64 << 20
_SHOWN: Final = 5
_LONGEST_NAME: Final = 200


class Named(msgspec.Struct, frozen=True):
    """A thread and the file to read it from. `place` is None for a file outside of all folders."""

    thread_id: str
    path: Path
    place: Place | None = None
    name: str | None = None
    is_archived: bool = False


class _NameLine(msgspec.Struct):
    id: str
    thread_name: str
    updated_at: str = ""


def find_named(places: Iterable[Place], name: str) -> Named:
    """The one thread that `name` means in these places; DataError when there is none, or more."""
    threads = _threads(places)
    if os.path.isfile(name):  # noqa: PTH113  # also says no to a name that no file system takes
        return _of_file(threads, Path(name))
    plain = name.removeprefix(_ADDRESS).strip().rstrip("/")
    given = {thread_id: told for place in places for thread_id, told in thread_names(place).items()}
    found = [thread_id for thread_id in _meant(plain, threads, given) if thread_id in threads]
    if not found:
        known = (*given.values(), *threads)
        hint = nearest(plain[:_LONGEST_NAME], known) if plain and known else ""
        if not hint.startswith("did you mean"):
            hint = "see `armarius sessions list`"
        raise DataError("thread-unknown", f"no session {_short(name)!r} under {_told(places)}", hint)
    if len(found) > 1:
        shown = ", ".join(sorted(found)[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        what = "is the name of" if plain in given.values() else "begins"
        said = f"{_short(name)!r} {what} {len(found)} sessions: {shown}"
        raise DataError("thread-ambiguous", said, "write more of its id")
    best = _best(threads[found[0]])
    return msgspec.structs.replace(best, name=given.get(found[0]))


def thread_names(place: Place) -> dict[str, str]:
    """The names that were given to threads, the newest of each; what cannot be read names nothing."""
    path = place.path / "session_index.jsonl"
    if place.kind != "codex" or not path.is_file():
        return {}
    try:
        data = read_bounded(path, _LONGEST_LIST)
    except ArmariusError:
        return {}
    newest = dict[str, tuple[str, str]]()
    for line in data.splitlines():
        try:
            told = msgspec.json.decode(line, type=_NameLine)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue  # a line that is being written, or of another kind
        if told.updated_at >= newest.get(told.id, ("", ""))[0]:
            newest[told.id] = (told.updated_at, told.thread_name)
    return {thread_id: name for thread_id, (_, name) in newest.items() if name}


def _threads(places: Iterable[Place]) -> dict[str, list[tuple[Place, Found]]]:
    found = dict[str, list[tuple[Place, Found]]]()
    for place in places:
        for file in sweep(place).files.values():
            found.setdefault(file.thread_id, []).append((place, file))
    return found


def _meant(plain: str, threads: Iterable[str], given: dict[str, str]) -> list[str]:
    """The threads that a name could mean: the first way of naming that any of them answers to."""
    if not plain:
        return []
    lower = plain.lower()
    for found in (
        [thread_id for thread_id in threads if thread_id == lower],
        [thread_id for thread_id, name in given.items() if name == plain],
        [thread_id for thread_id, name in given.items() if name.casefold() == plain.casefold()],
        [thread_id for thread_id in threads if thread_id.startswith(lower)],
    ):
        if found:
            return found
    return []


def _best(files: list[tuple[Place, Found]]) -> Named:
    """Of several files of one thread the one that is not archived, and the newest of those."""
    place, found = max(files, key=lambda file: (not file[1].is_archived, file[1].mtime_ns, file[1].path))
    return Named(found.thread_id, place.path / found.path, place, is_archived=found.is_archived)


def _of_file(threads: dict[str, list[tuple[Place, Found]]], path: Path) -> Named:
    thread_id = thread_id_of(path.name) or path.name.removesuffix(COMPRESSED).removesuffix(".jsonl")
    for place, found in threads.get(thread_id, []):
        try:
            is_same = (place.path / found.path).samefile(path)
        except OSError:
            continue
        if is_same:
            name = thread_names(place).get(thread_id)
            return Named(thread_id, path, place, name, found.is_archived)
    return Named(thread_id_of(path.name), path)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _told(places: Iterable[Place]) -> str:
    return ", ".join(str(place.path) for place in places)

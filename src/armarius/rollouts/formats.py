"""Any file that somebody calls a session: what it is, and its threads.

Owns telling the formats apart and the choice of the reader. Does not own any format.
Invariant: a file is told by what its first lines are, and only then by its name; a file that is none of
all gets the reader of rollouts, which says of each line why it could not be used. No content raises.
"""

from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import msgspec

from armarius.rollouts.claude import is_transcript, read_transcript
from armarius.rollouts.generations import generation_of
from armarius.rollouts.merging import merged
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.parts import word
from armarius.rollouts.reader import RolloutReader, read_lines
from armarius.rollouts.streams import read_old_streams, read_streams
from armarius.thread import Format, Thread

__all__ = ["classify", "format_of", "read_thread", "read_threads", "read_whole"]

_LOOK: Final = 64
"""How many lines tell a format; what marks a generation stands in the first turn."""
_EXEC: Final = frozenset({"thread.started", "turn.started", "turn.completed", "turn.failed", "error"})


class _Payload(msgspec.Struct):
    type: Any = None
    cli_version: Any = None
    history_mode: Any = None


class _Line(msgspec.Struct):
    """The few fields by which any line of any format is told."""

    type: Any = None
    timestamp: Any = None
    id: Any = None
    record_type: Any = None
    payload: msgspec.Raw = msgspec.Raw()
    msg: msgspec.Raw = msgspec.Raw()
    prompt: Any = None
    workdir: Any = None


_LINE = msgspec.json.Decoder(_Line)
_PAYLOAD = msgspec.json.Decoder(_Payload)


def classify(path: Path) -> Format:
    """The format of a file, UNKNOWN when no line says; OSError when it cannot be opened."""
    with open_rollout(path) as stream:
        try:
            found = format_of(line.data for line in islice(read_lines(stream), _LOOK))
        except OSError:  # damaged: whatever can be read of it is
            found = Format.UNKNOWN
    if found is Format.UNKNOWN and is_transcript(path):
        return Format.CLAUDE
    return found


def format_of(lines: Iterable[bytes]) -> Format:
    """The format that the first lines of a file show; Claude's are not told here."""
    rest = iter(lines)
    for data in rest:
        line = _decoded(data)
        if line is None:
            continue
        if bytes(line.payload) and isinstance(line.type, str):
            return _generation(chain([data], rest))
        if line.type is None and line.record_type is None and (bytes(line.msg) or line.prompt or line.workdir):
            return Format.EXEC_OLD
        if line.type in _EXEC or (isinstance(line.type, str) and line.type.startswith("item.")):
            return Format.EXEC
        if line.record_type is not None or (line.type is None and line.id is not None and line.timestamp is not None):
            return Format.BARE
    return Format.UNKNOWN


def read_thread(path: Path) -> Thread:
    """The thread of any file, of a stream that tells of several the last; OSError when it cannot be opened."""
    return read_threads(path)[-1]


def read_threads(path: Path) -> tuple[Thread, ...]:
    """The threads of any file, which is one but for streams; OSError when it cannot be opened."""
    match classify(path):
        case Format.EXEC:
            return read_streams(path) or (Thread("", str(path), format=Format.EXEC),)
        case Format.EXEC_OLD:
            return read_old_streams(path) or (Thread("", str(path), format=Format.EXEC_OLD),)
        case Format.CLAUDE:
            return (read_transcript(path),)
        case _:
            reader = RolloutReader(path)
            reader.advance()
            return (reader.thread(),)


def read_whole(paths: Iterable[Path]) -> Thread:
    """The one thread that several files tell of; OSError when one cannot be opened."""
    return merged(read_thread(path) for path in paths)


def _generation(lines: Iterable[bytes]) -> Format:
    version = mode = None
    seen: set[str | None] = set()
    for data in lines:
        line = _decoded(data)
        if line is None:
            continue
        payload = _payload(line.payload)
        seen |= {word(line.type), word(payload.type)}
        if line.type == "session_meta" and version is None:
            version, mode = payload.cli_version, payload.history_mode
    return generation_of(
        word(version),
        word(mode),
        has_markers="task_started" in seen,
        has_world_state="world_state" in seen,
        has_usage="token_usage_record" in seen,
    )


def _decoded(data: bytes) -> _Line | None:
    try:
        return _LINE.decode(data)
    except (ValueError, RecursionError):
        return None


def _payload(raw: msgspec.Raw) -> _Payload:
    try:
        return _PAYLOAD.decode(raw)
    except (ValueError, RecursionError):
        return _Payload()

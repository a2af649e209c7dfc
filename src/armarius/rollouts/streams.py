"""What `codex exec --json` printed, as threads.

Owns which lines of a stream belong to which run, turn and thread, in both of its shapes. Does not own
the lines themselves: those of 0.58 and later are read by `codex.events`, as for a live run, the older
ones by `exec_old`.
Invariant: a thread that several runs of one file went on with is one thread. A stream has no times, and
its count of tokens is the thread's own total: what a turn took is what it grew by, and whatever an earlier
stream or the parent of a fork had spent is in the first.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Raw

from armarius.codex.events import Stream, fold
from armarius.rollouts.exec_old import OldLine, OldRun
from armarius.rollouts.limits import failure_kind, retry_at_us
from armarius.rollouts.opening import open_rollout
from armarius.rollouts.reader import Line, read_lines
from armarius.thread import BadLine, Format, ResponseUsage, StreamSpot, Thread, Turn, TurnState, Usage

__all__ = ["old_streams_of", "read_old_streams", "read_streams", "streams_of"]

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Head(msgspec.Struct):
    type: str | None = None
    thread_id: str | None = None


_HEAD = msgspec.json.Decoder(_Head)
_OLD = msgspec.json.Decoder(OldLine)


def read_old_streams(path: Path) -> tuple[Thread, ...]:
    """The threads of a stream of 0.42 and before, one for each run; OSError when it cannot be opened."""
    return old_streams_of(_lines(path), str(path))


def old_streams_of(lines: Iterator[Line], name: str) -> tuple[Thread, ...]:
    """The threads of these lines, one for each run; `name` is what the stream is called."""
    runs: list[OldRun] = []
    for line in lines:
        try:
            if line.size > len(line.data):
                raise msgspec.DecodeError(f"line of {line.size} bytes: skipped")
            old = _OLD.decode(line.data)
            if not runs or old.workdir is not None:
                runs.append(OldRun(name, line.number))
            runs[-1].add(old, line.number, line.byte)
        except _UNREADABLE as error:
            if line.data.strip():
                runs = runs or [OldRun(name, line.number)]
                runs[-1].reject(line.number, line.byte, str(error))
    return tuple(run.thread() for run in runs)


def read_streams(path: Path) -> tuple[Thread, ...]:
    """The threads of a stream of 0.58 and later; OSError when it cannot be opened."""
    return streams_of(_lines(path), str(path))


def streams_of(lines: Iterator[Line], name: str) -> tuple[Thread, ...]:
    """The threads of these lines; `name` is what the stream is called."""
    threads: dict[str, _Thread] = {}
    current = ""
    for turn, has_begun in _turns(lines):
        first = turn[0]
        stream = fold((line.data + b"\n" for line in turn), name=name, number=first.number, byte=first.byte)
        current = stream.thread_id or current
        thread = threads.setdefault(current, _Thread(current, name))
        thread.note(stream)
        if has_begun or stream.items:
            thread.add(stream, first)
    return tuple(thread.value() for thread in threads.values())


class _Thread:
    """One thread of a stream in the making."""

    def __init__(self, thread_id: str, path: str) -> None:
        self._id = thread_id
        self._path = path
        self._turns: list[Turn] = []
        self._responses: list[ResponseUsage] = []
        self._total = Usage()
        self._unknown: dict[str, int] = {}
        self._bad_lines: list[BadLine] = []

    def note(self, stream: Stream) -> None:
        """What could not be used."""
        for kind, count in stream.unknown.items():
            self._unknown[kind] = self._unknown.get(kind, 0) + count
        self._bad_lines += stream.bad_lines

    def add(self, stream: Stream, first: Line) -> None:
        """A turn."""
        turn_id = f"turn-at-line-{first.number}"
        failure = stream.error if stream.state is TurnState.FAILED else None
        kind = None if failure is None else failure_kind(Raw(), failure)
        self._turns.append(
            Turn(
                turn_id,
                stream.state,
                stream.items,
                error=failure,
                error_kind=kind,
                retry_at_us=None if failure is None else retry_at_us(Raw(), failure, None),
                final_message=stream.final_message if stream.state is TurnState.COMPLETED else None,
            )
        )
        if stream.usage is not None:
            spent = _since(self._total, stream.usage)
            self._total = stream.usage
            if spent.total:
                spot = StreamSpot(self._path, first.number)
                self._responses.append(ResponseUsage(turn_id, turn_id, spent, spot))

    def value(self) -> Thread:
        return Thread(
            self._id,
            self._path,
            turns=tuple(self._turns),
            responses=tuple(self._responses),
            source="exec",
            format=Format.EXEC,
            unknown=self._unknown,
            bad_lines=tuple(self._bad_lines),
        )


def _lines(path: Path) -> Iterator[Line]:
    with open_rollout(path) as stream:
        yield from read_lines(stream)


def _turns(lines: Iterator[Line]) -> Iterator[tuple[list[Line], bool]]:
    """The lines of each turn, and whether it began; what stands before the first turn of a run belongs to it."""
    turn: list[Line] = []
    has_begun = False
    for line in lines:
        kind = _kind(line)
        if turn and (kind == "thread.started" or (kind == "turn.started" and has_begun)):
            yield turn, has_begun
            turn, has_begun = [], False
        turn.append(line)
        has_begun = has_begun or kind == "turn.started"
    if turn:
        yield turn, has_begun


def _kind(line: Line) -> str | None:
    try:
        return _HEAD.decode(line.data).type
    except _UNREADABLE:
        return None


def _since(before: Usage, now: Usage) -> Usage:
    """What came on top; all of it where the total began anew."""
    if now.input < before.input or now.output < before.output:
        return now
    return Usage(
        now.input - before.input,
        max(now.cached_input - before.cached_input, 0),
        max(now.cache_write - before.cache_write, 0),
        now.output - before.output,
        max(now.reasoning - before.reasoning, 0),
    )

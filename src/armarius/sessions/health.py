"""What lies about in a CODEX_HOME that nobody needs, and what was left behind.

Owns the examination of the files, and its advice; what a kill leaves is in `leftovers`. Does not own
mending: it changes nothing, and what it advises is for a person to do.
Invariant: every number was measured or counted, and one that was estimated says from how much. A file
that cannot be read is counted and hides no other.
"""

import re
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from armarius.clock import Clock
from armarius.counts.scan import Scan
from armarius.rollouts.discovery import RolloutFile, find_rollouts
from armarius.sessions.finding import MOST_SHOWN, Finding, Subject, counted
from armarius.sessions.folders import Place, sweep
from armarius.sessions.leftovers import left_behind
from armarius.sessions.observe import Observations, observe
from armarius.sessions.state import standing_of
from armarius.thread import State

__all__ = ["Health", "Home", "examine"]

_COLD_US: Final = 30 * 86_400 * 1_000_000
_STILL_US: Final = 60 * 1_000_000
_SAMPLE: Final = 1 << 20
_SAMPLES: Final = 24
_LEVEL: Final = 3  # zstd's own default, and what Codex compresses with
_BLOATED: Final = 50_000_000
_HUGE_LOGS: Final = 200_000_000


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The examination of one or more CODEX_HOMEs (`armarius.doctor_sessions.v1`)."""

    homes: tuple["Home", ...]
    schema: str = "armarius.doctor_sessions.v1"


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """One CODEX_HOME and all that was found in it."""

    codex_home: str
    findings: tuple[Finding, ...]


class _Read(msgspec.Struct, frozen=True):
    """What reading one file told: enough for every finding, so that each file is read once."""

    file: RolloutFile
    state: State = State.UNKNOWN
    ingested: int = 0
    bad_lines: int = 0
    unknown: int = 0
    half: int = 0
    problem: str = ""


def examine(homes: tuple[Path, ...], clock: Clock, *, databases: Path | None = None) -> Health:
    """Look at everything below each home. `databases` is CODEX_SQLITE_HOME."""
    return Health(homes=tuple(_examined(home, clock, databases or home) for home in homes))


def _examined(home: Path, clock: Clock, databases: Path) -> Home:
    now_us = clock.now_us()
    look = observe(home, clock, databases=databases)
    files = find_rollouts(home)
    reads = [_read(file, home, look, now_us) for file in files]
    crashed = frozenset(read.file.thread_id for read in reads if read.state is State.CRASHED)
    findings = (
        _size(files),
        _largest(files),
        _databases(databases),
        _self_ingestion(reads),
        *left_behind(home, files, crashed, look, databases),
        _compression(files, now_us),
        _archiving(files, now_us),
        _unread(reads, sweep(Place("codex", home)).closed),
        _trouble(look),
    )
    return Home(codex_home=str(home), findings=findings)


# ------------------------------------------------------------------- reading


def _reader_of_rollouts(home: Path) -> re.Pattern[str]:
    """A command that reads session files: by their folder or by their name."""
    folder = re.escape(str(home))
    return re.compile(
        rf"rollout-(?:\d{{4}}|\*)|(?:{folder}|\.codex|CODEX_HOME\}}?)/+(?:archived_)?sessions\b|thread_history_\d"
    )


def _read(file: RolloutFile, home: Path, look: Observations, now_us: int) -> _Read:
    pattern = _reader_of_rollouts(home)
    scan = Scan(file.path, with_texts=True)
    try:
        scan.advance()
        summary = scan.summary()
    except OSError as error:
        return _Read(file, problem=error.strerror or str(error))
    commands = [text.text for text in scan.take_texts() if text.kind == "command"]
    seen = look.of(file.thread_id, str(file.path), file.changed_us)
    return _Read(
        file,
        standing_of(summary, seen, now_us).state,
        sum(pattern.search(command) is not None for command in commands),
        summary.bad_lines,
        sum(summary.unknown.values()),
        _half_a_line(file, summary.offset, now_us),
    )


def _half_a_line(file: RolloutFile, read: int, now_us: int) -> int:
    """How many bytes at the end are no whole line, of a file that nobody is writing to any more."""
    is_still = now_us - file.changed_us >= _STILL_US
    return max(0, file.size - read) if is_still and not file.is_compressed else 0


# --------------------------------------------------------------------- bloat


def _size(files: list[RolloutFile]) -> Finding:
    packed = sum(file.is_compressed for file in files)
    archived = sum(file.is_archived for file in files)
    found = f"{counted(len(files), 'session file')}, {archived} archived, {packed} compressed"
    return Finding(kind="size", found=found, count=len(files), size=sum(file.size for file in files))


def _largest(files: list[RolloutFile]) -> Finding:
    top = sorted(files, key=lambda file: file.size, reverse=True)
    heavy = [file for file in top if file.size >= _BLOATED]
    share = sum(file.size for file in heavy)
    return Finding(
        kind="largest",
        found=f"{counted(len(heavy), 'session file')} of {_BLOATED // 1_000_000} MB or more",
        count=len(heavy),
        size=share,
        advice="begin a new thread instead of resuming these; archive what is done" if heavy else "",
        subjects=tuple(Subject(str(file.path), file.thread_id, file.size) for file in top[:MOST_SHOWN]),
    )


def _databases(folder: Path) -> Finding:
    sizes = dict[str, int]()
    for path in folder.glob("*.sqlite*"):
        try:
            sizes[path.name] = path.stat().st_size
        except OSError:
            continue
    logs = sum(size for name, size in sizes.items() if name.startswith("logs_"))
    total = sum(sizes.values())
    top = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:MOST_SHOWN]
    return Finding(
        kind="databases",
        found=f"{counted(len(sizes), 'database file')}, of which the log takes {logs / 1_000_000:,.1f} MB",
        count=len(sizes),
        size=total,
        saves=logs if logs >= _HUGE_LOGS else None,
        advice="with every codex ended, delete logs_*.sqlite*: Codex begins a new one" if logs >= _HUGE_LOGS else "",
        subjects=tuple(Subject(name, size=sizes[name]) for name in top),
    )


def _self_ingestion(reads: list[_Read]) -> Finding:
    guilty = sorted((read for read in reads if read.ingested), key=lambda read: read.file.size, reverse=True)
    return Finding(
        kind="self_ingestion",
        found=f"{counted(len(guilty), 'session')} whose commands read session files, which then hold them again",
        count=len(guilty),
        size=sum(read.file.size for read in guilty),
        advice="let agents use `armarius sessions search` and `show --brief` instead" if guilty else "",
        subjects=tuple(
            Subject(str(read.file.path), counted(read.ingested, "such command"), read.file.size)
            for read in guilty[:MOST_SHOWN]
        ),
    )


# -------------------------------------------------------------------- saving


def _compression(files: list[RolloutFile], now_us: int) -> Finding:
    cold = [file for file in files if not file.is_compressed and now_us - file.changed_us >= _COLD_US]
    size = sum(file.size for file in cold)
    sample, packed = _sampled(cold)
    saves = size - size * packed // sample if sample else 0
    measured = f"; measured on {sample / 1_000_000:,.1f} MB, {sample / packed:.1f} to 1" if packed else ""
    return Finding(
        kind="compression",
        found=f"{counted(len(cold), 'plain file')} not written to for 30 days{measured}",
        count=len(cold),
        size=size,
        saves=saves,
        advice="`zstd --rm FILE` for each: Codex and Armarius read .jsonl.zst as well" if saves else "",
    )


def _sampled(files: list[RolloutFile]) -> tuple[int, int]:
    """Bytes read and bytes they would take, from files spread evenly over all sizes."""
    by_size = sorted(files, key=lambda file: file.size)
    step = max(1, len(by_size) // _SAMPLES)
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    sample = packed = 0
    for file in by_size[::-step][:_SAMPLES]:
        try:
            with file.path.open("rb") as stream:
                data = stream.read(_SAMPLE)
        except OSError:
            continue
        sample += len(data)
        packed += len(compressor.compress(data)) if data else 0
    return sample, packed


def _archiving(files: list[RolloutFile], now_us: int) -> Finding:
    cold = [file for file in files if not file.is_archived and now_us - file.changed_us >= _COLD_US]
    return Finding(
        kind="archiving",
        found=f"{counted(len(cold), 'session')} not written to for 30 days and not archived",
        count=len(cold),
        size=sum(file.size for file in cold),
        advice="`codex archive ID` takes one out of the lists; it frees no space" if cold else "",
    )


# ---------------------------------------------------------------- not usable


def _unread(reads: list[_Read], shut: tuple[str, ...]) -> Finding:
    bad = [read for read in reads if read.problem or read.bad_lines or read.unknown or read.half]
    lines, kinds = sum(read.bad_lines for read in bad), sum(read.unknown for read in bad)
    closed, halves = sum(bool(read.problem) for read in bad), sum(bool(read.half) for read in bad)
    return Finding(
        kind="unread",
        found=f"{counted(lines, 'line')} skipped, {counted(halves, 'file')} ending in half a line, "
        f"{counted(kinds, 'record')} of unknown kind, {closed} unreadable"
        + (f", {counted(len(shut), 'folder')} that cannot be looked into" if shut else ""),
        count=len(bad) + len(shut),
        advice="`armarius sessions show ID` says where; mend owner and mode of files that cannot be read"
        if bad or shut
        else "",
        subjects=tuple(
            [Subject(path, "cannot be looked into, or its name is no text") for path in shut]
            + [Subject(str(read.file.path), read.problem or _told(read)) for read in bad]
        )[:MOST_SHOWN],
    )


def _told(read: _Read) -> str:
    half = f", half a line of {read.half:,} bytes at the end" if read.half else ""
    return f"{read.bad_lines} skipped, {read.unknown} unknown{half}"


def _trouble(look: Observations) -> Finding:
    return Finding(
        kind="trouble",
        found=f"{counted(len(look.trouble), 'database question')} without an answer",
        count=len(look.trouble),
        advice="states then come from the session files alone" if look.trouble else "",
        subjects=tuple(map(Subject, look.trouble[:MOST_SHOWN])),
    )

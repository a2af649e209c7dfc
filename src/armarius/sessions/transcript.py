"""A thread as people read it.

Owns what of a thread is shown, in which words and in which order, and its form as lines of a terminal:
long output is folded in the middle, because commands fail at their end. Does not own other forms
(`export`), nor making text harmless for a terminal.
Invariant: pure; every item of a thread has an entry, and what is left out is counted where it was.
"""

import json
from collections.abc import Iterator

import msgspec

from armarius.clock import rfc3339
from armarius.thread import (
    AgentMessage,
    Command,
    Compaction,
    FileChange,
    Item,
    ItemStatus,
    Notice,
    Other,
    Reasoning,
    Thread,
    ToolCall,
    Turn,
    Usage,
    UserMessage,
)

__all__ = ["Entry", "duration", "entries_of", "entry_lines", "facts_of", "headline", "lines_of", "tokens"]

_SECOND = 1_000_000
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_FOLDED = 8
_FOLDED_DIFF = 40
_SHORT = 200


class Entry(msgspec.Struct, frozen=True):
    """One thing to show. `title` is one line or a few, `body` what belongs to it, `note` how it ended.

    `kind` is `user`, `agent`, `thinking`, `command`, `patch`, `tool` or `notice`; `is_bad` says that it failed.
    """

    kind: str
    title: str
    body: str = ""
    note: str = ""
    at_us: int | None = None
    is_bad: bool = False


def lines_of(thread: Thread, *, folded: bool = True) -> Iterator[str]:
    """The whole thread, from who it is to the lines of its file that could not be used."""
    yield from facts_of(thread)
    for number, turn in enumerate(thread.turns, start=1):
        yield ""
        yield f"── {headline(thread, turn, number)}"
        for item in turn.items:
            for entry in entries_of(item):
                yield from entry_lines(entry, folded=folded)
        if turn.error:
            yield f"failed: {turn.error}"
    for bad in thread.bad_lines:
        yield f"skipped {bad.file}:{bad.line} (byte {bad.byte}): {bad.reason}"


def facts_of(thread: Thread) -> Iterator[str]:
    """Who the thread is, and what it cost."""
    model = next((turn.model for turn in reversed(thread.turns) if turn.model), None)
    program = "claude" if thread.source == "claude" else "codex"
    places = (thread.cwd, thread.git_branch, model, f"{program} {thread.cli_version or ''}".rstrip())
    yield " · ".join(filter(None, (*places, thread.originator if program == "claude" else thread.source)))
    for word, other in (("forked from", thread.forked_from_id), ("helper of", thread.parent_id)):
        if other:
            yield f"{word} {other}"
    if thread.goal:
        yield f"goal ({thread.goal.status}): {thread.goal.objective}"
    turns = "1 turn" if len(thread.turns) == 1 else f"{len(thread.turns)} turns"
    began = rfc3339(thread.started_at_us)[:19].replace("T", " ") + " UTC" if thread.started_at_us is not None else ""
    took = duration(thread.started_at_us, thread.last_at_us)
    yield " · ".join(filter(None, (began, turns, f"{took} from first to last" if took else "")))
    yield tokens(thread.usage)


def headline(thread: Thread, turn: Turn, number: int) -> str:
    """A turn in one line: how it ended, when it began, how long it took and what it cost."""
    spent = Usage()
    for response in thread.responses:
        if response.turn_id == turn.id:
            spent = spent + response.usage
    began = rfc3339(turn.started_at_us)[11:19] if turn.started_at_us is not None else ""
    cost = f"{spent.total:,} tokens" if spent.total else ""
    took = duration(turn.started_at_us, turn.ended_at_us)
    return " · ".join(filter(None, (f"turn {number}", turn.state.value, began, took, cost)))


def tokens(usage: Usage) -> str:
    """What was spent, in one line."""
    read = f"{usage.input:,} tokens in ({usage.cached_input:,} cached)"
    return f"{read}, {usage.output:,} out ({usage.reasoning:,} reasoning)"


def duration(start_us: int | None, end_us: int | None) -> str:
    """How long it was between two times; nothing when one is unknown or the clock went back."""
    if start_us is None or end_us is None or end_us < start_us:
        return ""
    seconds = (end_us - start_us) / _SECOND
    if seconds < 1:
        return f"{round(seconds * 1_000)} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{int(seconds) // _MINUTE} min {int(seconds) % _MINUTE} s"
    if seconds < _DAY:
        return f"{int(seconds) // _HOUR} h {int(seconds) % _HOUR // _MINUTE} min"
    return f"{int(seconds) // _DAY} d {int(seconds) % _DAY // _HOUR} h"


def entries_of(item: Item) -> Iterator[Entry]:
    """What there is to show of an item: one entry, of a patch one for each file."""
    at_us = item.at_us
    match item:
        case UserMessage():
            yield Entry("user", item.text, at_us=at_us)
        case AgentMessage():
            yield Entry("agent", item.text, at_us=at_us)
        case Reasoning():
            yield Entry("thinking", item.text, at_us=at_us)
        case Command():
            yield Entry("command", item.command, item.output, _ending(item), at_us, item.status is ItemStatus.FAILED)
        case FileChange():
            note = "" if item.status is ItemStatus.COMPLETED else item.status.value
            for change in item.changes:
                yield Entry(
                    "patch",
                    f"{change.kind} {change.path}",
                    change.diff or "",
                    note,
                    at_us,
                    item.status is ItemStatus.FAILED,
                )
        case ToolCall():
            title = f"{item.name or '(unknown tool)'} {_readable(item.arguments)}".rstrip()
            yield Entry("tool", title, item.output or "", "" if item.output is not None else "no answer", at_us)
        case Notice():
            yield Entry("notice", item.message, at_us=at_us)
        case Compaction():
            yield Entry("notice", "the history was summarised to make room", at_us=at_us)
        case Other():
            yield Entry("notice", item.kind, _readable(item.raw.decode(errors="replace")), at_us=at_us)


def entry_lines(entry: Entry, *, folded: bool = True) -> Iterator[str]:
    """An entry on a terminal."""
    title = entry.title.splitlines() or [""]
    match entry.kind:
        case "user":
            yield from (f"> {line}" for line in title)
        case "agent":
            yield from title
        case "thinking":
            yield from _indented(title, "~ ", _FOLDED if folded else None)
        case "command":
            yield from (("$ " if number == 0 else "  ") + line for number, line in enumerate(title))
            yield from _indented(entry.body.splitlines(), "  │ ", _FOLDED if folded else None)
            yield f"  [{entry.note}]"
        case "patch":
            yield f"± {entry.title}" + (f" [{entry.note}]" if entry.note else "")
            yield from _indented(entry.body.splitlines(), "  ", _FOLDED_DIFF if folded else None)
        case "tool":
            head = " ".join(title)
            yield f"* {head[:_SHORT] + '…' if folded and len(head) > _SHORT else head}" + (
                f" [{entry.note}]" if entry.note else ""
            )
            yield from _indented(entry.body.splitlines(), "  │ ", _FOLDED if folded else None)
        case _:
            yield from (f"! {line}" for line in title)
            yield from _indented(entry.body.splitlines(), "  ", _FOLDED if folded else None)


def _indented(lines: list[str], margin: str, most: int | None) -> Iterator[str]:
    """Lines with a margin; of more than `most` the first and the last ones."""
    if most is None or len(lines) <= most:
        yield from (margin + line.rstrip("\r") for line in lines)
        return
    half = most // 2
    hidden = len(lines) - 2 * half
    yield from (margin + line.rstrip("\r") for line in lines[:half])
    yield f"{margin}… {hidden} more line{'s' if hidden > 1 else ''}"
    yield from (margin + line.rstrip("\r") for line in lines[-half:])


def _ending(command: Command) -> str:
    known = command.status.value.replace("_", " ") if command.exit_code is None else f"exit {command.exit_code}"
    took = duration(0, command.duration_us)
    escalated = "outside the sandbox" if command.escalation is not None else ""
    return ", ".join(filter(None, (known, took, escalated)))


def _readable(text: str) -> str:
    """JSON without needless escapes; anything else as it is."""
    try:
        value = json.loads(text)
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else text
        shown.encode()  # an escape can stand for half a character, which no file can hold
    except (ValueError, RecursionError):
        return text
    return shown

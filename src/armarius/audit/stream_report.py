"""What happened in a run of a recorded stream: one value, and its form as text, Markdown and a page.

Owns what is told of a run, and all three forms. Does not own the record (`streams.py`), nor making text harmless
for a terminal.
Invariant: pure. Secrets are replaced in all that is told. A verdict counts only when it keeps to its contract and
the commands that it claims are in the stream; a price is never guessed. What an agent or a tool said is text in
each form, and never markup.
"""

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from html import escape
from typing import Final, Literal

import msgspec

from armarius.audit.streams import Labels, RunRow, StreamRow, Streams
from armarius.audit.verdict import NoVerdict, check, parse
from armarius.clock import rfc3339
from armarius.redact import redact
from armarius.sessions.export import redacted
from armarius.sessions.finding import counted
from armarius.sessions.prices import PriceTable
from armarius.sessions.transcript import entries_of, tokens
from armarius.thread import Command, FileChange, Item, Notice, Other, Reasoning, Spot, StreamSpot, Thread, Usage

__all__ = ["AuditReport", "RunReport", "as_html", "as_markdown", "as_text", "report_of", "select"]

_LONGEST_TITLE: Final = 400
_MICRO: Final = 1_000_000


class Step(msgspec.Struct, frozen=True):
    """Something that happened, at a line of the stream."""

    line: int
    turn: int
    kind: str
    title: str
    note: str = ""
    is_bad: bool = False


class CommandTold(msgspec.Struct, frozen=True):
    """A command, and how it ended; no exit code where the stream shows none."""

    line: int
    command: str
    status: str
    exit_code: int | None


class FileTold(msgspec.Struct, frozen=True):
    """A file that a patch changed, and how often."""

    path: str
    kind: str
    changes: int


class VerdictTold(msgspec.Struct, frozen=True):
    """What a judge decided. NO_VERDICT: it wrote one that does not count, and why."""

    outcome: Literal["PASS", "FAIL", "NO_VERDICT"]
    judge_source: str | None = None
    why: str = ""


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `status` is how its last turn ended, `open` where the stream shows no end.

    `usage` is what the thread's count grew by in this run, as far as the runs before are in the record.
    `cost_micro_usd` is None when no model is known, or no price for it. Where the bytes are not kept any more,
    only what the record itself has is told (`pruned`).
    """

    stream: str
    sha256: str
    number: int
    thread_id: str
    labels: Labels
    ingested_at: str
    status: str
    error: str | None
    model: str | None
    turns: int
    usage: Usage
    cost_micro_usd: int | None
    commands: tuple[CommandTold, ...]
    failed_commands: int
    files: tuple[FileTold, ...]
    timeline: tuple[Step, ...]
    last_message: str | None
    verdict: VerdictTold | None
    bad_lines: int
    unknown: dict[str, int]
    pruned: bool


class AuditReport(msgspec.Struct, frozen=True):
    """Runs of recorded streams (`armarius.audit_report.v1`)."""

    runs: tuple[RunReport, ...]
    schema: str = "armarius.audit_report.v1"


def select(streams: Streams, *, run: str | None, since_us: int | None) -> Iterator[tuple[StreamRow, RunRow]]:
    """The runs that are meant: those of a name, those since a time, else the last run of the newest stream."""
    if run is not None:
        for row in streams.named(run):
            yield streams.stream(row.stream_id), row
        return
    found = streams.since(0 if since_us is None else since_us)
    if since_us is None:
        for stream in found[:1]:
            yield from ((stream, row) for row in streams.runs(stream)[-1:])
        return
    for stream in found:
        yield from ((stream, row) for row in streams.runs(stream))


def report_of(streams: Streams, stream: StreamRow, row: RunRow, prices: PriceTable, model: str | None) -> RunReport:
    """One run; `model` is what its tokens are priced as where the stream does not name one."""
    whole = streams.thread(stream, row)
    thread = redacted(whole) if whole is not None else Thread("", "")
    items = [(number, item) for number, turn in enumerate(thread.turns, start=1) for item in turn.items]
    ran = [item for _, item in items if isinstance(item, Command)]
    usage = _grown(thread.usage if whole is not None else _recorded(row), stream, row, streams)
    named = next((turn.model for turn in reversed(thread.turns) if turn.model), None) or model
    last = next((turn.final_message for turn in reversed(thread.turns) if turn.final_message), None)
    said = last or _said_last(thread)
    cost = prices.cost(named, _day(stream.ingested_at_us), usage)
    return RunReport(
        stream=stream.id,
        sha256=stream.sha256,
        number=row.number,
        thread_id=row.thread_id,
        labels=Labels(*(redact(text) if text else text for text in msgspec.structs.astuple(streams.labels(stream.id)))),
        ingested_at=rfc3339(stream.ingested_at_us),
        status=row.state,
        error=redact(row.error) if row.error else None,
        model=named,
        turns=len(thread.turns),
        usage=usage,
        cost_micro_usd=None if cost is None else round(cost * _MICRO),
        commands=tuple(CommandTold(_line(c.spot), c.command, c.status.value, c.exit_code) for c in ran),
        failed_commands=sum(command.exit_code not in {None, 0} for command in ran),
        files=_files([item for _, item in items]),
        timeline=tuple(step for number, item in items for step in _steps(number, item)),
        last_message=said,
        verdict=_verdict(said, whole) if said else None,
        bad_lines=len(thread.bad_lines),
        unknown=thread.unknown,
        pruned=whole is None,
    )


def _recorded(row: RunRow) -> Usage:
    """Codex's own last count, as the record has it."""
    try:
        told = msgspec.json.decode(row.usage or "{}", type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Usage()
    names = (
        "input_tokens",
        "cached_input_tokens",
        "cache_write_input_tokens",
        "output_tokens",
        "reasoning_output_tokens",
    )
    return Usage(*(count if isinstance(count := told.get(name, 0), int) else 0 for name in names))


def _grown(total: Usage, stream: StreamRow, row: RunRow, streams: Streams) -> Usage:
    """What a thread's count grew by in a run: a resumed one goes on counting from where it was.

    Runs before are known by their lower counts, in whichever order they were taken in.
    """
    if stream.shape != "exec" or not row.thread_id:
        return total
    lower = [count for each in streams.counts(row.thread_id) if (count := _recorded(each)).total < total.total]
    before = max(lower, key=lambda count: count.total, default=Usage())
    if before.input > total.input or before.output > total.output:
        return total
    return Usage(
        total.input - before.input,
        max(total.cached_input - before.cached_input, 0),
        max(total.cache_write - before.cache_write, 0),
        total.output - before.output,
        max(total.reasoning - before.reasoning, 0),
    )


def _said_last(thread: Thread) -> str | None:
    """What the agent said last, where no turn was completed."""
    entries = [entry for turn in thread.turns for item in turn.items for entry in entries_of(item)]
    return next((entry.title for entry in reversed(entries) if entry.kind == "agent"), None)


def _verdict(said: str, thread: Thread | None) -> VerdictTold | None:
    """The verdict in the last message, if it is meant to be one."""
    if not said.lstrip().startswith("VERDICT:"):
        return None
    commands = [item for turn in (thread.turns if thread else ()) for item in turn.items if isinstance(item, Command)]
    try:
        verdict = parse(said)
        check(verdict, [msgspec.structs.replace(each, output=redact(each.output)) for each in commands])
    except NoVerdict as error:
        return VerdictTold("NO_VERDICT", why=error.message)
    return VerdictTold(verdict.outcome, verdict.judge_source)


def _files(items: list[Item]) -> tuple[FileTold, ...]:
    found = dict[str, FileTold]()
    for item in items:
        for change in item.changes if isinstance(item, FileChange) else ():
            before = found.get(change.path)
            found[change.path] = FileTold(change.path, change.kind, before.changes + 1 if before else 1)
    return tuple(found.values())


def _steps(turn: int, item: Item) -> Iterator[Step]:
    if isinstance(item, Reasoning):
        return
    kind = "other" if isinstance(item, Other) else "notice" if isinstance(item, Notice) else ""
    for entry in entries_of(item):
        title = entry.title if len(entry.title) <= _LONGEST_TITLE else entry.title[:_LONGEST_TITLE] + "…"
        yield Step(_line(item.spot), turn, kind or entry.kind, title, entry.note, entry.is_bad)


def _line(spot: Spot) -> int:
    return spot.line if isinstance(spot, StreamSpot) else 0


def _day(at_us: int) -> date:
    return datetime.fromtimestamp(at_us / _MICRO, tz=UTC).date()


# ---------------------------------------------------------------------- forms


def _facts(run: RunReport) -> Iterator[tuple[str, str]]:
    """Name and value of all that is one line."""
    yield "status", run.status + (f": {run.error}" if run.error else "")
    if run.verdict:
        detail = run.verdict.judge_source or run.verdict.why
        yield "verdict", f"{run.verdict.outcome} ({detail})"
    yield "stream", f"{run.stream}, run {run.number}, taken in {run.ingested_at[:19].replace('T', ' ')} UTC"
    yield "content", run.sha256 + (" (its bytes are not kept any more)" if run.pruned else "")
    for name in Labels.__struct_fields__:
        value = getattr(run.labels, name)
        if value:
            yield name, value
    if run.model:
        yield "model", run.model
    cost = "cost unknown" if run.cost_micro_usd is None else f"${run.cost_micro_usd / _MICRO:.4f}"
    yield "tokens", f"{tokens(run.usage)}, {cost}"
    failed = f", {run.failed_commands} failed" if run.failed_commands else ""
    did = counted(run.turns, "turn"), counted(len(run.commands), "command") + failed, counted(len(run.files), "file")
    yield "work", ", ".join(did)
    if run.bad_lines or run.unknown:
        kinds = "".join(f", {count} of the unknown kind {kind}" for kind, count in run.unknown.items())
        yield "lines", f"{run.bad_lines} could not be used{kinds}"


def _title(run: RunReport) -> str:
    return f"Run of thread {run.thread_id or '(none)'}"


def as_text(report: AuditReport) -> Iterator[str]:
    """Lines for a terminal."""
    for run in report.runs:
        yield _title(run)
        yield from (f"  {name:<8} {value}" for name, value in _facts(run))
        for step in run.timeline:
            lines = step.title.splitlines() or [""]
            mark = "!" if step.is_bad else " "
            yield f" {mark}{step.line:>6}  {step.kind:<8} {lines[0]}" + (f"  [{step.note}]" if step.note else "")
        for file in run.files:
            yield f"  {file.kind:<8} {file.path}"
        if run.last_message:
            yield "  last message:"
            yield from (f"    {line}" for line in run.last_message.splitlines())
        yield ""


def as_markdown(report: AuditReport) -> str:
    """All that was said stands in indented blocks, which nothing in it can end."""
    lines = ["# Runs of recorded streams", ""]
    for run in report.runs:
        lines += [f"## {_words(_title(run))}", ""]
        lines += [f"- {name}: {_words(value)}" for name, value in _facts(run)]
        for head, body in _blocks(run):
            lines += ["", f"### {head}", "", *(f"    {line}" for line in body)]
        lines.append("")
    return "\n".join(lines) + "\n"


def _blocks(run: RunReport) -> Iterator[tuple[str, list[str]]]:
    if run.timeline:
        told = [
            f"{step.line:>6}  {step.kind:<8} {step.title}" + (f"  [{step.note}]" if step.note else "")
            for step in run.timeline
        ]
        yield "Timeline", [line for text in told for line in text.splitlines()]
    if run.files:
        yield "Files", [f"{file.kind} {file.path}" for file in run.files]
    if run.last_message:
        yield "Last message", run.last_message.splitlines()


def _words(text: str) -> str:
    """Text that Markdown takes for nothing else."""
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+-!|~&" else each for each in " ".join(text.split()))


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem;color-scheme:light dark}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere}table{border-collapse:collapse}th{text-align:left;padding-right:1rem;"
    "vertical-align:top}td{overflow-wrap:anywhere}.bad{color:#b3261e}"
)


def as_html(report: AuditReport) -> str:
    """A page that stands alone, loads nothing and runs nothing."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = "\n".join(part for run in report.runs for part in _html(run))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>Runs of recorded streams</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _html(run: RunReport) -> Iterator[str]:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _facts(run))
    yield f"<section><h1>{escape(_title(run))}</h1><table>{rows}</table>"
    if run.timeline:
        steps = "".join(
            f"<tr{_bad(step)}><td>{step.line}</td><td>{escape(step.kind)}</td>"
            f"<td><pre>{escape(step.title)}</pre></td><td>{escape(step.note)}</td></tr>"
            for step in run.timeline
        )
        yield f"<h2>Timeline</h2><table>{steps}</table>"
    if run.files:
        files = "".join(f"<li>{escape(file.kind)} {escape(file.path)}</li>" for file in run.files)
        yield f"<h2>Files</h2><ul>{files}</ul>"
    if run.last_message:
        yield f"<h2>Last message</h2><pre>{escape(run.last_message)}</pre>"
    yield "</section>"


def _bad(step: Step) -> str:
    return ' class="bad"' if step.is_bad else ""

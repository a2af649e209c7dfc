"""A report on runs: what is proven of each, beside what a person writes about it.

Owns what is told of a run, its two forms, and putting it anew into a report that somebody has written in. Does not
own the proof (proof/) nor checking it (`verify.py`).
Invariant: what stands outside of the marked blocks is the author's, and stays byte for byte. What an agent said is
text in both forms, never markup, never a mark, and without secrets.
"""

import re
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import Literal

import msgspec

from armarius.audit.judged import judged_of, signs_in
from armarius.audit.spiral import Sign
from armarius.audit.verify import Finding, verify
from armarius.clock import rfc3339
from armarius.errors import DataError
from armarius.fence import fenced
from armarius.files import read_bounded
from armarius.proof.chain import QUERIES, Row
from armarius.proof.receipt import Receipt, sha256_of
from armarius.proof.required import RequiredRun, shown
from armarius.redact import redact
from armarius.runs.decisions import Decided, decision_of
from armarius.runs.records import RunRow
from armarius.store.database import Database
from armarius.visible import reveal

__all__ = ["ReportedRun", "RunsReport", "as_html", "as_markdown", "renewed", "report_on"]

_LARGEST = 64 << 20
_MOST_LINES = 200
_LONGEST_CELL = 400
_MARK = re.compile(r"<!-- armarius:(?P<side>begin|end) evidence -->")
_BEGIN, _END = "<!-- armarius:begin evidence -->", "<!-- armarius:end evidence -->"

Form = Literal["md", "html"]


class ReportedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run, with its receipt where that is what was recorded; `changes` are what was found to differ.

    `judged` are verdicts and decisions about it, `signs` places in its work to look at.
    """

    id: str
    state: str
    role: str
    cwd: str
    decided: Decided | None
    problem: str | None
    answer: str | None
    receipt: Receipt | None
    receipt_sha256: str | None
    changes: tuple[Finding, ...]
    judged: tuple[str, ...] = ()
    signs: tuple[Sign, ...] = ()


class RunsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is proven of some runs (`armarius.report.v1`). `is_intact`: nothing of them or the chain was changed."""

    is_intact: bool
    head: str
    runs: tuple[ReportedRun, ...]
    schema: str = "armarius.report.v1"


def report_on(ledger: Database, home: Path, runs: Iterable[RunRow]) -> RunsReport:
    """What is proven of these runs by now."""
    told, head, changes = list[ReportedRun](), "", set[str]()
    for run in runs:
        done = verify(ledger, home, run_id=run.id)
        head = done.head
        changes |= {finding.what for finding in done.changes}
        told.append(_told(ledger, run, tuple(one for one in done.changes if one.run in (None, run.id))))
    return RunsReport(is_intact=not changes, head=head, runs=tuple(told))


def renewed(existing: str | None, report: RunsReport, form: Form) -> str:
    """The report with its evidence anew: in what somebody has written in, or as a first draft."""
    block = as_markdown(report) if form == "md" else as_html(report)
    whole = f"{_BEGIN}\n{block}\n{_END}"
    if existing is None:
        return _DRAFTS[form].replace("{evidence}", whole)
    marks = [(found["side"], found.start(), found.end()) for found in _MARK.finditer(existing)]
    if [side for side, _, _ in marks] != ["begin", "end"]:
        raise DataError(
            "report-marks",
            f"the report has {len(marks)} marks of evidence, where one {_BEGIN} and one {_END} are meant",
            "put them back, or write the report to another file",
        )
    return existing[: marks[0][1]] + whole + existing[marks[1][2] :]


def as_markdown(report: RunsReport) -> str:
    """The evidence as Markdown."""
    lines = [f"Chain of receipts: {'intact' if report.is_intact else '**changed**'}, head `{report.head}`."]
    for run in report.runs:
        lines += ["", f"### {run.id}: {_state(run)}", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {_cell(value)} |" for name, value in _facts(run)]
        for title, rows in _lists(run):
            lines += ["", f"**{title}**", "", *(f"* {_cell(row)}" for row in rows[:_MOST_LINES])]
            if len(rows) > _MOST_LINES:
                lines.append(f"* and {len(rows) - _MOST_LINES} more, in the receipt")
        if run.answer is not None:
            lines += ["", "**Last message** (a claim)", "", _unmarked(fenced(run.answer))]
    return "\n".join(lines)


def as_html(report: RunsReport) -> str:
    """The evidence as HTML: text and tables, nothing that loads or runs."""
    told = "intact" if report.is_intact else "<strong>changed</strong>"
    parts = [f"<p>Chain of receipts: {told}, head <code>{_text(report.head)}</code>.</p>"]
    for run in report.runs:
        rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in _facts(run))
        parts.append(f"<section><h3>{_text(f'{run.id}: {_state(run)}')}</h3><table>{rows}</table>")
        for title, items in _lists(run):
            shown_ones = "".join(f"<li>{_text(item)}</li>" for item in items[:_MOST_LINES])
            parts.append(f"<h4>{_text(title)}</h4><ul>{shown_ones}</ul>")
        if run.answer is not None:
            parts.append(f"<h4>Last message (a claim)</h4><pre>{_text(run.answer)}</pre>")
        parts.append("</section>")
    return "\n".join(parts)


def _told(ledger: Database, run: RunRow, changes: tuple[Finding, ...]) -> ReportedRun:
    rows = [row for row in ledger.fetch(QUERIES.receipts_of_run, Row, run_id=run.id) if row.kind == "run"]
    receipt: Receipt | None = None
    if rows:
        try:
            data = read_bounded(Path(rows[-1].path), _LARGEST)
            receipt = msgspec.json.decode(data, type=Receipt) if sha256_of(data) == rows[-1].sha256 else None
        except (DataError, msgspec.DecodeError, msgspec.ValidationError):
            receipt = None  # what is wrong with it is among the changes
    result = run.outcome
    return ReportedRun(
        id=run.id,
        state=run.state,
        role=run.role,
        cwd=run.cwd,
        decided=decision_of(ledger, run.id),
        problem=redact(run.error_message) if run.error_message else None,
        answer=redact(result.answer) if result is not None and result.answer is not None else None,
        receipt=receipt,
        receipt_sha256=rows[-1].sha256 if rows else None,
        changes=changes,
        judged=judged_of(ledger, run.id),
        signs=tuple(
            sign
            for artefact in (receipt.artefacts if receipt is not None else ())
            if artefact.kind == "diff"
            for sign in signs_in(Path(rows[-1].path).parent / artefact.path)
        ),
    )


def _state(run: ReportedRun) -> str:
    return run.state if run.decided is None else f"{run.state}, {run.decided.replace('_', ' ')}"


def _facts(run: ReportedRun) -> Iterator[tuple[str, str]]:
    """What is said of a run in one line each."""
    yield "role", run.role
    yield "folder", run.cwd
    if run.problem:
        yield "problem", run.problem
    receipt = run.receipt
    if receipt is None:
        yield "receipt", "none that is as it was recorded"
        return
    yield "receipt", f"{run.receipt_sha256} ({'written by whoever found the run' if receipt.recovered else 'complete'})"
    yield "thread", receipt.thread_id or "none"
    yield "model", f"{receipt.model or 'unknown'}, Codex {receipt.codex_version}, login {receipt.auth_mode}"
    yield "sandbox", f"asked {receipt.asked.sandbox}, seen {receipt.sandbox_seen or 'nothing'}"
    yield "time", f"{_at(receipt.started_at_us)} to {_at(receipt.ended_at_us)}"
    usage = receipt.usage
    yield "tokens", f"{usage.input:,} in ({usage.cached_input:,} cached), {usage.output:,} out"
    yield "process", f"{receipt.end.outcome}, exit code {receipt.end.exit_code}"
    if receipt.files.head_before or receipt.files.head_after:
        yield "HEAD", f"{receipt.files.head_before} before, {receipt.files.head_after} after"
    if receipt.work is not None:
        yield "work", f"{receipt.work.ref or 'nothing was changed'} {receipt.work.commit or ''}".strip()


def _lists(run: ReportedRun) -> Iterator[tuple[str, list[str]]]:
    """What is said of a run in several lines, where there is any."""
    if run.changes:
        yield (
            "Changed since it was recorded",
            [f"{one.code}: {one.what} {one.path or ''}".strip() for one in run.changes],
        )
    if run.judged:
        yield "Judged", list(run.judged)
    if run.signs:
        yield "To be looked at", [f"{one.path}:{one.line} {one.kind}: {one.why}: {one.text}" for one in run.signs]
    receipt = run.receipt
    if receipt is None:
        return
    found = {
        "Required commands": [_required(one) for one in receipt.required],
        f"Files changed ({receipt.files.evidence})": list(receipt.files.changed),
        "Outside of its scope": list(receipt.files.outside),
        "Commands of the agent": [f"{one.command} → {one.status}, {one.exit_code}" for one in receipt.commands],
        "Asked and said": [
            f"{_at(one.at_us)} {one.kind} {msgspec.json.encode(one.body).decode()}" for one in receipt.approvals
        ],
        "Held": [f"{one.resource} {one.unit}, token {one.token}" for one in receipt.leases],
        "Attempts": [f"{one.number} on {one.host}: {one.outcome or 'open'}" for one in receipt.attempts],
        "Artefacts": [f"{one.kind} {one.path}, {one.size:,} bytes, {one.sha256}" for one in receipt.artefacts],
    }
    yield from ((title, rows) for title, rows in found.items() if rows)


def _required(one: RequiredRun) -> str:
    end = one.problem or f"exit code {one.exit_code}"
    tree = "the tree unchanged" if one.tree_before == one.tree_after else "it changed the tree"
    return f"{'passed' if one.passed else 'FAILED'}: {shown(one)} ({end}; {tree})"


def _at(at_us: int | None) -> str:
    return "never" if at_us is None else rfc3339(at_us)


def _cell(text: str) -> str:
    """Text in a line of Markdown: nothing of it is read as markup."""
    line = reveal(redact(" ".join(text.split())))
    cut = line if len(line) <= _LONGEST_CELL else f"{line[:_LONGEST_CELL]}…"
    return re.sub(r"([\\`*_{}\[\]()<>#+!|&~])", r"\\\1", cut)


def _text(text: str) -> str:
    return escape(reveal(redact(text)))


def _unmarked(text: str) -> str:
    """Nothing that an agent said is taken for a mark of ours."""
    return text.replace("<!-- armarius:", "<!\u2010- armarius:")


_DRAFTS: dict[Form, str] = {
    "md": """# Report

## Summary

What was wanted, and what came of it.

## Changes

What changed, and why.

## Evidence

{evidence}

## Risks and follow-ups

What is left.
""",
    "html": """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<meta name="referrer" content="no-referrer">
<title>Report</title>
</head>
<body>
<h1>Report</h1>
<h2>Summary</h2>
<p>What was wanted, and what came of it.</p>
<h2>Changes</h2>
<p>What changed, and why.</p>
<h2>Evidence</h2>
{evidence}
<h2>Risks and follow-ups</h2>
<p>What is left.</p>
</body>
</html>
""",
}

"""What a night found, as a value and as a page to read.

Owns `armarius.night.v1` and its Markdown. Does not own any number in it.
Invariant: everything shown was measured; a pair without a score is shown as what it is.
"""

import msgspec

from armarius.thread import Usage

__all__ = ["NightReport", "PairLine", "render"]


class PairLine(msgspec.Struct, frozen=True):
    """One pair of the evidence; None where a replay or its judge failed."""

    night: int
    task: str
    baseline: float | None = None
    candidate: float | None = None


class NightReport(msgspec.Struct, frozen=True, kw_only=True):
    """One night (`armarius.night.v1`).

    `decision` is the gate's: adopt, trial, reject, continue, or none when there was no candidate.
    `runs`, `responses`, `usage` and `duration_us` count this invocation; runs that were finished
    before are used again and count with what they cost then. `shape_only` warns that the held-out
    checks look at form alone.
    """

    id: str
    experiment: str
    number: int
    state: str
    target: str
    base_hash: str
    candidate_hash: str
    decision: str
    reason: str
    e_value: float
    pairs_used: int
    pairs_ignored: int
    train_tasks: int
    held_out_tasks: int
    shape_only: bool
    accepted: tuple[str, ...]
    rejected: tuple[str, ...]
    pairs: tuple[PairLine, ...]
    runs: int
    responses: int
    usage: Usage
    duration_us: int
    folder: str
    report: str
    diff: str
    proposal: str | None = None
    schema: str = "armarius.night.v1"


def render(report: NightReport, changes: str) -> str:
    """The report as Markdown."""
    verdict = f"The gate says **{report.decision}** ({report.reason}): e-value {report.e_value:.2f} after"
    used = f"{report.pairs_used} pairs ({report.pairs_ignored} ignored), over {report.held_out_tasks} held-out tasks."
    seconds = report.duration_us / 1_000_000
    spent = f"Runs: {report.runs} · model responses: {report.responses} · tokens: {report.usage.total:,}"
    lines = [
        f"# Night {report.number}: {report.state}",
        "",
        f"Target: `{report.target}`",
        "",
        f"{verdict} {used}",
        f"The reflector saw {report.train_tasks} training tasks and none of the held-out ones.",
        "",
        f"{spent} · seconds: {seconds:.1f}",
        "",
    ]
    if report.shape_only:
        lines += ["The held-out checks look at form alone; read the diff with that in mind.", ""]
    if report.accepted or report.rejected:
        lines += ["## Edits", ""]
        lines += [f"- {edit}" for edit in report.accepted]
        lines += [f"- not applied: {edit}" for edit in report.rejected]
        lines += [""]
    if changes:
        lines += ["## Diff", "", *("    " + line for line in changes.splitlines()), ""]
    if report.pairs:
        lines += ["## Pairs", "", "| night | task | before | after |", "|---|---|---|---|"]
        lines += [f"| {p.night} | {p.task} | {_score(p.baseline)} | {_score(p.candidate)} |" for p in report.pairs]
        lines += [""]
    return "\n".join(lines)


def _score(value: float | None) -> str:
    return "error" if value is None else f"{value:.2f}"

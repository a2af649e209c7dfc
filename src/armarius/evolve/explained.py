"""Why a night ended as it did, in sentences and per task.

Owns the words. Does not own the report that they are made from, nor the decision.
Invariant: every sentence follows from the report; an open night is said to be open.
"""

from collections import defaultdict

import msgspec

from armarius.evolve.losses import counts
from armarius.evolve.report import CandidateLine, NightReport, PairLine
from armarius.gate.decision import DEFAULT
from armarius.gate.power import MOST_TASKS, plan_for

__all__ = ["Explanation", "TaskLine", "explain"]


_SCALE = (
    f"An e-value says how much the pairs speak for the candidate: 1 is nothing, {DEFAULT.trial_at} a trial, "
    f"{DEFAULT.adopt_at} enough to certify."
)


class TaskLine(msgspec.Struct, frozen=True):
    """One held-out task over all nights of the experiment."""

    task: str
    wins: int
    losses: int
    ties: int
    errors: int


class Explanation(msgspec.Struct, frozen=True):
    """Why a night ended so (`armarius.sleep_explanation.v1`); `night` is None while it is open."""

    id: str
    state: str
    sentences: tuple[str, ...]
    tasks: tuple[TaskLine, ...] = ()
    night: NightReport | None = None
    schema: str = "armarius.sleep_explanation.v1"


def explain(night_id: str, state: str, report: NightReport | None, proposal: str = "staged") -> Explanation:
    """What there is to say about a night; `proposal` is the state of what it staged."""
    if report is None:
        said = ("The night is open: it was interrupted or is still at work. `armarius sleep run` goes on with it.",)
        return Explanation(night_id, state, said)
    lines = tuple(_task_line(task, pairs) for task, pairs in _by_task(report.pairs).items())
    return Explanation(night_id, state, tuple(_sentences(report, lines, proposal)), lines, report)


def _by_task(pairs: tuple[PairLine, ...]) -> dict[str, list[PairLine]]:
    found = defaultdict[str, list[PairLine]](list)
    for pair in pairs:
        found[pair.task].append(pair)
    return dict(sorted(found.items()))


def _task_line(task: str, pairs: list[PairLine]) -> TaskLine:
    gains = [p.candidate - p.baseline for p in pairs if p.baseline is not None and p.candidate is not None]
    wins, losses = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return TaskLine(task, wins, losses, len(gains) - wins - losses, len(pairs) - len(gains))


def _sentences(report: NightReport, lines: tuple[TaskLine, ...], proposal: str) -> list[str]:
    others = f"{report.held_out_tasks} others were held out to judge by"
    said = [f"The optimizer saw {report.train_tasks} training tasks; {others}."]
    if report.accepted:
        said.append(f"The candidate: {_ended('; '.join(report.accepted))}")
    if report.rejected:
        said.append(f"Not applied: {_ended('; '.join(report.rejected))}")
    said.append(_decision(report))
    if report.proposal is not None:
        said.append(_since(report.proposal, proposal))
    said += [_beside(one) for one in report.candidates if one.candidate_hash != report.candidate_hash]
    said += report.notes
    if report.nothing_new:
        said.append(f"No new candidate tonight: {report.nothing_new}.")
    if report.waiting:
        said.append(f"Waiting with what evidence they have: {', '.join(report.waiting)}.")
    if report.caution:
        said.append(report.caution)
    if lines:
        won, lost = sum(line.wins for line in lines), sum(line.losses for line in lines)
        tied, failed = sum(line.ties for line in lines), sum(line.errors for line in lines)
        said.append(f"Pairs: {won} won, {lost} lost, {tied} tied, {failed} without a score in one arm.")
        said += report.losses
        worse = [line.task for line in lines if line.losses > line.wins]
        if worse:
            said.append(f"Worse with the candidate: {', '.join(worse)}.")
        said.append(_SCALE)
    said.append(f"It cost {report.runs} runs and {report.usage.total:,} tokens.")
    if report.decision in ("continue", "reject") and 0 < report.held_out_tasks <= MOST_TASKS:
        plan = plan_for(report.held_out_tasks)
        if plan.detects is not None:
            said.append(
                f"With {report.held_out_tasks} held-out tasks, gains below {plan.detects:.0%} are missed more often "
                f"than one time in five."
            )
    return said


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _since(name: str, state: str) -> str:
    """What became of the proposal."""
    match state:
        case "staged":
            return "It is staged; nothing live changed. Make it live with `armarius sleep adopt`."
        case "adopted":
            return f"It was adopted and is live; `armarius sleep rollback {name}` puts back what was there."
        case "rolled_back":
            return "It was adopted and rolled back: the skill is what it was before."
        case "superseded":
            return "A newer proposal for the same skill took its place; nothing live changed."
        case _:
            return "It was staged and rejected; nothing live changed."


def _beside(one: CandidateLine) -> str:
    """Another candidate of the night, in a sentence."""
    said = f"Beside it {one.id} ({'; '.join(one.edits)}), round {one.round} of {one.nights}: {one.decision}"
    return f"{said} ({one.reason}), e-value {one.e_value:.2f} after {one.pairs_used} pairs."


def _decision(report: NightReport) -> str:
    e = f"the e-value is {report.e_value:.2f} after {report.pairs_used} pairs"
    match report.decision, report.reason:
        case "adopt", _:
            return f"Certified: {e}, and {DEFAULT.adopt_at} is enough."
        case "trial", _:
            return f"Trial: {e}; {DEFAULT.trial_at} is enough to try it, {DEFAULT.adopt_at} to certify it."
        case "reject", "futile":
            return (
                f"Rejected as futile: the pairs speak against a gain of {report.worth:.0%} or more "
                f"with odds of {DEFAULT.reject_at} to 1; {e}."
            )
        case "reject", _:
            return f"Rejected: {report.nights} nights are over and {e}, where {DEFAULT.adopt_at} is needed."
        case "ungated", _:
            return "The gate was off: the edits were recorded without a test, so nothing says that they help."
        case "continue", _:
            over = (report.round or report.number) - (not counts(report.pairs, report.round))
            left = max(0, report.nights - over)
            return f"Undecided: {e}. The evidence is kept; {left} more nights may add to it."
        case _:
            return f"No candidate came before the gate: {report.reason}."

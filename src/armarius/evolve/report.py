"""What a night found, as a value and as a page to read.

Owns `armarius.night.v1` and its Markdown. Does not own any number in it.
Invariant: everything shown was measured; a pair without a score is shown as what it is.
"""

import contextlib
from collections.abc import Sequence

import msgspec

from armarius.codex.home import Owner
from armarius.evolve.losses import losses_told
from armarius.gate.decision import DEFAULT
from armarius.redact import redact
from armarius.runs.request import RunResult
from armarius.skills.capability import Capability
from armarius.thread import Usage
from armarius.visible import reveal

__all__ = ["CandidateLine", "NightReport", "PairLine", "Retained", "Sent", "Share", "render", "sent_to", "tally"]


class PairLine(msgspec.Struct, frozen=True):
    """One pair of the evidence; None where a replay or its judge failed, and `why`."""

    night: int
    task: str
    baseline: float | None = None
    candidate: float | None = None
    why: str = ""


class CandidateLine(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that had a round tonight, the `round`-th of its own; `pairs` are all there are on it."""

    id: str
    round: int
    is_new: bool
    edits: tuple[str, ...]
    candidate_hash: str
    decision: str
    reason: str
    e_value: float
    pairs_used: int
    pairs_ignored: int
    pairs: tuple[PairLine, ...] = ()
    nights: int = DEFAULT.nights
    worth: float = float(DEFAULT.worth)


class Share(msgspec.Struct, frozen=True):
    """An edit, and the mean score on `tasks` tasks with all edits and without this one."""

    edit: str
    tasks: int
    with_it: float
    without_it: float | None


class Retained(msgspec.Struct, frozen=True):
    """What came of it: how many tasks were replayed, which were lost, and of which nothing is known."""

    tasks: int = 0
    lost: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Sent(msgspec.Struct, frozen=True):
    """What went to whom: the provider and its address, the model, for what, and how much of it."""

    to: str
    model: str
    purpose: str
    runs: int
    tokens: int


class NightReport(msgspec.Struct, frozen=True, kw_only=True):
    """One night (`armarius.night.v1`).

    `decision` is the gate's: adopt, trial, reject, continue; none when there was no candidate, ungated when it was off.
    Where several `candidates` had a round, the one told of is that which was certified, else the undecided one with the
    best evidence, else the one heard last. `round` of `nights` is the night of its gate, `worth` the gain below which
    it is futile; `waiting` have evidence and no round tonight, `notes` say what became of others, `nothing_new` why
    nobody was proposed.
    `runs`, `responses`, `usage` and `duration_us` count this invocation; runs that were finished
    before are used again and count with what they cost then. `shape_only` warns that the held-out
    checks look at form alone. `capabilities` are what the candidate lets an agent do anew; `shares` what each
    of several edits does; `retained` what came of the tasks that may not be lost. `without_codex` names who answered
    the replays in its place.
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
    page: str = ""
    metric: str = "mixed"
    capabilities: tuple[Capability, ...] = ()
    shares: tuple[Share, ...] = ()
    retained: Retained = Retained()
    sent: tuple[Sent, ...] = ()
    without_codex: str = ""
    round: int = 0
    nights: int = DEFAULT.nights
    worth: float = float(DEFAULT.worth)
    candidates: tuple[CandidateLine, ...] = ()
    waiting: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    nothing_new: str = ""
    schema: str = "armarius.night.v1"

    @property
    def losses(self) -> tuple[str, ...]:
        """What is to be said of replays without a score, in sentences."""
        return losses_told(self.pairs, self.round)

    @property
    def caution(self) -> str:
        """What a reader must know of evidence that no Codex took part in; empty for any other."""
        if not self.without_codex:
            return ""
        return (
            f"Replayed without Codex, by {self.without_codex}: the text was put before each task. Whether Codex finds "
            "the skill, and what it does with tools, was not measured."
        )


def render(report: NightReport, changes: str) -> str:
    """The report as Markdown, in which nothing that somebody proposed can act, hide or pass for a line of ours."""
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
    if report.caution:
        lines += [f"**{report.caution}**", ""]
    if report.decision == "ungated":
        lines += ["**The gate was off. Nobody has measured whether this helps.**", ""]
    if report.decision == "trial":
        lines += ["On trial: the evidence is promising and not enough. Nothing is proposed yet; it is carried on.", ""]
    if len(report.candidates) > 1 or report.waiting or report.notes or report.nothing_new:
        lines += _others(report)
    if report.capabilities:
        lines += ["## Asks for an explicit yes", ""]
        lines += [f"- {one.kind}: `{_line(one.text)}`" for one in report.capabilities]
        lines += ["", "Say so with `armarius sleep adopt --allow KIND` for each kind.", ""]
    if report.accepted or report.rejected:
        lines += ["## Edits", ""]
        lines += [f"- {_line(edit)}" for edit in report.accepted]
        lines += [f"- not applied: {_line(edit)}" for edit in report.rejected]
        lines += [""]
    if changes:
        lines += ["## Diff", "", *("    " + line for line in reveal(changes).split("\n")), ""]
    if report.shares:
        lines += ["## What each edit does", "", "| edit | tasks | with it | without it |", "|---|---|---|---|"]
        lines += [f"| {_cell(s.edit)} | {s.tasks} | {s.with_it:.2f} | {_score(s.without_it)} |" for s in report.shares]
        lines += [""]
    if report.retained.tasks:
        lost = ", ".join(report.retained.lost) or "none"
        unknown = f"; without a score: {', '.join(report.retained.unknown)}" if report.retained.unknown else ""
        lines += [f"Tasks that may not be lost: {report.retained.tasks}; lost: {lost}{unknown}.", ""]
    if report.sent:
        lines += ["## What was sent to whom", "", "| to | model | for | runs | tokens |", "|---|---|---|---|---|"]
        lines += [f"| {_cell(s.to)} | {s.model} | {s.purpose} | {s.runs} | {s.tokens:,} |" for s in report.sent]
        lines += [""]
    if report.losses:
        lines += [" ".join(report.losses), ""]
    if report.pairs:
        lines += ["## Wins and losses", "", "| task | wins | losses | ties | errors |", "|---|---|---|---|---|"]
        lines += [f"| {task} | {w} | {losses} | {t} | {e} |" for task, (w, losses, t, e) in tally(report.pairs).items()]
        lines += [""]
        lines += ["## Pairs", "", "| night | task | before | after |", "|---|---|---|---|"]
        lines += [f"| {p.night} | {p.task} | {_score(p.baseline)} | {_score(p.candidate)} |" for p in report.pairs]
        lines += [""]
    return "\n".join(lines)


def _others(report: NightReport) -> list[str]:
    """All candidates of a night, side by side, and what became of others."""
    lines = ["## Candidates side by side", ""]
    if report.candidates:
        lines += ["| candidate | round | decision | e-value | pairs | edits |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {one.id} | {one.round} | {one.decision} ({one.reason}) | {one.e_value:.2f} | {one.pairs_used} "
            f"| {_cell('; '.join(one.edits))} |"
            for one in report.candidates
        ]
        lines += [""]
    lines += [f"- {_line(note)}" for note in report.notes]
    if report.nothing_new:
        lines += [f"- No new candidate tonight: {report.nothing_new}."]
    if report.waiting:
        lines += [f"- Waiting, with their evidence: {', '.join(report.waiting)}."]
    return [*lines, ""]


class _Address(msgspec.Struct):
    base_url: str = ""


class _Providers(msgspec.Struct):
    model_provider: str = "openai"
    model_providers: dict[str, _Address] = {}


def tally(pairs: Sequence[PairLine]) -> dict[str, tuple[int, int, int, int]]:
    """Of each task: wins, losses, ties, errors."""
    found: dict[str, list[int]] = {}
    for pair in pairs:
        counts = found.setdefault(pair.task, [0, 0, 0, 0])
        if pair.baseline is None or pair.candidate is None:
            counts[3] += 1
        else:
            gain = pair.candidate - pair.baseline
            counts[0 if gain > 0 else 1 if gain < 0 else 2] += 1
    return {task: (counts[0], counts[1], counts[2], counts[3]) for task, counts in found.items()}


def sent_to(owner: Owner, results: Sequence[RunResult], without_codex: str = "") -> tuple[Sent, ...]:
    """What these runs sent, by recipient, model and purpose; `without_codex` is who got what Codex took no part in."""
    shape = _Providers()
    with contextlib.suppress(msgspec.ValidationError):
        shape = msgspec.convert(owner.provider, _Providers)
    name = shape.model_provider
    address = shape.model_providers[name].base_url if name in shape.model_providers else ""
    codex = f"{name} ({redact(address)})" if address else name
    of = dict[tuple[str, str, str], list[RunResult]]()
    for run in results:
        to, model = (codex, run.model or owner.model) if run.codex_version else (without_codex, run.model)
        of.setdefault((to, model or "", run.role), []).append(run)
    return tuple(
        Sent(to, model, role, len(runs), sum(run.usage.total for run in runs))
        for (to, model, role), runs in sorted(of.items(), key=lambda item: item[0])
    )


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return reveal(" ".join(text.split()))


def _score(value: float | None) -> str:
    return "error" if value is None else f"{value:.2f}"

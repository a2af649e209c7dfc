"""What a night would do with the sessions or the tasks there are, before anything is spent.

Owns the plan that a dry run prints: what was found, what would be replayed and sent to whom, calls, tokens, minutes,
and what this number of tasks can detect. Does not own harvesting, mining, or the gate's arithmetic.
Invariant: nothing is run or sent, and every number says what it rests on: counts are counted, sizes are those of
the texts, tokens and minutes are those of the same work in the sessions, or a named guess.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.budget import NO_BUDGET, Budget, Measure
from armarius.evolve.attribution import MOST_APART
from armarius.evolve.directly import why_beyond
from armarius.evolve.gather import Gathered
from armarius.evolve.naming import BYTES_OF_A_GROUP, MOST_GROUPS
from armarius.evolve.retention import MOST_LOOKS
from armarius.evolve.targets import Target
from armarius.evolve.tasks import Task, split_tasks
from armarius.gate.decision import DEFAULT, best_case
from armarius.gate.power import MOST_TASKS, Plan, plan_for
from armarius.gate.rounds import ROUNDS_A_NIGHT

__all__ = ["Ceiling", "Choices", "Forecast", "Found", "Outgoing", "Range", "forecast", "found_in"]

# A lean run of Codex 0.169 sends some 36 KB before the first word of a task, once to read the skill and once to answer,
# and takes some seconds. A model without tools is asked once.
_BASE_TOKENS = 9_000
_REQUESTS = 2
_GUESSED_S = 15.0
_BYTES_A_TOKEN = 4
_MOST_FAILURES = 8
_ANSWER_BYTES = 4_000


class Found(msgspec.Struct, frozen=True):
    """What sessions gave. `kinds` of work recur; `asking` of them have no usable check yet.

    `once` are requests that only one session has, `small` those that are no work by themselves, `unrelated` kinds
    that have nothing to do with the target, `spilt` what is over the number of tasks.
    """

    source: str
    sessions: int
    turns: int
    left_out: dict[str, int]
    kinds: int
    once: int
    small: int
    unrelated: int
    spilt: int
    asking: tuple[str, ...]


class Range(msgspec.Struct, frozen=True):
    """From a night whose candidate wins every pair to one that uses every slot and then still passes."""

    least: float
    most: float


class Outgoing(msgspec.Struct, frozen=True):
    """Texts of the user's that a night would send: about `bytes` of them each time, so often at most."""

    to: str
    what: str
    times: int
    bytes: int


class Ceiling(msgspec.Struct, frozen=True):
    """What a budget allows: about `runs` of the `least` to `most` that a night would make without it.

    `measure` is the one of which the `limit` is reached first.
    """

    measure: Measure
    limit: float
    runs: int
    least: int
    most: int

    @property
    def ends_it(self) -> bool:
        """Whether even the shortest night is cut short."""
        return self.runs < self.least

    @property
    def sentence(self) -> str:
        said = f"the budget of {self.limit:,.10g} {self.measure} "
        if self.runs >= self.most:
            return f"{said}is enough for all of it"
        on = "the same command goes on from there"
        if self.ends_it:
            return f"{said}ends the night after about {self.runs} of at least {self.least} runs, undecided; {on}"
        return f"{said}ends the night after about {self.runs} runs, if it needs more of its {self.most}; {on}"


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What a night would be told: who reflects and who replays, on which model, how often, how many at a time.

    `replays_by` is codex, openai or handoff; `undecided` candidates wait for another round; `kept` tasks may not be
    lost by whoever passes; `said` are bytes of preferences, which go with the reflection.
    """

    backend: str = "mock"
    reflects_by: str = "codex"
    reflects_on: str | None = None
    replays_by: str = "codex"
    replays_on: str | None = None
    rollouts: int = 1
    gate: bool = True
    workers: int = 1
    undecided: int = 0
    budget: Budget = NO_BUDGET
    said: int = 0
    edits: int = 4
    kept: int = 0


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a night (`armarius.sleep_plan.v1`); runs, tokens and minutes are within the budget that was given."""

    project: str
    backend: str
    target: str
    target_why: str
    target_exists: bool
    reviewed: bool
    found: Found | None
    train_tasks: int
    held_out_tasks: int
    uncertifiable: dict[str, str]
    runs: Range
    tokens: Range
    minutes: Range
    rests_on: str
    sent: tuple[Outgoing, ...]
    detects: Plan
    certifies: int | None
    verdict: str
    notes: tuple[str, ...]
    undecided: int = 0
    shape_only: bool = False
    budget: Ceiling | None = None
    schema: str = "armarius.sleep_plan.v1"


def forecast(
    tasks: Sequence[Task],
    *,
    project: Path,
    target: Target,
    skill_bytes: int,
    choices: Choices,
    reviewed: bool,
    gathered: Gathered | None = None,
) -> Forecast:
    """The plan for one night on these tasks, with these choices."""
    train, sealed = split_tasks(tasks) if tasks else ((), ())
    held_out = [task for task in sealed if task.why_uncertifiable is None]
    plan = plan_for(min(len(held_out), MOST_TASKS))
    kinds = min(gathered.mined.groups, MOST_GROUPS) if gathered else 0
    asked = 0 if choices.reflects_by != "codex" else bool(train) + bool(kinds)
    replays = _replays(len(train), len(held_out), choices)
    least, most = (number + asked for number in replays)
    each, seconds, rests_on = _cost(tasks, skill_bytes, gathered, choices)
    ceiling = _ceiling(least, most, choices, each, seconds)
    if ceiling is not None:
        least, most = min(least, ceiling.runs), min(most, ceiling.runs)
    return Forecast(
        project=str(project),
        backend=choices.backend,
        target=str(target.path),
        target_why=target.why,
        target_exists=target.exists,
        reviewed=reviewed,
        found=found_in(gathered) if gathered else None,
        train_tasks=len(train),
        held_out_tasks=len(held_out),
        uncertifiable={task.task_id: task.why_uncertifiable for task in sealed if task.why_uncertifiable},
        runs=Range(least, most),
        tokens=_within(choices.budget.tokens, least * each, most * each),
        minutes=_within(
            choices.budget.minutes,
            _minutes(least, seconds, choices.workers),
            _minutes(most, seconds, choices.workers),
        ),
        rests_on=rests_on,
        sent=(*_named(kinds, choices), *_sent(train, held_out, skill_bytes, choices, min(replays[1], most))),
        detects=plan,
        certifies=plan.certifies if choices.gate else None,
        verdict=_verdict(len(tasks), plan, ceiling, gate=choices.gate),
        notes=(*(gathered.notes if gathered else ()), *_notes(tasks, choices)),
        undecided=choices.undecided,
        shape_only=bool(held_out) and all(task.judge.shape_only for task in held_out),
        budget=ceiling,
    )


def found_in(gathered: Gathered) -> Found:
    """What sessions gave, in numbers."""
    mined = gathered.mined
    return Found(
        source=gathered.source,
        sessions=gathered.sessions,
        turns=gathered.turns,
        left_out=gathered.left_out,
        kinds=mined.groups,
        once=mined.once,
        small=mined.small,
        unrelated=mined.unrelated,
        spilt=mined.spilt,
        asking=tuple(f"{draft.task[:80]} ({draft.asks})" for draft in mined.drafts),
    )


def _replays(train: int, held_out: int, choices: Choices) -> tuple[int, int]:
    """The fewest and the most: a pair may be enough for a candidate with evidence, and each may use its round.

    Whoever passes is replayed on what may not be lost, and without each of several edits.
    """
    first = train * choices.rollouts
    if not choices.gate or not held_out:
        return first, first
    wins = 1 if choices.undecided else best_case(held_out, 1).pairs_used
    rounds = min(choices.undecided + 1, ROUNDS_A_NIGHT)
    apart = choices.edits * min(held_out, MOST_APART) if choices.edits > 1 else 0
    passed = choices.kept * MOST_LOOKS + apart
    return first + 2 * wins + choices.kept, first + 2 * DEFAULT.pairs_a_night * held_out * rounds + passed


def _ceiling(least: int, most: int, choices: Choices, each: int, seconds: float) -> Ceiling | None:
    """What the tightest limit allows; a run that has begun may go over it, so that one is always made."""
    limits = {
        "tokens": 1 / each,
        "requests": 1 / (_REQUESTS if choices.replays_by == "codex" else 1),
        "minutes": 60 * choices.workers / seconds if seconds else most,
    }
    found = [
        Ceiling(measure, limit, max(1, int(min(limit * limits[measure], most))), least, most)
        for measure, limit in choices.budget.limits()
        if measure in limits
    ]
    return min(found, key=lambda one: one.runs) if found and most else None


def _within(limit: float | None, least: float, most: float) -> Range:
    return Range(least, most) if limit is None else Range(min(least, limit), min(most, limit))


def _notes(tasks: Sequence[Task], choices: Choices) -> tuple[str, ...]:
    """What else follows from the choices."""
    said = list[str]()
    if choices.undecided and choices.gate:
        beside = f"{choices.undecided} undecided candidates stand beside the new one"
        said.append(f"{beside}; the {ROUNDS_A_NIGHT} oldest get a round")
    beyond = [(task.task_id, why) for task in tasks if (why := why_beyond(task)) is not None]
    if beyond and choices.replays_by != "codex":
        name, why = beyond[0]
        said.append(f"a night would refuse this: {len(beyond)} tasks need Codex, such as {name}: {why}")
    return tuple(said)


def _cost(
    tasks: Sequence[Task], skill_bytes: int, gathered: Gathered | None, choices: Choices
) -> tuple[int, float, str]:
    """Tokens and seconds of one run, and where they come from."""
    counted = [task.origin.tokens for task in tasks if task.origin and task.origin.tokens]
    texts = sum(len(task.task.encode()) for task in tasks) // len(tasks) if tasks else 0
    ours = (skill_bytes + texts) // _BYTES_A_TOKEN + 1
    guess = _REQUESTS * (_BASE_TOKENS + ours) if choices.replays_by == "codex" else ours
    each = sum(counted) // len(counted) if counted else guess
    known_s = gathered.seconds if gathered else None
    seconds = _GUESSED_S if known_s is None else known_s
    tokens_from = "tokens: what this work took in your sessions" if counted else "tokens: guessed from sizes"
    time_from = (
        f"minutes: a guess of {_GUESSED_S:g} s a run"
        if known_s is None
        else f"minutes: the median turn of your sessions, {known_s:.1f} s"
    )
    return each, seconds, f"{tokens_from}; {time_from}"


def _minutes(runs: int, seconds: float, workers: int) -> float:
    return round(runs * seconds / max(1, min(workers, runs or 1)) / 60, 2)


def _recipient(backend: str, model: str | None) -> str:
    match backend:
        case "openai":
            return f"{model or 'a model'} at the endpoint of OPENAI_BASE_URL"
        case "handoff":
            return "a folder, for you to answer"
        case _:
            return f"{model or 'the model'} of your Codex"


def _named(kinds: int, choices: Choices) -> tuple[Outgoing, ...]:
    """What a night without a task file sends before it has its tasks."""
    if not kinds:
        return ()
    to = _recipient(choices.reflects_by, choices.reflects_on)
    what = f"naming: requests, corrections and answers of {kinds} kinds of work, redacted"
    return (Outgoing(to, what, 1, kinds * BYTES_OF_A_GROUP),)


def _sent(
    train: Sequence[Task], held_out: Sequence[Task], skill_bytes: int, choices: Choices, replays: int
) -> tuple[Outgoing, ...]:
    """What would go where. A mock night sends nothing; what is told is a real one's."""
    if not train:
        return ()
    longest = max(len(task.task.encode()) for task in (*train, *held_out))
    failures = sorted((len(task.task.encode()) for task in train), reverse=True)[:_MOST_FAILURES]
    reflection = skill_bytes + choices.said + sum(failures) + _ANSWER_BYTES * len(failures)
    return (
        Outgoing(
            _recipient(choices.replays_by, choices.replays_on),
            "replays: a task, and the skill when the model reads it",
            replays,
            longest + skill_bytes,
        ),
        Outgoing(
            _recipient(choices.reflects_by, choices.reflects_on),
            "reflection: the skill, failing training tasks, answers and failed checks, redacted",
            1,
            reflection,
        ),
    )


def _verdict(tasks: int, plan: Plan, ceiling: Ceiling | None, *, gate: bool) -> str:
    held_out = plan.held_out
    if not tasks:
        return "there is no task with a usable check, so there is nothing to replay"
    if not gate:
        return "the gate is off: nothing would be certified"
    if plan.certifies is None:
        return f"{held_out} held-out tasks cannot certify any candidate; the evidence is kept, add tasks"
    if ceiling is not None and ceiling.ends_it:
        return f"{held_out} held-out tasks could certify, but not within this budget; the evidence is carried on"
    if plan.certifies > 1:
        return (
            f"{held_out} held-out tasks cannot certify tonight; at best after {plan.certifies} nights, "
            "the evidence is carried on"
        )
    worth = "nothing for sure" if plan.detects is None else f"gains of {plan.detects:.0%} or more"
    return f"{held_out} held-out tasks can certify tonight; over {DEFAULT.nights} nights they detect {worth}"

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.errors import Refused
from armarius.gate.custody import Evaluate, Slot, examine, replays, schedule
from armarius.gate.decision import Answer, Gate, Pair, Rules, decide

NOTHING: frozenset[str] = frozenset()
ids = st.frozensets(st.text(min_size=1, max_size=8), min_size=1, max_size=12)


def held_out(count: int) -> frozenset[str]:
    return frozenset(f"task-{n}" for n in range(count))


def three_nights(experiment: str, tasks: frozenset[str]) -> list[Slot]:
    return [slot for night in (1, 2, 3) for slot in schedule(experiment, tasks, night, shown=NOTHING)]


@given(ids, st.integers(1, 3))
def test_a_night_replays_every_task_once_before_any_twice(tasks: frozenset[str], night: int) -> None:
    order = [slot.task for slot in schedule("e", tasks, night, shown=NOTHING)]

    assert Counter(order[: len(tasks)]) == Counter(tasks)
    assert Counter(order[len(tasks) :]) == Counter(tasks)


@given(ids)
def test_no_two_slots_of_an_experiment_share_a_replicate(tasks: frozenset[str]) -> None:
    slots = three_nights("e", tasks)

    assert {(slot.task, slot.replicate) for slot in slots} == {(task, r) for task in tasks for r in range(1, 7)}


@given(ids)
def test_the_gate_has_room_for_all_that_is_scheduled(tasks: frozenset[str]) -> None:
    decision = decide([Pair(slot.night, slot.task, 1, 1) for slot in three_nights("e", tasks)], Rules(reject_at=10**99))

    assert (decision.pairs_used, decision.pairs_ignored, decision.nights) == (6 * len(tasks), 0, 4)
    assert decision.reason == "undecided", "who is steady has another night"
    assert Gate(Rules(steady_nights=3)).nights == 3


def test_the_order_is_the_same_on_every_machine() -> None:
    slots = schedule("greeting", held_out(3), 2, shown=NOTHING)

    assert [(slot.replicate, slot.task) for slot in slots] == [
        (3, "task-1"),
        (3, "task-2"),
        (3, "task-0"),
        (4, "task-2"),
        (4, "task-0"),
        (4, "task-1"),
    ]


def test_experiments_nights_and_rounds_have_orders_of_their_own() -> None:
    tasks = held_out(20)
    rounds = [
        tuple(slot.task for slot in slots[start : start + 20])
        for slots in (schedule(e, tasks, night, shown=NOTHING) for e in ("e", "f") for night in (1, 2, 3))
        for start in (0, 20)
    ]

    assert len(set(rounds)) == 12


def test_tasks_that_the_proposer_saw_cannot_judge() -> None:
    with pytest.raises(Refused, match=r"experiment e: .*: task-0, task-1, task-2, task-3, task-4;") as refused:
        schedule("e", held_out(9), 1, shown=held_out(5) | {"other"})

    assert refused.value.exit_code == 5


def test_rules_say_how_often_a_task_is_replayed() -> None:
    slots = schedule("e", held_out(4), 2, shown=NOTHING, rules=Rules(pairs_a_night=3))

    assert [slot.replicate for slot in slots] == [4] * 4 + [5] * 4 + [6] * 4


def wins_and_errors(task: str, night: int, replicate: int) -> tuple[float, float] | None:
    """A candidate that wins, except that each third replicate fails and task-0 is always lost."""
    if replicate % 3 == 0:
        return None
    return (1.0, 0.0) if task == "task-0" else (0.0, 1.0 - night / 10)


def test_nothing_is_replayed_after_the_decision() -> None:
    asked: list[tuple[str, int, int]] = []
    kept: list[Pair] = []

    def evaluate(task: str, night: int, replicate: int) -> tuple[float, float]:
        asked.append((task, night, replicate))
        return 0.0, 1.0

    slots = schedule("e", held_out(10), 1, shown=NOTHING)
    gate = Gate()
    examine(gate, replays(slots, evaluate), kept.append)

    assert asked == [(slot.task, 1, 1) for slot in slots[:6]]
    assert gate.decision().answer is Answer.ADOPT
    examine(gate, replays(slots, evaluate), kept.append)
    assert len(asked) == len(kept) == 6


def test_a_pair_is_kept_before_it_counts() -> None:
    gate = Gate()
    counted_when_kept: list[int] = []

    def keep(_: Pair) -> None:
        counted_when_kept.append(gate.decision().pairs_used)

    examine(gate, replays(schedule("e", held_out(3), 1, shown=NOTHING), always_wins), keep)

    assert counted_when_kept == [0, 1, 2, 3, 4, 5]


def test_a_failed_replay_is_an_error_and_the_night_goes_on() -> None:
    gate = Gate()
    examine(gate, replays(schedule("e", held_out(2), 2, shown=NOTHING), wins_and_errors), ignore)

    assert (gate.decision().errors, gate.decision().pairs_used) == (2, 2)


def test_a_lost_pair_of_zeros_is_a_tie_and_no_error() -> None:
    [pair] = replays([Slot("a", 1, 1)], lambda _task, _night, _replicate: (0.0, 0.0))

    assert pair == Pair(1, "a", 0.0, 0.0)


def ignore(_: Pair) -> None:
    pass


class Killed(BaseException):
    """The process ends here."""


def always_wins(_task: str, _night: int, _replicate: int) -> tuple[float, float]:
    return 0.0, 1.0


@pytest.mark.parametrize("moment", ["before keeping", "after keeping"])
@pytest.mark.parametrize(("evaluate", "pairs"), [(always_wins, 6), (wins_and_errors, 12)])
def test_an_experiment_killed_at_any_pair_ends_as_if_it_had_not_been(
    evaluate: Evaluate, pairs: int, moment: str
) -> None:
    slots = three_nights("e", held_out(2))
    whole: list[Pair] = []
    examine(Gate(), replays(slots, evaluate), whole.append)
    assert len(whole) == pairs

    for at in range(pairs):
        evidence = evidence_of_a_killed_run(slots, evaluate, at, kept=moment == "after keeping")
        resumed = Gate()
        for pair in evidence:
            resumed.offer(pair)
        examine(resumed, replays(slots[len(evidence) :], evaluate), evidence.append)

        assert evidence == whole
        assert resumed.decision() == decide(whole)


def evidence_of_a_killed_run(slots: list[Slot], evaluate: Evaluate, at: int, *, kept: bool) -> list[Pair]:
    evidence: list[Pair] = []

    def keep(pair: Pair) -> None:
        killed = len(evidence) == at
        if kept or not killed:
            evidence.append(pair)
        if killed:
            raise Killed

    with pytest.raises(Killed):
        examine(Gate(), replays(slots, evaluate), keep)
    return evidence

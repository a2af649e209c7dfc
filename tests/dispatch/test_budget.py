"""What a run may use up, kept while it runs; on real Codex."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from armarius.budget import Budget
from armarius.clock import SystemClock
from armarius.codex.command import Resume
from armarius.dispatch.carrying import carry
from armarius.dispatch.pool import in_order
from armarius.errors import Refused
from armarius.runs.records import spent_in_pot, spent_since
from armarius.runs.request import Pot, RunResult
from armarius.store.ledger import events_of
from armarius.watch.ledger import RunEvents
from armarius.watch.signals import Kind
from support.prefork import Forked
from support.run_world import Gate, World, script

SPAWN = {"name": "spawn_agent", "namespace": "collaboration", "arguments": {"task_name": "one", "message": "hi"}}
UNTIL_ITS_END = {"name": "wait_agent", "namespace": "collaboration", "arguments": {"timeout_ms": 60_000}}
PLAN = {"name": "update_plan", "arguments": {"plan": [{"step": "begin", "status": "pending"}]}}


def do(world: World, prompt: str, **changes: Any) -> RunResult:
    with world.runner() as runner:
        return carry(runner, runner.begin(world.request(prompt, **changes)))


def code(result: RunResult) -> str | None:
    return result.problem.code if result.problem else None


def test_a_run_that_used_up_too_much_is_ended_while_it_runs(each_world: World, gate: Gate) -> None:
    ended(each_world, gate, Budget(requests=2))


def test_tokens_are_counted_as_they_are_used_up(world: World, gate: Gate) -> None:
    ended(world, gate, Budget(tokens=1))


def ended(world: World, gate: Gate, budget: Budget) -> None:
    """The model waits for ever before its last answer, so that only the meter can end the run."""
    # No command is at work, which would be ended with it.
    steps = (*[{"call": PLAN}] * 3, {"wait": str(gate.fifo)}, {"say": "never"})
    result = do(world, script(*steps), budget=budget)
    [(measure, limit)] = budget.limits()
    assert (result.state, code(result), result.answer) == ("failed", f"budget-{measure}", None)
    assert result.problem
    assert result.problem.exit_code == 1
    assert result.stragglers == 0
    used = {"requests": result.responses, "tokens": result.usage.total}[measure]
    assert used > limit
    with world.ledger() as ledger:
        [passed] = [event for event in events_of(ledger, result.id) if event.kind == "budget_passed"]
    assert json.loads(passed.body)["measure"] == measure
    heard = RunEvents(world.state / "ledger.sqlite", SystemClock(), 0)
    signals = [signal for signal in heard.take() if signal.kind is Kind.BUDGET_PASSED]
    heard.close()
    assert [signal.subject for signal in signals] == [result.id]


def test_a_run_within_its_budget_is_left_alone(world: World) -> None:
    steps = ({"sh": "true"}, {"sh": "true"}, {"say": "done"})
    result = do(world, script(*steps), budget=Budget(requests=3, turns=1, tokens=10**9, agents=0, minutes=5))
    assert (result.state, result.responses, result.turns, result.agents) == ("succeeded", 3, 1, 0)


def test_minutes_are_kept_by_the_guard(world: World, gate: Gate) -> None:
    result = do(world, script({"wait": str(gate.fifo)}, {"say": "never"}), budget=Budget(minutes=0.02))
    assert (result.state, code(result)) == ("timed_out", "budget-minutes")


@pytest.mark.parametrize(("most", "state"), [(0, "failed"), (1, "succeeded")])
def test_sub_agents_are_counted_and_so_is_what_they_use_up(
    each_world: World, gate: Gate, most: int, state: str
) -> None:
    world = each_world
    world.configure(features={"multi_agent_v2": True})
    # An agent that ends its turn without that ends the other one as well, in the middle of an answer that Codex then
    # never writes down, though it was paid for.
    wait: dict[str, Any] = {"wait": str(gate.fifo)} if most == 0 else {"call": UNTIL_ITS_END}
    result = do(world, script({"call": SPAWN}, wait, {"say": "done"}), budget=Budget(agents=most))
    assert (result.state, result.agents) == (state, 1)
    if most == 0:
        assert code(result) == "budget-agents"
    else:
        assert result.responses == len(world.server.usage)
        assert result.usage.input == sum(usage.input for usage in world.server.usage.values())


def test_what_an_earlier_turn_used_up_counts_for_that_turn_alone(world: World) -> None:
    first = do(world, script({"sh": "true"}, {"sh": "true"}, {"say": "one"}))
    assert first.thread_id is not None
    second = do(world, script({"say": "two"}), origin=Resume(first.thread_id), budget=Budget(requests=1, turns=1))
    assert (second.state, second.responses, second.turns) == ("succeeded", 1, 1)


def test_runs_that_share_a_budget_stop_each_other(world: World, gate: Gate) -> None:
    pot = Pot("batch one", Budget(requests=3))
    first = do(world, script({"sh": "true"}, {"say": "one"}), pot=pot)
    assert first.state == "succeeded"
    steps = ({"sh": "true"}, {"sh": "true"}, {"wait": str(gate.fifo)}, {"say": "never"})
    second = do(world, script(*steps), pot=pot)
    assert (second.state, code(second), second.responses) == ("failed", "budget-requests", 2)
    with pytest.raises(Refused) as refused:
        do(world, script({"say": "three"}), pot=pot)
    assert refused.value.code == "budget-requests"
    other = do(world, script({"say": "four"}), pot=Pot("batch two", Budget(requests=3)))
    assert other.state == "succeeded"
    with world.ledger() as ledger:
        spent = spent_in_pot(ledger, "batch one", SystemClock())
        today = spent_since(ledger, 0, SystemClock())
    assert (spent.requests, spent.turns, spent.agents) == (4, 2, 0)
    assert spent.tokens == first.usage.total + second.usage.total
    assert today.requests == 5


def test_a_pool_keeps_each_of_its_runs_within_its_budget(world: World, gate: Gate) -> None:
    long = script({"sh": "true"}, {"sh": "true"}, {"wait": str(gate.fifo)}, {"say": "never"})
    requests = [
        world.request(long, budget=Budget(requests=1)),
        world.request(script({"say": "one"}), budget=Budget(requests=1)),
    ]
    with world.runner() as runner:
        first, second = in_order(runner, requests, 2)
    assert (first.state, code(first)) == ("failed", "budget-requests")
    assert second.state == "succeeded"


def test_a_run_that_somebody_else_began_is_kept_within_its_budget_by_whoever_takes_it_up(
    world: World, gate: Gate, other: Callable[..., Forked]
) -> None:
    steps = ({"sh": "true"}, {"sh": "true"}, {"wait": str(gate.fifo)}, {"say": "never"})
    request = world.request(script(*steps), budget=Budget(requests=1), paid_key="unit")
    process = other(request)
    gate.await_question()
    process.kill()
    process.wait()
    with world.runner() as runner:
        result = carry(runner, runner.begin(request))
    assert (result.state, code(result)) == ("failed", "budget-requests")


def test_a_budget_that_nobody_could_keep_is_refused(world: World) -> None:
    with pytest.raises(Refused) as refused:
        do(world, script({"say": "one"}), ephemeral=True, budget=Budget(tokens=5))
    assert refused.value.code == "budget-ephemeral"
    assert do(world, script({"say": "one"}), ephemeral=True, budget=Budget(minutes=5)).state == "succeeded"

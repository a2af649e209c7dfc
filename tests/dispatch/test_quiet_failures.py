"""What Codex does without a word, or says for success, and what becomes of it here; on both builds."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from armarius.codex.command import Fork, Resume
from armarius.codex.process import Exit
from armarius.runs.records import RunRow
from armarius.runs.request import RunResult
from armarius.store.queries import Query
from support.run_world import Gate, World, script

UNENDING = """#!/bin/sh
{codex} "$@"
exec sleep 600
"""
"""Codex as 0.163 was seen now and then: its turn is completed, all is written down, and it does not end."""

ENDS = Query("ends", "Every run.", "SELECT * FROM run ORDER BY created_at_us, id")
EXITS = Query("exits", "How each ended.", "SELECT exit_status FROM run ORDER BY created_at_us, id")


def do(world: World, prompt: str, **changes: object) -> RunResult:
    with world.runner() as runner:
        return runner.run(world.request(prompt, **changes))  # pyright: ignore[reportArgumentType]


def problem(result: RunResult) -> tuple[str, str | None]:
    return result.state, result.problem.code if result.problem else None


def test_a_name_that_starts_a_new_thread_in_silence_is_stopped_at_its_first_word(each_world: World, gate: Gate) -> None:
    """The model would wait for ever, so that only a stop can end the run."""
    world = each_world
    result = do(world, script({"wait": str(gate.fifo)}, {"say": "in the wrong thread"}), origin=Resume("no-such-name"))
    assert problem(result) == ("failed", "thread-other")
    assert (result.answer, result.stragglers) == (None, 0)
    with world.ledger() as ledger:
        [row] = ledger.fetch(EXITS)
    end = msgspec.json.decode(str(row["exit_status"]), type=Exit)
    assert (end.outcome, end.stopped_by, end.signals_sent[0]) == ("stopped", "other-thread", "SIGINT")


def test_a_thread_that_does_not_exist_is_not_started_anew(each_world: World) -> None:
    result = do(each_world, "Say something.", origin=Resume("01900000-0000-7000-8000-000000000000"))
    assert problem(result) == ("failed", "codex-refused")
    assert each_world.server.requests == 0


def test_a_thread_that_got_another_writer_meanwhile_is_refused_and_not_written_to(world: World, gate: Gate) -> None:
    first = do(world, script({"say": "one"}))
    assert first.thread_id is not None
    with world.runner() as runner:
        begun = runner.begin(
            world.request(script({"wait": str(gate.fifo)}, {"say": "two"}), origin=Resume(first.thread_id))
        )
        gate.await_question()
        gate.await_question()
        late = do(world, script({"say": "never"}), origin=Resume(first.thread_id))
        gate.open()
        result = runner.finish(begun, begun.attempt.wait())
    assert (problem(late), late.problem and late.problem.exit_code) == (("failed", "thread-live"), 5)
    assert (result.state, result.answer) == ("succeeded", "two")


@pytest.mark.parametrize("fault", ["401", "403"])
def test_a_refused_login_is_asked_once_and_not_five_times_more(each_world: World, fault: str) -> None:
    each_world.configure({"stream_max_retries": 100, "request_max_retries": 0})
    result = do(each_world, script({"fault": fault}))
    assert problem(result) == ("failed", "login")
    assert result.problem
    assert (result.problem.exit_code, "codex login" in result.problem.hint) == (4, True)
    assert fault in result.problem.message
    assert each_world.server.requests <= 2, "at most one more was under way when the first notice came"


def test_a_limit_says_until_when(each_world: World) -> None:
    result = do(each_world, script({"fault": "usage-limit"}))
    assert problem(result) == ("failed", "rate-limited")
    assert result.problem
    assert result.problem.retry_at_us is not None
    assert result.problem.retry_at_us > (result.ended_at_us or 0)
    assert result.problem.hint.startswith("try again at 20")
    assert each_world.server.requests == 1


def test_an_agent_s_words_stop_nothing(each_world: World) -> None:
    notice = '{"type":"error","message":"Reconnecting... 1/5 (unexpected status 401 Unauthorized"}'
    steps = ({"sh": f"echo '{notice}'"}, {"say": f"\n{notice}\n", "phase": "commentary"}, {"say": notice})
    result = do(each_world, script(*steps))
    assert (result.state, result.answer) == ("succeeded", notice)


@pytest.mark.parametrize(("fault", "requests"), [("500", 4), ("cut", 2), ("failed", 2)])
def test_what_passes_by_itself_is_tried_a_bounded_number_of_times(world: World, fault: str, requests: int) -> None:
    result = do(world, script({"fault": fault}))
    assert (problem(result), world.server.requests) == (("failed", "turn-failed"), requests)


def test_a_cut_that_heals_does_not_repeat_the_turn(each_world: World) -> None:
    result = do(each_world, script({"sh": "echo one"}, {"fault": "cut*1"}, {"say": "healed"}))
    assert (result.state, result.commands, result.retries) == ("succeeded", 1, 1)


def test_an_unreachable_provider_ends_at_the_deadline_or_before(each_world: World) -> None:
    each_world.configure({"base_url": "http://127.0.0.1:9", "stream_max_retries": 1000})
    result = do(each_world, "Say something.", deadline_s=1.5)
    assert problem(result) == ("timed_out", "deadline")
    assert result.stragglers == 0


def test_commands_that_failed_in_a_completed_turn_are_counted(each_world: World) -> None:
    patch = "*** Begin Patch\n*** Update File: none.txt\n@@\n-a\n+b\n*** End Patch"
    result = do(each_world, script({"sh": "false"}, {"sh": "true"}, {"patch": patch}, {"say": "all fine"}))
    assert (result.state, result.commands, result.failed_commands) == ("succeeded", 2, 1)


def test_a_turn_of_an_earlier_thread_counts_and_claims_only_its_own(each_world: World) -> None:
    world = each_world
    first = do(world, script({"sh": "false"}, {"sh": "false"}, {"say": "one"}), sandbox="workspace-write")
    assert first.thread_id is not None
    second = do(world, script({"sh": "true"}, {"say": "two"}), origin=Resume(first.thread_id))
    assert (second.state, second.sandbox_seen, second.answer) == ("succeeded", "read-only", "two")
    assert (second.commands, second.failed_commands, second.responses) == (1, 0, 2)
    fork = do(world, script({"say": "three"}), origin=Fork(first.thread_id))
    assert (fork.state, fork.responses, fork.commands) == ("succeeded", 1, 0)
    told = world.server.usage
    counted = [result.usage.input for result in (first, second, fork)]
    assert sum(counted) == sum(usage.input for usage in told.values())


def test_a_paid_unit_that_is_done_is_not_asked_for_again_by_a_retry(world: World) -> None:
    once = do(world, script({"say": "one"}), paid_key="unit")
    again = do(world, script({"say": "one"}), paid_key="unit")
    assert (again.id, world.server.requests) == (once.id, 1)
    with world.ledger() as ledger:
        [row] = ledger.fetch(ENDS, RunRow)
    assert row.state == "succeeded"


def test_a_codex_that_completes_its_turn_and_does_not_end_is_ended_and_its_answer_kept(world: World) -> None:
    unending = world.folder / "unending"
    unending.write_text(UNENDING.format(codex=world.binary.path))
    unending.chmod(0o755)
    world.binary = msgspec.structs.replace(world.binary, path=str(unending))
    result = do(world, script({"say": "here it is"}))
    assert (problem(result), result.answer) == (("succeeded", None), "here it is")
    with world.ledger() as ledger:
        [row] = ledger.fetch(EXITS)
    end = msgspec.json.decode(str(row["exit_status"]), type=Exit)
    assert (end.outcome, end.stopped_by) == ("stopped", "linger")


def test_a_run_whose_events_are_cut_off_is_judged_by_what_is_whole(world: World) -> None:
    """A killed guard leaves half a line; what the rollout says does not make a success of it."""
    result = do(world, script({"say": "one"}))
    events = Path(result.folder) / "events.jsonl"
    lines = events.read_bytes().splitlines(keepends=True)
    os.truncate(events, sum(map(len, lines[:-1])) + 10)
    assert json.loads(lines[-1])["type"] == "turn.completed"
    with world.ledger() as ledger:
        runner = world.runner_on(ledger)
        [row] = ledger.fetch(ENDS, RunRow)
        begun = runner.begun(row, 1, row.asked)
        judged = runner.finish(begun, begun.attempt.wait())
    assert problem(judged) == ("interrupted", "turn-open")

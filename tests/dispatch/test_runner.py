"""A run on real Codex, from claim to record, and everything that can go wrong with it."""

import json
import os
import signal
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.runs.records import AttemptRow, RunRow
from armarius.store.database import Database
from armarius.store.ledger import events_of
from armarius.store.queries import Query
from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from armarius.thread import Usage
from support.run_world import Gate, World, script

USAGE = Query(
    "usage",
    "Every response.",
    "SELECT response_id, input, cached_input, output, reasoning, source FROM response_usage ORDER BY response_id",
)
RUNS = Query("runs", "Every run.", "SELECT * FROM run ORDER BY id")
ATTEMPTS = Query("attempts", "Every attempt.", "SELECT * FROM attempt ORDER BY run_id, number")
VERDICT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["verdict"],
    "properties": {"verdict": {"enum": ["PASS", "FAIL"]}},
}


def outcomes(ledger: Database) -> list[tuple[int, str | None]]:
    return [(row.number, row.outcome) for row in ledger.fetch(ATTEMPTS, AttemptRow)]


def test_a_run_that_succeeds_is_recorded_with_what_codex_itself_recorded(each_world: World) -> None:
    world = each_world
    prompt = script({"reason": "hm"}, {"sh": "echo hello; exit 3"}, {"say": "so", "phase": "commentary"}, {"say": "42"})
    with world.ledger() as ledger:
        result = world.runner_on(ledger).run(world.request(prompt))
        [row] = ledger.fetch(RUNS, RunRow)
        [attempt] = ledger.fetch(ATTEMPTS, AttemptRow)
        usage = ledger.fetch(USAGE)
        events = events_of(ledger, result.id)

    assert (result.state, result.answer, result.problem, result.exit_code) == ("succeeded", "42", None, 0)
    assert (result.commands, result.failed_commands, result.retries, result.stragglers) == (1, 1, 0, 0)
    assert (result.sandbox, result.sandbox_seen, result.files_evidence) == ("read-only", "read-only", "sandbox")
    assert (result.model, result.codex_version) == ("gpt-5.5", world.binary.version)
    assert result.duration_us == pytest.approx((result.ended_at_us or 0) - (result.started_at_us or 0), abs=1_000_000)  # pyright: ignore[reportUnknownMemberType]

    told = world.server.usage
    assert (result.usage, result.responses) == (sum(told.values(), Usage()), 2)
    assert usage == [
        {
            "response_id": response_id,
            "input": cost.input,
            "cached_input": cost.cached_input,
            "output": cost.output,
            "reasoning": cost.reasoning,
            "source": "rollout",
        }
        for response_id, cost in sorted(told.items())
    ]

    assert result.thread_id == world.server.records[0].headers["thread-id"]
    assert result.rollout is not None
    assert Path(result.rollout).is_relative_to(world.codex_home / "sessions")
    assert Path(result.rollout).name.endswith(f"{result.thread_id}.jsonl")

    assert (row.id, row.state, row.outcome, row.thread_id) == (result.id, "succeeded", result, result.thread_id)
    assert row.asked == world.request(prompt)
    assert (attempt.number, attempt.outcome) == (1, "succeeded")
    assert [(event.kind, json.loads(event.body)) for event in events] == [
        ("run_claimed", {"attempt": 1}),
        ("run_started", {"attempt": 1}),
        ("run_ended", {"attempt": 1, "state": "succeeded"}),
    ]
    assert stat.S_IMODE((world.state / "runs").stat().st_mode) == 0o700


def test_a_run_may_change_its_workspace_and_every_change_is_seen(each_world: World) -> None:
    world = each_world
    (world.project / "old.txt").write_text("old")
    (world.project / "gone.txt").write_text("gone")
    (world.project / ".gitignore").write_text("*.log\n")
    (world.project / ".git").mkdir()
    (world.project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (world.project / os.fsdecode(b"caf\xe9.txt")).write_text("coffee")
    patch = (
        "*** Begin Patch\n*** Update File: old.txt\n@@\n-old\n+new\n*** Add File: sub/made.txt\n+made\n*** End Patch"
    )
    shell = "rm gone.txt; echo x > ignored.log; echo y > .git/HEAD; echo z > ../outside.txt; echo t > $TMPDIR/mine; "
    shell += "printf tea > caf*.txt"
    prompt = script({"sh": shell}, {"patch": patch}, {"say": "done"})
    with world.runner() as runner:
        result = runner.run(world.request(prompt, "workspace-write"))
    assert (result.state, result.sandbox_seen, result.problem) == ("succeeded", "workspace-write", None)
    assert result.files_changed == ("caf\\xe9.txt", "gone.txt", "ignored.log", "old.txt", "sub/made.txt")
    assert result.files_evidence == "stat"
    assert (world.project / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"
    assert not (world.folder / "outside.txt").exists()
    assert (Path(result.folder) / "tmp" / "mine").read_text() == "t\n"


def test_a_read_only_run_changes_nothing(world: World) -> None:
    prompt = script({"sh": "echo x > made.txt; echo x > $TMPDIR/made; echo x > $CODEX_HOME/made"}, {"say": "tried"})
    with world.runner() as runner:
        result = runner.run(world.request(prompt))
    assert (result.state, result.files_changed) == ("succeeded", ())
    assert list(world.project.iterdir()) == []
    assert list((Path(result.folder) / "tmp").rglob("made")) == []
    assert not (world.codex_home / "made").exists()


@pytest.mark.parametrize(
    ("fault", "requests", "code", "said"),
    [
        ("400", 1, "turn-failed", "scripted: bad request"),
        ("401", 1, "login", "unexpected status 401 Unauthorized: scripted: incorrect API key"),
        ("403", 1, "login", "unexpected status 403 Forbidden"),
        ("429", 1, "rate-limited", "exceeded retry limit, last status: 429"),
        ("usage-limit", 1, "rate-limited", "hit your usage limit"),
        ("500", 4, "turn-failed", "high demand"),
        ("failed", 2, "turn-failed", "stream disconnected before completion: scripted failure"),
        ("cut", 2, "turn-failed", "stream disconnected before completion"),
        ("incomplete", 1, "turn-failed", "Incomplete response returned"),
    ],
)
def test_a_turn_that_fails_fails_the_run_and_costs_only_what_the_provider_told(
    world: World, fault: str, requests: int, code: str, said: str
) -> None:
    prompt = script({"sh": "echo one"}, {"fault": fault}, {"say": "never"})
    with world.ledger() as ledger:
        result = world.runner_on(ledger).run(world.request(prompt))
        assert outcomes(ledger) == [(1, "failed")]
        assert len(ledger.fetch(USAGE)) == 1
    assert result.problem is not None
    assert (result.state, result.problem.code, result.answer) == ("failed", code, None)
    assert said in result.problem.message
    assert result.problem.exit_code == (4 if code == "login" else 1)
    assert world.server.requests == 1 + requests
    assert result.usage == sum(world.server.usage.values(), Usage())
    assert (result.commands, result.retries) == (1, 1 if requests > 1 or code == "login" else 0)


def test_a_provider_that_cannot_be_reached_ends_the_run_and_not_its_deadline(world: World) -> None:
    world.configure({"base_url": "http://127.0.0.1:9/v1"})
    with world.runner() as runner:
        result = runner.run(world.request("Say something."))
    assert result.problem is not None
    assert (result.state, result.problem.code) == ("failed", "turn-failed")
    assert "Connection failed" in result.problem.message


@pytest.mark.parametrize("fault", ["silence", "stall"])
def test_a_model_that_falls_silent_is_waited_for_until_the_deadline_and_no_longer(world: World, fault: str) -> None:
    with world.runner() as runner:
        result = runner.run(world.request(f"Say something. [[fault:{fault}]]", deadline_s=2))
    assert result.problem is not None
    assert (result.state, result.problem.code, result.answer) == ("timed_out", "deadline", None)
    assert (result.usage, world.server.usage) == (Usage(), {})


def test_a_command_that_hangs_is_ended_with_its_run(world: World, gate: Gate) -> None:
    """A session of its own and deaf ears do not save it."""
    never, up = Path(f"{gate.fifo}.never"), Path(f"{gate.fifo}.up")
    os.mkfifo(never)
    os.mkfifo(up)
    hang = f"setsid sh -c \"trap '' INT TERM; echo up > {up}; cat {never}\" & cat {never}"
    with world.runner() as runner:
        begun = runner.begin(world.request(script({"sh": hang})))
        assert up.read_text() == "up\n"
        begun.attempt.cancel()
        result = runner.finish(begun, begun.attempt.wait())
    assert result.state == "cancelled"
    assert [entry for entry in Path("/proc").glob("[0-9]*/cmdline") if str(never).encode() in content(entry)] == []


def content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize(
    ("answer", "code", "parsed"),
    [
        ('{"verdict": "PASS"}', None, {"verdict": "PASS"}),
        ('{"verdict": "MAYBE"}', "answer-schema", {"verdict": "MAYBE"}),
        ("The verdict is PASS.", "answer-schema", None),
        ("[" * 5_000, "answer-schema", None),
    ],
)
def test_an_answer_is_checked_against_the_schema_by_us(
    world: World, answer: str, code: str | None, parsed: Any
) -> None:
    with world.ledger() as ledger:
        result = world.runner_on(ledger).run(world.request(script({"say": answer}), schema=VERDICT))
        [row] = ledger.fetch(RUNS, RunRow)
    assert (result.answer, result.parsed) == (answer, parsed)
    assert (result.problem.code if result.problem else None) == code
    assert (result.exit_code, row.outcome) == (0, result)
    [record] = world.server.records
    assert record.request()["text"]["format"]["schema"] == VERDICT


def test_a_model_that_obeys_the_schema_succeeds(each_world: World) -> None:
    with each_world.runner() as runner:
        result = runner.run(each_world.request("Judge it.", schema=VERDICT))
    assert (result.state, result.parsed) == ("succeeded", {"verdict": "PASS"})


def test_codex_that_does_not_start_a_turn_says_why(world: World) -> None:
    (world.codex_home / "config.toml").write_text("model_provider = 'nowhere'\n")
    with world.runner() as runner:
        result = runner.run(world.request("Say something."))
    assert result.problem is not None
    assert (result.state, result.problem.code, result.problem.exit_code) == ("failed", "codex-refused", 4)
    assert "`nowhere` not found" in result.problem.message


def test_a_folder_that_is_gone_is_told_from_a_failure_of_codex(world: World) -> None:
    world.project.rmdir()
    with world.runner() as runner:
        result = runner.run(world.request("Say something.", "workspace-write"))
    assert result.problem is not None
    assert (result.state, result.problem.code, result.problem.exit_code) == ("failed", "not-started", 4)
    assert str(world.project) in result.problem.message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_codex_that_is_killed_never_succeeds(world: World, gate: Gate, number: signal.Signals) -> None:
    with world.ledger() as ledger:
        runner = world.runner_on(ledger)
        begun = runner.begin(world.request(script({"wait": str(gate.fifo)}, {"say": "never"})))
        gate.await_question()
        codex = json.loads((begun.attempt.folder / "guard.json").read_bytes())["codex"]
        os.kill(codex["pid"], number)
        result = runner.finish(begun, begun.attempt.wait())
        assert outcomes(ledger) == [(1, "interrupted")]
    assert result.problem is not None
    how = ("turn-open", None, 1) if number is signal.SIGINT else ("killed", number.name, None)
    assert (result.state, (result.problem.code, result.signal, result.exit_code)) == ("interrupted", how)
    assert result.answer is None


def test_a_cancelled_run_is_ended_well_and_recorded_as_that(world: World, gate: Gate) -> None:
    with world.runner() as runner:
        begun = runner.begin(world.request(script({"wait": str(gate.fifo)}, {"say": "never"})))
        gate.await_question()
        assert begun.attempt.cancel()
        result = runner.finish(begun, begun.attempt.wait())
    assert result.problem is not None
    assert (result.state, result.problem.exit_code) == ("cancelled", 130)
    assert result.rollout is not None
    assert '"turn_aborted"' in Path(result.rollout).read_text()


def test_two_requests_for_one_paid_unit_are_one_run_and_one_call(world: World) -> None:
    request = world.request("Say something.", paid_key="unit")
    with world.ledger() as ledger:
        first = world.runner_on(ledger).run(request)
        again = world.runner_on(ledger).run(request)
        other = world.runner_on(ledger).run(msgspec.structs.replace(request, paid_key="another unit"))
        assert len(ledger.fetch(RUNS)) == 2
        kinds = [event.kind for event in events_of(ledger, first.id)]
    assert again == first
    assert other.id != first.id
    assert world.server.requests == 2
    assert kinds == ["run_claimed", "run_started", "run_ended"]


def test_runs_without_a_key_are_never_taken_for_each_other(world: World) -> None:
    with world.runner() as runner:
        first, second = (runner.run(world.request("Say something.")) for _ in range(2))
    assert first.id != second.id
    assert world.server.requests == 2


def test_a_failed_unit_is_tried_again_under_the_same_run(world: World) -> None:
    with ModelServer(faults={1: Fault("400")}) as server:
        world.configure({"base_url": server.base_url})
        request = world.request(script({"say": "at last"}), paid_key="unit")
        with world.ledger() as ledger:
            failed = world.runner_on(ledger).run(request)
            result = world.runner_on(ledger).run(request)
            assert world.runner_on(ledger).run(request) == result
            assert outcomes(ledger) == [(1, "failed"), (2, "succeeded")]
            events = [(event.kind, json.loads(event.body)) for event in events_of(ledger, result.id)]
            [row] = ledger.fetch(RUNS, RunRow)
        assert server.requests == 2
    assert (failed.state, result.state, result.id) == ("failed", "succeeded", failed.id)
    assert (row.state, row.error_code, row.outcome) == ("succeeded", None, result)
    assert [(kind, body["attempt"]) for kind, body in events] == [
        (kind, attempt) for attempt in (1, 2) for kind in ("run_claimed", "run_started", "run_ended")
    ]
    assert Path(result.folder).parent == Path(failed.folder).parent
    assert Path(failed.folder).is_dir()


def test_a_prompt_an_answer_and_an_error_with_odd_characters_are_kept(world: World) -> None:
    odd = "NUL \x00, escape \x1b[31m, größe 😀"
    with world.ledger() as ledger:
        result = world.runner_on(ledger).run(world.request(script({"say": odd})))
        [row] = ledger.fetch(RUNS, RunRow)
    assert result.answer == odd
    assert row.outcome is not None
    assert row.outcome.answer == odd.replace("\x00", "\ufffd")


def test_what_codex_reads_from_its_home_by_itself_reaches_no_command(each_world: World) -> None:
    world = each_world
    (world.codex_home / ".env").write_bytes(
        b"TEAM_API_KEY=from-the-home\n export PLAIN = from-the-home\nb\xff=1\nPATH=/\n"
    )
    with world.runner() as runner:
        result = runner.run(world.request(script({"sh": "env | grep -c from-the-home; exit 0"}, {"say": "ok"})))
    assert result.state == "succeeded"
    [said] = [item["output"] for item in world.server.records[-1].request()["input"] if "output" in item]
    assert "\n0\n" in str(said).replace("\\n", "\n")


def test_the_world_of_a_run_is_the_one_it_was_given(world: World) -> None:
    world.environ |= {"OPENAI_API_KEY": "sk-ambient-key-of-somebody", "LD_PRELOAD": "/no/such.so", "LC_ALL": "C.UTF-8"}
    with world.runner() as runner:
        begun = runner.begin(world.request(script({"sh": "cat /proc/self/cmdline"}, {"say": "bye"})))
        end = begun.attempt.wait()
        result = runner.finish(begun, end)
    assert result.state == "succeeded"
    launch: dict[str, Any] = json.loads((begun.attempt.folder / "launch.json").read_bytes())
    assert sorted(launch["environ"]) == sorted(
        ["ARMARIUS_ATTEMPT", "CODEX_HOME", "HOME", "LANG", "LC_ALL", "PATH", "TMPDIR"]
    )
    assert launch["argv"][0] == world.binary.path
    assert end.signals_sent == ()

"""Runs that ask a person: real Codex behind the app-server driver, on a scripted model; odd servers as fakes."""

import contextlib
import json
import os
import re
import signal
import uuid
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.clock import SystemClock
from armarius.codex.command import Fork, Resume
from armarius.codex.guard import identity_of
from armarius.codex.orders import Order, Orders
from armarius.codex.process import MARKER
from armarius.dispatch.carrying import carry
from armarius.dispatch.floor import Floor
from armarius.dispatch.keeper import Begun
from armarius.dispatch.meter import attend
from armarius.dispatch.runner import Runner
from armarius.errors import ArmariusError
from armarius.rollouts.reader import read_rollout
from armarius.runs.request import Problem, RunRequest, RunResult
from armarius.store.queries import Query
from armarius.thread import Sandbox, Turn, TurnState
from support.asking import fake_codex, floor_of, only_run, said, until_asked
from support.codex_world import wait_for
from support.prefork import Forked
from support.run_world import Gate, World, script

Other = Callable[..., Forked]

BODIES = Query("bodies", "Every event.", "SELECT body FROM event")
TOUCH = {"sh": "touch made", "ask": "May I?"}


def asking(world: World, *steps: dict[str, Any], **changes: Any) -> RunRequest:
    return world.request(script(*steps), approval="on-request", **changes)


def turns_of(result: RunResult) -> tuple[Turn, ...]:
    assert result.rollout is not None, result
    return read_rollout(Path(result.rollout)).turns


@contextlib.contextmanager
def begun_in(world: World, request: RunRequest) -> Generator[tuple[Runner, Begun, Floor]]:
    """A run that goes on, and where to speak to it; at the end it is over."""
    with world.runner() as runner:
        begun = runner.begin(request)
        try:
            yield runner, begun, floor_of(runner, begun.run_id)
        finally:
            begun.attempt.cancel()
            begun.attempt.wait()


def living(folder: Path) -> list[str]:
    """The programs that carry the mark of an attempt below `folder`."""
    found = list[str]()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARKER}={folder}".encode() in (process / "environ").read_bytes():
                found.append((process / "exe").readlink().name)
    return found


def end_of(runner: Runner, begun: Begun) -> RunResult:
    return runner.finish(begun, attend(runner, begun))


def test_what_a_person_allows_is_done_once_and_recorded(each_world: World) -> None:
    world = each_world
    request = asking(world, TOUCH, {"sh": "touch other", "ask": "And this?"}, {"say": "done"})
    with begun_in(world, request) as (runner, begun, floor):
        [question] = until_asked(begun.attempt.folder.parent)
        assert (question.kind, question.reason, question.cwd) == ("command", "May I?", str(world.project))
        assert "touch made" in (question.command or "")
        assert not (world.project / "made").exists()
        floor.answer("accept", question.id)
        # The next one is a question of its own: an acceptance is for one request.
        wait_for(lambda: [one.id for one in floor.questions()] == ["1.2"], "second question")
        assert (world.project / "made").exists()
        assert not (world.project / "other").exists()
        floor.answer("accept")
        result = end_of(runner, begun)
        kinds = [("approval_requested", None), ("approval_answered", "accept")]
        assert said(runner.ledger, begun.run_id) == [
            (kind, name, decision) for name in ("1.1", "1.2") for kind, decision in kinds
        ]
    assert (result.state, result.answer, result.commands, result.failed_commands) == ("succeeded", "done", 2, 0)
    assert (result.files_changed, result.files_evidence) == (("made", "other"), "stat")
    assert (result.usage.total > 0, result.responses, result.stragglers) == (True, 3, 0)
    # What was allowed is written nowhere for later.
    assert list(world.codex_home.rglob("*.rules")) == []


def test_what_a_person_denies_is_not_done_and_the_agent_is_told_why(world: World) -> None:
    with begun_in(world, asking(world, TOUCH, {"say": "without"})) as (runner, begun, floor):
        until_asked(begun.attempt.folder.parent)
        floor.answer("decline", reason="Not on a Friday.")
        result = end_of(runner, begun)
        assert said(runner.ledger, begun.run_id)[1:] == [("approval_answered", "1.1", "decline")]
    assert (result.state, result.failed_commands, result.files_changed) == ("succeeded", 1, ())
    assert not (world.project / "made").exists()
    assert any("Not on a Friday." in prompt for prompt in world.prompts())


def test_what_nobody_answers_is_ended_by_the_deadline_and_never_done(world: World) -> None:
    with begun_in(world, asking(world, TOUCH, {"say": "done"}, deadline_s=5)) as (runner, begun, _):
        until_asked(begun.attempt.folder.parent)
        with world.runner() as watcher:  # looking is not answering
            watcher.recover()
        result = end_of(runner, begun)
        assert said(runner.ledger, begun.run_id) == [("approval_requested", "1.1", None)]
    assert (result.state, result.problem and result.problem.code) == ("timed_out", "deadline")
    assert (result.files_changed, result.stragglers) == ((), 0)
    assert not (world.project / "made").exists()
    assert turns_of(result)[-1].state is TurnState.INTERRUPTED


def test_a_question_outlives_the_armarius_that_started_the_run(world: World, other: Other) -> None:
    first = other(asking(world, TOUCH, {"say": "done"}, paid_key="unit"))
    run_id, folder = only_run(world)
    until_asked(folder)
    first.kill()
    assert first.wait(60) == -signal.SIGKILL
    with world.runner() as runner:
        assert runner.recover() == []
        assert said(runner.ledger, run_id) == [("approval_requested", "1.1", None)]
        floor_of(runner, run_id).answer("accept")
        wait_for(lambda: bool(runner.recover()), "end")
        row = runner.row(run_id)
        assert (row.state, row.outcome and row.outcome.answer) == ("succeeded", "done")
        assert runner.run(asking(world, TOUCH, {"say": "done"}, paid_key="unit")).id == run_id
        assert said(runner.ledger, run_id) == [
            ("approval_requested", "1.1", None),
            ("approval_answered", "1.1", "accept"),
        ]
    assert (world.project / "made").exists()
    assert world.server.requests == 2


def test_words_in_the_middle_of_a_turn_change_it(each_world: World, gate: Gate) -> None:
    request = asking(each_world, {"wait": str(gate.fifo)}, {"say": "first"})
    with begun_in(each_world, request) as (runner, begun, floor):
        gate.await_question()
        floor.steer(script({"say": "something else"}))
        gate.open()
        result = end_of(runner, begun)
        assert [kind for kind, _, _ in said(runner.ledger, begun.run_id)] == ["run_steered"]
    assert (result.state, result.answer) == ("succeeded", "something else")
    assert len(turns_of(result)) == 1


def test_a_cancelled_run_has_its_turn_interrupted_and_leaves_nothing(world: World) -> None:
    with begun_in(world, asking(world, TOUCH, {"say": "done"})) as (runner, begun, _):
        until_asked(begun.attempt.folder.parent)
        guard = json.loads((begun.attempt.folder / "guard.json").read_bytes())
        begun.attempt.cancel()
        result = end_of(runner, begun)
    assert (result.state, result.exit_code, result.stragglers) == ("cancelled", 1, 0)
    assert turns_of(result)[-1].state is TurnState.INTERRUPTED
    assert identity_of(guard["codex"]["pid"]) is None
    assert not (world.project / "made").exists()


def test_both_drivers_allow_the_same(each_world: World, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.mkdir()
    seen = list[tuple[object, ...]]()
    outside = Path("/tmp") / f"armarius-{uuid.uuid4()}"  # not to be made
    steps = script({"sh": f"touch {outside}"}, {"say": "done"})
    with each_world.runner() as runner:
        for sandbox, dirs in (("read-only", ()), ("workspace-write", (str(extra),))):
            for approval in ("never", "on-request"):
                request = each_world.request(steps, sandbox, add_dirs=dirs, approval=approval, effort="low")
                result = runner.run(request)
                assert result.state == "succeeded", result
                [turn] = turns_of(result)
                assert turn.approval == approval
                assert (result.failed_commands, outside.exists()) == (1, False)
                seen.append(
                    (turn.sandbox, turn.network, sorted(turn.writable_roots), turn.cwd, turn.model, turn.effort)
                )
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert [one[0] for one in seen[::2]] == [Sandbox.READ_ONLY, Sandbox.WORKSPACE_WRITE]


@pytest.mark.parametrize("origin", [Resume, Fork])
def test_a_thread_that_goes_on_inherits_no_permission(each_world: World, origin: type[Resume] | type[Fork]) -> None:
    with each_world.runner() as runner:
        first = runner.run(each_world.request(script({"say": "one"}), "workspace-write"))
        assert first.thread_id is not None
        again = asking(each_world, {"sh": "touch made"}, {"say": "two"}, origin=origin(first.thread_id))
        result = runner.run(again)
    assert (result.state, result.answer, result.sandbox_seen) == ("succeeded", "two", "read-only")
    assert (result.thread_id == first.thread_id) == (origin is Resume)
    assert not (each_world.project / "made").exists()


@pytest.mark.parametrize("fault", ["400", "401", "usage-limit", "cut"])
def test_failures_are_the_same_whichever_driver_sees_them(world: World, fault: str) -> None:
    with world.runner() as runner:
        plain = runner.run(world.request(script({"fault": fault})))
        asked = runner.run(asking(world, {"fault": fault}))
    assert plain.problem is not None
    assert asked.problem is not None
    assert (asked.state, _timeless(asked.problem), asked.retries) == (
        plain.state,
        _timeless(plain.problem),
        plain.retries,
    )


def _timeless(problem: Problem) -> Problem:
    """The problem without the minute that a limit names, which may pass between two runs."""
    if problem.retry_at_us is None:
        return problem
    message, hint = (re.sub(r"\d+", "#", text) for text in (problem.message, problem.hint))
    return msgspec.structs.replace(problem, message=message, hint=hint, retry_at_us=0)


def test_the_form_of_an_answer_is_asked_for_and_checked(world: World) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    schema |= {"additionalProperties": False}
    with world.runner() as runner:
        fits = runner.run(asking(world, {"say": '{"n":1}'}, schema=schema))
        misfit = runner.run(asking(world, {"say": "no"}, schema=schema))
    assert (fits.state, fits.parsed) == ("succeeded", {"n": 1})
    assert misfit.problem is not None
    assert misfit.problem.code == "answer-schema"
    assert world.server.records[0].request()["text"]["format"]["schema"] == schema


def test_a_patch_outside_the_sandbox_is_shown_before_it_is_made(world: World) -> None:
    patch = "*** Begin Patch\n*** Add File: n.txt\n+hello\n*** End Patch"
    with begun_in(world, asking(world, {"patch": patch}, {"say": "patched"})) as (runner, begun, floor):
        [question] = until_asked(begun.attempt.folder.parent)
        assert question.kind == "file_change"
        [change] = question.changes
        assert (Path(change.path).name, change.kind, change.diff) == ("n.txt", "add", "hello\n")
        floor.answer("accept")
        result = end_of(runner, begun)
    assert (result.state, result.files_changed) == ("succeeded", ("n.txt",))


def test_what_an_agent_wants_to_know_waits_for_an_answer(world: World) -> None:
    world.configure(features={"default_mode_request_user_input": True})
    options = [{"label": "red", "description": "r"}, {"label": "blue", "description": "b"}]
    arguments = {"questions": [{"id": "q", "header": "Colour", "question": "Which?", "options": options}]}
    call = {"call": {"name": "request_user_input", "arguments": arguments}}
    with begun_in(world, asking(world, call, {"say": "thanks"})) as (runner, begun, floor):
        [question] = until_asked(begun.attempt.folder.parent)
        assert (question.kind, [(ask.question, ask.options) for ask in question.asks]) == (
            "input",
            [("Which?", ("red", "blue"))],
        )
        for wrong in (lambda: floor.answer("accept"), lambda: floor.answer("reply", replies=("a", "b"))):
            with pytest.raises(ArmariusError):
                wrong()
        floor.answer("reply", replies=("green",))
        assert end_of(runner, begun).answer == "thanks"
    outputs = [item for item in world.server.records[-1].request()["input"] if "output" in item]
    assert "green" in json.dumps(outputs)


# ------------------------------------------------------------ servers that are not Codex


def request_of(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"id": number, "method": method, "params": {"itemId": "i", "startedAtMs": 1} | params}


def command_of(number: int, command: str) -> dict[str, Any]:
    return request_of(number, "item/commandExecution/requestApproval", command=command, cwd="/x")


@contextlib.contextmanager
def fake_run(world: World, *says: dict[str, Any], last: object = None, **opened: Any) -> Generator[Any]:
    binary, log = fake_codex(world, *says, last=last, **opened)
    with world.ledger() as ledger:
        runner = Runner(ledger, SystemClock(), world.state / "runs", binary, world.environ)
        begun = runner.begin(asking(world, {"say": "x"}))
        try:
            yield runner, begun, floor_of(runner, begun.run_id), log
        finally:
            begun.attempt.cancel()
            begun.attempt.wait()


def told(log: Path) -> dict[int, Any]:
    """What was answered to each of the fake's requests."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return {line["id"]: line.get("result", line.get("error")) for line in lines if "method" not in line}


def code_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(ArmariusError) as caught:
        attempt()
    return caught.value.code


def test_of_several_questions_each_has_its_own_answer_once(world: World) -> None:
    with fake_run(world, command_of(7, "one"), command_of(8, "two"), last=7) as (runner, begun, floor, log):
        asked = until_asked(begun.attempt.folder.parent, several=2)
        assert [(one.id, one.command) for one in asked] == [("1.1", "one"), ("1.2", "two")]
        assert code_of(lambda: floor.answer("accept")) == "which-question"
        assert code_of(lambda: floor.answer("accept", "1.3")) == "question-unknown"
        assert code_of(lambda: floor.answer("accept", "../1.1")) == "question-unknown"
        floor.answer("decline", "1.2")
        assert code_of(lambda: floor.answer("accept", "1.2")) == "already-answered"
        # Two who saw it at the same moment: the one who comes second is told.
        late = Order(name="answer-1.2", by="other", at_us=1, to="1.2", decision="accept")
        assert code_of(lambda: Orders(begun.attempt.folder).give(late)) == "already-answered"
        floor.answer("accept")
        begun.attempt.wait()
        assert told(log) == {8: {"decision": "decline"}, 7: {"decision": "accept"}}
        assert code_of(lambda: floor.answer("accept", "1.1")) == "already-answered"
        assert code_of(lambda: floor.steer("too late")) == "not-carried-out"
        assert len(said(runner.ledger, begun.run_id)) == 4 + 1


@pytest.mark.parametrize(
    ("params", "method", "code", "declined"),
    [
        ({"grantRoot": "/"}, "item/fileChange/requestApproval", "grant-root", {"decision": "decline"}),
        ({"permissions": {"network": {"enabled": True}}, "cwd": "/x"}, "item/permissions/requestApproval",
         "not-acceptable", {"permissions": {}}),
        ({"message": "May I?"}, "mcpServer/elicitation/request", "not-acceptable", {"action": "decline"}),
        ({"x": 1}, "item/new/question", "not-acceptable", {"code": -32000, "message": "no"}),
        ({"command": ["x"]}, "execCommandApproval", "not-acceptable", {"code": -32000, "message": "no"}),
    ],
)  # fmt: skip
def test_what_would_allow_more_than_one_thing_may_only_be_denied(
    world: World, params: dict[str, Any], method: str, code: str, declined: Any
) -> None:
    with fake_run(world, request_of(7, method, **params), last=7) as (runner, begun, floor, log):
        until_asked(begun.attempt.folder.parent)
        assert code_of(lambda: floor.answer("accept")) == code
        assert told(log) == {}
        floor.answer("decline", reason="no")
        begun.attempt.wait()
        assert told(log) == {7: declined}
        assert [decision for _, _, decision in said(runner.ledger, begun.run_id)] == [None, "decline"]


def test_a_question_that_codex_takes_back_waits_no_more(world: World) -> None:
    gone = {"method": "serverRequest/resolved", "params": {"requestId": 7}}
    with fake_run(world, command_of(7, "one"), gone, command_of(8, "two")) as (_, _, floor, log):
        wait_for(lambda: [one.id for one in floor.questions()] == ["1.2"], "second question")
        assert code_of(lambda: floor.answer("accept", "1.1")) == "already-answered"
        assert told(log) == {}


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        ({"sandbox": {"type": "dangerFullAccess"}}, "sandbox dangerFullAccess"),
        ({"sandbox": {"type": "readOnly", "networkAccess": True}}, "network access"),
        ({"sandbox": {"type": "readOnly", "writableRoots": ["/home"]}}, "write access to /home"),
        ({"sandbox": {}}, "sandbox None"),
        ({"approvalPolicy": "never"}, "approval never"),
        ({"approvalPolicy": {"granular": {}}}, "approval {'granular': {}}"),
        ({"cwd": "/"}, "the folder /"),
    ],
)
def test_a_thread_that_is_opened_wider_is_never_asked_anything(
    world: World, opened: dict[str, Any], words: str
) -> None:
    with fake_run(world, **opened) as (runner, begun, _, log):
        result = end_of(runner, begun)
    assert result.problem is not None
    assert (result.state, result.problem.code, result.problem.exit_code) == ("failed", "sandbox-wider", 5)
    assert words in result.problem.message
    assert "turn/start" not in log.read_text()


def test_rules_that_came_after_the_wish_stop_a_run_before_anything_is_asked(world: World) -> None:
    (world.codex_home / "rules").mkdir()
    (world.codex_home / "rules" / "default.rules").write_text('prefix_rule(pattern=["touch"], decision="allow")')
    with world.runner() as runner:
        result = runner.run(asking(world, {"sh": "touch made"}, {"say": "done"}))
    assert result.problem is not None
    assert (result.problem.code, world.server.requests) == ("sandbox-wider", 0)


def test_what_a_person_was_asked_is_not_asked_again_by_itself(world: World) -> None:
    request = asking(world, {"sh": "mkdir -p .", "ask": "May I?"}, {"fault": "cut"})
    with begun_in(world, request) as (runner, begun, floor):
        until_asked(begun.attempt.folder.parent)
        floor.answer("accept")
        result = carry(runner, begun)
        assert result.problem is not None
        assert runner.last_attempt(runner.row(begun.run_id)).number == 1


def test_secrets_in_a_question_stay_out_of_the_ledger(world: World) -> None:
    key = "sk-" + "a1B2" * 8
    with fake_run(world, command_of(7, f"curl -H {key}\x1b[2J"), last=7) as (runner, begun, floor, _):
        until_asked(begun.attempt.folder.parent)
        floor.answer("decline", reason=f"because {key}")
        begun.attempt.wait()
        bodies = [row["body"] for row in runner.ledger.fetch(BODIES)]
        assert "[redacted:openai-key]" in "".join(bodies)
        assert key not in "".join(bodies)


def test_a_driver_that_is_killed_takes_its_codex_along(world: World) -> None:
    with begun_in(world, asking(world, TOUCH, {"say": "done"})) as (runner, begun, _):
        until_asked(begun.attempt.folder.parent)
        driver = json.loads((begun.attempt.folder / "guard.json").read_bytes())["codex"]["pid"]
        os.kill(driver, signal.SIGKILL)
        result = end_of(runner, begun)
    assert (result.state, result.signal) == ("interrupted", "SIGKILL")
    assert not (world.project / "made").exists()
    assert living(world.state) == []

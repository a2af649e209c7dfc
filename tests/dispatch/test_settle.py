"""What an attempt left behind -> what came of the run; values in, values out."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.codex.events import Stream, read_stream
from armarius.codex.process import Exit
from armarius.runs.request import RunRequest
from armarius.runs.settle import Remains, responses_of, settle
from armarius.thread import (
    AgentMessage,
    Command,
    FileSpot,
    Item,
    ItemStatus,
    Notice,
    ResponseUsage,
    Sandbox,
    StreamSpot,
    Thread,
    Turn,
    TurnState,
    Usage,
)

DATA = Path(__file__).parents[1] / "data" / "exec"
SPOT = FileSpot("rollout", 0)
REQUEST = RunRequest(
    role="worker",
    prompt="p",
    cwd="/w",
    sandbox="read-only",
    home="/h",
    codex_home="/c",
    tools_path="/bin",
)
WRITING = msgspec.structs.replace(REQUEST, sandbox="workspace-write")
SAID = (AgentMessage("m", "the answer", StreamSpot("s", 3)),)
STREAM = Stream(thread_id="t", state=TurnState.COMPLETED, items=SAID, usage=Usage(input=9, output=1))
TURN = Turn("u", TurnState.COMPLETED, sandbox=Sandbox.READ_ONLY, network=False, approval="never", model="gpt-5.5")
RESPONSES = (
    ResponseUsage("r1", "u", Usage(100, 40, 1, 10, 5), SPOT),
    ResponseUsage("r2", "u", Usage(200, 80, 2, 20, 6), SPOT),
)
THREAD = Thread("t", "/c/rollout.jsonl", turns=(TURN,), responses=RESPONSES)
EXITED = Exit("exited", 1, 5, 4, exit_code=0)
GOOD = Remains(EXITED, STREAM, thread=THREAD)


def change(value: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(value, **changes)


def judged(remains: Remains, request: RunRequest = REQUEST) -> tuple[str, str | None, int]:
    """State, problem, exit code: what a caller acts on."""
    result = settle("run_1", "/f", request, "0.163.0", remains)
    problem = result.problem
    assert (problem is None) == (result.state == "succeeded")
    return result.state, problem.code if problem else None, problem.exit_code if problem else 0


def allowed(**more: Any) -> Remains:
    """What a good run leaves, but for what its turn was allowed to do."""
    return change(GOOD, thread=change(THREAD, turns=(change(TURN, **more),)))


def turns(*kept: Turn) -> Remains:
    return change(GOOD, thread=change(THREAD, turns=kept))


def failing(message: str) -> Remains:
    return change(GOOD, stream=change(STREAM, state=TurnState.FAILED, error=message), exit=change(EXITED, exit_code=1))


def ended(outcome: str, **more: Any) -> Remains:
    return change(GOOD, exit=Exit(outcome, **more))  # pyright: ignore[reportArgumentType]


OPEN = change(STREAM, state=TurnState.OPEN)
MUTE = Stream()

HOW_IT_ENDED = {
    "well": (GOOD, ("succeeded", None, 0)),
    "cancelled": (ended("cancelled", exit_code=1), ("cancelled", "cancelled", 130)),
    "deadline": (change(ended("deadline", signal="SIGKILL"), stream=OPEN), ("timed_out", "deadline", 1)),
    "deadline after a completed turn": (ended("deadline", signal="SIGKILL"), ("succeeded", None, 0)),
    "deadline after a failed turn": (
        change(failing("no"), exit=Exit("deadline", signal="SIGKILL")),
        ("failed", "turn-failed", 1),
    ),
    "completed, and never ended": (
        ended("stopped", stopped_by="linger", signal="SIGKILL"),
        ("succeeded", None, 0),
    ),
    "completed for the stream alone, and never ended": (
        change(allowed(state=TurnState.OPEN), exit=Exit("stopped", stopped_by="linger", exit_code=1)),
        ("failed", "turn-disagrees", 1),
    ),
    "failed, and never ended": (
        change(failing("no"), exit=Exit("stopped", stopped_by="linger", signal="SIGKILL")),
        ("failed", "turn-failed", 1),
    ),
    "completed as its lease was lost": (ended("stopped", stopped_by="lease"), ("interrupted", "lease-lost", 6)),
    "completed after its login was refused": (
        ended("stopped", stopped_by="login-refused", exit_code=1),
        ("succeeded", None, 0),
    ),
    "flood": (ended("output_cap", output_bytes=7), ("failed", "output-cap", 1)),
    "not started": (ended("not_started", error="No such file: /x"), ("failed", "not-started", 4)),
    "guard killed": (
        change(ended("lost"), stream=OPEN, thread=change(THREAD, turns=(change(TURN, state=TurnState.OPEN),))),
        ("crashed", "guard-lost", 1),
    ),
    "guard killed before there was a thread": (
        change(ended("lost"), stream=MUTE, thread=None),
        ("crashed", "guard-lost", 1),
    ),
    "guard killed after the turn": (ended("lost"), ("succeeded", None, 0)),
    "guard killed after the turn, which only the rollout knows": (
        change(ended("lost"), stream=OPEN),
        ("failed", "guard-lost", 1),
    ),
    "guard killed after the turn, which only the stream knows": (
        change(ended("lost"), thread=change(THREAD, turns=(change(TURN, state=TurnState.OPEN),))),
        ("failed", "turn-disagrees", 1),
    ),
    "killed after the turn": (ended("exited", signal="SIGSEGV"), ("failed", "exit-code", 1)),
    "killed within the turn": (
        change(ended("exited", signal="SIGKILL"), stream=OPEN),
        ("interrupted", "killed", 1),
    ),
    "ended within the turn": (change(GOOD, stream=OPEN), ("interrupted", "turn-open", 1)),
    "ended before a thread": (change(GOOD, stream=MUTE, thread=None), ("failed", "codex-refused", 4)),
    "ended badly after the turn": (ended("exited", exit_code=101), ("failed", "exit-code", 1)),
    "turn failed": (failing("no"), ("failed", "turn-failed", 1)),
    "turn failed, then killed": (
        change(failing("no"), exit=Exit("exited", signal="SIGTERM")),
        ("failed", "turn-failed", 1),
    ),
    "no rollout": (change(GOOD, thread=None), ("failed", "sandbox-unverified", 5)),
    "empty rollout": (turns(), ("failed", "sandbox-unverified", 5)),
    "no sandbox recorded": (allowed(sandbox=None), ("failed", "sandbox-unverified", 5)),
    "rollout says failed": (allowed(state=TurnState.FAILED, error="x"), ("failed", "turn-disagrees", 1)),
    "rollout says open": (allowed(state=TurnState.OPEN), ("failed", "turn-disagrees", 1)),
    "rollout says interrupted": (allowed(state=TurnState.INTERRUPTED), ("failed", "turn-disagrees", 1)),
    "no answer": (change(GOOD, stream=change(STREAM, items=())), ("failed", "answer-missing", 1)),
}


@pytest.mark.parametrize("name", HOW_IT_ENDED)
def test_how_a_run_ended_follows_from_what_it_left(name: str) -> None:
    remains, expected = HOW_IT_ENDED[name]
    assert judged(remains) == expected


WIDER = ("failed", "sandbox-wider", 5)


@pytest.mark.parametrize(
    ("asked", "remains", "expected"),
    [
        (REQUEST, allowed(sandbox=Sandbox.WORKSPACE_WRITE), WIDER),
        (REQUEST, allowed(sandbox=Sandbox.DANGER_FULL_ACCESS), WIDER),
        (WRITING, allowed(sandbox=Sandbox.DANGER_FULL_ACCESS), WIDER),
        (WRITING, allowed(sandbox=Sandbox.WORKSPACE_WRITE), ("succeeded", None, 0)),
        (WRITING, allowed(sandbox=Sandbox.READ_ONLY), ("succeeded", None, 0)),
        (REQUEST, allowed(network=True), WIDER),
        (REQUEST, allowed(network=None), ("succeeded", None, 0)),
        (WRITING, allowed(sandbox=Sandbox.WORKSPACE_WRITE, writable_roots=("/home",)), WIDER),
        (REQUEST, allowed(approval="on-request"), WIDER),
        (REQUEST, allowed(approval=None), ("succeeded", None, 0)),
        (REQUEST, turns(change(TURN, sandbox=Sandbox.DANGER_FULL_ACCESS), TURN), WIDER),
        (REQUEST, turns(TURN, change(TURN, sandbox=Sandbox.WORKSPACE_WRITE)), WIDER),
        (change(REQUEST, sandbox="danger-full-access"), allowed(network=True), ("succeeded", None, 0)),
    ],
    ids=range(13),
)
def test_a_run_that_was_allowed_more_than_was_asked_fails(
    asked: RunRequest, remains: Remains, expected: tuple[str, str | None, int]
) -> None:
    assert judged(remains, asked) == expected


@pytest.mark.parametrize("name", ["well", "cancelled", "deadline", "guard killed", "turn failed", "no answer"])
def test_a_wider_sandbox_is_reported_however_the_run_ended(name: str) -> None:
    remains, _ = HOW_IT_ENDED[name]
    assert remains.thread is not None
    wider = change(remains.thread, turns=(change(TURN, sandbox=Sandbox.DANGER_FULL_ACCESS, network=True),))
    result = settle("run_1", "/f", REQUEST, "0.163.0", change(remains, thread=wider))
    assert result.problem is not None
    assert (result.state, result.problem.code) == ("failed", "sandbox-wider")
    assert "asked for read-only and Codex recorded danger-full-access, network access" in result.problem.message
    assert (result.answer, result.sandbox_seen, result.files_evidence) == (None, "danger-full-access", "unknown")


@pytest.mark.parametrize(
    ("name", "code", "exit_code"),
    [
        ("0.169-e401", "login", 4),
        ("0.169-e403", "login", 4),
        ("0.169-e429", "rate-limited", 1),
        ("0.169-eusage", "rate-limited", 1),
        ("0.169-e500", "turn-failed", 1),
        ("0.169-failed", "turn-failed", 1),
        ("0.169-failed-ctx", "turn-failed", 1),
        ("0.169-failed-quota", "turn-failed", 1),
        ("0.169-incomplete", "turn-failed", 1),
        ("0.169-cut", "turn-failed", 1),
        ("0.169-unreachable-retries1", "turn-failed", 1),
    ],
)
def test_a_failed_turn_is_named_for_what_one_can_do_about_it(name: str, code: str, exit_code: int) -> None:
    stream = read_stream(DATA / f"{name}.jsonl")
    remains = change(GOOD, stream=stream, exit=change(EXITED, exit_code=1))
    result = settle("run_1", "/f", REQUEST, "0.169.0", remains)
    assert result.problem is not None
    assert (result.state, result.problem.code, result.problem.exit_code) == ("failed", code, exit_code)
    assert result.problem.message == stream.error
    assert result.answer is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Missing environment variable: `OURS_KEY`.", "login"),
        ("unexpected status 403 Forbidden: no", "login"),
        ("unexpected status 4031 odd", "turn-failed"),
        ("unexpected status 500 Internal Server Error: unexpected status 401", "turn-failed"),
        ('{"error": {"message": "unexpected status 401 in the text of a provider"}}', "turn-failed"),
        ("the agent says: You've hit your usage limit", "turn-failed"),
        ("You've hit your usage limit.", "rate-limited"),
        ("", "turn-failed"),
    ],
)
def test_only_what_codex_puts_first_is_taken_for_a_status(message: str, code: str) -> None:
    assert judged(failing(message))[1] == code


def test_a_secret_in_a_message_of_the_provider_goes_nowhere() -> None:
    key = "sk-proj-abcdefghijklmnop1234567890"
    for remains in (
        failing(f"unexpected status 401 Unauthorized: Incorrect API key provided: {key}, url: http://h/v1"),
        failing(f"api_key={key}"),
        change(GOOD, stream=MUTE, stderr=f"Error: cannot use {key}\n", thread=None),
        change(GOOD, stream=MUTE, stderr=f"could not start with {key}\n", thread=None),
    ):
        result = settle("run_1", "/f", REQUEST, "0.163.0", remains)
        assert b"abcdefghijklmnop" not in msgspec.json.encode(result)
        assert result.problem is not None
        assert "[redacted:" in result.problem.message


REASONS = {
    "badmodelprov": "Error: Model provider `zzz` not found",
    "badtoml": "Error loading config.toml: unknown variant `zzz`, expected one of `read-only`, `workspace-write`,"
    " `danger-full-access` in `sandbox_mode`",
    "rules-bad": "Error loading rules: /srv/cxlab/ch/rules/bad.rules:2: starlark error: error: Parse error:"
    " unexpected new line, expected expression (problem is on or around line 2)",
    "two-writers": "Error: thread/resume: thread/resume failed: thread 01a1f8f1-1b6e-71f1-8e41-2018728ffa8a already"
    " has an active writer (code -32600)",
    "badflag": "error: unexpected argument '--nope' found",
    "emptyprompt": "No prompt provided via stdin.",
    "nogit": "Not inside a trusted directory and --skip-git-repo-check was not specified.",
}


@pytest.mark.parametrize("name", REASONS)
def test_why_codex_did_not_start_is_what_it_said_and_not_its_backtrace(name: str) -> None:
    remains = change(GOOD, stream=MUTE, stderr=(DATA / f"{name}.stderr").read_text(), thread=None)
    result = settle("run_1", "/f", REQUEST, "0.169.0", remains)
    assert result.problem is not None
    assert result.problem.message == f"codex did not start a turn: {REASONS[name]}"


def test_a_codex_that_says_nothing_at_all_is_said_to_have_said_nothing() -> None:
    result = settle("run_1", "/f", REQUEST, "0.169.0", change(GOOD, stream=MUTE, stderr=" \n", thread=None))
    assert result.problem is not None
    assert result.problem.message.endswith("it said nothing")


SCHEMA = {"type": "object", "required": ["verdict"]}


@pytest.mark.parametrize(
    ("answer", "parsed", "problem"),
    [
        ('{"verdict": "PASS"}', {"verdict": "PASS"}, None),
        ("{}", {}, ("answer-schema", 'the answer: "verdict" is a required property')),
        ("PASS", None, ("answer-schema", "the answer is not JSON: ")),
        ("[" * 5_000, None, ("answer-schema", "the answer is not JSON: ")),
        ('{"verdict": sk-abcdefghijklmnop1234', None, ("answer-schema", "the answer is not JSON: ")),
    ],
)
def test_an_answer_is_kept_whether_it_fits_the_schema_or_not(
    answer: str, parsed: Any, problem: tuple[str, str] | None
) -> None:
    said = change(STREAM, items=(AgentMessage("m", answer, SPOT),))
    result = settle("run_1", "/f", change(REQUEST, schema=SCHEMA), "0.163.0", change(GOOD, stream=said))
    assert (result.answer, result.parsed) == (answer, parsed)
    if problem is None:
        assert (result.state, result.problem) == ("succeeded", None)
    else:
        assert result.problem is not None
        assert (result.state, result.problem.code, result.problem.exit_code) == ("failed", problem[0], 1)
        assert result.problem.message.startswith(problem[1])


def test_a_misfit_does_not_repeat_a_secret_of_the_answer() -> None:
    schema = {"type": "object", "properties": {"key": {"enum": ["none"]}}}
    said = change(STREAM, items=(AgentMessage("m", '{"key": "sk-abcdefghijklmnop1234567890"}', SPOT),))
    result = settle("run_1", "/f", change(REQUEST, schema=schema), "0.163.0", change(GOOD, stream=said))
    assert result.problem is not None
    assert "abcdefghijklmnop" not in result.problem.message


def test_the_answer_is_the_last_message_and_only_of_a_completed_turn() -> None:
    said = change(STREAM, items=(AgentMessage("a", "first", SPOT), *SAID))
    assert settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, stream=said)).answer == "the answer"
    broken = change(said, state=TurnState.OPEN)
    assert settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, stream=broken)).answer is None
    assert settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, stream=said, thread=None)).answer is None


def test_usage_is_the_sum_of_the_responses_in_the_rollout_and_else_the_total_of_the_stream() -> None:
    result = settle("run_1", "/f", REQUEST, "0.163.0", GOOD)
    assert (result.usage, result.responses) == (Usage(300, 120, 3, 30, 11), 2)
    assert responses_of(GOOD) == RESPONSES
    without = settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, thread=change(THREAD, responses=())))
    assert (without.usage, without.responses) == (Usage(input=9, output=1), 1)
    nothing = settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, stream=OPEN, thread=None))
    assert nothing.usage == Usage(input=9, output=1)
    mute = settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, stream=MUTE, thread=None))
    assert (mute.usage, mute.responses) == (Usage(), 0)


def command(status: ItemStatus) -> Command:
    return Command("c", "ls", SPOT, status=status)


def test_commands_are_counted_in_the_rollout_and_only_without_one_in_the_stream() -> None:
    ran: tuple[Item, ...] = (command(ItemStatus.COMPLETED), command(ItemStatus.FAILED), command(ItemStatus.DECLINED))
    both = turns(change(TURN, items=ran), change(TURN, items=ran[:1]))
    result = settle("run_1", "/f", REQUEST, "0.163.0", both)
    assert (result.commands, result.failed_commands) == (4, 2)
    streamed = change(STREAM, items=(*SAID, *ran[:2]))
    for thread in (None, change(THREAD, turns=())):
        result = settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, stream=streamed, thread=thread))
        assert (result.commands, result.failed_commands) == (2, 1)


def test_a_refused_login_is_told_in_the_same_words_whichever_came_first_the_error_or_our_stop() -> None:
    why = "unexpected status 401 Unauthorized: no such key, url: http://127.0.0.1:1/v1/responses"
    notices = (Notice("1", f"Reconnecting... 1/5 ({why})", SPOT),)
    stopped = ended("stopped", stopped_by="login-refused")
    open_turn = change(stopped, stream=change(STREAM, items=notices, state=TurnState.OPEN))
    failed = change(stopped, stream=change(STREAM, items=notices, state=TurnState.FAILED, error=why))
    problems = [settle("run_1", "/f", REQUEST, "0.163.0", remains).problem for remains in (open_turn, failed)]
    assert [problem and (problem.code, problem.message) for problem in problems] == [("login", why)] * 2


def test_retries_are_the_notices_of_a_reconnection() -> None:
    notices = [Notice(str(n), text, SPOT) for n, text in enumerate(["Reconnecting... 1/5", "careful", "Reconnecting"])]
    result = settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, stream=change(STREAM, items=(*notices, *SAID))))
    assert result.retries == 2


@pytest.mark.parametrize(
    ("asked", "remains", "evidence"),
    [
        (REQUEST, GOOD, "sandbox"),
        (REQUEST, change(GOOD, thread=None), "unknown"),
        (REQUEST, allowed(sandbox=None), "unknown"),
        (REQUEST, turns(change(TURN, sandbox=Sandbox.WORKSPACE_WRITE), TURN), "unknown"),
        (WRITING, GOOD, "unknown"),
        (WRITING, change(GOOD, files=()), "stat"),
        (WRITING, change(GOOD, files=("a",)), "stat"),
    ],
    ids=range(7),
)
def test_it_is_said_how_it_is_known_which_files_changed(asked: RunRequest, remains: Remains, evidence: str) -> None:
    result = settle("run_1", "/f", asked, "0.163.0", remains)
    assert (result.files_evidence, result.files_changed) == (evidence, remains.files or ())


def test_a_result_repeats_what_the_guard_and_codex_recorded() -> None:
    end = Exit("exited", 10, 30, 20, exit_code=0, stragglers=2)
    result = settle("run_1", "/f", REQUEST, "0.163.0", change(GOOD, exit=end))
    assert (result.id, result.folder, result.role, result.codex_version) == ("run_1", "/f", "worker", "0.163.0")
    assert (result.thread_id, result.rollout, result.model) == ("t", "/c/rollout.jsonl", "gpt-5.5")
    assert (result.started_at_us, result.ended_at_us, result.duration_us, result.stragglers) == (10, 30, 20, 2)
    assert (result.sandbox, result.sandbox_seen, result.exit_code, result.signal) == ("read-only", "read-only", 0, None)


@pytest.mark.parametrize("name", HOW_IT_ENDED)
def test_a_result_can_be_kept_as_json(name: str) -> None:
    result = settle("run_1", "/f", REQUEST, "0.163.0", HOW_IT_ENDED[name][0])
    assert msgspec.json.decode(msgspec.json.encode(result), type=type(result)) == result

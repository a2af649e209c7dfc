"""What a person or a program acts on: limits and when they end, calls that ask, goals, generations."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from armarius.clock import parse_rfc3339
from armarius.rollouts.formats import classify, read_thread
from armarius.rollouts.generations import generation_of
from armarius.rollouts.reader import read_rollout
from armarius.thread import Command, Format, Goal, Thread, ToolCall, Turn, TurnState

DATA = Path(__file__).parents[1] / "data"
AT = "2026-11-20T12:00:00.000Z"
AT_US = parse_rfc3339(AT)
LIMIT = "You’ve hit your usage limit. Visit https://chatgpt.com/settings/usage to purchase more credits or try again"  # noqa: RUF001


def line(kind: str, payload: dict[str, Any]) -> bytes:
    return json.dumps({"timestamp": AT, "type": kind, "payload": payload}).encode() + b"\n"


def event(kind: str, **fields: Any) -> bytes:
    return line("event_msg", {"type": kind, **fields})


def call(name: str, arguments: Any, call_id: str = "c1") -> bytes:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return line("response_item", {"type": "function_call", "call_id": call_id, "name": name, "arguments": text})


def answer(output: str, call_id: str = "c1") -> bytes:
    return line("response_item", {"type": "function_call_output", "call_id": call_id, "output": output})


def read(folder: Path, *lines: bytes) -> Thread:
    path = folder / "rollout.jsonl"
    path.write_bytes(line("session_meta", {"id": "own"}) + event("task_started", turn_id="t1") + b"".join(lines))
    return read_rollout(path)


def failed(folder: Path, message: str, info: Any, limits: Any = None) -> Turn:
    count = event("token_count", info=None, rate_limits=limits)
    end = event("task_complete", turn_id="t1", error={"message": message, "codex_error_info": info})
    return read(folder, count, end).turns[0]


@pytest.mark.parametrize(
    ("message", "info", "kind", "is_limited"),
    [
        (LIMIT, "usage_limit_exceeded", "usage_limit_exceeded", True),
        (LIMIT, None, "usage_limit_exceeded", True),
        (LIMIT, "other", "usage_limit_exceeded", True),
        ("You've hit your usage limit.", None, "usage_limit_exceeded", True),
        ("exceeded retry limit, last status: 429 Too Many Requests", None, "too_many_requests", True),
        ("no", {"response_too_many_failed_attempts": {"http_status_code": 429}}, "too_many_requests", True),
        ("no", {"http_connection_failed": {"http_status_code": 401}}, "http_connection_failed", False),
        ("The words: You’ve hit your usage limit.", "other", "other", False),  # noqa: RUF001
        ("stream disconnected before completion", "other", "other", False),
        ("no", None, None, False),
        ("no", 7, None, False),
        ("no", {}, None, False),
    ],
)
def test_why_a_turn_failed_is_told_in_one_word(
    tmp_path: Path,
    message: str,
    info: Any,
    kind: str | None,
    is_limited: bool,  # noqa: FBT001
) -> None:
    turn = failed(tmp_path, message, info)

    assert (turn.state, turn.error, turn.error_kind) == (TurnState.FAILED, message, kind)
    assert turn.is_rate_limited is is_limited


FULL = {"used_percent": 100.0, "window_minutes": 300, "resets_at": AT_US // 1_000_000 + 3_600}
HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("limits", "message", "after_us"),
    [
        pytest.param({"primary": FULL}, LIMIT, HOUR, id="the window that is used up"),
        pytest.param(
            {"primary": FULL, "secondary": {**FULL, "resets_at": FULL["resets_at"] + 60}},
            LIMIT,
            HOUR + 60_000_000,
            id="the later of two",
        ),
        pytest.param(
            {"primary": {**FULL, "used_percent": 42.5, "resets_at": 1 << 31}, "secondary": FULL},
            LIMIT,
            HOUR,
            id="not one that is open",
        ),
        pytest.param({"primary": {"used_percent": 100, "resets_in_seconds": 60}}, LIMIT, 60_000_000, id="in 60 s"),
        pytest.param({"primary": {**FULL, "resets_at": None}}, LIMIT, None, id="nothing said"),
        pytest.param({"primary": {**FULL, "resets_at": -1}}, LIMIT, None, id="nonsense"),
        pytest.param({"primary": 7}, LIMIT, None, id="another shape"),
        pytest.param(None, f"{LIMIT} in 2 days 3 hours 4 minutes.", 51 * HOUR + 240_000_000, id="Codex's sentence"),
        pytest.param(None, f"{LIMIT} in 1 minute.", 60_000_000, id="a minute"),
        pytest.param(None, f"{LIMIT} later.", None, id="no time"),
        pytest.param(None, f"{LIMIT} at Xyz 41st, 2026 2:13 PM.", None, id="no such day"),
    ],
)
def test_a_limit_says_when_it_ends(tmp_path: Path, limits: Any, message: str, after_us: int | None) -> None:
    turn = failed(tmp_path, message, "usage_limit_exceeded", limits)

    assert turn.is_rate_limited
    assert turn.retry_at_us == (None if after_us is None else AT_US + after_us)


TODAY = datetime.fromtimestamp(AT_US // 1_000_000).date()  # noqa: DTZ006 (local on purpose)


@pytest.mark.parametrize(
    ("sentence", "local"),
    [
        ("at Sep 21st, 2026 2:13 PM.", "2026-09-21T14:13"),
        ("at Dec 1st, 2026 12:05 AM.", "2026-12-01T00:05"),
        ("at 6:40 PM.", f"{TODAY}T18:40"),
    ],
)
def test_a_time_of_day_in_codex_sentence_is_that_of_this_machine(tmp_path: Path, sentence: str, local: str) -> None:
    turn = failed(tmp_path, f"{LIMIT} {sentence}", "usage_limit_exceeded")

    assert turn.retry_at_us == int(datetime.fromisoformat(local).timestamp()) * 1_000_000


def test_a_failure_that_is_no_limit_has_no_time(tmp_path: Path) -> None:
    assert failed(tmp_path, "boom", "other", {"primary": FULL}).retry_at_us is None


def test_a_turn_that_went_on_after_an_error_is_not_limited(tmp_path: Path) -> None:
    thread = read(
        tmp_path,
        event("task_complete", turn_id="t1", error={"message": LIMIT, "codex_error_info": "usage_limit_exceeded"}),
        event("task_started", turn_id="t1"),
        event("task_complete", turn_id="t1"),
    )

    assert [(turn.state, turn.is_rate_limited, turn.retry_at_us) for turn in thread.turns] == [
        (TurnState.COMPLETED, False, None)
    ]


def test_an_old_error_event_tells_of_a_limit_too(tmp_path: Path) -> None:
    [turn] = read(tmp_path, event("error", message=LIMIT, codex_error_info="usage_limit_exceeded")).turns

    assert turn.is_rate_limited


@pytest.mark.parametrize(
    ("arguments", "escalation"),
    [
        ({"cmd": "ls"}, None),
        ({"cmd": "ls", "sandbox_permissions": "use_default", "justification": "x"}, None),
        ({"cmd": "ls", "sandbox_permissions": "require_escalated", "justification": "May I?"}, "May I?"),
        ({"cmd": "ls", "sandbox_permissions": "with_additional_permissions"}, ""),
        ({"command": ["ls"], "with_escalated_permissions": True, "justification": "May I?"}, "May I?"),
        ({"command": ["ls"], "with_escalated_permissions": False, "justification": "x"}, None),
        ({"cmd": "ls", "sandbox_permissions": 7}, None),
    ],
)
def test_a_command_says_whether_it_asks_to_leave_the_sandbox(
    tmp_path: Path, arguments: dict[str, Any], escalation: str | None
) -> None:
    [command] = read(tmp_path, call("exec_command", arguments)).turns[0].items

    assert isinstance(command, Command)
    assert command.escalation == escalation


def test_a_question_to_the_person_is_open_until_it_is_answered(tmp_path: Path) -> None:
    asked = call("request_user_input", {"questions": []})
    [before] = read(tmp_path, asked).turns[0].items
    [after] = read(tmp_path, asked, answer("yes")).turns[0].items

    assert isinstance(before, ToolCall)
    assert isinstance(after, ToolCall)
    assert (before.asks_input, before.output) == (True, None)
    assert (after.asks_input, after.output) == (True, "yes")


GOAL: dict[str, Any] = {"objective": "finish it", "status": "active", "tokenBudget": 30, "tokensUsed": 5}


@pytest.mark.parametrize(
    ("lines", "goal"),
    [
        pytest.param([], None, id="none"),
        pytest.param(
            [event("thread_goal_updated", threadId="own", goal=GOAL)],
            Goal("finish it", "active", 30, 5, AT_US),
            id="a client set it",
        ),
        pytest.param(
            [event("thread_goal_updated", goal={"objective": "o", "status": "paused", "token_budget": 9})],
            Goal("o", "paused", 9, None, AT_US),
            id="in the other spelling",
        ),
        pytest.param(
            [event("thread_goal_updated", goal=GOAL), event("thread_goal_updated", goal=None)], None, id="cleared"
        ),
        pytest.param(
            [call("create_goal", {}), answer(json.dumps({"goal": GOAL}))],
            Goal("finish it", "active", 30, 5, AT_US),
            id="the model set it",
        ),
        pytest.param(
            [
                call("create_goal", {}),
                answer(json.dumps({"goal": GOAL})),
                call("update_goal", {}, "c2"),
                answer("no", "c2"),
            ],
            Goal("finish it", "active", 30, 5, AT_US),
            id="an answer that says nothing",
        ),
        pytest.param(
            [call("other", {}), answer(json.dumps({"goal": GOAL}))], None, id="another tool that speaks of goals"
        ),
    ],
)
def test_the_goal_is_the_last_that_was_told(tmp_path: Path, lines: list[bytes], goal: Goal | None) -> None:
    thread = read(tmp_path, *lines)

    assert thread.goal == goal
    assert (thread.unknown, thread.bad_lines) == ({}, ())


@pytest.mark.parametrize(
    ("path", "objective", "status"),
    [
        ("rollouts/0.169-goal.jsonl", "finish the thing", "active"),
        ("corpus/captures/rollout-goal-complete-0.169.jsonl.zst", "finish it", "complete"),
        ("forks/0.144.4-fork.jsonl.zst", 'SCRIPT:[{"say":"goal step"}] reach it', "active"),
        ("forks/0.169.0-fork.jsonl.zst", 'SCRIPT:[{"say":"goal step"}] reach it', "active"),
    ],
)
def test_a_real_goal_is_read(path: str, objective: str, status: str) -> None:
    goal = read_thread(DATA / path).goal

    assert goal is not None
    assert (goal.objective, goal.status) == (objective, status)


@pytest.mark.parametrize(
    ("version", "mode", "marks", "expected"),
    [
        ("0.36.0", None, "", Format.WRAPPED),
        ("0.98.0", None, "marks state usage", Format.WRAPPED),
        ("0.101.0", None, "", Format.WRAPPED),
        ("0.101.0", None, "marks", Format.TURN_MARKED),
        ("0.104.0-alpha.3", None, "", Format.TURN_MARKED),
        ("0.139.0", None, "marks state usage", Format.TURN_MARKED),
        ("0.141.0", None, "marks state", Format.WORLD_STATE),
        ("0.144.4", "legacy", "", Format.WORLD_STATE),
        ("0.169.0", "legacy", "usage", Format.WORLD_STATE),
        ("0.150.0", "paginated", "", Format.PAGINATED),
        ("0.152.0", "paginated", "usage", Format.USAGE_RECORDED),
        ("0.90.0", "paginated", "", Format.PAGINATED),
        ("0.169.0", "paginated", "", Format.USAGE_RECORDED),
        ("1.2.3", "paginated", "", Format.USAGE_RECORDED),
        ("0.0.0", None, "marks", Format.TURN_MARKED),
        ("words", None, "", Format.WRAPPED),
        (None, None, "marks state", Format.WORLD_STATE),
    ],
)
def test_a_generation_is_what_the_file_says_then_its_version_then_what_was_seen(
    version: str | None, mode: str | None, marks: str, expected: Format
) -> None:
    found = generation_of(
        version,
        mode,
        has_markers="marks" in marks,
        has_world_state="state" in marks,
        has_usage="usage" in marks,
    )

    assert found is expected


def test_a_transcript_of_claude_is_told_and_read() -> None:
    [path, *_] = sorted((DATA / "claude").rglob("*.jsonl"))

    assert classify(path) is Format.CLAUDE
    assert read_thread(path).turns != ()

"""What session files say of an allowance, and which lane has room."""

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from armarius.clock import parse_rfc3339
from armarius.errors import NoAnswer
from armarius.lanes.allowance import (
    Allowance,
    Seat,
    opens_at_us,
    read_allowance,
    reroute,
    room,
    route,
    tokens_since,
)
from armarius.rollouts.limits import UsageWindow, UsageWindows

NOW = 1_000_000_000
HOUR = 3_600_000_000
DAY = "2026-11-20"


def seat(
    name: str,
    primary: float | None = None,
    secondary: float | None = None,
    *,
    kind: Literal["chatgpt", "api"] = "chatgpt",
    ready: bool = True,
    resets: int = NOW + HOUR,
    blocked: int | None = None,
    left: int | None = None,
) -> Seat:
    windows = UsageWindows(
        None if primary is None else UsageWindow(primary, 300, resets),
        None if secondary is None else UsageWindow(secondary, 10_080, NOW + 9 * HOUR),
    )
    return Seat(name, kind, ready, Allowance(windows, blocked), left)


@pytest.mark.parametrize(
    ("one", "left", "opens"),
    [
        (seat("a"), 100, None),
        (seat("a", 30, 10), 70, None),
        (seat("a", 30, 90), 10, None),
        (seat("a", 100, 10), 0, NOW + HOUR),
        (seat("a", 100, 100), 0, NOW + 9 * HOUR),
        (seat("a", 140, 10), 0, NOW + HOUR),
        (seat("a", 100, 10, resets=NOW), 90, None),
        (seat("a", 100, resets=NOW - 1), 100, None),
        (seat("a", 5, blocked=NOW + 1), 0, NOW + 1),
        (seat("a", 5, blocked=NOW), 95, None),
        (seat("a", left=0, kind="api"), 0, None),
        (seat("a", left=-5, kind="api"), 0, None),
        (seat("a", left=1, kind="api"), 100, None),
        (Seat("a", "chatgpt", True), 100, None),  # a row of values
    ],
)
def test_room_is_what_the_fuller_window_leaves(one: Seat, left: float, opens: int | None) -> None:
    assert (room(one, NOW), opens_at_us(one, NOW)) == (left, opens)


@pytest.mark.parametrize(
    ("seats", "chosen"),
    [
        ((seat("a", 80), seat("b", 20)), "b"),
        ((seat("a", 20), seat("b", 20)), "a"),
        ((seat("a", 20), seat("b")), "b"),
        ((seat("a", 20), seat("b", 0, ready=False)), "a"),
        ((seat("a", 99.5), seat("b", 0, kind="api")), "a"),
        ((seat("a", 100, resets=NOW - 1), seat("b", 1)), "a"),
        ((seat("a", blocked=NOW + 5), seat("b", 99)), "b"),
    ],
)
def test_work_goes_where_the_most_room_is_and_never_to_another_who_pays(seats: tuple[Seat, ...], chosen: str) -> None:
    assert route(seats, NOW, "chatgpt") == chosen


@pytest.mark.parametrize(
    ("seats", "code", "said"),
    [
        ((), "lane-none", "no other lane"),
        ((seat("k", kind="api"),), "lane-none", "no other lane of kind chatgpt"),
        ((seat("a", ready=False),), "lane-none", "no other lane"),
        ((seat("a", 100), seat("b", 3, 100)), "lane-full", "the first one opens in 60 min"),
        ((seat("a", blocked=NOW + 1),), "lane-full", "opens in 1 min"),
    ],
)
def test_where_no_lane_has_room_it_is_said_when_one_has(seats: tuple[Seat, ...], code: str, said: str) -> None:
    with pytest.raises(NoAnswer, match=said) as caught:
        route(seats, NOW, "chatgpt")
    assert caught.value.code == code


@pytest.mark.parametrize("retry", [NOW + HOUR, None])
def test_what_one_lane_was_refused_another_of_its_kind_does(retry: int | None) -> None:
    seats = (seat("a", 10), seat("b", 60), seat("c", 0, kind="api"))
    assert reroute(seats, NOW, "a", retry) == "b"
    with pytest.raises(NoAnswer, match="no other lane of kind api"):
        reroute(seats, NOW, "c", retry)


# ---------------------------------------------------------------- session files


def line(at: str, kind: str, payload: dict[str, Any]) -> str:
    return json.dumps({"timestamp": f"{DAY}T{at}.000Z", "type": kind, "payload": payload}, separators=(",", ":"))


def tokens(at: str, used: float | None, resets_at: int = 1_795_000_000) -> str:
    window = None if used is None else {"used_percent": used, "window_minutes": 300, "resets_at": resets_at}
    week = None if used is None else {"used_percent": 4.5, "window_minutes": 10_080, "resets_at": None}
    limits = {"limit_id": "codex", "primary": window, "secondary": week}
    return line(at, "event_msg", {"type": "token_count", "info": None, "rate_limits": limits})


def rollout(home: Path, number: int, *lines: str) -> Path:
    thread = f"01a1f8e7-5676-70b3-858d-4ade9b9a49e{number}"
    path = home / "sessions" / "2026" / "11" / "20" / f"rollout-{DAY}T10-00-0{number}-{thread}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = line("10:00:00", "session_meta", {"id": thread, "cwd": "/", "cli_version": "0.169.0", "source": "exec"})
    path.write_text("".join(f"{text}\n" for text in (meta, *lines)))
    return path


def turn(begin: str, end: str, **error: Any) -> tuple[str, str]:
    return (
        line(begin, "event_msg", {"type": "task_started", "turn_id": begin}),
        line(end, "event_msg", {"type": "task_complete", "turn_id": begin, "last_agent_message": None, **error}),
    )


def at(time: str) -> int:
    return parse_rfc3339(f"{DAY}T{time}Z")


def test_the_newest_word_about_the_windows_counts_whichever_file_it_stands_in(tmp_path: Path) -> None:
    rollout(tmp_path, 1, tokens("11:00:00", 42.5), tokens("11:30:00", None))
    rollout(tmp_path, 2, tokens("10:00:00", 7.0))
    said = read_allowance(tmp_path)
    assert said.windows == UsageWindows(
        UsageWindow(42.5, 300, 1_795_000_000_000_000), UsageWindow(4.5, 10_080, None), at("11:00:00")
    )
    assert said.blocked_until_us is None


def test_a_last_turn_that_met_a_limit_closes_the_lane_until_another_goes_through(tmp_path: Path) -> None:
    limit = {"message": "You've hit your usage limit.", "codex_error_info": "usage_limit_exceeded"}
    begin, end = turn("12:00:00", "12:00:05", error=limit)
    rollout(tmp_path, 1, begin, tokens("12:00:04", 100.0), end)
    assert read_allowance(tmp_path).blocked_until_us == 1_795_000_000_000_000
    rollout(tmp_path, 2, *turn("12:30:00", "12:30:09"))
    assert read_allowance(tmp_path).blocked_until_us is None


def test_files_without_a_word_or_sense_say_nothing(tmp_path: Path) -> None:
    assert read_allowance(tmp_path / "gone") == Allowance()
    rollout(tmp_path, 1, '{"rate_limits": x}', tokens("11:00:00", None))
    path = rollout(tmp_path, 2, '{"timestamp":"x","payload":{"rate_limits":{"primary":{"used_percent":"x"}}}}')
    path.write_bytes(path.read_bytes() + b'\xff\xfe"rate_limits":' + b"[" * 100_000 + b"\n")
    odd = '{"rate_limits":{"primary":{"used_percent":-1e999}}}'
    rollout(tmp_path, 3, f'{{"timestamp":"{DAY}T1Z","payload":{odd}}}')
    assert read_allowance(tmp_path) == Allowance()


def test_a_budget_counts_every_response_of_the_day_once(tmp_path: Path) -> None:
    def response(at: str, number: int) -> str:
        usage = {"input_tokens": 100, "cached_input_tokens": 90, "output_tokens": 10}
        return line(at, "token_usage_record", {"response_id": f"r{number}", "turn_id": "t", "usage": usage})

    rollout(tmp_path, 1, response("09:00:00", 1), response("11:00:00", 2), response("11:00:00", 2))
    rollout(tmp_path, 2, response("12:00:00", 3))
    assert tokens_since(tmp_path, at("10:00:00")) == 220
    assert tokens_since(tmp_path, at("08:00:00")) == 330
    assert tokens_since(tmp_path / "gone", 0) == 0

"""The state of a thread as one table: what the record says, what was seen besides, what follows."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.codex.daemon import ThreadStatus
from armarius.counts.summary import Ending, Summary
from armarius.sessions.seen import Hook, Past, Seen
from armarius.sessions.state import Standing, needs_person, standing_of
from armarius.thread import State, TurnState

S = 1_000_000
NOW = 1_795_262_000 * S
T1, T2, T3 = (f"01a1fdf4-96c7-7cf2-80ef-2ce545feba4{n}" for n in "123")

OPEN, DONE, FAILED = TurnState.OPEN, TurnState.COMPLETED, TurnState.FAILED
CUT, UNMARKED = TurnState.INTERRUPTED, TurnState.UNKNOWN


def record(turn: TurnState | None, *, ago: int = 600, source: str = "cli", **ending: Any) -> Summary:
    """A session file whose last record was written `ago` seconds ago."""
    at_us = NOW - ago * S
    last = Ending(turn=turn, turn_id=T2 if turn else None, at_us=at_us, **ending)
    return Summary(path="f", thread_id="t", offset=1, source=source, last_at_us=at_us, ending=last)


def says(kind: str, *flags: str) -> dict[str, Any]:
    return {"app_server": ThreadStatus(kind, flags)}


def hook(event: str, ago: int, turn_id: str | None = T2) -> dict[str, Any]:
    return {"hook": Hook(event, NOW - ago * S, turn_id)}


def past(status: str, turn_id: str = T2) -> dict[str, Any]:
    return {"past": Past(turn_id, status, NOW - 600 * S)}


def written(ago: int) -> dict[str, Any]:
    return {"changed_us": NOW - ago * S}


HELD: dict[str, Any] = {"presence": "held"}
FREE: dict[str, Any] = {"presence": "free"}
THERE: dict[str, Any] = {"presence": "open"}
GONE: dict[str, Any] = {"presence": "gone"}
APPROVAL, INPUT = says("active", "waitingOnApproval"), says("active", "waitingOnUserInput")
ASKS: dict[str, Any] = {"open_call": "touch x", "asks_escalation": True}
QUESTION: dict[str, Any] = {"open_call": "request_user_input", "asks_input": True}
LIMIT: dict[str, Any] = {"is_rate_limited": True, "error": "limit"}
WEEK = 7 * 86_400
BY_CALL, BY_HOOK = [("waiting_approval", "rollout+lock")], [("waiting_approval", "hook")]

TABLE: list[tuple[Summary | None, dict[str, Any], str, str, str, list[tuple[str, str]]]] = [
    # what the record says · what was seen · state · by what · how sure · what says otherwise
    (None, {}, "unknown", "none", "low", []),
    (record(None), {}, "unknown", "none", "low", []),
    (record(None), HELD, "idle", "rollout+lock", "high", []),
    (record(None), THERE, "idle", "process", "medium", []),
    (record(None), written(5), "running", "mtime", "low", []),
    # An open turn runs while its writer lives, and is crashed when it is gone.
    (record(OPEN), HELD, "running", "rollout+lock", "high", []),
    (record(OPEN), FREE, "crashed", "rollout+lock", "high", []),
    (record(OPEN), THERE, "running", "process", "medium", []),
    (record(OPEN), GONE, "crashed", "process", "medium", []),
    (record(OPEN), {}, "unknown", "rollout", "low", []),
    (record(OPEN), FREE | written(5), "crashed", "rollout+lock", "high", []),
    (record(OPEN), GONE | written(5), "running", "mtime", "low", []),
    (record(OPEN), written(5), "running", "mtime", "low", []),
    (record(OPEN), written(31), "unknown", "rollout", "low", []),
    (record(OPEN), written(-60), "unknown", "rollout", "low", []),
    # Who started after the last record did not begin the turn that is open in it.
    (record(OPEN), HELD | {"since_us": NOW - 60 * S}, "idle", "rollout+lock", "medium", []),
    (record(OPEN), HELD | {"since_us": NOW - 700 * S}, "running", "rollout+lock", "high", []),
    # A turn that ended is what it ended as; a done one is idle while somebody has it.
    (record(DONE), {}, "completed", "rollout", "high", []),
    (record(DONE), FREE, "completed", "rollout", "high", []),
    (record(DONE), GONE, "completed", "rollout", "high", []),
    (record(DONE), HELD, "idle", "rollout+lock", "high", []),
    (record(DONE), THERE, "idle", "process", "medium", []),
    (record(DONE), written(1), "completed", "rollout", "high", []),
    (record(FAILED), HELD, "failed", "rollout", "high", []),
    (record(FAILED), FREE, "failed", "rollout", "high", []),
    (record(CUT), HELD, "interrupted", "rollout", "high", []),
    (record(CUT), GONE, "interrupted", "rollout", "high", []),
    (record(UNMARKED), GONE, "unknown", "rollout", "low", []),
    (record(UNMARKED), HELD, "unknown", "rollout", "low", []),
    (record(UNMARKED), THERE | written(3), "running", "mtime", "low", []),
    # A limit holds until its time, or a week at most.
    (record(FAILED, **LIMIT, retry_at_us=NOW + S), {}, "rate_limited", "rollout", "high", []),
    (record(FAILED, **LIMIT, retry_at_us=NOW), {}, "failed", "rollout", "high", []),
    (record(FAILED, **LIMIT), past("failed"), "rate_limited", "rollout", "high", []),
    (record(FAILED, **LIMIT), {}, "rate_limited", "rollout", "high", []),
    (record(FAILED, **LIMIT, ago=WEEK), {}, "failed", "rollout", "high", []),
    # An approval leaves no marker: whoever knows is asked, else the call is a hint.
    (record(OPEN, **ASKS), HELD, "waiting_approval", "rollout+lock", "low", []),
    (record(OPEN, **ASKS), THERE, "waiting_approval", "process", "low", []),
    (record(OPEN, **ASKS), FREE, "crashed", "rollout+lock", "high", []),
    (record(OPEN, **ASKS, source="exec"), HELD, "running", "rollout+lock", "high", []),
    (record(OPEN, **ASKS, approval="never"), HELD, "running", "rollout+lock", "high", []),
    (record(OPEN, **QUESTION), HELD, "waiting_input", "rollout+lock", "medium", []),
    (record(OPEN, open_call="make"), HELD, "running", "rollout+lock", "medium", []),
    (record(OPEN, open_call="make", source="exec"), HELD, "running", "rollout+lock", "high", []),
    # The app-server knows best, and the rest is held against it.
    (record(OPEN), HELD | APPROVAL, "waiting_approval", "app_server", "high", []),
    (record(OPEN), HELD | INPUT, "waiting_input", "app_server", "high", []),
    (record(OPEN), HELD | says("active"), "running", "app_server", "high", []),
    (record(OPEN), HELD | says("idle"), "idle", "app_server", "high", [("running", "rollout+lock")]),
    (record(OPEN, **ASKS), HELD | says("active"), "running", "app_server", "high", BY_CALL),
    (record(DONE), HELD | says("idle"), "idle", "app_server", "high", []),
    (record(DONE), HELD | says("active"), "running", "app_server", "high", [("idle", "rollout+lock")]),
    (record(FAILED), HELD | says("idle"), "failed", "rollout", "high", []),
    (record(CUT), HELD | says("idle"), "interrupted", "rollout", "high", []),
    (record(OPEN), HELD | says("systemError"), "failed", "app_server", "high", [("running", "rollout+lock")]),
    (record(DONE), says("notLoaded"), "completed", "rollout", "high", []),
    (record(OPEN), HELD | says("a word of tomorrow"), "running", "rollout+lock", "high", []),
    (record(DONE), says("idle"), "idle", "app_server", "high", []),
    (None, says("idle"), "idle", "app_server", "high", []),
    # A hook tells until the record has gone on.
    (record(OPEN), HELD | hook("PermissionRequest", 500), "waiting_approval", "hook", "medium", []),
    (record(OPEN, **ASKS), HELD | hook("PermissionRequest", 601), "waiting_approval", "hook", "medium", []),
    (record(OPEN), HELD | hook("PermissionRequest", 700), "running", "rollout+lock", "high", []),
    (record(DONE), HELD | hook("PermissionRequest", 500), "idle", "rollout+lock", "high", []),
    (record(DONE), HELD | hook("UserPromptSubmit", 5, T3), "running", "hook", "medium", [("idle", "rollout+lock")]),
    (record(DONE), FREE | hook("UserPromptSubmit", 5, T3), "completed", "rollout", "high", []),
    (record(OPEN), HELD | hook("UserPromptSubmit", 700), "running", "rollout+lock", "high", []),
    (record(OPEN, **ASKS, ago=1), HELD | hook("PermissionRequest", 60), "waiting_approval", "hook", "medium", []),
    (record(DONE), HELD | hook("Interrupt", 700, None), "idle", "rollout+lock", "high", []),
    (record(DONE), HELD | hook("UserPromptSubmit", 5, None), "running", "hook", "medium", [("idle", "rollout+lock")]),
    (record(OPEN), HELD | hook("Stop", 700), "running", "rollout+lock", "high", []),
    (record(OPEN), HELD | hook("Stop", 500, T1), "running", "rollout+lock", "high", []),
    (record(OPEN), HELD | hook("Stop", 1), "idle", "hook", "high", [("running", "rollout+lock")]),
    (record(OPEN), HELD | hook("SubagentStart", 1), "running", "hook", "medium", []),
    (record(OPEN), HELD | hook("SessionStart", 1, None), "running", "rollout+lock", "high", []),
    (record(OPEN), FREE | hook("UserPromptSubmit", 1), "crashed", "rollout+lock", "high", []),
    (record(OPEN), GONE | hook("SubagentStop", 1), "completed", "hook", "high", [("crashed", "process")]),
    (record(OPEN), HELD | hook("Interrupt", 1), "interrupted", "hook", "high", [("running", "rollout+lock")]),
    (record(OPEN), HELD | hook("an event of tomorrow", 1), "running", "rollout+lock", "high", []),
    (record(OPEN), HELD | hook("PermissionRequest", 9) | says("active"), "running", "app_server", "high", BY_HOOK),
    # The history database fills gaps, and is shown where it is wrong.
    (None, past("completed"), "completed", "history_database", "medium", []),
    (None, past("completed") | HELD, "idle", "history_database", "medium", []),
    (None, past("completed") | FREE, "completed", "history_database", "medium", []),
    (None, past("interrupted") | HELD, "interrupted", "history_database", "medium", []),
    (None, past("interrupted") | GONE, "interrupted", "history_database", "medium", []),
    (None, past("failed") | FREE, "failed", "history_database", "medium", []),
    (None, past("failed"), "failed", "history_database", "medium", []),
    (None, past("failed") | HELD, "failed", "history_database", "medium", []),
    (None, past("interrupted"), "interrupted", "history_database", "medium", []),
    (None, past("inProgress") | FREE, "crashed", "history_database", "medium", []),
    (None, past("inProgress") | HELD, "running", "history_database", "medium", []),
    (None, past("inProgress"), "unknown", "none", "low", []),
    (None, past("a word of tomorrow"), "unknown", "none", "low", []),
    (record(DONE), FREE | past("inProgress"), "completed", "rollout", "high", [("crashed", "history_database")]),
    (record(OPEN), FREE | past("inProgress"), "crashed", "rollout+lock", "high", []),
    (record(OPEN), FREE | past("failed", T1), "crashed", "rollout+lock", "high", []),
    (record(OPEN), past("failed"), "failed", "history_database", "medium", []),
    # Archived is archived, unless somebody works in it.
    (record(DONE), {"is_archived": True}, "archived", "folder", "high", []),
    (record(FAILED), {"is_archived": True}, "archived", "folder", "high", []),
    (record(CUT), {"is_archived": True}, "archived", "folder", "high", []),
    (record(OPEN), FREE | {"is_archived": True}, "archived", "folder", "high", []),
    (record(FAILED, **LIMIT), {"is_archived": True}, "archived", "folder", "high", []),
    (None, {"archived_row": True}, "archived", "history_database", "medium", []),
    (record(OPEN), HELD | {"is_archived": True}, "archived", "folder", "high", [("running", "rollout+lock")]),
    (record(OPEN), says("active") | {"is_archived": True}, "running", "app_server", "high", [("archived", "folder")]),
    # What waits in the queue matters where nothing else is to be done first.
    (record(DONE), {"queued": 2}, "queued", "history_database", "medium", []),
    (record(DONE), HELD | {"queued": 1}, "queued", "history_database", "medium", []),
    (None, {"queued": 1}, "queued", "history_database", "medium", []),
    (record(CUT), {"queued": 1}, "queued", "history_database", "medium", []),
    (record(OPEN), HELD | {"queued": 1}, "running", "rollout+lock", "high", []),
    (record(FAILED), {"queued": 1}, "failed", "rollout", "high", []),
    (record(OPEN), FREE | {"queued": 1}, "crashed", "rollout+lock", "high", []),
    (record(OPEN), HELD | APPROVAL | {"queued": 1}, "waiting_approval", "app_server", "high", []),
]  # fmt: skip


@pytest.mark.parametrize(("summary", "seen", "state", "source", "sure", "others"), TABLE)
def test_the_best_evidence_counts_and_the_rest_is_held_against_it(  # noqa: PLR0917  # the table's columns
    summary: Summary | None, seen: dict[str, Any], state: str, source: str, sure: str, others: list[tuple[str, str]]
) -> None:
    found = standing_of(summary, Seen(at_us=NOW, **seen), NOW)
    assert (found.state.value, found.source, found.confidence) == (state, source, sure)
    assert [(other.state.value, other.source) for other in found.disagreements] == others
    assert found.detail


def test_when_something_was_seen_is_when_it_was_looked_at_or_written_down() -> None:
    def at(summary: Summary, **seen: Any) -> int | None:
        return standing_of(summary, Seen(at_us=NOW, **seen), NOW).observed_at_us

    assert at(record(DONE)) == NOW - 600 * S
    assert at(record(DONE), **HELD) == NOW
    assert at(record(OPEN), **HELD, **hook("UserPromptSubmit", 7)) == NOW - 7 * S
    assert at(record(None), **written(3)) == NOW - 3 * S
    assert at(record(None)) is None


def test_those_that_need_somebody_come_first() -> None:
    first = sorted(State, key=needs_person)
    assert {State.WAITING_APPROVAL, State.WAITING_INPUT} == set(first[:2])
    assert first[-1] is State.ARCHIVED


US = st.integers(0, 2 * NOW)
IDS = st.sampled_from([None, T1, T2, T3, "1", ""])
ENDINGS = st.builds(
    Ending,
    turn_id=IDS,
    turn=st.sampled_from([None, *TurnState]),
    at_us=st.none() | US,
    is_rate_limited=st.booleans(),
    retry_at_us=st.none() | US,
    open_call=st.none() | st.just("make"),
    asks_escalation=st.booleans(),
    asks_input=st.booleans(),
    approval=st.sampled_from([None, "never", "on-request"]),
)
SUMMARIES = st.none() | st.builds(
    Summary,
    path=st.just("f"),
    thread_id=st.just("t"),
    offset=st.just(0),
    source=st.sampled_from([None, "exec", "cli", "vscode"]),
    last_at_us=st.none() | US,
    ending=ENDINGS,
)
KINDS = st.sampled_from(["active", "idle", "systemError", "notLoaded", "x"])
FLAGS = st.lists(st.sampled_from(["waitingOnApproval", "waitingOnUserInput", "x"]), max_size=2).map(tuple)
EVENTS = st.sampled_from(["PermissionRequest", "Stop", "Interrupt", "UserPromptSubmit", "SessionEnd", "x"])
STATUSES = st.sampled_from(["inProgress", "completed", "failed", "interrupted", "x"])
SEEN = st.builds(
    Seen,
    at_us=US,
    app_server=st.none() | st.builds(ThreadStatus, KINDS, FLAGS),
    is_archived=st.booleans(),
    archived_row=st.booleans(),
    hook=st.none() | st.builds(Hook, EVENTS, US, IDS),
    presence=st.sampled_from(["held", "free", "open", "gone", "unsaid"]),
    since_us=st.none() | US,
    past=st.none() | st.builds(Past, IDS.filter(bool), STATUSES, st.none() | US),
    queued=st.integers(0, 3),
    changed_us=st.none() | US,
)


def evidence(summary: Summary | None, seen: Seen) -> Iterator[str]:
    """The kinds of evidence that there are at all."""
    turn = summary.ending.turn if summary else None
    present = seen.presence in ("held", "open")
    if seen.app_server:
        yield "app_server"
    if seen.is_archived:
        yield "folder"
    if seen.hook:
        yield "hook"
    if turn is not None:
        yield "rollout"
    if summary and seen.presence in ("held", "free"):
        yield "rollout+lock"
    if summary and (present or seen.presence == "gone"):
        yield "process"
    if seen.past or seen.queued or seen.archived_row:
        yield "history_database"
    if seen.changed_us is not None:
        yield "mtime"


@given(SUMMARIES, SEEN, US)
def test_no_state_is_without_the_evidence_it_names(summary: Summary | None, seen: Seen, now_us: int) -> None:
    found = standing_of(summary, seen, now_us)
    there = set(evidence(summary, seen))
    assert found.source in there | {"none"}
    assert (found.source == "none") <= (found.state is State.UNKNOWN)
    assert all(other.source in there and other.state is not found.state for other in found.disagreements)
    assert (found.state is State.RATE_LIMITED) <= (summary is not None and summary.ending.is_rate_limited)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Standing) == found


@given(SUMMARIES, US, US)
def test_a_thread_of_which_nothing_is_known_is_unknown(summary: Summary | None, at_us: int, now_us: int) -> None:
    bare = None if summary is None else msgspec.structs.replace(summary, ending=Ending())
    assert standing_of(bare, Seen(at_us=at_us), now_us).state is State.UNKNOWN


@given(SUMMARIES, SEEN, US)
def test_a_lock_that_nobody_holds_and_a_silent_server_mean_that_nothing_runs(
    summary: Summary | None, seen: Seen, now_us: int
) -> None:
    alone = msgspec.structs.replace(seen, presence="free", app_server=None)
    at_work = {State.RUNNING, State.WAITING_APPROVAL, State.WAITING_INPUT, State.IDLE}
    assert standing_of(summary, alone, now_us).state not in at_work

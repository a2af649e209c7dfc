"""What a thread is doing now, from everything that was seen of it.

Owns the weighing of evidence and the words for the result. Does not own looking (`observe`).
Invariant: no state without evidence, which is named; nothing known is `unknown`; what speaks
against the answer stands beside it; nothing is inferred from what somebody wrote in words.

The kinds of evidence, best first. Each makes a claim or none; the first claim counts.

    app_server        what the process that runs the thread answers when asked
    folder            it lies among the archived ones, or the state database says that it does
    hook              the last event that Codex told us, unless the record has gone on since
    rollout           how the record ends: a marker, and whether somebody is there to go on
    history_database  Codex's own projection of the record, which is sometimes late or wrong
    mtime             somebody wrote to the file just now

Whether somebody is there (`Presence`) is the writer's lock, else a process that has the file open.
It means that a thread is loaded, and not that it runs.

    idle        loaded by a living process, between two turns: it waits for the next word
    completed   its last turn is done and no living process has it: nothing will happen by itself
    crashed     its last turn has no end, and whoever wrote it is gone
    queued      a message waits for it that it has not begun on
    rate_limited  its last turn ended at a limit of the provider that is still in force; after that
                it is `failed`, which is what somebody can try again
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from armarius.counts.summary import Ending, Summary
from armarius.sessions.seen import Hook, Past, Presence, Seen
from armarius.thread import State, TurnState

__all__ = [
    "Claim",
    "Confidence",
    "Hook",
    "Past",
    "Presence",
    "Seen",
    "Source",
    "Standing",
    "needs_person",
    "standing_of",
]

Source: TypeAlias = Literal[
    "app_server", "hook", "rollout", "rollout+lock", "history_database", "process", "mtime", "folder", "none"
]
Confidence: TypeAlias = Literal["high", "medium", "low"]

_FRESH_US = 30_000_000
"""A file that was written to within this time is being written to."""
_SKEW_US = 2_000_000
"""How far the writing of a record and the event that tells of it may lie apart."""
_UUID_LENGTH = 36
_LONGEST_LIMIT_US = 7 * 86_400 * 1_000_000
"""Codex's longest limit is weekly: after a week any is over."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of evidence says."""

    state: State
    source: Source
    observed_at_us: int | None
    confidence: Confidence
    detail: str = ""
    retry_at_us: int | None = None


class Standing(Claim, frozen=True, kw_only=True):
    """What a thread is doing, who says so, and who says otherwise."""

    disagreements: tuple[Claim, ...] = ()


def needs_person(state: State) -> int:
    """How urgently a thread needs somebody: 0 first. What runs comes before what rests."""
    return _URGENCY[state]


_URGENCY = {
    State.WAITING_APPROVAL: 0,
    State.WAITING_INPUT: 0,
    State.CRASHED: 1,
    State.FAILED: 2,
    State.RATE_LIMITED: 3,
    State.INTERRUPTED: 4,
    State.RUNNING: 5,
    State.QUEUED: 6,
    State.IDLE: 7,
    State.UNKNOWN: 8,
    State.COMPLETED: 9,
    State.ARCHIVED: 10,
}


def standing_of(summary: Summary | None, seen: Seen, now_us: int) -> Standing:
    """The state of a thread; `summary` is None when nobody could read its record."""
    ending = summary.ending if summary else Ending()
    claims = [claim for claim in _claims(summary, ending, seen, now_us) if claim is not None]
    if not claims:
        return _with_queue(_nothing(seen, ending), (), seen)
    first, *others = claims
    against = tuple(claim for claim in others if claim.state not in (first.state, *_COVERS.get(first.state, ())))
    return _with_queue(first, against, seen)


_ENDED = (State.COMPLETED, State.FAILED, State.INTERRUPTED, State.CRASHED, State.RATE_LIMITED)
_COVERS = {
    State.WAITING_APPROVAL: (State.RUNNING,),
    State.WAITING_INPUT: (State.RUNNING,),
    State.IDLE: (State.COMPLETED,),
    State.RATE_LIMITED: (State.FAILED,),
    State.ARCHIVED: _ENDED,
}
"""What a state says more exactly, and so does not contradict."""


def _claims(summary: Summary | None, ending: Ending, seen: Seen, now_us: int) -> Iterator[Claim | None]:
    yield _by_app_server(ending, seen, now_us)
    yield _by_folder(seen)
    yield _by_hook(summary, ending, seen)
    yield _by_rollout(summary, ending, seen, now_us)
    yield _by_history(ending, seen)
    yield _by_mtime(ending, seen, now_us)


# ---------------------------------------------------------------- app-server

_ANSWERS: dict[tuple[str, str | None], State | None] = {
    ("active", "waitingOnApproval"): State.WAITING_APPROVAL,
    ("active", "waitingOnUserInput"): State.WAITING_INPUT,
    ("active", None): State.RUNNING,
    ("idle", None): State.IDLE,
    ("systemError", None): State.FAILED,
    ("notLoaded", None): None,
}
_FLAGS = ("waitingOnApproval", "waitingOnUserInput")


def _by_app_server(ending: Ending, seen: Seen, now_us: int) -> Claim | None:
    status = seen.app_server
    if status is None:
        return None
    flag = next((flag for flag in _FLAGS if flag in status.flags), None) if status.kind == "active" else None
    state = _ANSWERS.get((status.kind, flag))
    if state is None:
        return None
    if state is State.IDLE and _ended_badly(ending, now_us):
        return None  # the record says more exactly how it came to rest
    detail = "its app-server says " + " ".join(filter(None, (status.kind, flag)))
    return _claim(state, "app_server", seen.at_us, "high", detail)


# ------------------------------------------------------------------- archive


def _by_folder(seen: Seen) -> Claim | None:
    if seen.is_archived:
        return _claim(State.ARCHIVED, "folder", seen.at_us, "high", "it lies in archived_sessions")
    if seen.archived_row:
        return _claim(State.ARCHIVED, "history_database", seen.at_us, "medium", "the state database has it archived")
    return None


# --------------------------------------------------------------------- hooks

_EVENTS: dict[str, tuple[State, str]] = {
    "PermissionRequest": (State.WAITING_APPROVAL, "it asked for an approval and did not go on since"),
    "UserPromptSubmit": (State.RUNNING, "a turn was begun"),
    "SubagentStart": (State.RUNNING, "it was sent to work"),
    "SubagentStop": (State.COMPLETED, "its work was done"),
    "Stop": (State.COMPLETED, "its turn was done"),
    "Interrupt": (State.INTERRUPTED, "somebody interrupted it"),
}
"""What an event says; those that are missing (a session began or ended) say nothing of a turn."""


def _by_hook(summary: Summary | None, ending: Ending, seen: Seen) -> Claim | None:
    hook = seen.hook
    said = _EVENTS.get(hook.event) if hook else None
    if hook is None or said is None or _is_overtaken(hook, summary, ending):
        return None
    state, detail = said
    is_under_way = state in (State.RUNNING, State.WAITING_APPROVAL)
    if is_under_way and seen.presence in ("free", "gone"):
        return None  # whoever said so is gone
    if state is State.COMPLETED and seen.presence in ("held", "open"):
        state = State.IDLE
    # An approval that was given is told by no event until the tool is done.
    sure: Confidence = "medium" if is_under_way else "high"
    return _claim(state, "hook", hook.at_us, sure, f"{detail} ({hook.event})")


def _is_overtaken(hook: Hook, summary: Summary | None, ending: Ending) -> bool:
    """Whether the record went on after the event, so that the event is history."""
    if _is_older(hook.turn_id, ending.turn_id):
        return True
    if _is_older(ending.turn_id, hook.turn_id):
        return False
    if ending.turn not in (None, TurnState.OPEN, TurnState.UNKNOWN):
        return hook.turn_id == ending.turn_id or (ending.at_us or 0) >= hook.at_us - _SKEW_US
    last = (summary.last_at_us if summary else None) or 0
    if last <= hook.at_us + _SKEW_US:
        return False
    # Records follow a request while it waits, such as what the response cost; an answer closes its call.
    return hook.event != "PermissionRequest" or ending.open_call is None


# ------------------------------------------------------------------- rollout

_Row: TypeAlias = tuple[State, Source, Confidence, str]

_ROLLOUT: dict[tuple[TurnState | None, Presence], _Row] = {
    (TurnState.OPEN, "held"): (State.RUNNING, "rollout+lock", "high", "a turn is open and its writer lives"),
    (TurnState.OPEN, "open"): (State.RUNNING, "process", "medium", "a turn is open and codex has the file open"),
    (TurnState.OPEN, "free"): (State.CRASHED, "rollout+lock", "high", "a turn is open and its writer is gone"),
    (TurnState.OPEN, "gone"): (State.CRASHED, "process", "medium", "a turn is open and no codex has the file open"),
    (TurnState.COMPLETED, "held"): (State.IDLE, "rollout+lock", "high", "its turn is done and it is loaded"),
    (TurnState.COMPLETED, "open"): (State.IDLE, "process", "medium", "its turn is done and codex has the file open"),
    (TurnState.COMPLETED, "free"): (State.COMPLETED, "rollout", "high", "its turn is done"),
    (TurnState.COMPLETED, "gone"): (State.COMPLETED, "rollout", "high", "its turn is done"),
    (TurnState.COMPLETED, "unsaid"): (State.COMPLETED, "rollout", "high", "its turn is done"),
    (None, "held"): (State.IDLE, "rollout+lock", "high", "it is loaded and nothing was asked yet"),
    (None, "open"): (State.IDLE, "process", "medium", "codex has the file open and nothing was asked yet"),
}
"""How the record ends, and who is there. A failed or interrupted turn is so whoever is there; a record
without markers of turns says nothing."""


def _by_rollout(summary: Summary | None, ending: Ending, seen: Seen, now_us: int) -> Claim | None:
    if summary is None:
        return None
    at = ending.at_us if ending.at_us is not None else summary.last_at_us
    ended = _ended_badly(ending, now_us)
    if ended is not None:
        return _claim(ended[0], "rollout", at, "high", ended[1], retry_at_us=ended[2])
    row = _ROLLOUT.get((ending.turn, _presence(seen, now_us)))
    if row is None:
        return None
    state, source, sure, detail = row
    if state is State.RUNNING:
        state, sure, detail = _under_way(summary, ending, seen, (state, sure, detail))
    if source != "rollout":
        at = seen.at_us
        detail += f" (process {seen.pid})" if seen.pid is not None else ""
    return _claim(state, source, at, sure, detail)


def _presence(seen: Seen, now_us: int) -> Presence:
    """Somebody who writes is there, also where his process cannot be seen: in a container, on another machine."""
    return "unsaid" if seen.presence == "gone" and _is_fresh(seen, now_us) else seen.presence


def _ended_badly(ending: Ending, now_us: int) -> tuple[State, str, int | None] | None:
    """The state, its reason and the time to try again, when the last turn ended without being done."""
    if ending.turn is TurnState.INTERRUPTED:
        return State.INTERRUPTED, "its turn was interrupted", None
    if ending.turn is not TurnState.FAILED:
        return None
    if not ending.is_rate_limited:
        return State.FAILED, "its turn failed", None
    over = ending.retry_at_us
    if over is None and (ending.at_us is None or now_us < ending.at_us + _LONGEST_LIMIT_US):
        return State.RATE_LIMITED, "its turn met a limit; the provider did not say until when", None
    if over is not None and now_us < over:
        return State.RATE_LIMITED, "its turn met a limit that is still in force", over
    return State.FAILED, "its turn met a limit, which is over", over


def _under_way(
    summary: Summary, ending: Ending, seen: Seen, row: tuple[State, Confidence, str]
) -> tuple[State, Confidence, str]:
    """An open turn of a living process, more exactly: whose it is, and what its last call asks for."""
    last = summary.last_at_us
    if seen.since_us is not None and last is not None and seen.since_us > last + _SKEW_US:
        return State.IDLE, "medium", "the process that has it started after its last turn, which was left open"
    asks = summary.source != "exec" and ending.approval != "never"  # `codex exec` asks nobody, whatever it is told
    if ending.open_call is None or not asks:
        return row
    if ending.asks_input:
        return State.WAITING_INPUT, "medium", f"its last call ({ending.open_call}) asks for input and has no answer"
    if ending.asks_escalation:
        detail = f"its last call ({ending.open_call}) asks to leave the sandbox and has no answer: it waits or runs"
        return State.WAITING_APPROVAL, "low", detail
    detail = f"its last call ({ending.open_call}) has no answer; whether it waits for an approval is not known"
    return row[0], "medium", detail


# ---------------------------------------------------------- history database

_HISTORY: dict[tuple[str, bool | None], State] = {
    ("inProgress", True): State.RUNNING,
    ("inProgress", False): State.CRASHED,
    ("completed", True): State.IDLE,
    ("completed", False): State.COMPLETED,
    ("completed", None): State.COMPLETED,
    **{("failed", present): State.FAILED for present in (True, False, None)},
    **{("interrupted", present): State.INTERRUPTED for present in (True, False, None)},
}
"""Its status of the last turn, and whether somebody is there."""

_PRESENT: dict[Presence, bool | None] = {"held": True, "open": True, "free": False, "gone": False, "unsaid": None}


def _by_history(ending: Ending, seen: Seen) -> Claim | None:
    past = seen.past
    if past is None or _is_older(past.turn_id, ending.turn_id):
        return None  # the database is behind
    state = _HISTORY.get((past.status, _PRESENT[seen.presence]))
    if state is None:
        return None
    return _claim(state, "history_database", past.at_us, "medium", f"the history database says {past.status}")


# --------------------------------------------------------------------- mtime


def _by_mtime(ending: Ending, seen: Seen, now_us: int) -> Claim | None:
    has_ended = ending.turn not in (None, TurnState.OPEN, TurnState.UNKNOWN)
    if has_ended or seen.presence == "free" or not _is_fresh(seen, now_us):
        return None
    return _claim(State.RUNNING, "mtime", seen.changed_us, "low", "its file was written to just now")


def _is_fresh(seen: Seen, now_us: int) -> bool:
    return seen.changed_us is not None and -_SKEW_US <= now_us - seen.changed_us <= _FRESH_US


# -------------------------------------------------------------------- result


def _is_older(turn_id: str | None, other_id: str | None) -> bool:
    """Whether a turn was born before another: their ids are UUIDv7, which sort by birth; early ones are numbers."""
    return (
        turn_id is not None
        and other_id is not None
        and len(turn_id) == len(other_id) == _UUID_LENGTH
        and turn_id < other_id
    )


def _claim(
    state: State, source: Source, at_us: int | None, sure: Confidence, detail: str, *, retry_at_us: int | None = None
) -> Claim:
    return Claim(
        state=state, source=source, observed_at_us=at_us, confidence=sure, detail=detail, retry_at_us=retry_at_us
    )


def _nothing(seen: Seen, ending: Ending) -> Claim:
    if ending.turn is TurnState.OPEN:
        return _claim(State.UNKNOWN, "rollout", seen.at_us, "low", "a turn is open; nobody can say who writes it")
    if ending.turn is TurnState.UNKNOWN:
        detail = "this version of Codex marked no turns"
        if seen.presence in ("held", "open"):
            detail += "; the thread is loaded"
        return _claim(State.UNKNOWN, "rollout", seen.at_us, "low", detail)
    return _claim(State.UNKNOWN, "none", None, "low", "nothing is known of it")


_WAITS_FOR_QUEUE = (State.IDLE, State.COMPLETED, State.INTERRUPTED, State.UNKNOWN)


def _with_queue(claim: Claim, against: tuple[Claim, ...], seen: Seen) -> Standing:
    fields = msgspec.structs.asdict(claim)
    if seen.queued:
        detail = f"{seen.queued} queued; {claim.detail}"
        if claim.state in _WAITS_FOR_QUEUE:
            fields |= {"state": State.QUEUED, "source": "history_database", "observed_at_us": seen.at_us}
            fields |= {"confidence": "medium"}
        fields["detail"] = detail
    return Standing(**fields, disagreements=against)

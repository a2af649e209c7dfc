"""What new records of a thread mean to a person.

Owns the step from what was told of a thread and its record as it stands now, to the signals that are
due. Does not own reading the record (`rollouts`), looking at processes (`sessions`), or the clock.
Invariant: pure, and level-triggered: it compares with what was told. So nothing is told twice, nothing
is lost, and a record taken in at any pieces gives the same signals. What the user or the agent wrote
is shown and never interpreted.
"""

from collections.abc import Iterable, Iterator

import msgspec

from armarius.counts.summary import Ending, Summary
from armarius.sessions.state import Standing
from armarius.thread import (
    AgentMessage,
    Command,
    Goal,
    ItemStatus,
    State,
    Thread,
    ToolCall,
    Turn,
    TurnState,
)
from armarius.watch.failures import failure_in, only_shows
from armarius.watch.signals import Confidence, Kind, Signal, one_line, signal_id

__all__ = ["SETTLE_US", "Told", "brief", "follow", "idle", "know", "open_turn", "stalled", "stand", "with_goal"]

SETTLE_US = 1_000_000
"""A turn that begins within this time after the last one goes on with it, as Codex does for a goal."""

_HINT_US = 3_000_000
_KEEP = 64
_GOAL_TOOLS = frozenset({"create_goal", "update_goal"})
_GOAL_ENDS = frozenset({"complete", "budget_limited", "usage_limited"})
_ENDED = frozenset({TurnState.COMPLETED, TurnState.FAILED, TurnState.INTERRUPTED})
_OVER = frozenset({ItemStatus.COMPLETED, ItemStatus.FAILED, ItemStatus.DECLINED})
_WAITS = {State.WAITING_APPROVAL: Kind.WAITING_APPROVAL, State.WAITING_INPUT: Kind.WAITING_INPUT}
_WAITED_FOR = {State.WAITING_APPROVAL: "an approval", State.WAITING_INPUT: "input"}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What of a thread has been said, or was there before anybody watched.

    `begun` and `ended` are turns whose beginning and end are known, `checked` commands whose output
    is; those that may be met again. `rested_us` is when the last turn ended. `waits` is what it was said to wait for.
    """

    begun: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    rested_us: int | None = None
    goal: Goal | None = None
    waits: State | None = None
    is_crashed: bool = False


def open_turn(thread: Thread) -> Turn | None:
    """The turn that runs, as far as the record goes."""
    return thread.turns[-1] if thread.turns and thread.turns[-1].state is TurnState.OPEN else None


def know(told: Told, thread: Thread) -> Told:
    """What is told when all of `thread` was there before: nothing is signalled of it."""
    return follow(told, thread, now_us=0)[1]


def follow(told: Told, thread: Thread, *, now_us: int) -> tuple[list[Signal], Told]:
    """The signals that the record of `thread` calls for, in order, and what is told then."""
    signals = list[Signal]()
    goals = sorted(_goals(thread), key=lambda goal: goal.at_us or 0)
    checked = dict.fromkeys(told.checked)
    for turn in thread.turns:
        if turn.state is not TurnState.UNKNOWN and turn.id not in told.begun:
            signals += _resumed(told, thread, turn, now_us)
            told = msgspec.structs.replace(told, begun=(*told.begun, turn.id), is_crashed=False)
        # A command may outlive its turn, so those of turns that have ended are looked at as well.
        signals += _failures(checked, thread, turn, now_us)
        while goals and turn.ended_at_us is not None and (goals[0].at_us or 0) <= turn.ended_at_us:
            more, told = with_goal(told, thread, goals.pop(0), now_us=now_us, source="rollout")
            signals += more
        if turn.state in _ENDED and turn.id not in told.ended:
            signals += _ended(thread, turn, now_us)
            rested = turn.ended_at_us or thread.last_at_us or now_us
            told = msgspec.structs.replace(told, ended=(*told.ended, turn.id), rested_us=rested, waits=None)
    for goal in goals:
        more, told = with_goal(told, thread, goal, now_us=now_us, source="rollout")
        signals += more
    return signals, _pruned(told, checked, thread)


def _pruned(told: Told, checked: Iterable[str], thread: Thread) -> Told:
    """Without what will not be met again: what is not in the thread any more, but for the newest."""
    turns = {turn.id for turn in thread.turns}
    items = {item.id for turn in thread.turns for item in turn.items}
    return msgspec.structs.replace(
        told,
        begun=_kept(told.begun, turns),
        ended=_kept(told.ended, turns),
        checked=_kept(tuple(checked), items),
    )


def _kept(names: tuple[str, ...], present: set[str]) -> tuple[str, ...]:
    if len(names) <= _KEEP:
        return names
    return (*(name for name in names[:-_KEEP] if name in present), *names[-_KEEP:])


def _resumed(told: Told, thread: Thread, turn: Turn, now_us: int) -> Iterator[Signal]:
    """A turn that begins in a thread that had come to rest."""
    began = turn.started_at_us
    if told.rested_us is not None and began is not None and began - told.rested_us >= SETTLE_US:
        yield _signal(Kind.RESUMED, thread, turn, at_us=began or now_us, text="resumed after idle", what="begun")


def _ended(thread: Thread, turn: Turn, now_us: int) -> Iterator[Signal]:
    words = turn.final_message or _last_words(turn)
    match turn.state:
        case TurnState.COMPLETED:
            kind, text = Kind.TURN_COMPLETED, words or "(it said nothing)"
        case TurnState.INTERRUPTED if not turn.items:
            return  # a turn that Codex began for a goal and gave up before anything happened
        case TurnState.INTERRUPTED:
            kind, text = Kind.TURN_INTERRUPTED, "interrupted" + (f" · last words: {words}" if words else "")
        case _:
            kind = Kind.RATE_LIMITED if turn.is_rate_limited else Kind.TURN_FAILED
            text = f"{turn.error} · last words: {words}" if words else turn.error or "failed"
    signal = _signal(kind, thread, turn, at_us=turn.ended_at_us or now_us, text=text, what="ended")
    yield msgspec.structs.replace(signal, retry_at_us=turn.retry_at_us)


def _last_words(turn: Turn) -> str:
    said = [item for item in turn.items if isinstance(item, AgentMessage) and item.text.strip()]
    return said[-1].text if said else ""


def _failures(checked: dict[str, None], thread: Thread, turn: Turn, now_us: int) -> Iterator[Signal]:
    """The first failure in the output of each command; those that need no other look are then in `checked`."""
    for item in turn.items:
        if not isinstance(item, Command) or item.id in checked:
            continue
        found = failure_in(item.output, is_whole=item.status is not ItemStatus.IN_PROGRESS) if item.output else None
        if found is not None or item.status in _OVER:
            checked[item.id] = None
        if found is not None and not only_shows(item.command):
            text = f"{found.tool}: {found.line}"
            at_us = item.at_us or now_us
            signal = _signal(Kind.OUTPUT_FAILURE, thread, turn, at_us=at_us, text=text, what=item.id)
            yield msgspec.structs.replace(signal, subject=one_line(item.command, 500))


class _Goal(msgspec.Struct):
    objective: str = ""
    status: str = ""


class _Answer(msgspec.Struct):
    """What the goal tools answer; `goal` is null when there is none."""

    goal: _Goal | None = None


_answer = msgspec.json.Decoder(_Answer)


def _goals(thread: Thread) -> Iterator[Goal]:
    """What a client set, and what the model's own tools answered about the goal."""
    if thread.goal is not None:
        yield thread.goal
    for turn in thread.turns:
        for item in turn.items:
            if isinstance(item, ToolCall) and item.name in _GOAL_TOOLS and item.output:
                try:
                    goal = _answer.decode(item.output.encode(errors="replace")).goal
                except (ValueError, RecursionError):
                    continue  # refused, in words
                if goal is not None and goal.status:
                    yield Goal(goal.objective, goal.status, at_us=item.at_us)


def with_goal(told: Told, thread: Thread, goal: Goal, *, now_us: int, source: str) -> tuple[list[Signal], Told]:
    """The signal of a goal that is not the one that was told, and what is told then.

    The record and the goals database tell of the same changes, and either may be behind.
    """
    before, status = told.goal, _word(goal.status)
    goal = msgspec.structs.replace(goal, status=status)
    if before is not None:
        if (before.objective, before.status) == (goal.objective, status):
            return [], told
        if before.at_us is not None and goal.at_us is not None and goal.at_us <= before.at_us:
            return [], told
    told = msgspec.structs.replace(told, goal=goal)
    kind = Kind.GOAL_ENDED if status in _GOAL_ENDS else Kind.GOAL_CHANGED
    if before is not None and before.objective == goal.objective:
        text = f"goal {before.status} → {status}: {goal.objective}"
    else:
        text = f"goal {status}: {goal.objective}"
    what = f"{goal.objective}/{status}/{goal.at_us}"
    signal = _signal(kind, thread, None, at_us=goal.at_us or now_us, text=text, what=what)
    old = one_line(f"{before.status}: {before.objective}") if before else None
    return [msgspec.structs.replace(signal, source=source, old=old, new=one_line(f"{status}: {goal.objective}"))], told


def _word(status: str) -> str:
    """Codex writes `budgetLimited` to clients and `budget_limited` in its database."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in status).lstrip("_")


# What only looking at the living tells


def stand(told: Told, thread: Thread, standing: Standing, *, now_us: int) -> tuple[list[Signal], Told]:
    """The signal of what the thread is doing now, when that is news."""
    turn = open_turn(thread)
    if turn is None:
        return [], msgspec.structs.replace(told, waits=None)
    if standing.confidence == "low" and now_us - (thread.last_at_us or 0) < _HINT_US:
        return [], told  # what looks like waiting may be a command that was let run
    kind = _WAITS.get(standing.state)
    if kind is not None and told.waits is not standing.state:
        told = msgspec.structs.replace(told, waits=standing.state)
        text = f"waiting for {_WAITED_FOR[standing.state]}: {_open_call(turn) or standing.detail}"
    elif standing.state is State.CRASHED and not told.is_crashed:
        told = msgspec.structs.replace(told, is_crashed=True, waits=None)
        words = _last_words(turn) or "(none)"
        kind, text = Kind.CRASHED, f"crashed: {standing.detail or 'its process is gone'} · last words: {words}"
    elif standing.state is State.RUNNING and told.waits is not None:
        kind, text = Kind.RESUMED, f"resumed after waiting for {_WAITED_FOR[told.waits]}"
        told = msgspec.structs.replace(told, waits=None)
    else:
        return [], told
    at_us = standing.observed_at_us or now_us
    signal = _signal(kind, thread, turn, at_us=at_us, text=text, what=str(len(turn.items)))
    confidence = Confidence(standing.confidence)
    return [msgspec.structs.replace(signal, source=standing.source, confidence=confidence)], told


def brief(thread: Thread, offset: int) -> Summary:
    """As much of a thread's summary as its state is worked out from."""
    turn = thread.turns[-1] if thread.turns else None
    runs = turn if turn is not None and turn.state is TurnState.OPEN else None
    items = runs.items if runs else ()
    escalates = [item for item in items if isinstance(item, Command) and item.status is ItemStatus.IN_PROGRESS]
    asks = [item for item in items if isinstance(item, ToolCall) and item.output is None]
    ending = Ending(
        turn_id=turn.id if turn else None,
        turn=turn.state if turn else None,
        at_us=thread.last_at_us,
        error=turn.error if turn else None,
        is_rate_limited=turn.is_rate_limited if turn else False,
        retry_at_us=turn.retry_at_us if turn else None,
        open_call=(_open_call(runs) or None) if runs else None,
        asks_escalation=any(item.escalation is not None for item in escalates),
        asks_input=any(item.asks_input for item in asks),
        approval=turn.approval if turn else None,
    )
    return Summary(
        path=thread.path,
        thread_id=thread.id,
        offset=offset,
        source=thread.source,
        last_at_us=thread.last_at_us,
        ending=ending,
    )


def idle(thread: Thread, *, now_us: int) -> Signal:
    """The signal of a thread that rests, for those who asked for it."""
    turn = thread.turns[-1] if thread.turns else None
    words = (turn.final_message or _last_words(turn)) if turn else ""
    at_us = (turn.ended_at_us if turn else None) or now_us
    return _signal(Kind.IDLE, thread, turn, at_us=at_us, text=f"idle · last words: {words or '(none)'}", what="idle")


def stalled(thread: Thread, *, quiet_us: int, now_us: int) -> Signal:
    """The signal of an open turn of which nothing was written for `quiet_us`."""
    turn = open_turn(thread)
    call = _open_call(turn) if turn else ""
    text = f"nothing written for {quiet_us / 1_000_000:.0f} s" + (f", in {call}" if call else "")
    what = str(len(turn.items) if turn else 0)
    signal = _signal(Kind.STALLED, thread, turn, at_us=now_us, text=text, what=what)
    return msgspec.structs.replace(signal, source="mtime", confidence=Confidence.MEDIUM)


def _open_call(turn: Turn) -> str:
    for item in reversed(turn.items):
        match item:
            case Command(status=ItemStatus.IN_PROGRESS):
                return item.command
            case ToolCall(output=None):
                return f"{item.name} {item.arguments[:400]}"
            case _:
                continue
    return ""


def _signal(kind: Kind, thread: Thread, turn: Turn | None, *, at_us: int, text: str, what: str) -> Signal:
    turn_id = turn.id if turn else None
    return Signal(
        kind=kind,
        id=signal_id(thread.id, turn_id, kind, what),
        at_us=at_us,
        text=one_line(text),
        source="rollout",
        thread=thread.id,
        turn=turn_id,
        cwd=(turn.cwd if turn else None) or thread.cwd,
    )

"""A tally becomes a Summary.

Owns the values that are made when somebody asks: times, tokens, exit codes, how the record ends. Does
not own the counting. Pure.
Invariant: a tally can be summed up at any time and as often as one likes; it stays as it is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from armarius.counts import kept
from armarius.counts.entries import OpenCall, TurnCount
from armarius.counts.summary import Earlier, Ending, Summary, TurnNote
from armarius.counts.tally import Tally
from armarius.rollouts.parts import at_us
from armarius.thread import RATE_LIMITED, Command, FileSpot, ResponseUsage, ToolCall

__all__ = ["exit_counts", "summary_of"]


def summary_of(tally: Tally, path: str, offset: int) -> Summary:
    """All that is known of a file of which `offset` bytes were taken in."""
    meta = tally.meta
    return Summary(
        path=path,
        thread_id=meta.id,
        offset=offset,
        session_id=meta.session_id,
        title=tally.title or "",
        cwd=meta.cwd,
        source=meta.source if isinstance(meta.source, str) else None,
        originator=meta.originator,
        cli_version=meta.cli_version,
        model=next((turn.model for turn in reversed(tally.turns.values()) if turn.model), tally.closed.model),
        model_provider=meta.model_provider,
        history_mode=meta.history_mode,
        parent_id=meta.parent_thread_id,
        forked_from_id=meta.forked_from_id,
        git_commit=meta.git.commit_hash if meta.git else None,
        git_branch=meta.git.branch if meta.git else None,
        started_at_us=at_us(meta.timestamp or tally.first),
        last_at_us=at_us(tally.last),
        earlier=Earlier(tally.closed.turns, tally.closed.responses, at_us(tally.closed.ended)),
        turns=tuple(
            TurnNote(turn.id, turn.state, at_us(turn.started), at_us(turn.ended), turn.model)
            for turn in tally.turns.values()
        ),
        user_messages=tally.user_messages,
        agent_messages=tally.agent_messages,
        exits=dict(Counter(tally.closed.exits) + exit_counts(tally.turns.values(), tally.calls)),
        responses=tuple(_responses(tally, path)),
        unknown=dict(tally.unknown),
        bad_lines=tally.bad_lines,
        goal=tally.goal.objective if tally.goal else None,
        goal_status=tally.goal.status if tally.goal else None,
        ending=_ending(tally),
    )


def exit_counts(turns: Iterable[TurnCount], calls: Mapping[str, OpenCall]) -> Counter[int | None]:
    """How many commands ended with each exit code; those of calls that nobody saw the end of under None."""
    by_id = {turn.id: turn for turn in turns}
    counts = Counter(chain.from_iterable(turn.codes.values() for turn in by_id.values()))
    for call_id, call in calls.items():
        if isinstance(kept.action_in(call.line.data), Command):
            turn = by_id.get(call.turn_id)
            if turn and call_id in turn.codes:
                counts[turn.codes[call_id]] -= 1
            counts[None] += 1
    return counts


def _responses(tally: Tally, path: str) -> Iterator[ResponseUsage]:
    for response_id, spent in tally.spent.items():
        spot = FileSpot(path, spent.byte)
        yield ResponseUsage(response_id, spent.turn_id, spent.usage.value, spot, at_us(spent.timestamp))


def _ending(tally: Tally) -> Ending:
    last_us = at_us(tally.last)
    turn = tally.last_turn()
    if turn is None:
        return Ending(at_us=last_us)
    calls = [kept.action_in(call.line.data) for call in tally.calls.values() if call.turn_id == turn.id]
    is_open = turn.id == tally.current
    open_calls = [call for call in calls if call is not None] if is_open else []
    return Ending(
        turn_id=turn.id,
        turn=turn.state,
        at_us=last_us,
        error=turn.error,
        is_rate_limited=turn.error is not None and turn.error_kind in RATE_LIMITED,
        retry_at_us=None if turn.error is None else turn.retry_at_us,
        open_call=kept.name_of(open_calls[-1]) if open_calls else None,
        asks_escalation=any(isinstance(call, Command) and call.escalation is not None for call in open_calls),
        asks_input=any(isinstance(call, ToolCall) and call.asks_input for call in open_calls),
        approval=kept.approval_in(tally.context.data) if tally.context else None,
        last_message=kept.words_in(tally.last_words.data) if tally.last_words else None,
    )

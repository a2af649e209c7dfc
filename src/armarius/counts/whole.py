"""A Thread in short: the Summary of a session file that was read whole.

Owns what a Summary takes from a Thread. Does not own reading, nor the fast way to the same numbers
(`scan`).
Invariant: for a rollout it says what `scan` says; it is how a file of another program gets a Summary.
"""

from armarius.counts.summary import Ending, Summary, TurnNote
from armarius.thread import (
    AgentMessage,
    Command,
    FileChange,
    Item,
    ItemStatus,
    Thread,
    ToolCall,
    TurnState,
    UserMessage,
)

__all__ = ["summary_of"]

_TITLE = 200


def summary_of(thread: Thread, offset: int = 0) -> Summary:
    """What is kept of a thread whose file was taken in up to `offset`."""
    items = [item for turn in thread.turns for item in turn.items]
    said = [item.text for item in items if isinstance(item, UserMessage)]
    exits = dict[int | None, int]()
    for item in items:
        if isinstance(item, Command):
            exits[item.exit_code] = exits.get(item.exit_code, 0) + 1
    return Summary(
        path=thread.path,
        thread_id=thread.id,
        offset=offset,
        title=" ".join(said[0][: 4 * _TITLE].split())[:_TITLE] if said else "",
        cwd=thread.cwd,
        source=thread.source,
        originator=thread.originator,
        cli_version=thread.cli_version,
        model=next((turn.model for turn in reversed(thread.turns) if turn.model), None),
        model_provider=thread.model_provider,
        history_mode=thread.history_mode,
        parent_id=thread.parent_id,
        forked_from_id=thread.forked_from_id,
        git_commit=thread.git_commit,
        git_branch=thread.git_branch,
        started_at_us=thread.started_at_us,
        last_at_us=thread.last_at_us,
        turns=tuple(
            TurnNote(turn.id, turn.state, turn.started_at_us, turn.ended_at_us, turn.model) for turn in thread.turns
        ),
        user_messages=len(said),
        agent_messages=sum(isinstance(item, AgentMessage) for item in items),
        exits=exits,
        responses=thread.responses,
        unknown=thread.unknown,
        bad_lines=len(thread.bad_lines),
        goal=thread.goal.objective if thread.goal else None,
        goal_status=thread.goal.status if thread.goal else None,
        ending=_ending(thread, items),
    )


def _ending(thread: Thread, items: list[Item]) -> Ending:
    if not thread.turns:
        return Ending(at_us=thread.last_at_us)
    turn = thread.turns[-1]
    is_over = turn.state not in {TurnState.OPEN, TurnState.UNKNOWN}
    waiting = [] if is_over else [item for item in turn.items if _is_unanswered(item)]
    call = waiting[-1] if waiting else None
    return Ending(
        turn_id=turn.id,
        turn=turn.state,
        at_us=thread.last_at_us,
        error=turn.error,
        is_rate_limited=turn.is_rate_limited,
        retry_at_us=turn.retry_at_us,
        open_call=_name(call) if call else None,
        asks_escalation=any(isinstance(item, Command) and item.escalation is not None for item in waiting),
        asks_input=isinstance(call, ToolCall) and call.asks_input,
        approval=turn.approval,
        last_message=next((item.text for item in reversed(items) if isinstance(item, AgentMessage)), None),
    )


def _is_unanswered(item: Item) -> bool:
    if isinstance(item, ToolCall):
        return item.output is None
    return isinstance(item, Command | FileChange) and item.status is ItemStatus.IN_PROGRESS


def _name(call: Item) -> str:
    match call:
        case Command():
            return call.command
        case ToolCall():
            return call.name
        case _:
            return "apply_patch"

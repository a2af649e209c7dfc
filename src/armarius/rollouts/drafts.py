"""A turn in the making.

Owns what is known of one turn so far, and the Turn it makes. Does not own which turn a record
belongs to.
Invariant: a call has one place in its turn, where it was made; what is learnt later takes that place.
"""

from typing import TypeAlias

import msgspec

from armarius.rollouts.permissions import Permissions, TurnContext
from armarius.thread import Command, FileChange, Item, ItemStatus, ToolCall, Turn, TurnState

__all__ = ["Action", "Draft"]

Action: TypeAlias = Command | FileChange | ToolCall
_CALL = "call"


class Draft:
    """One turn; `settings` is what it runs with unless a context of its own says otherwise."""

    def __init__(self, turn_id: str, settings: TurnContext | None) -> None:
        self.id = turn_id
        self.state = TurnState.UNKNOWN
        self.started_at_us: int | None = None
        self.ended_at_us: int | None = None
        self.error: str | None = None
        self.error_kind: str | None = None
        self.retry_at_us: int | None = None
        self.final_message: str | None = None
        self._items: dict[tuple[str, str], Item] = {}
        self._context = settings or TurnContext()
        self._permissions = self._context.permissions
        self._has_own_context = False

    @property
    def is_empty(self) -> bool:
        return not self._items

    def put(self, item: Item) -> None:
        kind = _CALL if isinstance(item, Action) else type(item).__name__
        self._items[kind, item.id] = item

    def has_action(self, call_id: str) -> bool:
        return (_CALL, call_id) in self._items

    def action(self, call_id: str) -> Action:
        """The call of that id, which was put here before."""
        action = self._items[_CALL, call_id]
        assert isinstance(action, Action)
        return action

    def runs_with(self, context: TurnContext) -> None:
        """Contexts of one turn add up: the newest model counts, and the widest permissions."""
        known = self._context
        self._context = TurnContext(
            cwd=context.cwd or known.cwd,
            model=context.model or known.model,
            effort=context.effort or known.effort,
            approval_policy=context.approval_policy or known.approval_policy,
        )
        own = self._permissions if self._has_own_context else Permissions()
        self._permissions = own | context.permissions
        self._has_own_context = True

    def turn(self, *, runs: bool) -> Turn:
        """What is known of the turn; `runs` when nothing says that it is over."""
        context, permissions = self._context, self._permissions
        return Turn(
            self.id,
            self.state,
            tuple(item if runs else _stopped(item) for item in self._items.values()),
            started_at_us=self.started_at_us,
            ended_at_us=self.ended_at_us,
            error=self.error,
            model=context.model,
            effort=context.effort or context.reasoning_effort,
            cwd=context.cwd,
            sandbox=permissions.sandbox,
            network=permissions.network,
            writable_roots=tuple(sorted(permissions.writable_roots)),
            approval=context.approval,
            final_message=self.final_message,
            error_kind=self.error_kind if self.error is not None else None,
            retry_at_us=self.retry_at_us if self.error is not None else None,
        )


def _stopped(item: Item) -> Item:
    """Of a call that was not answered in its turn nobody knows how it ended."""
    if isinstance(item, Command | FileChange) and item.status is ItemStatus.IN_PROGRESS:
        return msgspec.structs.replace(item, status=ItemStatus.UNKNOWN)
    return item

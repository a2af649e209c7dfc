"""The events of wrapped rollouts (0.36 to 0.146, and threads of that age that later versions go on with).

Owns the shape of each event that tells of something that happened in a turn, and the value it
becomes. Does not own turns; commands of later wrapped rollouts have no event, see `calls`.
Invariant: messages are taken from these events alone; the response items that repeat them, mixed
with context that nobody said, are not looked at.
"""

from typing import TypeAlias

from msgspec import Raw, Struct

from armarius.rollouts.paginated import script_of
from armarius.rollouts.parts import Change, Duration, Here, Number, changes_of, status_of, status_of_exit
from armarius.thread import (
    AgentMessage,
    Command,
    FileChange,
    ItemStatus,
    Notice,
    Reasoning,
    UserMessage,
)

__all__ = ["ErrorEvent", "LegacyEvent", "UserMessageEvent"]


class _Event(Struct, tag_field="type"):
    turn_id: str | None = None


class UserMessageEvent(_Event, tag="user_message"):
    """`kind` is `plain`, or names the context that early versions put into the user's mouth."""

    message: str = ""
    kind: str | None = None

    def value(self, here: Here) -> UserMessage:
        return UserMessage(here.id("user_message"), self.message, here.spot, here.at_us)


class AgentMessageEvent(_Event, tag="agent_message"):
    message: str = ""
    phase: str | None = None

    def value(self, here: Here) -> AgentMessage:
        return AgentMessage(here.id("agent_message"), self.message, here.spot, here.at_us, self.phase)


class AgentReasoningEvent(_Event, tag="agent_reasoning"):
    text: str = ""

    def value(self, here: Here) -> Reasoning:
        return Reasoning(here.id("agent_reasoning"), self.text, here.spot, here.at_us)


class ExecCommandEnd(_Event, tag="exec_command_end", kw_only=True):
    call_id: str
    command: list[str] = []
    cwd: str | None = None
    status: str | None = None
    exit_code: Number | None = None
    aggregated_output: str | None = None
    duration: Duration | None = None

    def value(self, here: Here) -> Command:
        return Command(
            self.call_id,
            script_of(self.command),
            here.spot,
            argv=tuple(self.command),
            cwd=self.cwd,
            status=status_of(self.status) if self.status else status_of_exit(self.exit_code),
            exit_code=self.exit_code,
            output=self.aggregated_output or "",
            duration_us=self.duration.us if self.duration else None,
            at_us=here.at_us,
        )


class PatchApplyEnd(_Event, tag="patch_apply_end", kw_only=True):
    call_id: str
    changes: dict[str, Change] = {}
    status: str | None = None
    success: bool = False

    def value(self, here: Here) -> FileChange:
        outcome = ItemStatus.COMPLETED if self.success else ItemStatus.FAILED
        status = status_of(self.status) if self.status else outcome
        return FileChange(self.call_id, changes_of(self.changes), here.spot, status, here.at_us)


class _Notice(_Event):
    message: str = ""

    def value(self, here: Here) -> Notice:
        return Notice(here.id("notice"), self.message, here.spot, here.at_us)


class ErrorEvent(_Notice, tag="error"):
    """The turn cannot go on."""

    codex_error_info: Raw = Raw()


class StreamErrorEvent(_Notice, tag="stream_error"):
    """The answer of the model broke off and is asked for again."""


class WarningEvent(_Notice, tag="warning"):
    pass


LegacyEvent: TypeAlias = (
    UserMessageEvent
    | AgentMessageEvent
    | AgentReasoningEvent
    | ExecCommandEnd
    | PatchApplyEnd
    | ErrorEvent
    | WarningEvent
    | StreamErrorEvent
)

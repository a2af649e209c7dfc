"""The items of paginated rollouts (0.150 and later): `event_msg/item_completed`.

Owns the shape of each kind of item and the value it becomes. Does not own turns, nor items that
have no shape here: those are kept whole by the fold.
Invariant: an item that was run keeps the id of its call, so that the call is not counted again.
"""

import shlex
from pathlib import PurePath
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from msgspec import Raw, Struct

from armarius.rollouts.parts import Change, Content, Duration, Here, Number, changes_of, status_of, text_of
from armarius.thread import (
    AgentMessage,
    Command,
    Compaction,
    FileChange,
    Reasoning,
    ToolCall,
    UserMessage,
)

__all__ = ["CallItem", "TurnItem", "script_of"]

_SHELLS = frozenset({"bash", "sh", "zsh", "dash"})
_SHELL_FLAGS = frozenset({"-c", "-lc"})


class _Item(Struct, tag_field="type"):
    id: str


class UserMessageItem(_Item, tag="UserMessage"):
    content: Content = ""

    def value(self, here: Here) -> UserMessage:
        return UserMessage(self.id, text_of(self.content), here.spot, here.at_us)


class AgentMessageItem(_Item, tag="AgentMessage"):
    content: Content = ""
    phase: str | None = None

    def value(self, here: Here) -> AgentMessage:
        return AgentMessage(self.id, text_of(self.content), here.spot, here.at_us, self.phase)


class ReasoningItem(_Item, tag="Reasoning"):
    summary_text: list[str] = []
    raw_content: list[str] = []

    def value(self, here: Here) -> Reasoning:
        return Reasoning(self.id, "\n".join(self.summary_text or self.raw_content), here.spot, here.at_us)


class CommandExecutionItem(_Item, tag="CommandExecution"):
    command: list[str] = []
    cwd: str | None = None
    status: str | None = None
    exit_code: Number | None = None
    aggregated_output: str | None = None
    duration: Duration | None = None

    def value(self, here: Here) -> Command:
        return Command(
            self.id,
            script_of(self.command),
            here.spot,
            argv=tuple(self.command),
            cwd=_path_of(self.cwd),
            status=status_of(self.status),
            exit_code=self.exit_code,
            output=self.aggregated_output or "",
            duration_us=self.duration.us if self.duration else None,
            at_us=here.at_us,
        )


class FileChangeItem(_Item, tag="FileChange"):
    changes: dict[str, Change] = {}
    status: str | None = None

    def value(self, here: Here) -> FileChange:
        return FileChange(self.id, changes_of(self.changes), here.spot, status_of(self.status), here.at_us)


class ContextCompactionItem(_Item, tag="ContextCompaction"):
    def value(self, here: Here) -> Compaction:
        return Compaction(self.id, here.spot, here.at_us)


class CallItem(_Item):
    """A tool call; unless it was made from within code, its call and answer are recorded as well."""

    tool: str = ""
    server: str | None = None
    prompt: str | None = None
    arguments: Raw = Raw()
    result: Raw = Raw()

    def value(self, here: Here) -> ToolCall:
        name = f"{self.server}.{self.tool}" if self.server else self.tool
        arguments = bytes(self.arguments).decode() or self.prompt or ""
        return ToolCall(self.id, name, arguments, here.spot, bytes(self.result).decode(), here.at_us)


class McpToolCallItem(CallItem, tag="McpToolCall"):
    pass


class DynamicToolCallItem(CallItem, tag="DynamicToolCall"):
    pass


class CollabAgentToolCallItem(CallItem, tag="CollabAgentToolCall"):
    pass


TurnItem: TypeAlias = (
    UserMessageItem
    | AgentMessageItem
    | ReasoningItem
    | CommandExecutionItem
    | FileChangeItem
    | ContextCompactionItem
    | McpToolCallItem
    | DynamicToolCallItem
    | CollabAgentToolCallItem
)


def script_of(argv: list[str]) -> str:
    """What was written to be run: the script of a `sh -c` call, otherwise the whole line."""
    match argv:
        case [shell, flag, script] if flag in _SHELL_FLAGS and PurePath(shell).name in _SHELLS:
            return script
        case _:
            return shlex.join(argv)


def _path_of(cwd: str | None) -> str | None:
    """Codex writes folders as `file://` URIs here and as paths elsewhere."""
    return unquote(urlsplit(cwd).path) if cwd and cwd.startswith("file://") else cwd

"""What an app-server reports, as the lines that `codex exec --json` would have printed.

Owns the translation, so that everything that reads a run reads one form. Does not own when a line is written.
Invariant: pure. A line stands for something that Codex said; nothing that ends a turn is made up.
"""

from typing import Any

import msgspec

from armarius.codex.orders import Change
from armarius.codex.protocol import Tokens, TurnError

__all__ = ["changes_of", "error_line", "item_line", "notice_line", "turn_line"]

Line = dict[str, Any]

_UNSEEN = frozenset({"userMessage", "hookPrompt"})
"""What `codex exec` does not show either: the words that it was given."""

_WORDS = frozenset({"agentMessage", "reasoning"})
"""Their beginning says nothing yet."""

_STATUS = {"inProgress": "in_progress"}


def item_line(event: str, item: dict[str, Any]) -> Line | None:
    """`event` is `item/started` or `item/completed`; None for what has no line."""
    kind = str(item.get("type", ""))
    if kind in _UNSEEN or (kind in _WORDS and event == "item/started"):
        return None
    return {"type": event.replace("/", "."), "item": {"id": item.get("id", "")} | _content(kind, item)}


def turn_line(status: str, error: TurnError | None, total: Tokens | None) -> Line | None:
    """The end of a turn; None for one that was interrupted, of which `codex exec` says nothing."""
    if status == "completed":
        return {"type": "turn.completed", "usage": _usage(total)}
    if status == "failed":
        return {"type": "turn.failed", "error": {"message": error.message if error else "no reason given"}}
    return None


def error_line(error: TurnError) -> Line:
    """Trouble, with its reason where `codex exec` puts it."""
    details = error.additional_details
    return {"type": "error", "message": f"{error.message} ({details})" if details else error.message}


def notice_line(number: int, message: str) -> Line:
    """A warning, in the shape in which `codex exec` prints them."""
    return {"type": "item.completed", "item": {"id": f"warning_{number}", "type": "error", "message": message}}


def _content(kind: str, item: dict[str, Any]) -> Line:
    status = _STATUS.get(str(item.get("status")), item.get("status"))
    match kind:
        case "agentMessage":
            return {"type": "agent_message", "text": item.get("text", "")}
        case "reasoning":
            parts: list[Any] = item.get("summary") or item.get("content") or []
            return {"type": "reasoning", "text": "\n\n".join(map(str, parts))}
        case "commandExecution":
            return {
                "type": "command_execution",
                "command": item.get("command", ""),
                "aggregated_output": item.get("aggregatedOutput") or "",
                "exit_code": item.get("exitCode"),
                "status": status,
            }
        case "fileChange":
            changes = [{"path": change.path, "kind": change.kind} for change in changes_of(item)]
            return {"type": "file_change", "changes": changes, "status": status}
        case "mcpToolCall":
            told = {name: item.get(name) for name in ("server", "tool", "arguments", "result", "error")}
            return {"type": "mcp_tool_call"} | told | {"status": status}
        case "webSearch":
            return {"type": "web_search", "query": item.get("query", "")}
        case "collabAgentToolCall":
            return {"type": "collab_tool_call", "tool": item.get("tool", ""), "status": status}
        case _:
            return item | {"type": _snake(kind)}


class _Kind(msgspec.Struct):
    type: str = ""


class _Change(msgspec.Struct):
    path: str
    kind: _Kind | str = ""
    diff: str = ""


class _FileChange(msgspec.Struct):
    changes: tuple[_Change, ...] = ()


def changes_of(item: dict[str, Any]) -> tuple[Change, ...]:
    """What a file change does to each path; nothing for a shape that is not known."""
    try:
        found = msgspec.convert(item, _FileChange).changes
    except msgspec.ValidationError:
        return ()
    return tuple(Change(one.path, one.kind if isinstance(one.kind, str) else one.kind.type, one.diff) for one in found)


def _usage(total: Tokens | None) -> Line:
    if total is None:
        return {}
    return {
        "input_tokens": total.input_tokens,
        "cached_input_tokens": total.cached_input_tokens,
        "cache_write_input_tokens": total.cache_write_input_tokens,
        "output_tokens": total.output_tokens,
        "reasoning_output_tokens": total.reasoning_output_tokens,
    }


def _snake(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind)

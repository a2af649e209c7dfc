"""What `codex exec --json` printed until 0.42: `{"id", "msg"}`, after a line of settings and one with the prompt.

Owns the shapes of these lines that differ from the events of a rollout, and the records they stand for.
Does not own the events that both share, nor what follows from a record.
Invariant: a stream shows the end of no turn, so none is told; a command is told when it begins, since its
end does not name it again in all versions.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from armarius.rollouts.calls import FunctionCall, FunctionCallOutput, WebSearchCall
from armarius.rollouts.fold import ThreadFold
from armarius.rollouts.legacy import ExecCommandEnd, UserMessageEvent
from armarius.rollouts.parts import Duration, Number, StreamHere
from armarius.rollouts.permissions import TurnContext
from armarius.rollouts.records import (
    EventLine,
    Record,
    ResponseLine,
    SessionMeta,
    SessionMetaLine,
    TaskComplete,
    TaskStarted,
    TurnContextLine,
    decode,
)
from armarius.rollouts.usage import TokenCount, TokenInfo, TokenUsage
from armarius.thread import Format, Thread

__all__ = ["OldLine", "OldRun"]

_SILENT: Final = frozenset(
    {
        *("agent_message_delta", "agent_reasoning_delta", "agent_reasoning_raw_content_delta"),
        *("agent_reasoning_section_break", "apply_patch_approval_request", "background_event"),
        *("exec_approval_request", "exec_command_output_delta", "mcp_startup_complete", "mcp_startup_update"),
        *("patch_apply_begin", "plan_update", "raw_response_item", "session_configured", "shutdown_complete"),
        *("item_started", "mcp_tool_call_begin", "turn_diff", "web_search_begin"),
    }
)


class OldLine(Struct):
    """Any line of such a stream: settings, a prompt, or a message with its submission."""

    id: str | None = None
    msg: Raw = Raw()
    prompt: str | None = None
    workdir: str | None = None
    model: str | None = None
    provider: str | None = None
    approval: str | None = None
    sandbox: str | None = None


class _Kind(Struct):
    type: str


class _Begin(Struct):
    call_id: str
    command: list[str] = []
    cwd: str | None = None


class _End(Struct):
    call_id: str
    exit_code: Number | None = None
    stdout: str = ""
    stderr: str = ""
    aggregated_output: str | None = None
    duration: Duration | None = None


class _Invocation(Struct):
    tool: str
    server: str = ""
    arguments: Raw = Raw()


class _ToolCall(Struct):
    call_id: str
    invocation: _Invocation
    result: Raw = Raw()


class _Count(TokenUsage, frozen=True):
    """0.20 counts each response for itself; later versions have the shape of a rollout."""

    total_tokens: Number | None = None


_KIND = msgspec.json.Decoder(_Kind)
_BEGIN = msgspec.json.Decoder(_Begin)
_END = msgspec.json.Decoder(_End)
_TOOL = msgspec.json.Decoder(_ToolCall)
_SEARCH = msgspec.json.Decoder(_Begin)
_COUNT = msgspec.json.Decoder(_Count)
_NEW_COUNT = msgspec.json.Decoder(TokenCount)


class OldRun:
    """One run of such a stream; `line` is where it begins."""

    def __init__(self, path: str, line: int) -> None:
        self._id = f"exec-at-line-{line}"
        self._fold = ThreadFold(path, self._id, StreamHere)
        self._begun: dict[str, _Begin] = {}
        self._total = TokenUsage()

    def add(self, line: OldLine, number: int, byte: int) -> None:
        """Fold in a line; msgspec.DecodeError when its message is none."""
        if line.workdir is not None:
            meta = SessionMeta(id=self._id, cwd=line.workdir, source="exec", model_provider=line.provider)
            self._fold.add(SessionMetaLine(payload=meta), number, byte)
            policy = Raw(msgspec.json.encode({"mode": line.sandbox})) if line.sandbox else Raw()
            context = TurnContext(
                cwd=line.workdir, model=line.model, approval_policy=line.approval, sandbox_policy=policy
            )
            self._fold.add(TurnContextLine(payload=context), number, byte)
        elif line.prompt is not None:
            self._fold.add(EventLine(payload=UserMessageEvent(message=line.prompt)), number, byte)
        else:
            self._message(bytes(line.msg), number, byte)

    def reject(self, number: int, byte: int, reason: str) -> None:
        """Something stood there that could not be used."""
        self._fold.reject(number, byte, reason)

    def thread(self) -> Thread:
        """All that is known by now."""
        return msgspec.structs.replace(self._fold.thread(), format=Format.EXEC_OLD)

    def _message(self, raw: bytes, number: int, byte: int) -> None:
        match kind := _KIND.decode(raw).type:
            case "exec_command_begin":
                begin = _BEGIN.decode(raw)
                self._begun[begin.call_id] = begin
                record: Record = EventLine(payload=_command(begin, "in_progress"))
            case "exec_command_end":
                record = EventLine(payload=self._ended(_END.decode(raw)))
            case "mcp_tool_call_end":
                call = _TOOL.decode(raw)
                name = f"{call.invocation.server}.{call.invocation.tool}"
                asked = FunctionCall(call.call_id, name, bytes(call.invocation.arguments).decode())
                self._fold.add(ResponseLine(payload=asked), number, byte)
                answer = FunctionCallOutput(call.call_id, bytes(call.result).decode())
                record = ResponseLine(payload=answer)
            case "web_search_end":
                record = ResponseLine(payload=WebSearchCall(_SEARCH.decode(raw).call_id, Raw(raw)))
            case "token_count":
                record = EventLine(payload=self._count(raw))
            case _ if kind in _SILENT:
                return
            case _:
                record = decode(b'{"type":"event_msg","payload":%b}' % raw)
        if not (isinstance(record, EventLine) and isinstance(record.payload, TaskStarted | TaskComplete)):
            self._fold.add(record, number, byte)

    def _ended(self, end: "_End") -> ExecCommandEnd:
        event = _command(self._begun.pop(end.call_id, _Begin(end.call_id)), None)
        event.exit_code = end.exit_code
        event.duration = end.duration
        event.aggregated_output = end.stdout + end.stderr if end.aggregated_output is None else end.aggregated_output
        return event

    def _count(self, raw: bytes) -> TokenCount:
        count = _COUNT.decode(raw)
        if count.total_tokens is None:
            return _NEW_COUNT.decode(raw)
        last = TokenUsage(
            count.input_tokens, count.cached_input_tokens, 0, count.output_tokens, count.reasoning_output_tokens
        )
        self._total = TokenUsage(
            self._total.input_tokens + last.input_tokens,
            self._total.cached_input_tokens + last.cached_input_tokens,
            0,
            self._total.output_tokens + last.output_tokens,
            self._total.reasoning_output_tokens + last.reasoning_output_tokens,
        )
        return TokenCount(TokenInfo(self._total, last))


def _command(begin: _Begin, status: str | None) -> ExecCommandEnd:
    return ExecCommandEnd(call_id=begin.call_id, command=begin.command, cwd=begin.cwd, status=status)

"""One line of a Claude Code transcript as one record, and what its tools say.

Owns the shapes: the line, the message in it, calls of tools and their answers. Does not own what
follows from a record; that is `claude_fold`.
Invariant: only fields that are used have a name here. A line whose type is known and whose fields do
not fit comes out as a Stranger that says so, one of a type nobody knows as a Stranger without a problem.
"""

import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from armarius.rollouts.drafts import Action
from armarius.rollouts.parts import Here, signed
from armarius.rollouts.usage import TokenNumber
from armarius.thread import Command, FileChange, ItemStatus, PathChange, ToolCall, Usage

__all__ = ["KNOWN", "SYNTHETIC", "Block", "Line", "Message", "Queued", "Stranger", "answered", "called", "decode"]

SYNTHETIC: Final = "<synthetic>"
"""The model of messages that Claude Code wrote itself."""

_TOO_MANY: Final = 429
_COMMAND_TOOLS = frozenset({"Bash", "PowerShell"})
_EDIT_TOOLS = frozenset({"Edit", "MultiEdit", "NotebookEdit", "Write"})

_EXIT_HEAD = re.compile(r"(?:Error: )?Exit code (?P<code>-?\d{1,10})(?:\n|$)", re.ASCII)
_DECLINED = (
    "This Bash command contains multiple operations. The following parts require approval",
    "This command requires approval",
    "Claude requested permissions to ",
    "Permission to use ",
)
# Said of a call that a person refused and of one that they stopped while it ran.
_STOPPED = ("The user doesn't want to proceed with this tool use.", "The user doesn't want to take this action")


class Tokens(Struct):
    """What one answer of the model cost, in Anthropic's words: the three inputs do not overlap."""

    input_tokens: TokenNumber | None = 0
    cache_creation_input_tokens: TokenNumber | None = 0
    cache_read_input_tokens: TokenNumber | None = 0
    output_tokens: TokenNumber | None = 0

    @property
    def value(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        return Usage((self.input_tokens or 0) + read + written, read, written, self.output_tokens or 0)


class Block(Struct):
    """A piece of a message; which fields it has depends on its type."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw = Raw()
    tool_use_id: str | None = None
    content: Raw = Raw()
    is_error: bool | None = None

    @property
    def answer(self) -> str:
        """What a tool said, of an answer in pieces the texts."""
        return text_of(self.content)


class Message(Struct):
    """What was said, by whomever; `id`, `model`, `usage` and `stop_reason` of the model only."""

    content: str | list[Block] = ""
    id: str | None = None
    model: str | None = None
    usage: Tokens | None = None
    stop_reason: str | None = None

    @property
    def blocks(self) -> list[Block]:
        return [Block("text", self.content)] if isinstance(self.content, str) else self.content


class Queued(Struct):
    """What an attachment holds that was typed, or came in, while the model worked."""

    type: str = ""
    prompt: Raw = Raw()
    command_mode: str | None = msgspec.field(name="commandMode", default=None)

    @property
    def text(self) -> str:
        return text_of(self.prompt)


class _Problem(Struct):
    message: str | None = None
    status: int | None = None


class _Kind(Struct):
    kind: str | None = None


class Line(Struct, rename="camel"):
    """A line of a transcript."""

    type: str = ""
    subtype: str | None = None
    uuid: str | None = None
    parent_uuid: str | None = None
    timestamp: str = ""
    session_id: str | None = None
    agent_id: str | None = None
    cwd: str | None = None
    version: str | None = None
    git_branch: str | None = None
    entrypoint: str | None = None
    permission_mode: str | None = None
    is_sidechain: bool | None = None
    is_meta: bool | None = None
    is_compact_summary: bool | None = None
    is_api_error_message: bool | None = None
    message: Message | None = None
    attachment: Raw = Raw()
    origin: Raw = Raw()
    content: Raw = Raw()
    error: Raw = Raw()
    api_error_status: int | None = None
    tool_use_result: Raw = Raw()
    tool_denial_kind: str | None = None

    @property
    def queued(self) -> Queued:
        return _loose(_QUEUED, self.attachment) or Queued()

    @property
    def is_from_a_person(self) -> bool:
        """Whether a person wrote the message, and not another session or a task that ended."""
        origin = _loose(_KIND, self.origin)
        return origin is None or origin.kind in {None, "human", "user"}

    @property
    def error_kind(self) -> str | None:
        """The word for a failure, of one that asks for less or later Codex's word."""
        word = _loose(_STRING, self.error)
        return "too_many_requests" if word == "rate_limit" or self.api_error_status == _TOO_MANY else word

    @property
    def error_text(self) -> str:
        """What went wrong, of a request that is tried again."""
        problem = _loose(_PROBLEM, self.error) or _Problem()
        found = (problem.message, problem.status, text_of(self.error), text_of(self.content))
        return next((str(each) for each in found if each), "the request failed and is tried again")


class Stranger(Struct):
    """A line of an unknown type, or one that does not fit its type: then `problem` says why."""

    type: str
    timestamp: str
    problem: str | None


KNOWN: Final = frozenset({"user", "assistant", "system", "attachment"})


class _Envelope(Struct):
    type: Any = None
    timestamp: Any = None


class _Asked(Struct):
    """What a tool was called with."""

    command: str | None = None
    file_path: str | None = None
    notebook_path: str | None = None
    content: str | None = None


class _Hunk(Struct, rename="camel"):
    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    lines: list[str]

    @property
    def text(self) -> str:
        head = f"@@ -{self.old_start},{self.old_lines} +{self.new_start},{self.new_lines} @@\n"
        return head + "".join(f"{line}\n" for line in self.lines)


class _Result(Struct, rename="camel"):
    """What a tool said to Claude Code, beside what the model saw."""

    type: str | None = None
    structured_patch: list[_Hunk] | None = None
    interrupted: bool | None = None
    background_task_id: str | None = None
    return_code_interpretation: str | None = None


class _Text(Struct):
    text: str = ""


_Value = TypeVar("_Value")

_LINE = msgspec.json.Decoder(Line)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_QUEUED = msgspec.json.Decoder(Queued)
_KIND = msgspec.json.Decoder(_Kind)
_PROBLEM = msgspec.json.Decoder(_Problem)
_ASKED = msgspec.json.Decoder(_Asked)
_RESULT = msgspec.json.Decoder(_Result)
_STRING = msgspec.json.Decoder(str)
_PIECES = msgspec.json.Decoder(list[_Text])


def decode(line: bytes) -> Line | Stranger:
    """The record of a line; msgspec.DecodeError when it is no JSON object, RecursionError when too deep."""
    try:
        return _LINE.decode(line)
    except msgspec.ValidationError as error:
        envelope = _ENVELOPE.decode(line)
        kind = envelope.type if isinstance(envelope.type, str) else ""
        at = envelope.timestamp if isinstance(envelope.timestamp, str) else ""
        return Stranger(kind, at, str(error) if kind in KNOWN else None)


def text_of(raw: Raw) -> str:
    """The words of something that is a string, or pieces with a text."""
    whole = _loose(_STRING, raw)
    return whole if whole is not None else "\n".join(piece.text for piece in _loose(_PIECES, raw) or [] if piece.text)


def called(block: Block, line: Line, here: Here) -> Action:
    """What a call of a tool was going to do."""
    call_id, name = block.id or here.id("tool_use"), block.name or ""
    asked = _loose(_ASKED, block.input) or _Asked()
    running = ItemStatus.IN_PROGRESS
    if name in _COMMAND_TOOLS and asked.command is not None:
        return Command(call_id, asked.command, here.spot, cwd=line.cwd, status=running, at_us=here.at_us)
    path = asked.file_path or asked.notebook_path
    if name in _EDIT_TOOLS and path:
        diff = None if asked.content is None else signed("+", asked.content)
        return FileChange(call_id, (PathChange(path, "update", diff),), here.spot, running, here.at_us)
    return ToolCall(call_id, name, bytes(block.input).decode(), here.spot, at_us=here.at_us)


def answered(action: Action, block: Block, line: Line) -> Action:
    """The call with what its answer says."""
    text, replace = block.answer, msgspec.structs.replace
    result = _loose(_RESULT, line.tool_use_result) or _Result()
    if isinstance(action, ToolCall):
        return replace(action, output=text)
    if isinstance(action, FileChange):
        status = _status_of_error(text, line) if block.is_error else ItemStatus.COMPLETED
        return replace(action, status=status, changes=tuple(_changed(change, result) for change in action.changes))
    if block.is_error:
        if head := _EXIT_HEAD.match(text):
            code, rest = int(head["code"]), text[head.end() :]
            return replace(action, status=ItemStatus.FAILED, exit_code=code, output=rest)
        return replace(action, status=_status_of_error(text, line), output=text)
    if result.background_task_id:
        return action
    if result.interrupted:
        return replace(action, status=ItemStatus.FAILED, output=text)
    # `grep` that found nothing is no error to Claude Code, which then does not write its code down.
    code = None if result.return_code_interpretation else 0
    return replace(action, status=ItemStatus.COMPLETED, exit_code=code, output=text)


def _status_of_error(text: str, line: Line) -> ItemStatus:
    if line.tool_denial_kind or text.startswith(_DECLINED):
        return ItemStatus.DECLINED
    return ItemStatus.UNKNOWN if text.startswith(_STOPPED) else ItemStatus.FAILED


def _changed(change: PathChange, result: _Result) -> PathChange:
    hunks = "".join(hunk.text for hunk in result.structured_patch or [])
    kind = "add" if result.type == "create" else change.kind
    return PathChange(change.path, kind, hunks or change.diff)


def _loose(decoder: msgspec.json.Decoder[_Value], raw: Raw) -> _Value | None:
    """What stands there if it can be read; None otherwise."""
    try:
        return decoder.decode(raw)
    except (ValueError, RecursionError):
        return None

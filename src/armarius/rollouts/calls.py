"""Calls of tools and their answers, as the model made and saw them.

Owns what a call was going to do, and how it ended as far as its answer says. This is the only
record of a command in wrapped rollouts that 0.163 and later write, of a command that Codex did not
report as an item, and of a call that a kill left without an answer.
Invariant: an exit code is read from the head that Codex puts before the output of a command, never
from the output, which the command chose.
"""

import re
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct

from armarius.rollouts.drafts import Action
from armarius.rollouts.paginated import script_of
from armarius.rollouts.parts import Content, Here, Number, status_of_exit, text_of
from armarius.thread import Command, FileChange, ItemStatus, PathChange, ToolCall

__all__ = [
    "Answer",
    "Call",
    "CustomToolCallOutput",
    "FunctionCall",
    "FunctionCallOutput",
    "Outcome",
    "WebSearchCall",
    "answered",
    "outcome_of",
    "session_asked",
]

_COMMAND_TOOLS = frozenset({"exec_command", "shell", "shell_command", "container.exec"})

# 0.98 and later; the command's own line is there in 0.118 and is trusted when it is one line.
_EXEC_HEAD = re.compile(
    r"(?:Command: [^\n]*\n)?(?:Chunk ID: \w+\n)?Wall time: (?P<seconds>\d{1,9}(?:\.\d{1,9})?) seconds\n"
    r"(?:Process exited with code (?P<code>-?\d{1,10})|Process running with session ID (?P<session>\d+))\n"
    r"(?:Original token count: \d+\n)?Output:\n",
    re.ASCII,
)
_PATCH_HEAD = re.compile(
    r"Exit code: (?P<code>-?\d{1,10})\nWall time: (?P<seconds>\d{1,9}(?:\.\d{1,9})?) seconds\nOutput:\n"
)
# The sandbox stopped it and Codex wrote its own value down (0.98, 0.106).
_DENIED_HEAD = re.compile(
    r'exec_command failed: CreateProcess \{ message: "Codex\(Sandbox\(Denied \{ '
    r"output: ExecToolCallOutput \{ exit_code: (?P<code>-?\d{1,10}), "
)
_FAILED = ("exec_command failed: ", "apply_patch verification failed: ")
_DECLINED = (
    'exec_command failed: CreateProcess { message: "Rejected(',
    "approval policy is Never; reject command",
    "exec command rejected by user",
    "patch rejected: ",
    "unsupported call: ",
)
_PATCHED_FILE = re.compile(r"^\*\*\* (?P<verb>Add|Update|Delete) File: (?P<path>.+)$", re.MULTILINE)
_CENTURY_S = 3.2e9
_MOVED_FILE = re.compile(r"^\*\*\* Move to: (?P<path>.+)$", re.MULTILINE)


class _Call(Struct, tag_field="type"):
    pass


class FunctionCall(_Call, tag="function_call"):
    """A tool that takes JSON."""

    call_id: str
    name: str
    arguments: str = ""

    def value(self, here: Here) -> Action:
        if self.name in _COMMAND_TOOLS:
            try:
                command = _ARGUMENTS.decode(self.arguments.encode()).command_of(self.call_id, here)
            except (ValueError, RecursionError):
                pass  # whatever it asked for, it was not a command that Codex could read
            else:
                reason = _escalation(self.arguments)
                return command if reason is None else msgspec.structs.replace(command, escalation=reason)
        return ToolCall(self.call_id, self.name, self.arguments, here.spot, at_us=here.at_us)


class CustomToolCall(_Call, tag="custom_tool_call"):
    """A tool that takes text: a patch, or code of models that act through code."""

    call_id: str
    name: str
    input: str = ""

    def value(self, here: Here) -> Action:
        if self.name == "apply_patch":
            status = ItemStatus.IN_PROGRESS
            return FileChange(self.call_id, _patched(self.input), here.spot, status, here.at_us)
        return ToolCall(self.call_id, self.name, self.input, here.spot, at_us=here.at_us)


class ShellAction(Struct):
    command: list[str] = []
    working_directory: str | None = None


class LocalShellCall(_Call, tag="local_shell_call"):
    action: ShellAction
    call_id: str

    def value(self, here: Here) -> Action:
        asked = _Arguments(command=self.action.command, workdir=self.action.working_directory)
        return asked.command_of(self.call_id, here)


class WebSearchCall(_Call, tag="web_search_call"):
    """Run by the provider; it has no answer of its own."""

    id: str | None = None
    action: Raw = Raw()

    def value(self, here: Here) -> Action:
        name = self.id or here.id("web_search")
        return ToolCall(name, "web_search", bytes(self.action).decode(), here.spot, "", here.at_us)


Call: TypeAlias = FunctionCall | CustomToolCall | LocalShellCall | WebSearchCall


class Answer(_Call):
    """Without `call_id` it is context that Codex slips in, in the shape of an answer."""

    call_id: str | None = None
    output: Content = ""

    @property
    def text(self) -> str:
        return text_of(self.output)


class FunctionCallOutput(Answer, tag="function_call_output"):
    """Of a tool that takes JSON."""


class CustomToolCallOutput(Answer, tag="custom_tool_call_output"):
    """Of a tool that takes text."""


class Outcome(Struct, frozen=True):
    """How a call ended. `session` names the process when the answer came before its end."""

    status: ItemStatus
    output: str
    exit_code: int | None = None
    duration_us: int | None = None
    session: str | None = None


def outcome_of(text: str) -> Outcome:
    """What an answer says of its call; UNKNOWN with the whole text when it says nothing we know."""
    if head := _EXEC_HEAD.match(text) or _PATCH_HEAD.match(text):
        found = head.groupdict()
        output = text[head.end() :]
        if session := found.get("session"):
            return Outcome(ItemStatus.IN_PROGRESS, output, session=session)
        return _ended(int(found["code"]), output, float(found["seconds"]))
    if text.startswith('{"output":'):
        try:
            answer = _WRAPPED.decode(text.encode())
        except (ValueError, RecursionError):
            return Outcome(ItemStatus.UNKNOWN, text)
        return _ended(answer.metadata.exit_code, answer.output, answer.metadata.duration_seconds)
    if text.startswith(_DECLINED):
        return Outcome(ItemStatus.DECLINED, text)
    if denied := _DENIED_HEAD.match(text):
        return Outcome(ItemStatus.FAILED, text, int(denied["code"]))
    return Outcome(ItemStatus.FAILED if text.startswith(_FAILED) else ItemStatus.UNKNOWN, text)


def answered(action: Action, text: str) -> Action:
    """The call with what its answer says; one that has ended already stays as it is."""
    if isinstance(action, ToolCall):
        return action if action.output is not None else msgspec.structs.replace(action, output=text)
    if action.status is not ItemStatus.IN_PROGRESS:
        return action
    outcome = outcome_of(text)
    if isinstance(action, FileChange):
        return msgspec.structs.replace(action, status=outcome.status)
    return msgspec.structs.replace(
        action,
        status=outcome.status,
        exit_code=outcome.exit_code,
        output=action.output + outcome.output,
        duration_us=outcome.duration_us,
    )


def session_asked(action: Action) -> str | None:
    """The running process that a call of `write_stdin` speaks to."""
    if not isinstance(action, ToolCall) or action.name != "write_stdin":
        return None
    try:
        session = _ARGUMENTS.decode(action.arguments.encode()).session_id
    except (ValueError, RecursionError):
        return None
    return None if session is None else str(session)


class _Arguments(Struct):
    cmd: str | None = None
    command: str | list[str] | None = None
    workdir: str | None = None
    session_id: int | str | None = None

    def command_of(self, call_id: str, here: Here) -> Command:
        asked = self.cmd if self.cmd is not None else self.command
        if asked is None:
            raise ValueError("no command")
        argv = asked if isinstance(asked, list) else []
        return Command(
            call_id,
            asked if isinstance(asked, str) else script_of(asked),
            here.spot,
            argv=tuple(argv),
            cwd=self.workdir,
            status=ItemStatus.IN_PROGRESS,
            at_us=here.at_us,
        )


class _Escalation(Struct):
    """How a call asks to be run outside the sandbox: the flag is older than the word."""

    with_escalated_permissions: bool = False
    sandbox_permissions: str = "use_default"
    justification: str | None = None


class _Metadata(Struct):
    exit_code: Number
    duration_seconds: float


class _Wrapped(Struct):
    """The answer of the shell tool, 0.36 to 0.77."""

    output: str
    metadata: _Metadata


_ARGUMENTS = msgspec.json.Decoder(_Arguments)
_ESCALATION = msgspec.json.Decoder(_Escalation)
_WRAPPED = msgspec.json.Decoder(_Wrapped)


def _escalation(arguments: str) -> str | None:
    if "_permissions" not in arguments:
        return None
    try:
        asked = _ESCALATION.decode(arguments.encode())
    except (ValueError, RecursionError):
        return None
    is_default = asked.sandbox_permissions == "use_default" and not asked.with_escalated_permissions
    return None if is_default else asked.justification or ""


def _ended(code: int, output: str, seconds: float) -> Outcome:
    return Outcome(status_of_exit(code), output, code, int(min(seconds, _CENTURY_S) * 1_000_000))


def _patched(patch: str) -> tuple[PathChange, ...]:
    """The files that a patch names, before or without Codex's own account of it."""
    heads = list(_PATCHED_FILE.finditer(patch))
    ends = [head.start() for head in heads[1:]] + [len(patch)]
    named = [
        PathChange(head["path"], head["verb"].lower(), _hunks(patch[head.end() + 1 : end]))
        for head, end in zip(heads, ends, strict=False)
    ]
    moved = [PathChange(found["path"], "add") for found in _MOVED_FILE.finditer(patch)]
    return tuple(named + moved)


def _hunks(section: str) -> str | None:
    lines = [line for line in section.splitlines(keepends=True) if not line.startswith("*** ")]
    return "".join(lines) or None

"""What a Responses request of Codex says.

Owns reading a request body into the few things a scripted model acts on. Does not own deciding
what to do, nor the transport.
Invariant: pure and total over what Codex sends; unknown items and fields are passed over, and only
a body that is no request at all raises (msgspec.ValidationError or DecodeError).

The newest user message that a person wrote is the task; context that Codex adds in the user's
name (environment, AGENTS.md, skill texts, notices) is not. `calls` and `answers` are what happened
after the task, so a model that keeps no state can tell how far it is.
"""

import enum
import json
import re
from typing import Any

import msgspec

__all__ = ["Call", "Conversation", "ShellShape", "SkillEntry", "read_request"]


class ShellShape(enum.Enum):
    """How this request lets the model run a command."""

    NONE = "none"
    FUNCTION = "function"  # a function `exec_command` with {"cmd": …}
    CODE_MODE = "code_mode"  # a custom tool `exec` that takes JavaScript (`code_mode_only` models)


class SkillEntry(msgspec.Struct, frozen=True):
    """A line of the skill catalogue, its path made absolute by the roots table."""

    name: str
    description: str
    path: str


class Call(msgspec.Struct, frozen=True):
    """A tool call after the task. `command` is empty when it was no shell command."""

    command: str
    output: str | None = None


class Conversation(msgspec.Struct, frozen=True):
    """A request, reduced to what a scripted model looks at."""

    task: str
    thread_id: str = ""
    thread_source: str = ""
    shell: ShellShape = ShellShape.NONE
    takes_patches: bool = False
    skills: tuple[str, ...] = ()
    catalogue: tuple[SkillEntry, ...] = ()
    calls: tuple[Call, ...] = ()
    answers: int = 0
    continued: bool = False
    schema: dict[str, Any] | None = None
    streams: bool = True


class _Part(msgspec.Struct):
    text: str = ""


class _Tool(msgspec.Struct):
    type: str = ""
    name: str = ""
    tools: "list[_Tool]" = []


class _Item(msgspec.Struct):
    type: str = "message"
    role: str = ""
    phase: str | None = None
    content: str | list[_Part] | None = None
    name: str = ""
    arguments: str | None = None
    input: str | None = None
    call_id: str = ""
    output: str | list[_Part] | None = None
    tools: list[_Tool] = []


class _Format(msgspec.Struct):
    type: str = ""
    schema: dict[str, Any] | None = None


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Request(msgspec.Struct):
    input: str | list[_Item]
    tools: list[_Tool] = []
    text: _Text | None = None
    client_metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None
    stream: bool = True  # as Codex has it; who wants no stream has to say so here


_DECODER = msgspec.json.Decoder(_Request)
_CONTEXT = re.compile(
    r"\s*(?:<(?:environment_context|user_instructions|skill|turn_aborted|user_action|hook_prompt"
    r"|subagent_notification)\b|# AGENTS\.md instructions|Another language model started to solve)"
)
_SKILL = re.compile(r"<skill>\s*<name>.*?</name>\s*<path>.*?</path>\n?(.*?)</skill>", re.DOTALL)
_ROOT = re.compile(r"^- `(r\d+)` = `(.+)`$", re.MULTILINE)
_ENTRY = re.compile(r"^- ([^:\n]+): (.*) \(file: (.+)\)$", re.MULTILINE)
_JS_COMMAND = re.compile(r"tools\.exec_command\((?=\{)")
_READS_SKILL = re.compile(r"^cat .*SKILL\.md", re.DOTALL)


def read_request(body: bytes) -> Conversation:
    """The conversation in a request body; msgspec.MsgspecError when it is no request."""
    request = _DECODER.decode(body)
    items = [_Item(role="user", content=request.input)] if isinstance(request.input, str) else request.input
    start = _newest_task(items)
    after = items[start + 1 :]
    calls = _calls(after)
    metadata = request.client_metadata or {}
    offered = _offered([*request.tools, *(tool for item in items for tool in item.tools)])
    return Conversation(
        task=_own_words(items[start]) if start >= 0 else "",
        thread_id=metadata.get("thread_id") or request.prompt_cache_key or "",
        thread_source=_thread_source(metadata.get("x-codex-turn-metadata", "{}")),
        shell=_shell_shape(offered),
        takes_patches=("custom", "apply_patch") in offered,
        skills=_skill_texts(items, calls),
        catalogue=_catalogue(items),
        calls=calls,
        answers=sum(item.role == "assistant" and item.phase != "commentary" for item in after),
        continued=any(item.role == "assistant" or item.call_id for item in items),
        schema=request.text.format.schema if request.text and request.text.format else None,
        streams=request.stream,
    )


def _parts(content: str | list[_Part] | None) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part.text for part in content or []]


def _own_words(item: _Item) -> str:
    """What a person wrote in a user message, without the context Codex put beside it."""
    return "\n".join(text for text in _parts(item.content) if not _CONTEXT.match(text)).strip()


def _newest_task(items: list[_Item]) -> int:
    for index in range(len(items) - 1, -1, -1):
        if items[index].role == "user" and _own_words(items[index]):
            return index
    return -1


def _offered(tools: list[_Tool]) -> set[tuple[str, str]]:
    """The (type, name) of every tool, those inside namespaces too."""
    offered: set[tuple[str, str]] = set()
    for tool in tools:
        offered.add((tool.type, tool.name))
        offered |= _offered(tool.tools)
    return offered


def _shell_shape(offered: set[tuple[str, str]]) -> ShellShape:
    if ("function", "exec_command") in offered:
        return ShellShape.FUNCTION
    return ShellShape.CODE_MODE if ("custom", "exec") in offered else ShellShape.NONE


def _calls(items: list[_Item]) -> tuple[Call, ...]:
    outputs = {item.call_id: "".join(_parts(item.output)) for item in items if item.type.endswith("_call_output")}
    return tuple(Call(_command(item), outputs.get(item.call_id)) for item in items if item.type.endswith("_call"))


def _command(item: _Item) -> str:
    """The shell command of a call in either shape; the first one of a script in code mode."""
    source = item.arguments if item.name == "exec_command" else None
    if item.name == "exec" and item.input is not None and (call := _JS_COMMAND.search(item.input)):
        source = item.input[call.end() :]
    if source is None:
        return ""
    try:
        arguments: dict[str, Any] = json.JSONDecoder().raw_decode(source)[0]
    except ValueError:
        return ""  # written by another model: JavaScript need not be JSON
    return str(arguments.get("cmd", ""))


def _skill_texts(items: list[_Item], calls: tuple[Call, ...]) -> tuple[str, ...]:
    """Every skill text, oldest first: those Codex injected, then those the model read for this task."""
    injected = [
        text
        for item in items
        if item.role in ("user", "developer")
        for part in _parts(item.content)
        for text in _SKILL.findall(part)
    ]
    read = [call.output.partition("Output:\n")[2] for call in calls if call.output and _READS_SKILL.match(call.command)]
    return tuple(injected + read)


def _catalogue(items: list[_Item]) -> tuple[SkillEntry, ...]:
    """The newest catalogue; Codex sends a whole new one when it changed."""
    listed = [
        part
        for item in items
        if item.role == "developer"
        for part in _parts(item.content)
        if part.startswith("<skills_instructions>")
    ]
    if not listed:
        return ()
    roots = dict(_ROOT.findall(listed[-1]))
    return tuple(
        SkillEntry(name, description, _absolute(path, roots)) for name, description, path in _ENTRY.findall(listed[-1])
    )


def _absolute(path: str, roots: dict[str, str]) -> str:
    root, _, rest = path.partition("/")
    return f"{roots[root]}/{rest}" if root in roots else path


def _thread_source(metadata: str) -> str:
    try:
        source = json.loads(metadata).get("thread_source")
    except ValueError:
        return ""
    return source if isinstance(source, str) else ""

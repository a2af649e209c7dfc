"""A reply as the events of Codex's Responses stream.

Owns the shapes: messages, reasoning, and tool calls as functions, as custom tools, or as JavaScript
for models in code mode. Does not own how events reach the client.
Invariant: the events of one response carry consecutive sequence numbers, and every item that is
opened is closed by `response.output_item.done` with the same content.
"""

import json
from typing import Any, TypeAlias

from armarius.testing.conversation import Conversation, ShellShape
from armarius.testing.reply import Call, Patch, Reply, Say, Shell, Step, Think
from armarius.thread import Usage

__all__ = ["Event", "broken_reply", "completed_reply", "failed_reply", "incomplete_reply", "output_text"]

Event: TypeAlias = dict[str, Any]
_DELTA = 240  # characters in one text delta: large enough to be cheap, small enough to be several


def completed_reply(
    reply: Reply, conversation: Conversation, response_id: str, created_at: int, usage: Usage
) -> list[Event]:
    """The whole stream of a response that succeeds."""
    items = [
        _item(step, conversation, f"{response_id.removeprefix('resp_')}_{index}")
        for index, step in enumerate(reply.steps)
    ]
    last = _response(response_id, created_at, "completed") | {"output": items, "usage": _usage(usage)}
    return _numbered(
        [
            _created(response_id, created_at),
            *(event for index, item in enumerate(items) for event in _item_events(item, index)),
            {"type": "response.completed", "response": last},
        ]
    )


def broken_reply(reply: Reply, response_id: str, created_at: int) -> list[Event]:
    """A stream that stops after a finished message without saying that it ends.

    Codex keeps such a message in the history of its next try. It is commentary, so that a model
    which counts answers to know where it stands is not misled by half of one.
    """
    said = "".join(step.text for step in reply.steps if isinstance(step, Say))
    half = Say(said[: len(said) // 2] or "partial", phase="commentary")
    item = _message(half, f"{response_id.removeprefix('resp_')}_0")
    return _numbered([_created(response_id, created_at), *_item_events(item, 0)])


def incomplete_reply(reply: Reply, response_id: str, created_at: int) -> list[Event]:
    """Partial text and then `response.incomplete`, as at the output limit."""
    last = _response(response_id, created_at, "incomplete")
    last |= {"incomplete_details": {"reason": "max_output_tokens"}, "usage": None}
    broken = broken_reply(reply, response_id, created_at)
    return _numbered([*broken, {"type": "response.incomplete", "response": last}])


def failed_reply(code: str, message: str, response_id: str, created_at: int) -> list[Event]:
    """A stream that ends in `response.failed`."""
    last = _response(response_id, created_at, "failed") | {"error": {"code": code, "message": message}}
    return _numbered([_created(response_id, created_at), {"type": "response.failed", "response": last}])


def output_text(reply: Reply) -> tuple[str, str]:
    """What a reply costs in words: (all of it, the part that is reasoning)."""
    reasoning = "".join(step.text for step in reply.steps if isinstance(step, Think))
    return "".join(map(_words, reply.steps)), reasoning


def _words(step: Step) -> str:
    match step:
        case Shell():
            return step.command
        case Call():
            return json.dumps(step.arguments)
        case _:
            return step.text


def _numbered(events: list[Event]) -> list[Event]:
    return [event | {"sequence_number": number} for number, event in enumerate(events)]


def _response(response_id: str, created_at: int, status: str) -> Event:
    return {"id": response_id, "object": "response", "created_at": created_at, "status": status}


def _created(response_id: str, created_at: int) -> Event:
    response = _response(response_id, created_at, "in_progress")
    response |= {"output": [], "usage": None}
    return {"type": "response.created", "response": response}


def _usage(usage: Usage) -> Event:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached_input},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
    }


# --------------------------------------------------------------------- items


def _item(step: Step, conversation: Conversation, tail: str) -> Event:
    match step:
        case Say():
            return _message(step, tail)
        case Think(text):
            summary = [{"type": "summary_text", "text": text}]
            return {"id": f"rs_{tail}", "type": "reasoning", "summary": summary, "encrypted_content": ""}
        case Shell():
            return _shell(step, conversation.shell, tail)
        case Patch(text):
            return _patch(text, conversation, tail)
        case Call():
            call = _call(step.name, json.dumps(step.arguments), tail)
            return call if step.namespace is None else call | {"namespace": step.namespace}


def _message(step: Say, tail: str) -> Event:
    return {
        "id": f"msg_{tail}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "phase": step.phase,
        "content": [{"type": "output_text", "text": step.text, "annotations": []}],
    }


def _shell(step: Shell, shape: ShellShape, tail: str) -> Event:
    asked = {} if step.ask is None else {"sandbox_permissions": "require_escalated", "justification": step.ask}
    arguments = json.dumps({"cmd": step.command} | asked)
    if shape is ShellShape.CODE_MODE:
        script = f"const result = await tools.exec_command({arguments}); text(result.output);"
        return _custom("exec", script, tail)
    return _call("exec_command", arguments, tail)


def _call(name: str, arguments: str, tail: str) -> Event:
    return {
        "id": f"fc_{tail}",
        "type": "function_call",
        "status": "completed",
        "call_id": f"call_{tail}",
        "name": name,
        "arguments": arguments,
    }


def _patch(text: str, conversation: Conversation, tail: str) -> Event:
    if conversation.shell is ShellShape.CODE_MODE:
        return _custom("exec", f"text(await tools.apply_patch({json.dumps(text)}));", tail)
    if conversation.takes_patches:
        return _custom("apply_patch", text, tail)
    # A model without the tool is told by Codex to write it as a command, which Codex then intercepts.
    return _shell(Shell(f"apply_patch <<'PATCH'\n{text}\nPATCH"), conversation.shell, tail)


def _custom(name: str, text: str, tail: str) -> Event:
    return {
        "id": f"ctc_{tail}",
        "type": "custom_tool_call",
        "status": "completed",
        "call_id": f"call_{tail}",
        "name": name,
        "input": text,
    }


# -------------------------------------------------------------------- events


def _item_events(item: Event, index: int) -> list[Event]:
    """An item opened, filled piece by piece, and closed."""
    at: Event = {"output_index": index, "item_id": item["id"]}
    opened = item | _EMPTY[item["type"]] | ({"status": "in_progress"} if "status" in item else {})
    return [
        {"type": "response.output_item.added", "output_index": index, "item": opened},
        *(event | at for event in _filling(item)),
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


_EMPTY: dict[str, Event] = {
    "message": {"content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
}


def _filling(item: Event) -> list[Event]:
    match item["type"]:
        case "message":
            text = item["content"][0]["text"]
            part: Event = {"type": "output_text", "text": "", "annotations": []}
            inside = {"content_index": 0}
            return [
                inside | {"type": "response.content_part.added", "part": part},
                *(inside | event for event in _deltas("response.output_text", "text", text)),
                inside | {"type": "response.content_part.done", "part": part | {"text": text}},
            ]
        case "reasoning":
            text = item["summary"][0]["text"]
            part: Event = {"type": "summary_text", "text": ""}
            inside = {"summary_index": 0}
            return [
                inside | {"type": "response.reasoning_summary_part.added", "part": part},
                *(inside | event for event in _deltas("response.reasoning_summary_text", "text", text)),
                inside | {"type": "response.reasoning_summary_part.done", "part": part | {"text": text}},
            ]
        case "function_call":
            return _deltas("response.function_call_arguments", "arguments", item["arguments"])
        case _:
            return _deltas("response.custom_tool_call_input", "input", item["input"])


def _deltas(kind: str, field: str, text: str) -> list[Event]:
    pieces = [text[start : start + _DELTA] for start in range(0, len(text), _DELTA)]
    return [
        *({"type": f"{kind}.delta", "delta": piece} for piece in pieces),
        {"type": f"{kind}.done", field: text},
    ]

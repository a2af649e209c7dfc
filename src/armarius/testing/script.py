"""The literal script of a prompt: `SCRIPT:` and a JSON array of steps.

Owns its spelling and which step is next. Does not own the model's other roles.
Invariant: the place in the script follows from the conversation alone, so a script survives
retries, resumes and a restarted server.

    {"say": "text"}                       a message that ends the turn
    {"say": "text", "phase": "commentary"} a message; the response goes on with the next step
    {"sh": "command"}                     a call of the shell tool
    {"sh": "command", "ask": "May I?"}    the same, which asks to be run outside the sandbox
    {"call": {"name": …, "arguments": {…}, "namespace": …}}   a call of any function
    {"patch": "*** Begin Patch …"}        a call of apply_patch
    {"reason": "text"}                    reasoning; the response goes on with the next step
    {"fault": "429"}                      this response goes wrong (spelling: `faults.py`)
    {"wait": 0.5}, {"wait": "/fifo"}      before this response: seconds, or until the FIFO's writer

One response ends with the next `say`, `sh`, `call` or `patch`; a script that is used up says `Done.`
"""

import json
import re
from typing import Any

import msgspec

from armarius.errors import DataError
from armarius.testing.conversation import Conversation
from armarius.testing.faults import parse_fault
from armarius.testing.reply import Call, Patch, Reply, Say, Shell, Step, Think

__all__ = ["is_scripted", "scripted_reply"]

_START = re.compile(r"\bSCRIPT:\s*(?=\[)")


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    say: str | None = None
    phase: str | None = None
    sh: str | None = None
    ask: str | None = None
    call: Call | None = None
    patch: str | None = None
    reason: str | None = None
    fault: str | None = None
    wait: float | str | None = None


def is_scripted(prompt: str) -> bool:
    return _START.search(prompt) is not None


def scripted_reply(conversation: Conversation) -> Reply:
    """The response whose turn it is; DataError when the script is not one."""
    replies = _replies(_lines(conversation.task))
    place = len(conversation.calls) + conversation.answers
    return replies[place] if place < len(replies) else Reply((Say("Done."),))


def _lines(prompt: str) -> list[_Line]:
    start = _START.search(prompt)
    assert start is not None  # only called for a scripted prompt
    try:
        steps: Any = json.JSONDecoder().raw_decode(prompt, start.end())[0]
        return msgspec.convert(steps, list[_Line])
    except (ValueError, msgspec.ValidationError) as error:
        raise DataError("bad-script", f"SCRIPT: {error}", "see armarius.testing.script") from error


def _replies(lines: list[_Line]) -> list[Reply]:
    """The script cut into responses; a fault at its end is a response of its own."""
    replies: list[Reply] = []
    reply = Reply((), place="step 0")
    for line in lines:
        reply = _extended(reply, line)
        if reply.steps and not _goes_on(reply.steps[-1]):
            replies.append(reply)
            reply = Reply((), place=f"step {len(replies)}")
    return [*replies, reply] if reply.fault or reply.steps or reply.waits else replies


def _goes_on(step: Step) -> bool:
    return isinstance(step, Think) or (isinstance(step, Say) and step.phase == "commentary")


def _extended(reply: Reply, line: _Line) -> Reply:
    replace = msgspec.structs.replace
    if line.fault is not None:
        return replace(reply, fault=parse_fault(line.fault))
    if line.wait is not None:
        return replace(reply, waits=(*reply.waits, line.wait))
    return replace(reply, steps=(*reply.steps, _step(line)))


def _step(line: _Line) -> Step:
    match line:
        case _Line(say=str(text)):
            return Say(text, line.phase or "final_answer")
        case _Line(sh=str(command)):
            return Shell(command, line.ask)
        case _Line(call=Call() as call):
            return call
        case _Line(patch=str(text)):
            return Patch(text)
        case _Line(reason=str(text)):
            return Think(text)
        case _:
            raise DataError("bad-script", "SCRIPT: a step without a verb", "see armarius.testing.script")

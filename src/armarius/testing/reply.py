"""What the scripted model does next, as values.

Owns the steps of one model response and what goes wrong with it. Does not own their form on the
wire (`events.py`) or choosing them (`model.py`).
Invariant: a reply is complete in itself; nothing of it depends on the connection that carries it.
"""

from typing import Any, TypeAlias

import msgspec

from armarius.testing.faults import Fault

__all__ = ["Call", "Patch", "Reply", "Say", "Shell", "Step", "Think"]


class Say(msgspec.Struct, frozen=True):
    """A message. Codex ends the turn after a response that calls no tool."""

    text: str
    phase: str = "final_answer"


class Think(msgspec.Struct, frozen=True):
    """A summary of reasoning."""

    text: str


class Shell(msgspec.Struct, frozen=True):
    """A real call of Codex's shell tool, in the shape the request offers.

    `ask` are the words with which it asks to be run outside the sandbox.
    """

    command: str
    ask: str | None = None


class Patch(msgspec.Struct, frozen=True):
    """A real call of `apply_patch`."""

    text: str


class Call(msgspec.Struct, frozen=True):
    """A call of any function that Codex offers, by its name; `arguments` is a JSON object."""

    name: str
    arguments: dict[str, Any] = {}
    namespace: str | None = None


Step: TypeAlias = Say | Think | Shell | Patch | Call


class Reply(msgspec.Struct, frozen=True):
    """One response. `waits` are seconds, or paths of FIFOs whose writer is waited for.

    `place` names where the reply stands in its conversation, so that a fault that is to happen
    a number of times is counted there and not elsewhere.
    """

    steps: tuple[Step, ...]
    fault: Fault | None = None
    waits: tuple[float | str, ...] = ()
    place: str = ""

"""An answer as it may leave: to a model, of which nobody knows where it runs.

Owns taking secrets out of a whole answer, the schema of a tool's answers, and what of an event is progress.
Does not own what looks like a secret (`redact.py`).
Invariant: every text of an answer went through `redact`; no schema refers to anything outside of itself.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from armarius.redact import redact
from armarius.visible import reveal

__all__ = ["Watched", "clean_value", "output_schema", "progress_of"]

_LONGEST = 160


class Watched(msgspec.Struct, frozen=True):
    """Signals since the cursor (`armarius.mcp_watch.v1`); with `cursor` the next one goes on there."""

    cursor: str
    signals: tuple[dict[str, Any], ...]
    schema: str = "armarius.mcp_watch.v1"


def clean_value(value: Any) -> Any:
    """A JSON value without secrets, also in the names of its members."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key): clean_value(inner) for key, inner in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [clean_value(inner) for inner in cast("list[Any]", value)]
    return value


def output_schema(names: Sequence[str], schema_of: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """One JSON Schema for all the answers that a tool may give."""
    shapes, known = list[dict[str, Any]](), dict[str, Any]()
    for name in names:
        schema = msgspec.json.schema(Watched) if name == "mcp_watch" else schema_of(name)
        known |= schema.get("$defs", {})
        shapes.append({key: value for key, value in schema.items() if key not in ("$schema", "$id", "$defs")})
    whole = shapes[0] if len(shapes) == 1 else {"anyOf": shapes}
    return {"type": "object", **whole, "$defs": known}


def progress_of(event: dict[str, Any]) -> str | None:
    """One of Codex's events in a line, if it is worth one."""
    item = event.get("item")
    if not isinstance(item, dict):
        return None
    inner = cast("dict[str, Any]", item)
    said = next((inner[key] for key in ("command", "text", "query") if isinstance(inner.get(key), str)), "")
    words = " ".join(reveal(redact(f"{inner.get('type', '')}: {said}"[: 8 * _LONGEST])).split()).removesuffix(":")
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"

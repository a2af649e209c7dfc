"""What one step hands to the next, as JSON Schemas.

Owns these. Does not own who fills them in.
Invariant: closed objects whose members are all required, as Codex's structured answers want them.
"""

from typing import Any, Final

from armarius.errors import UsageError, nearest

__all__ = ["HAND_OFFS", "schema_of"]


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(of: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": of, "maxItems": most}


_TEXT: Final[dict[str, Any]] = {"type": "string"}
_VERDICT: Final[dict[str, Any]] = {"enum": ["pass", "fail"]}

HAND_OFFS: Final[dict[str, dict[str, Any]]] = {
    "hand_off": _object(
        summary=_TEXT,
        tasks=_list(_object(title=_TEXT, instructions=_TEXT, files=_list(_TEXT, 100), done_when=_TEXT), 32),
    ),
    "findings": _object(
        verdict=_VERDICT,
        findings=_list(
            _object(
                title=_TEXT,
                severity={"enum": ["low", "medium", "high"]},
                file={"type": ["string", "null"]},
                line={"type": ["integer", "null"]},
                evidence=_TEXT,
                fix=_TEXT,
            ),
            100,
        ),
    ),
    "test_result": _object(
        command=_list(_TEXT, 1000),
        passed={"type": "boolean"},
        exit_code={"type": ["integer", "null"]},
        output=_TEXT,
    ),
    "evaluation": _object(verdict=_VERDICT, feedback=_TEXT),
}
"""`hand_off`: what is to be done. `findings`: what was found. `test_result`: what a command of the user's said, seen by
us. `evaluation`: whether a draft is good enough, and what is missing."""


def schema_of(name: str) -> dict[str, Any]:
    """The schema of that name; UsageError when there is none."""
    if name not in HAND_OFFS:
        raise UsageError("hand-off", f"no hand-off called {name!r}", nearest(name, tuple(HAND_OFFS)))
    return HAND_OFFS[name]

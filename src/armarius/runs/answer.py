"""An agent's answer against the caller's JSON Schema.

Owns reading the schema file and the check. Codex passes the schema to the model and checks nothing.
Invariant: an answer is accepted only when it is JSON and fits; nothing is repaired, and no answer
and no schema makes the check fail itself. A schema refers to nothing outside itself: neither a file
nor an address is read for its sake.
"""

import json
from pathlib import Path
from typing import Any, cast

import jsonschema_rs
import msgspec

from armarius.errors import DataError
from armarius.files import read_bounded

__all__ = ["check_answer", "check_schema", "read_schema"]

_LARGEST_SCHEMA = 1 << 20
_DEEPEST = 200  # a result is encoded and decoded again under any depth of calls


def read_schema(path: Path) -> dict[str, Any]:
    """The schema in a file; DataError when it is missing, not JSON or not a schema."""
    data = read_bounded(path, _LARGEST_SCHEMA)
    try:
        schema: Any = json.loads(data)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise DataError("schema-syntax", f"{where}: {error.msg}", "correct the JSON") from error
    except UnicodeDecodeError as error:
        raise DataError("schema-syntax", f"{path}: byte {error.start} is not UTF-8", "save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # a number or a nesting without measure
        raise DataError("schema-syntax", f"{path}: {error}", "make it smaller") from error
    if not isinstance(schema, dict):
        raise DataError("schema-kind", f"{path}: a schema is a JSON object", "wrap it in an object")
    return check_schema(cast("dict[str, Any]", schema), str(path))


def check_schema(schema: dict[str, Any], where: str) -> dict[str, Any]:
    """The same, when it is a schema; else DataError."""
    if not _is_shallow(schema):
        raise DataError("schema-depth", f"{where}: nested deeper than {_DEEPEST} levels", "make it flatter")
    try:
        _validator(schema)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise DataError("schema-invalid", f"{where}: {_first_line(error)}", "correct the schema") from error
    return schema


def check_answer(answer: str, schema: dict[str, Any]) -> tuple[Any, str | None]:
    """The parsed answer, and why it does not fit (None when it does)."""
    try:
        parsed = msgspec.json.decode(answer)
    except (msgspec.DecodeError, RecursionError) as error:
        return None, f"the answer is not JSON: {error}"
    if not _is_shallow(parsed):
        return None, f"the answer is nested deeper than {_DEEPEST} levels"
    try:
        _validator(schema).validate(parsed)
    except jsonschema_rs.ValidationError as error:
        place = "/".join(map(str, error.instance_path)) or "the answer"
        return parsed, f"{place}: {error.message}"
    return parsed, None


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(schema, offline=True)


def _is_shallow(value: Any) -> bool:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return True
    return False


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast("dict[str, Any]", value).values())
    return cast("list[Any]", value) if isinstance(value, list) else []


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]

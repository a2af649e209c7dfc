"""The smallest value a JSON Schema admits.

Owns the part of JSON Schema that answer schemas use: const, enum, default, type, properties,
required, items, the bounds of length and number, local `$ref`, anyOf, oneOf and allOf.
Does not own validation, and does not read `pattern` or `format`.
Invariant: the value has every required property and no other.
"""

from typing import Any, TypeAlias

__all__ = ["smallest_instance"]

_Schema: TypeAlias = "dict[str, Any]"


def smallest_instance(schema: _Schema) -> Any:
    """A value that fits `schema`; ValueError when a reference leads nowhere."""
    return _instance(schema, schema)


def _instance(schema: _Schema, root: _Schema) -> Any:
    if "$ref" in schema:
        return _instance(_resolved(schema["$ref"], root), root)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]
    for keyword in ("anyOf", "oneOf"):
        if schema.get(keyword):
            return _instance(schema[keyword][0], root)
    if schema.get("allOf"):
        return _instance(_merged(schema["allOf"], root), root)
    return _of_type(schema, root)


def _of_type(schema: _Schema, root: _Schema) -> Any:
    match _type(schema):
        case "object":
            properties: dict[str, _Schema] = schema.get("properties", {})
            return {name: _instance(properties.get(name, {}), root) for name in schema.get("required", [])}
        case "array":
            member: _Schema = schema.get("items", {})
            return [_instance(member, root) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return "done".ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]


def _type(schema: _Schema) -> str:
    declared: str | list[str] = schema.get("type", "object" if "properties" in schema else "string")
    return declared if isinstance(declared, str) else declared[0]


def _number(schema: _Schema) -> float:
    """Zero, or the bound nearest to it, on a step of `multipleOf`."""
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum", schema["exclusiveMinimum"] + step if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - step if "exclusiveMaximum" in schema else None)
    if low is not None and low > 0:
        return -(-low // step) * step
    if high is not None and high < 0:
        return high // step * step
    return 0


def _resolved(reference: str, root: _Schema) -> _Schema:
    found: Any = root
    for name in reference.removeprefix("#").split("/")[1:]:
        if name not in found:
            raise ValueError(f"the schema refers to {reference!r}, which is not in it")
        found = found[name]
    return found


def _merged(schemas: list[_Schema], root: _Schema) -> _Schema:
    parts = [_resolved(one["$ref"], root) if "$ref" in one else one for one in schemas]
    merged: _Schema = {"properties": {}, "required": []}
    for part in parts:
        merged = merged | {name: part[name] for name in part if name not in ("properties", "required")}
        merged["properties"] = merged["properties"] | part.get("properties", {})
        merged["required"] = [*merged["required"], *part.get("required", [])]
    return merged

"""What Armarius believes of the app-server, held against the JSON Schema that each Codex prints of itself."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.codex import hooks_protocol, mcp, protocol
from armarius.codex.protocol import Method, Wire

Schema = dict[str, Any]

METHODS: dict[str, Method[Any, Any]] = {
    value.name: value
    for value in (*vars(protocol).values(), *vars(hooks_protocol).values(), mcp.MCP_STATUS)
    if isinstance(value, Method)
}

_JSON_TYPES: tuple[tuple[type[msgspec.inspect.Type], str], ...] = (
    (msgspec.inspect.StrType, "string"),
    (msgspec.inspect.BoolType, "boolean"),
    (msgspec.inspect.IntType, "integer"),
    (msgspec.inspect.NoneType, "null"),
    (msgspec.inspect.DictType, "object"),
    (msgspec.inspect.LiteralType, "string"),
)


_SHARED_ANSWERS = {"ConfigBatchWrite": "ConfigWrite"}


class Book:
    """All of one Codex's schemas, by title."""

    def __init__(self, folder: Path) -> None:
        self.files = {path.stem: json.loads(path.read_text()) for path in folder.rglob("*.json")}

    def of_method(self, union: str, method: str) -> Schema:
        """The parameters that a union of messages (`ClientRequest`, …) gives a method."""
        return resolved(self._params(union, method), self.files[union])

    def answer_of(self, method: str) -> Schema:
        name: str = self._params("ClientRequest", method)["$ref"].rpartition("/")[2].removesuffix("Params")
        return self.files[_SHARED_ANSWERS.get(name, name) + "Response"]

    def _params(self, union: str, method: str) -> Schema:
        for variant in self.files[union]["oneOf"]:
            if variant["properties"]["method"]["enum"] == [method]:
                return variant["properties"]["params"]
        raise AssertionError(f"{union} knows no {method}")


def resolved(schema: Any, book: Schema) -> Schema:
    """A schema with its references followed, and its definitions at hand."""
    schema = {} if schema is True else schema
    while "$ref" in schema or len(schema.get("allOf", ())) == 1:
        if "$ref" in schema:
            found = book
            for word in schema["$ref"].removeprefix("#/").split("/"):
                found = found[word]
            schema = {} if found is True else found
        else:
            schema = schema["allOf"][0]
    return schema | {"definitions": book.get("definitions", {})}


def variants(schema: Schema) -> list[Schema]:
    """The alternatives of a schema; one that has none is its own."""
    schema = resolved(schema, schema)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            shared = {"properties": schema.get("properties", {}), "required": schema.get("required", [])}
            found: list[Schema] = []
            for part in schema[word]:
                for variant in variants(resolved(part, schema)):
                    own = {
                        "properties": shared["properties"] | variant.get("properties", {}),
                        "required": [*shared["required"], *variant.get("required", [])],
                    }
                    found.append(variant | own if "object" in types(variant) else variant)
            return found
    return [schema]


def types(schema: Schema) -> set[str]:
    said = schema.get("type")
    if said is None and "enum" in schema:
        return {"string"}
    every = {"string", "boolean", "integer", "null", "object", "array"}
    return every if said is None else {said} if isinstance(said, str) else set(said)


def said_too_little(ours: msgspec.inspect.Type, theirs: Schema, place: str) -> Iterator[str]:
    """Where a value that they may send would not be taken by us."""
    match ours:
        case msgspec.inspect.AnyType():
            return
        case msgspec.inspect.StructType(fields=fields):
            objects = [variant for variant in variants(theirs) if "object" in types(variant)]
            if not objects:
                yield f"{place} is no object"
            for field in fields:
                where = [v for v in objects if field.encode_name in v.get("properties", {})]
                if not where:
                    yield f"{place}.{field.encode_name} does not exist"
                if field.required and any(field.encode_name not in v.get("required", []) for v in objects):
                    yield f"{place}.{field.encode_name} may be missing"
                for variant in where:
                    part = resolved(variant["properties"][field.encode_name], variant)
                    yield from said_too_little(field.type, part, f"{place}.{field.encode_name}")
        case _:
            for variant in variants(theirs):
                yield from _values(ours, variant, place)


def _values(ours: msgspec.inspect.Type, theirs: Schema, place: str) -> Iterator[str]:
    mine = ours.types if isinstance(ours, msgspec.inspect.UnionType) else (ours,)
    for kind in types(theirs):
        fitting = [one for one in mine if _json_type(one) == kind or isinstance(one, msgspec.inspect.AnyType)]
        if not fitting:
            yield f"{place} may be {kind}"
        for one in fitting:
            if isinstance(one, msgspec.inspect.VarTupleType):
                yield from said_too_little(one.item_type, resolved(theirs["items"], theirs), f"{place}[]")
            if isinstance(one, msgspec.inspect.StructType):
                yield from said_too_little(one, theirs | {"type": "object"}, place)


def _json_type(ours: msgspec.inspect.Type) -> str:
    if isinstance(ours, msgspec.inspect.VarTupleType):
        return "array"
    if isinstance(ours, msgspec.inspect.StructType):
        return "object"
    return next((name for kind, name in _JSON_TYPES if isinstance(ours, kind)), "?")


def asked_too_much(ours: msgspec.inspect.Type, theirs: Schema, place: str) -> Iterator[str]:
    """Where a value that we may send would not be taken by them, or would be passed over."""
    match ours:
        case msgspec.inspect.StructType(fields=fields):
            tag = {ours.tag_field: ours.tag} if ours.tag_field else {}
            objects = [variant for variant in variants(theirs) if _is_tagged(variant, tag)]
            if not objects:
                yield f"{place} is no object"
                return
            for field in fields:
                where = [v for v in objects if field.encode_name in v.get("properties", {})]
                if not where:
                    yield f"{place}.{field.encode_name} does not exist"
                    continue
                part = resolved(where[0]["properties"][field.encode_name], where[0])
                yield from asked_too_much(field.type, part, f"{place}.{field.encode_name}")
            surely = {field.encode_name for field in fields if field.required} | set(tag)
            if missing := set(objects[0].get("required", [])) - surely:
                yield f"{place} lacks {sorted(missing)}"
        case msgspec.inspect.VarTupleType(item_type=item):
            lists = [variant for variant in variants(theirs) if "array" in types(variant)]
            yield from asked_too_much(item, resolved(lists[0]["items"], lists[0]), f"{place}[]") if lists else [place]
        case msgspec.inspect.UnionType(types=several):
            for one in several:
                if not isinstance(one, msgspec.inspect.NoneType):  # it is left out
                    yield from asked_too_much(one, theirs, place)
        case msgspec.inspect.LiteralType(values=values):
            allowed = {value for variant in variants(theirs) for value in variant.get("enum", [])}
            if unknown := set(values) - allowed:
                yield f"{place} is never {sorted(map(str, unknown))}"
        case msgspec.inspect.AnyType():
            return
        case _:
            if not any(_json_type(ours) in types(variant) for variant in variants(theirs)):
                yield f"{place} is never {_json_type(ours)}"


def _is_tagged(variant: Schema, tag: dict[str, Any]) -> bool:
    if "object" not in types(variant):
        return False
    return all(variant["properties"].get(name, {}).get("enum", [value]) == [value] for name, value in tag.items())


@pytest.fixture(scope="session")
def book(codex: Path, tmp_path_factory: pytest.TempPathFactory) -> Book:
    folder = tmp_path_factory.mktemp("schema")
    command = [codex, "app-server", "generate-json-schema", "--out", folder]
    subprocess.run(command, check=True, capture_output=True, timeout=60, env={"PATH": "/usr/bin:/bin"})
    return Book(folder)


@pytest.mark.parametrize("name", METHODS)
def test_what_we_ask_is_what_codex_takes(book: Book, name: str) -> None:
    ours = msgspec.inspect.type_info(METHODS[name].params)
    assert list(asked_too_much(ours, book.of_method("ClientRequest", name), name)) == []


@pytest.mark.parametrize("name", METHODS)
def test_what_codex_answers_is_what_we_take(book: Book, name: str) -> None:
    ours = msgspec.inspect.type_info(METHODS[name].answer)
    assert list(said_too_little(ours, book.answer_of(name), name)) == []


@pytest.mark.parametrize("name", protocol.NOTIFICATIONS)
def test_what_codex_reports_is_what_we_take(book: Book, name: str) -> None:
    ours = msgspec.inspect.type_info(protocol.NOTIFICATIONS[name])
    assert list(said_too_little(ours, book.of_method("ServerNotification", name), name)) == []


@pytest.mark.parametrize("name", protocol.SERVER_REQUESTS)
def test_what_codex_asks_is_what_we_take(book: Book, name: str) -> None:
    kind = protocol.SERVER_REQUESTS[name]
    # One type of ours for two questions: a field that only the other one has is no mistake.
    optional = {field.encode_name for field in msgspec.structs.fields(kind) if not field.required}
    complaints = said_too_little(msgspec.inspect.type_info(kind), book.of_method("ServerRequest", name), name)
    assert set(complaints) <= {f"{name}.{field} does not exist" for field in optional}


class _Wrong(Wire, frozen=True):
    id: int
    name: str
    nothing: str | None = None
    status: tuple[str, ...] = ()


def test_a_wrong_belief_is_found_out() -> None:
    ours = msgspec.inspect.type_info(_Wrong)
    theirs: Schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "name": {"type": ["string", "null"]},
            "status": {"$ref": "#/definitions/S"},
        },
        "required": ["id", "other"],
        "definitions": {"S": {"type": "array", "items": {"type": "object"}}},
    }
    assert set(said_too_little(ours, theirs, "x")) == {
        "x.id may be string",
        "x.name may be missing",
        "x.name may be null",
        "x.nothing does not exist",
        "x.status[] may be object",
    }
    assert set(asked_too_much(ours, theirs, "x")) == {
        "x.id is never integer",
        "x.nothing does not exist",
        "x.status[] is never string",
        "x lacks ['other']",
    }

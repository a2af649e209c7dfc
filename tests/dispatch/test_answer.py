"""An answer against a schema: what fits, what does not, and that neither of the two can break the check."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.errors import DataError
from armarius.runs.answer import check_answer, read_schema
from armarius.testing.model_server import ModelServer

VERDICT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["verdict"],
    "properties": {"verdict": {"enum": ["PASS", "FAIL"]}, "reasons": {"type": "array", "items": {"type": "string"}}},
}


def write(folder: Path, content: bytes | dict[str, Any]) -> Path:
    path = folder / "schema.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.mark.parametrize(
    "answer",
    [{"verdict": "PASS"}, {"verdict": "FAIL", "reasons": ["größe 😀", ""]}, {"verdict": "PASS", "reasons": []}],
)
def test_an_answer_that_fits_is_handed_on_parsed(answer: dict[str, Any]) -> None:
    assert check_answer(json.dumps(answer), VERDICT) == (answer, None)
    assert check_answer(f"\n  {json.dumps(answer, indent=2)} \n", VERDICT) == (answer, None)


@pytest.mark.parametrize(
    ("answer", "misfit"),
    [
        ({"verdict": "MAYBE"}, 'verdict: "MAYBE" is not one of'),
        ({"verdict": "PASS", "reasons": ["a", 7]}, 'reasons/1: 7 is not of type "string"'),
        ({}, 'the answer: "verdict" is a required property'),
        ({"verdict": "PASS", "more": 1}, "the answer: Additional properties are not allowed"),
        (["PASS"], 'the answer: ["PASS"] is not of type "object"'),
    ],
)
def test_an_answer_that_does_not_fit_is_handed_on_with_the_place_and_the_reason(answer: Any, misfit: str) -> None:
    parsed, reason = check_answer(json.dumps(answer), VERDICT)
    assert parsed == answer
    assert reason is not None
    assert reason.startswith(misfit)


NO_JSON = {
    "empty": "",
    "prose": "The verdict is PASS.",
    "fenced": '```json\n{"verdict": "PASS"}\n```',
    "followed by prose": '{"verdict": "PASS"} as asked',
    "two": '{"verdict": "PASS"}{"verdict": "PASS"}',
    "torn": '{"verdict": "PA',
    "single quotes": "{'verdict': 'PASS'}",
    "not a number": '{"verdict": NaN}',
    "infinity": '{"verdict": Infinity}',
    "beyond all numbers": '{"verdict": 1e999}',
    "a number without measure": '{"verdict": ' + "1" * 5000 + "}",
    "half a character": '{"verdict": "\\ud83d"}',
    "control character": '{"verdict": "a\nb"}',
    "without end": "[" * 100_000,
}


@pytest.mark.parametrize("answer", NO_JSON.values(), ids=NO_JSON)
def test_what_is_not_json_is_never_repaired(answer: str) -> None:
    parsed, reason = check_answer(answer, {})
    assert parsed is None
    assert reason is not None
    assert reason.startswith("the answer is not JSON: ")


@pytest.mark.parametrize(("levels", "fits"), [(200, True), (201, False), (600, False)])
def test_an_answer_that_is_nested_too_deeply_to_be_kept_does_not_fit(levels: int, *, fits: bool) -> None:
    parsed, reason = check_answer("[" * (levels - 1) + "1" + "]" * (levels - 1), {})
    assert (reason is None) is fits
    assert (parsed is not None) is fits
    mixed = check_answer('{"a":' * (levels - 1) + "1" + "}" * (levels - 1), {})[1]
    assert (mixed is None) is fits


@given(st.text())
def test_no_text_makes_the_check_fail_and_what_it_accepts_can_be_kept(answer: str) -> None:
    parsed, reason = check_answer(answer, {})
    if reason is None:
        assert msgspec.json.decode(msgspec.json.encode(parsed)) == parsed
        assert json.loads(answer) == parsed


def test_a_schema_is_read_as_it_stands_in_its_file(tmp_path: Path) -> None:
    assert read_schema(write(tmp_path, VERDICT)) == VERDICT
    local = {"$ref": "#/$defs/one", "$defs": {"one": {"type": "string"}}}
    assert check_answer('"x"', read_schema(write(tmp_path, local))) == ("x", None)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b'{"type": }', "schema-syntax", r"schema\.json:1:10: Expecting value"),
        (b'{\n "type": "object",\n}', "schema-syntax", r"schema\.json:3:1: "),
        (b'{"type": "\xff"}', "schema-syntax", "byte 10 is not UTF-8"),
        (b'{"minimum": ' + b"1" * 5000 + b"}", "schema-syntax", "4300 digits"),
        (b"[" * 100_000, "schema-syntax", "recursion"),
        (b"[]", "schema-kind", "a schema is a JSON object"),
        (b"true", "schema-kind", "a schema is a JSON object"),
        (b'{"x":' * 300 + b"1" + b"}" * 300, "schema-depth", "nested deeper than 200"),
        (b'{"type": "objekt"}', "schema-invalid", '"objekt" is not valid'),
        (b'{"pattern": "(("}', "schema-invalid", "regex"),
        (b'{"minimum": NaN}', "schema-invalid", "null is not of type"),
        (b'{"title": "\\ud83d"}', "schema-invalid", "surrogates not allowed"),
        (b'{"$ref": "#/nowhere"}', "schema-invalid", "'/nowhere' does not exist"),
        (b'{"$schema": "http://example.org/mine"}', "schema-invalid", "Unknown meta-schema"),
        (b" " * ((1 << 20) + 1), "too-large", "at most 1,048,576"),
    ],
)
def test_a_bad_schema_is_refused_before_it_costs_anything(tmp_path: Path, content: bytes, code: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        read_schema(write(tmp_path, content))
    assert (caught.value.code, caught.value.exit_code) == (code, 3)
    assert caught.value.hint


def test_a_schema_that_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, code in ((tmp_path, "not-a-file"), (tmp_path / "pipe", "not-a-file"), (tmp_path / "gone", "missing")):
        with pytest.raises(DataError) as caught:
            read_schema(path)
        assert caught.value.code == code


def test_a_schema_reads_no_address_and_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"type": "string"}')
    with ModelServer() as server:
        for reference in (f"{server.base_url}/models", (tmp_path / "other.json").as_uri(), "other.json"):
            with pytest.raises(DataError, match="retrieving it failed"):
                read_schema(write(tmp_path, {"$ref": reference}))
            with pytest.raises(DataError):
                read_schema(write(tmp_path, {"properties": {"a": {"$ref": reference}}}))

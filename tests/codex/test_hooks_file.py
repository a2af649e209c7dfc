"""Entries of ours in a person's hooks.json: put in and taken out, to the byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.codex.hooks_file import Place, with_groups, without
from armarius.errors import Refused

OURS = "our command"


def is_ours(command: str) -> bool:
    return command == OURS


GROUPS = {event: {"hooks": [{"type": "command", "command": OURS, "timeout": 3}]} for event in ("Stop", "SessionEnd")}


def hook(command: str) -> dict[str, Any]:
    return {"type": "command", "command": command}


def group_of(hooks: list[dict[str, Any]]) -> dict[str, Any]:
    return {"matcher": "]}{[", "hooks": hooks}


def created(text: str) -> tuple[str, ...]:
    """What stands in the file because of us."""
    hooks = json.loads(text).get("hooks")
    return (*(() if hooks is not None else ("hooks",)), *(event for event in GROUPS if event not in (hooks or {})))


def _groups(text: str, event: str) -> list[dict[str, Any]]:
    return json.loads(text)["hooks"].get(event, [])


def commands(text: str, event: str) -> list[list[str]]:
    return [[one.get("command", "") for one in group.get("hooks", [])] for group in _groups(text, event)]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{ }\n",
        '{"hooks":{}}',
        '{"hooks": { "Stop" : [ ] } }',
        '{\n\t"other": [1, {"hooks": 2}],\n\t"hooks": {\n\t\t"Stop": [\n\t\t\t{"hooks": [{"x": "]"}]}\n\t\t]\n\t}\n}\n',
        '{"hooks": {"Stop": [{"hooks": []}], "PreToolUse": [{"hooks": [{"type": "prompt"}]}]}, "z": null}',
        '\r\n{"hooks":\r\n{"Stop":[{"hooks":[{"command":"a"}]},{"hooks":[{"command":"b"}]}]}}\r\n',
        '{"hooks": {"Stop": [{}]}, "\\u0068i": "\\ud83d\\ude00 é"}',
    ],
)  # fmt: skip
def test_what_was_put_in_comes_out_to_the_byte(text: str) -> None:
    merged = with_groups(text, GROUPS, "hooks.json")
    assert [commands(merged, event)[-1] for event in GROUPS] == [[OURS], [OURS]]
    assert without(merged, is_ours, created(text), "hooks.json").text == text


_SPACE = st.sampled_from(["", " ", "\n", "\r\n  ", "\t"])
_HOOKS = st.lists(st.builds(hook, st.sampled_from(["a", "b", "c"])), max_size=3)
_GROUPS = st.lists(st.builds(group_of, _HOOKS), max_size=3)


@given(
    st.dictionaries(st.sampled_from(["Stop", "SessionEnd", "PreToolUse"]), _GROUPS),
    st.tuples(
        _SPACE, st.sampled_from([None, 1, 4, "\t"]), st.sampled_from([(", ", ": "), (",", ":"), (" ,\n", " : ")])
    ),
)
def test_whatever_the_file_is_like_its_own_bytes_stay(hooks: dict[str, Any], form: tuple[str, Any, Any]) -> None:
    space, indent, separators = form
    text = space + json.dumps({"a": 1, "hooks": hooks}, indent=indent, separators=separators) + space
    merged = with_groups(text, GROUPS, "hooks.json")
    for event in GROUPS:
        theirs = [[one["command"] for one in group["hooks"]] for group in hooks.get(event, [])]
        assert commands(merged, event) == [*theirs, [OURS]]
    removed = without(merged, is_ours, created(text), "hooks.json")
    assert (removed.text, removed.count, removed.moved) == (text, 2, ())


def test_a_new_file_is_readable_and_empty_again_afterwards() -> None:
    merged = with_groups("", GROUPS, "hooks.json")
    assert merged.count("\n") == 6
    assert json.loads(without(merged, is_ours, ("hooks", *GROUPS), "hooks.json").text) == {}


def test_what_a_person_added_since_stays_and_its_new_place_is_told() -> None:
    merged = json.loads(with_groups('{"hooks": {"Stop": [{"hooks": [{"command": "a"}]}]}}', GROUPS, "hooks.json"))
    merged["hooks"]["Stop"][1]["hooks"].append(hook("in our group"))
    merged["hooks"]["Stop"].append({"hooks": [hook("b"), hook("c")]})
    merged["hooks"]["SessionEnd"].append({"hooks": [hook("d")]})
    merged["hooks"]["Interrupt"] = []
    removed = without(json.dumps(merged), is_ours, ("SessionEnd",), "hooks.json")
    assert commands(removed.text, "Stop") == [["a"], ["in our group"], ["b", "c"]]
    assert commands(removed.text, "SessionEnd") == [["d"]]
    assert json.loads(removed.text)["hooks"]["Interrupt"] == []
    assert removed.moved == (
        (Place("Stop", 1, 1), Place("Stop", 1, 0)),
        (Place("SessionEnd", 1, 0), Place("SessionEnd", 0, 0)),
    )


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "{",
        "[]",
        "3",
        '{"hooks": []}',
        '{"hooks": {"Stop": {}}}',
        '{"hooks": {"Stop": [1]}}',
        '{"hooks": {"Stop": [{"hooks": {}}]}}',
        '{"hooks": {}, "hooks": {}}',
        '{"hooks": {"Stop": [], "Stop": []}}',
        "[" * 100_000,
        '// a comment\n{"hooks": {}}',
    ],
)
def test_a_file_that_cannot_be_edited_without_guessing_is_refused(text: str) -> None:
    for edit in (lambda: with_groups(text, GROUPS, "its name"), lambda: without(text, is_ours, (), "its name")):
        with pytest.raises(Refused, match="its name"):
            edit()

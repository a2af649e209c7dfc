"""A file of runs: what it says in either form, and every way to get it wrong, with its line."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.batch.file import Read, read_plan
from armarius.budget import Budget
from armarius.errors import DataError

TOML = '''\
batch = "night"     # [[run]] in a remark is none
workers = 2
budget = {tokens = 1000}

[defaults]
effort = "low"
config = {model_verbosity = "low", web_search = "disabled"}

[[run]]
id = "a"
prompt = """
[[run]]
id = "not an item"
"""

 [[ run ]]
id = 'b'
prompt = 'second'
after = ["a"]
config = {model_verbosity = "high"}
budget = {turns = 1}
'''

JSONL = "\n".join(
    [
        json.dumps(
            {
                "batch": "night",
                "workers": 2,
                "budget": {"tokens": 1000},
                "defaults": {"effort": "low", "config": {"model_verbosity": "low", "web_search": "disabled"}},
            }
        ),
        "",
        json.dumps({"id": "a", "prompt": '[[run]]\nid = "not an item"\n'}),
        json.dumps(
            {
                "id": "b",
                "prompt": "second",
                "after": ["a"],
                "config": {"model_verbosity": "high"},
                "budget": {"turns": 1},
            }
        ),
    ]
)


def read(tmp_path: Path, text: str | bytes, name: str = "plan") -> Read:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_plan(path)


def runs(*items: dict[str, Any]) -> str:
    return "\n".join(json.dumps({"prompt": "Do it."} | item) for item in items)


def wrong(tmp_path: Path, text: str | bytes) -> tuple[str, str]:
    """The code of the error, and what it says without the folder."""
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    return caught.value.code, str(caught.value).replace(f"{tmp_path}/", "")


def test_both_forms_say_the_same(tmp_path: Path) -> None:
    one, other = read(tmp_path, TOML), read(tmp_path, JSONL)
    assert one.plan == other.plan
    a, b = one.plan.items
    assert (one.plan.id, one.plan.workers, one.plan.budget) == ("night", 2, Budget(tokens=1000))
    assert (a.effort, a.config) == ("low", {"model_verbosity": "low", "web_search": "disabled"})
    assert (b.config, b.budget) == ({"model_verbosity": "high", "web_search": "disabled"}, Budget(turns=1))
    assert [place.rpartition(":")[2] for place in one.places.values()] == ["9", "16"]
    assert [place.rpartition(":")[2] for place in other.places.values()] == ["3", "4"]


def test_what_lies_beside_the_file_is_found_there_and_taken_in(tmp_path: Path) -> None:
    (tmp_path / "ask.md").write_text("Do it all.")
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    text = runs({"id": "a", "prompt": "", "prompt_file": "ask.md", "schema_file": "schema.json", "cwd": "sub"})
    [item] = read(tmp_path, text).plan.items
    assert (item.prompt, item.schema, item.cwd) == ("Do it all.", {"type": "object"}, str(tmp_path / "sub"))
    assert (item.prompt_file, item.schema_file) == (None, None)


def test_the_id_follows_from_all_that_is_asked_and_from_nothing_else(tmp_path: Path) -> None:
    def told(text: str, name: str = "plan") -> str:
        return read(tmp_path, text, name).plan.id

    (tmp_path / "ask.md").write_text("one")
    asking = runs({"id": "a", "prompt": "", "prompt_file": "ask.md"})
    first = told(asking)
    assert first == told(asking, "other") == told(f"\n{asking}\n\n")
    assert first.startswith("batch-")
    (tmp_path / "ask.md").write_text("another")
    assert told(asking) != first
    assert told(runs({"id": "a"})) != told(runs({"id": "a", "timeout": 5}))


def test_a_change_of_an_item_is_one_of_all_that_come_after_it(tmp_path: Path) -> None:
    def digests(first: str) -> dict[str, str]:
        items = ({"id": "a", "prompt": first}, {"id": "b", "after": ["a"]}, {"id": "c"})
        return read(tmp_path, runs(*items)).plan.digests()

    before, after = digests("one"), digests("another")
    assert {name for name in before if before[name] != after[name]} == {"a", "b"}


def test_the_order_is_that_of_the_file_as_far_as_it_may_be(tmp_path: Path) -> None:
    items = ({"id": "z", "after": ["y"]}, {"id": "y"}, {"id": "b"}, {"id": "a", "inputs": ["y", "b"]})
    assert read(tmp_path, runs(*items)).plan.order() == (("y", "b"), ("z", "a"))


A = {"id": "a"}


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("", "batch-empty", "plan: there is no item"),
        ("# nothing\n", "batch-empty", "plan: there is no item"),
        ('{"batch": "x"}', "batch-empty", "there is no item"),
        (b"[[run]]\nid = 'a\xff'", "batch-encoding", "plan:2: byte 15 is not UTF-8"),
        ("[[run]\nid = 'a'", "batch-syntax", "plan: Expected ']]' at the end of an array declaration (at line 1"),
        ("[[run]]\nid = 1e9999999999\nx = [", "batch-syntax", "plan: "),
        ("x = " + "[" * 3000, "batch-syntax", "plan: "),
        ("a" + ".a" * 5000 + " = 1", "batch-syntax", "plan:1: a key of more than 32 parts"),
        ("run = 1", "batch-syntax", "`run` is no list of tables"),
        ('{"id": "a"}\n{"id": ', "batch-syntax", "plan:2: Input data was truncated"),
        ('{"id": "a"}\n[1]', "batch-syntax", "plan:2: no JSON object"),
        ('{"id": "a"' + ', "x": [' * 3000, "batch-syntax", "plan:1: "),
        (runs(A, {"id": "b", "promt": "x"}), "batch-key", "plan:2: unknown key `promt`; did you mean 'prompt'?"),
        (
            "[defaults]\nmodle = 'x'\n[[run]]\nid='a'",
            "batch-key",
            "defaults: unknown key `modle`; did you mean 'model'?",
        ),
        ("[defaults]\nprompt = 'x'\n[[run]]\nid='a'", "batch-key", "defaults: unknown key `prompt`"),
        ("[[runs]]\nid='a'\nprompt='x'", "batch-key", "unknown key `runs`; did you mean 'run'?"),
        ("\n\n[[run]]\nid='a'\nprompt='x'\ntimeout='5'", "batch-value", "plan:3: Expected `float | null`, got `str`"),
        (runs({"id": "../a"}), "batch-value", "plan:1: "),
        (runs({"id": "a\n"}), "batch-value", "plan:1: "),
        (runs({"id": ""}), "batch-value", "plan:1: "),
        ('{"prompt": "x"}', "batch-value", "plan:1: Object missing required field `id`"),
        (runs({"id": "a", "budget": {"tokens": -1}}), "batch-value", "plan:1: "),
        ("workers = 0\n[[run]]\nid='a'", "batch-value", "plan: "),
        ("[[run]]\nid='a'\ntimeout=nan", "batch-value", "plan: Out of range float values"),
        (runs(A, {"id": "b"}, A), "batch-id", "plan:3: the id 'a' is there twice, first at plan:1"),
        (runs(A, {"id": "A"}), "batch-id", "plan:2: the id 'A' differs from 'a' in its case alone"),
        (
            runs(A, {"id": "b", "after": ["aa"]}),
            "batch-after",
            "plan:2 ('b'): there is no item 'aa'; did you mean 'a'?",
        ),
        (runs({"id": "b", "inputs": ["x"]}), "batch-after", "plan:1 ('b'): there is no item 'x'"),
        (runs({"id": "a", "after": ["a"]}), "batch-cycle", "plan:1 ('a'): it waits for itself: a → a"),
        (
            runs({"id": "a", "after": ["b"]}, {"id": "b", "inputs": ["a"]}),
            "batch-cycle",
            "it waits for itself",
        ),
        (runs({"id": "a", "prompt_file": "x"}), "batch-prompt", "plan:1 ('a'): both `prompt` and `prompt_file`"),
        (runs({"id": "a", "prompt": "", "prompt_file": "no"}), "missing", "plan:1 ('a'): no does not exist"),
        (runs({"id": "a", "schema_file": "no"}), "missing", "plan:1 ('a'): no does not exist"),
        (runs({"id": "a", "schema": {"type": 5}}), "schema-invalid", "plan:1 ('a'): schema: "),
        (runs({"id": "a", "schema": {}, "schema_file": "x"}), "batch-schema", "both `schema` and `schema_file`"),
        (runs({"id": "a", "kind": "resume"}), "batch-thread", "plan:1 ('a'): a resume needs `thread`"),
        (runs({"id": "a", "thread": "x"}), "batch-thread", "plan:1 ('a'): a run has no `thread`"),
        (runs({"id": "a", "base": "main"}), "batch-review", "plan:1 ('a'): a run reviews nothing"),
        (
            runs({"id": "a", "kind": "resume", "thread": "x"}, {"id": "b", "kind": "resume", "thread": "x"}),
            "batch-thread",
            "plan:2 ('b'): 'a' goes on in the same session; add after = ['a']",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_and_the_way_out(
    tmp_path: Path, text: str | bytes, code: str, said: str
) -> None:
    found, message = wrong(tmp_path, text)
    assert (found, said in message) == (code, True), message
    assert "; " in message


def test_turns_of_one_session_one_after_the_other_are_fine(tmp_path: Path) -> None:
    def going_on(name: str, *after: str) -> dict[str, Any]:
        return {"id": name, "kind": "resume", "thread": "x", "after": list(after)}

    items = (going_on("a"), {"id": "b", "after": ["a"]}, going_on("c", "b"), {"id": "d", "kind": "fork", "thread": "x"})
    assert len(read(tmp_path, runs(*items)).plan.items) == len(items)


def test_ten_thousand_items_are_read_and_one_more_is_not(tmp_path: Path) -> None:
    items = [{"id": f"i{n}", "after": [f"i{n - 1}"] if n else []} for n in range(10_000)]
    assert len(read(tmp_path, runs(*items)).plan.order()) == len(items)
    assert wrong(tmp_path, runs(*items, {"id": "more"}))[0] == "batch-size"


@given(st.text(max_size=300) | st.from_regex(r"(\[\[run\]\]\nid = ['\"a-c.]{1,9}\n|#.*\n|'''|\"\"\"|\{|\\|\n){0,20}"))
def test_no_text_is_anything_but_a_plan_or_one_clear_error(text: str) -> None:
    with contextlib.suppress(DataError):
        assert read_plan(None, text.encode(errors="surrogatepass")).plan.items

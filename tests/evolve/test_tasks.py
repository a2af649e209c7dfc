import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import armarius.testing.benchmarks
from armarius.errors import DataError
from armarius.evolve.judge import Contains, Judge, MaxChars, NoRefusal, Regex, SectionContains, SectionText
from armarius.evolve.tasks import (
    Task,
    TaskFile,
    join_rows,
    parse_rows,
    parse_tasks,
    read_tasks,
    render_tasks,
)

SEEDS = Path(armarius.testing.benchmarks.__path__[0]) / "skillopt_v1"


def row(**fields: Any) -> dict[str, Any]:
    judge = {"kind": "rule", "checks": [{"op": "contains", "arg": "x"}]}
    return {"task_id": "a", "task": "Do x.", "judge": judge, **fields}


def checked(*checks: Any) -> dict[str, Any]:
    return row(judge={"kind": "rule", "checks": checks})


def task_file(*rows: Any, **fields: Any) -> dict[str, Any]:
    return {"schema": "armarius.tasks.v1", "reviewed": True, "tasks": rows, **fields}


def test_a_task_file_is_read_into_values() -> None:
    rows = (
        row(),
        row(task_id="b", task="Do y.", split="held_out", judge=checked({"op": "no_refusal"})["judge"]),
    )
    found = parse_tasks(json.dumps(task_file(*rows)).encode())
    assert found == TaskFile(
        "armarius.tasks.v1",
        reviewed=True,
        tasks=(
            Task("a", "Do x.", Judge("rule", (Contains("x"),))),
            Task("b", "Do y.", Judge("rule", (NoRefusal(),)), "held_out"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "1:1", "invalid JSON: Expecting value"),
        ('{"schema": "x",\n "tasks": [}', "2:12", "invalid JSON: Expecting value"),
        ('{"schema": "x"\n "tasks": []}', "2:2", "invalid JSON: Expecting ',' delimiter"),
        ("{}\n{}", "2:1", "invalid JSON: Extra data"),
        ("\n{", "2:2", "invalid JSON: Expecting property name enclosed in double quotes"),
        ('{"é": 1, "ü": nope}', "1:15", "invalid JSON: Expecting value"),
        ('{"a": 1,\n "b": 2,\n "a": 3}', "3:2", "invalid JSON: the key 'a' is there twice"),
        ('{"tasks": [{"x": {"y": 1, "y": 1}}]}', "1:27", "invalid JSON: the key 'y' is there twice"),
        ('{"a":\n NaN}', "2:2", "invalid JSON: a number is not finite"),
        ('{"a": [1, -1e999]}', "1:11", "invalid JSON: a number is not finite"),
        ('{"a": "\\ud83d"}', "1:7", "invalid JSON: a text holds half a surrogate pair"),
        ('{"\\udc00": 1}', "1:2", "invalid JSON: a text holds half a surrogate pair"),
        ("[" * 100_000, "1:1", "invalid JSON: nested too deeply"),
        ("9" * 10_000, "1:1", "invalid JSON: a number has thousands of digits"),
    ],
)
def test_what_is_no_json_is_refused_where_it_breaks(text: str, place: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_tasks(text.encode(), "t.json")
    assert str(caught.value) == f"t.json:{place}: {message}"


@pytest.mark.parametrize(
    ("data", "place"), [(b"\xff", "1:1"), ('{"é":\n "ü'.encode() + b"\xff", "2:4"), (b"\n\n\xc3", "3:1")]
)
def test_what_is_not_utf8_is_refused_where_it_stands(data: bytes, place: str) -> None:
    for parse in (parse_tasks, parse_rows):
        with pytest.raises(DataError, match=f"t:{place}: byte 0x.. is not UTF-8"):
            parse(data, "t")


# Each case: a task file, the text before which the complaint must point, and what it must say.
SHAPES: list[tuple[dict[str, Any], str, str]] = [
    (task_file(row(tsk="")), '""', "task 'a', $.tasks[0].tsk: unknown field 'tsk'; did you mean 'task'?"),
    (task_file(row(), shema=7), "7", "$.shema: unknown field 'shema'; did you mean 'schema'?"),
    (task_file(checked({"op": "regex", "arg": "x", "flag": 7})), "7", "checks[0].flag: unknown field 'flag'"),
    (
        task_file(checked({"op": "section_contains", "arg": {"sektion": 7, "text": "y"}})),
        "7",
        "$.tasks[0].judge.checks[0].arg.sektion: unknown field 'sektion'; did you mean 'section'?",
    ),
    (task_file(row(**{"a\n\x1bb": 7})), "7", "$.tasks[0]['a\\n\\x1bb']: unknown field 'a\\n\\x1bb'; known: "),
    (
        task_file(row(judge={"kind": "rubric", "checks": []})),
        '"rubric"',
        "task 'a', $.tasks[0].judge.kind: unknown judge kind 'rubric'; known: rule",
    ),
    (
        task_file(checked({"op": "contains", "arg": "x"}, {"op": "contians", "arg": "x"})),
        '"contians"',
        "task 'a', $.tasks[0].judge.checks[1].op: unknown operator 'contians'; did you mean 'contains'?",
    ),
    (
        task_file(row(task_id="b"), checked({"op": "max_chars", "arg": "abc"})),
        '"abc"',
        "task 'a', $.tasks[1].judge.checks[0].arg: expected int, got str, found 'abc'",
    ),
    (task_file(checked({"op": "max_chars", "arg": 0})), "0}", "expected int >= 1, found 0"),
    (task_file(checked({"op": "max_chars", "arg": 12.5})), "12.5", "expected int, got float, found 12.5"),
    (task_file(checked({"op": "min_chars", "arg": True})), "true}", "expected int, got bool, found True"),
    (task_file(checked({"op": "contains", "arg": 5})), "5}", "expected str, got int, found 5"),
    (task_file(checked({"op": "section_contains", "arg": "x"})), '"x"', "expected object, got str"),
    (task_file(checked({"op": "no_refusal", "arg": True})), "true}", "expected null, got bool"),
    (task_file(checked({"op": "contains"})), '{"op"', "object missing required field arg"),
    (task_file(checked({"arg": "x"})), '{"arg"', "object missing required field op"),
    (task_file(checked({"op": 3, "arg": "x"})), "3,", "expected str, got int, found 3"),
    (task_file(checked("contains x")), '"contains x"', "expected object, got str, found 'contains x'"),
    (
        task_file(checked()),
        "[]",
        "task 'a', $.tasks[0].judge.checks: the judge has no checks, so every answer would pass; add a check",
    ),
    (
        task_file(checked({"op": "regex", "arg": "abc**"})),
        '"abc**"',
        "task 'a', $.tasks[0].judge.checks[0].arg: invalid pattern 'abc**' at character 4: bad repetition",
    ),
    (task_file(checked({"op": "regex", "arg": "abc\\"})), '"abc', "at character 4: trailing \\"),
    (task_file(checked({"op": "min_citations", "arg": 0})), "0}", "expected int >= 1, found 0"),
    (task_file(checked({"op": "regex", "arg": "(a"})), '"(a"', "invalid pattern '(a': missing ): (a"),
    (task_file(checked({"op": "regex", "arg": "(?=a)"})), '"(?=a)"', "at character 1: invalid perl operator"),
    (task_file(checked({"op": "regex", "arg": "(a)\\1"})), '"(a)', "at character 4: invalid escape sequence"),
    (task_file(checked({"op": "regex", "arg": "a - at `$.b["})), '"a - ', "checks[0].arg: invalid pattern"),
    (task_file(checked({"op": "contains", "arg": " \n"})), '" \\n"', "the text is blank"),
    (task_file(checked({"op": "contains", "arg": ""})), '""', "expected str of length >= 1, found ''"),
    (task_file(checked({"op": "section_present", "arg": "**:"})), '"**:"', "'**:' is no title"),
    (
        task_file(checked({"op": "section_contains", "arg": {"section": "A", "text": " "}})),
        '{"section"',
        "checks[0].arg: the text is blank",
    ),
    (task_file(checked({"op": "tool_called", "arg": "../x"})), '"../x"', "expected str matching regex"),
    (task_file(row(task="")), '""', "task 'a', $.tasks[0].task: expected str of length >= 1, found ''"),
    (task_file(row(task=" \n\t")), '" \\n', "task 'a', $.tasks[0].task: the task text is blank"),
    (task_file(row(task="x" * 20_001)), '"xxx', "expected str of length <= 20000, found 20,001 characters"),
    (task_file(row(task=None)), "null", "expected str, got null"),
    (task_file(row(task_id="../a")), '"../a"', "task '../a', $.tasks[0].task_id: expected str matching"),
    (task_file(row(split="heldout")), '"heldout"', "unknown split 'heldout'; did you mean 'held_out'?"),
    (task_file(3), "3]", "$.tasks[0]: expected object, got int, found 3"),
    (task_file(), "[]", "$.tasks: there are no tasks; add at least two"),
    (task_file(row(), reviewed="true"), '"true"', "$.reviewed: expected bool, got str, found 'true'"),
    (
        task_file(row(), schema="armarius.tasks.v2"),
        '"armarius',
        "unknown schema 'armarius.tasks.v2'; did you",
    ),
    ({"schema": "armarius.tasks.v1", "tasks": [row()]}, "{", "$: object missing required field reviewed"),
]


@pytest.mark.parametrize(("value", "at", "message"), SHAPES, ids=[message for _, _, message in SHAPES])
def test_what_is_no_task_file_is_refused_where_it_stands(value: dict[str, Any], at: str, message: str) -> None:
    text = json.dumps(value, ensure_ascii=False).replace('"tasks"', '\n\n "tasks"')
    with pytest.raises(DataError) as caught:
        parse_tasks(text.encode(), "t.json")
    where, line, column, said = str(caught.value).split(":", 3)
    assert (where, message in said, "\n" in said) == ("t.json", True, False), said
    assert text.split("\n")[int(line) - 1][int(column) - 1 :].startswith(at)


def test_a_bare_array_is_refused_as_a_task_file() -> None:
    with pytest.raises(DataError, match=r"t.json:1:1: \$: expected object, got array"):
        parse_tasks(b"[]", "t.json")


def test_an_id_that_is_there_twice_is_refused_with_both_places() -> None:
    text = '{"schema": "armarius.tasks.v1", "reviewed": true, "tasks": [\n{},\n {}\n]}'
    text = text.replace("{}", json.dumps(row(task_id="same")))
    with pytest.raises(DataError) as caught:
        parse_tasks(text.encode(), "t.json")
    assert caught.value.code == "task-duplicate"
    assert caught.value.message == "t.json:3:14: task_id 'same' is there twice, first at 2:13"


def test_a_text_on_both_sides_is_refused_with_the_ids() -> None:
    rows = [
        row(task_id="a", task="Write a brief.", split="train"),
        row(task_id="b", task="Another", split="train"),
        row(task_id="c", task="write  a BRIEF", split="held_out"),
        row(task_id="d", task="“another!”", split="held_out"),
    ]
    data = "\n".join(map(json.dumps, rows)).encode()
    with pytest.raises(DataError) as caught:
        parse_rows(data, "t.jsonl")
    assert caught.value.code == "task-overlap"
    assert caught.value.message == (
        "t.jsonl:3:26: the same text is in train and in held_out: 'a' and 'c', 'b' and 'd', first at 1:26"
    )


@pytest.mark.parametrize("split", ["train", "held_out", None])
def test_equal_texts_on_one_side_are_accepted(split: str | None) -> None:
    rows = (
        row(task_id="a", split="train"),
        row(task_id="b", split="train"),
        row(task_id="c", task="z", split=split),
    )
    assert len(parse_tasks(json.dumps(task_file(*rows)).encode()).tasks) == 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["", " \t"], "t.jsonl:1:1: $.tasks: there are no tasks"),
        ([row(), "", "{"], "t.jsonl:3:2: invalid JSON: Expecting property name"),
        ([row(), "  [1, 1"], "t.jsonl:2:8: invalid JSON: Expecting ',' delimiter"),
        (
            [row(), f"{json.dumps(row())} {{}}"],
            f"t.jsonl:2:{len(json.dumps(row())) + 2}: invalid JSON: Extra data",
        ),
        ([row(), "", row(task_id=7)], "t.jsonl:3:13: $.tasks[1].task_id: expected str, got int, found 7"),
        ([row(), row()], "t.jsonl:2:13: task_id 'a' is there twice, first at 1:13"),
    ],
)
def test_bad_rows_are_refused_where_they_stand(rows: list[Any], message: str) -> None:
    text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in rows)
    with pytest.raises(DataError) as caught:
        parse_rows(text.encode(), "t.jsonl")
    assert caught.value.message.startswith(message)


def test_windows_line_ends_and_line_separators_do_not_shift_rows() -> None:
    second = json.dumps(row(task_id="b", task="a\u2028b"), ensure_ascii=False)
    text = f"{json.dumps(row())}\r\n\r\n{second}\r\n"
    assert [task.task for task in parse_rows(text.encode()).tasks] == ["Do x.", "a\u2028b"]


@pytest.mark.parametrize("seed", sorted(folder.name for folder in SEEDS.iterdir()))
def test_the_rows_of_the_benchmark_are_read_and_wrapped(seed: str, tmp_path: Path) -> None:
    train = read_tasks(SEEDS / seed / "benchmark.jsonl")
    held_out = read_tasks(SEEDS / seed / "held-out.jsonl")
    assert (len(train.tasks), len(held_out.tasks), train.reviewed) == (15, 6, False)
    both = join_rows(train.tasks, held_out.tasks, reviewed=True)
    assert [task.split for task in both.tasks] == ["train"] * 15 + ["held_out"] * 6
    path = tmp_path / "tasks.json"
    path.write_bytes(render_tasks(both))
    assert read_tasks(path) == both
    assert {task.judge.shape_only for task in both.tasks} == {seed == "seed-verbose"}


def test_rows_of_two_sides_must_fit_together() -> None:
    task = Task("a", "Do x.", Judge("rule", (MaxChars(9),)))
    with pytest.raises(DataError, match="task_id 'a' is there twice"):
        join_rows([task], [task], reviewed=False)
    with pytest.raises(DataError, match="the same text is in train and in held_out: 'a' and 'b'"):
        join_rows([task], [msgspec.structs.replace(task, task_id="b", task="do X")], reviewed=False)
    with pytest.raises(DataError, match="there are no tasks"):
        join_rows([], [], reviewed=False)


def test_a_folder_or_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a directory"):
        read_tasks(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read_tasks(tmp_path / "tasks.json")


def test_the_published_schema_accepts_what_is_read_and_refuses_what_is_not() -> None:
    validator = jsonschema_rs.validator_for(msgspec.json.schema(TaskFile))
    check = SectionContains(SectionText("Risks", "churn"))
    file = TaskFile(
        "armarius.tasks.v1", reviewed=True, tasks=(Task("a", "Do x.", Judge("rule", (check, Regex("^x")))),)
    )
    assert validator.is_valid(json.loads(render_tasks(file)))
    for value, _, message in SHAPES:
        by_us_alone = any(word in message for word in ("invalid", "trailing", "is blank", "no title"))
        assert by_us_alone or not validator.is_valid(json.loads(json.dumps(value))), message


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5), st.booleans(), TEXT)
def test_a_rendered_file_reads_back_equal(texts: list[str], reviewed: bool, wanted: str) -> None:  # noqa: FBT001 - drawn
    judge = Judge("rule", (Contains(wanted), MaxChars(10)))
    tasks = tuple(Task(f"t-{number}", text, judge) for number, text in enumerate(texts))
    file = TaskFile("armarius.tasks.v1", reviewed, tasks)
    assert parse_tasks(render_tasks(file)) == file


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_no_bytes_get_past_with_anything_but_a_clear_refusal(data: bytes) -> None:
    for parse in (parse_tasks, parse_rows):
        with pytest.raises(DataError) as caught:
            parse(data, "t")
        assert caught.value.message.startswith("t:")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["task", "judge", "op", "x"]), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.sampled_from(["task_id", "task", "judge", "split", "x"]), JSON, st.sampled_from([None, 1, "\t"]))
def test_any_value_in_any_field_is_read_or_refused_where_it_stands(
    field: str, value: Any, indent: int | str | None
) -> None:
    text = json.dumps(task_file(row(**{field: value})), indent=indent, ensure_ascii=False)
    refused: DataError | None = None
    try:
        parse_tasks(text.encode(), "t")
    except DataError as error:
        refused = error
    if refused:
        _, line, column, _ = refused.message.split(":", 3)
        assert refused.code == "task-file"
        assert text.split("\n")[int(line) - 1][int(column) - 1 :].strip()


def test_what_is_nearly_the_same_cannot_be_on_both_sides() -> None:
    rows = [
        row(task="Write a brief on the price of bread.", split="train"),
        row(task_id="b", task="please write me a brief on the price of bread", split="held_out"),
        row(task_id="c", task="Write a brief on the price of milk", split="held_out"),
    ]
    with pytest.raises(DataError) as caught:
        parse_tasks(json.dumps(task_file(*rows)).encode())
    assert "nearly the same text is in train and in held_out: 'a' and 'b', first at" in caught.value.message


def test_a_file_of_drafts_alone_says_what_is_missing() -> None:
    drafts = [{"task": "Explain x", "asks": "a check"}] * 2
    with pytest.raises(DataError) as caught:
        parse_tasks(
            json.dumps({"schema": "armarius.tasks.v1", "reviewed": True, "tasks": [], "drafts": drafts}).encode()
        )
    assert caught.value.message.endswith("none of 2 drafts has a check yet")
    assert caught.value.hint.startswith("make a task of each")


def test_where_a_task_comes_from_is_kept_and_changes_nothing_that_evidence_rests_on() -> None:
    origin = {"sessions": ["s1", "s2"], "turns": 4, "evidence": ["contains: asked for"]}
    mined = parse_tasks(json.dumps(task_file(row() | {"origin": origin, "uncertifiable": "no commit"})).encode())
    plain = parse_tasks(json.dumps(task_file(row())).encode())
    assert (mined.tasks[0].origin, mined.tasks[0].why_uncertifiable) != (None, None)
    assert mined.tasks[0].facts == plain.tasks[0].facts
    assert parse_tasks(render_tasks(mined)) == mined


def test_what_skillopt_says_before_and_after_a_request_belongs_to_it() -> None:
    row = {"id": "a", "intent": "Write.", "system": "Be terse.", "context_excerpt": "It rains."}
    row |= {"reference_kind": "exact", "reference": "5"}
    file = parse_tasks(json.dumps({"format": "skillopt_sleep.tasks.v1", "reviewed": True, "tasks": [row]}).encode())
    assert file.tasks[0].task == "Be terse.\n\nWrite.\n\nContext:\nIt rains."


def test_numbers_in_quotes_are_numbers_to_skillopt_and_other_formats_are_named() -> None:
    row = {"id": "a", "intent": "Write on a", "reference_kind": "rule"}
    checks = [{"op": "max_chars", "arg": "1200"}, {"op": "contains", "arg": "5"}]
    whole = {"format": "skillopt_sleep.tasks.v1", "reviewed": True, "tasks": [row | {"judge": {"checks": checks}}]}
    whole["tasks"][0]["judge"]["kind"] = "rule"  # type: ignore[index]
    [task] = parse_tasks(json.dumps(whole).encode()).tasks
    assert [check.arg for check in task.judge.checks] == [1200, "5"]  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"format: 'skillopt_sleep.tasks.v9' is not known"):
        parse_tasks(json.dumps(whole | {"format": "skillopt_sleep.tasks.v9"}).encode())
    with pytest.raises(DataError, match="1:1: a byte order mark stands before the JSON"):
        parse_tasks(b"\xef\xbb\xbf" + json.dumps(whole).encode())

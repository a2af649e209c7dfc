import json
import re

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.testing.conversation import Call, Conversation, ShellShape, SkillEntry
from armarius.testing.grammar import read_rules
from armarius.testing.policy import Worker, compose
from armarius.testing.prose import sentences
from armarius.testing.reply import Say, Shell

TASK = "Write a brief on whether a seed-stage dev-tools startup should ship a free tier."


def answer(skill: str, task: str = TASK) -> str:
    return compose(task, read_rules(skill))


def step(conversation: Conversation, worker: Worker | None = None) -> str:
    """The worker's next step, as text: `$ command` or what it says."""
    steps = (worker or Worker()).reply(conversation).steps
    match steps:
        case (Say(text),):
            return text
        case (Shell(command),):
            return f"$ {command}"
        case _:
            raise AssertionError(steps)


def test_without_rules_an_answer_is_two_plain_paragraphs_about_the_task() -> None:
    text = answer("")
    assert text.count("\n\n") == 1
    assert "seed-stage dev-tools startup" in text
    assert 200 < len(text) < 600
    assert "#" not in text
    assert not re.search(r"^\w+:", text, re.MULTILINE)
    assert text == answer("Use British spelling.")


@pytest.mark.parametrize(
    ("skill", "pattern"),
    [
        ('Include a section titled "Key Risks".', r"(?m)^## Key Risks$"),
        ('Include a section titled "Key Risks".', r"(?m)^## Key Risks\n\n\w"),
        ("End with a line `Confidence: high`.", r"\nConfidence: high\Z"),
        ("End with a Confidence line.", r"\nConfidence: \w+\Z"),
        ("Never omit the line `Confidence = high`.", r"\nConfidence = high\Z"),
        ('Begin with the line "Recommendation: yes".', r"\ARecommendation: yes\n"),
        ('Begin the answer with "In short,".', r"\AIn short,"),
        ('End with "That is all"', r"That is all\Z"),
        ('Mention "risk appetite".', r"risk appetite"),
        ("Cite at least three sources.", r"(?s)\[1\].*\[2\].*\[3\]"),
        ('Sections titled "A" and "B".', r"(?s)## A\n.*## B\n"),
    ],
)
def test_what_a_rule_asks_for_stands_in_the_answer(skill: str, pattern: str) -> None:
    assert re.search(pattern, answer(skill))
    assert not re.search(pattern, answer(""))


@pytest.mark.parametrize(
    "skill",
    [
        'Include a section titled "Main Dangers".',
        'Do not include a section titled "Key Risks".',
        'Mention "Key Risks".',
        "Cover the key risks.",
    ],
)
def test_a_wrong_negated_or_vague_rule_yields_no_such_heading(skill: str) -> None:
    assert "# Key Risks" not in answer(skill)


@pytest.mark.parametrize("limit", [3, 40, 200, 1050, 5000])
def test_a_ceiling_cuts_the_filling_and_never_what_was_asked_for(limit: int) -> None:
    skill = f'Be exhaustive. End with "Confidence: low". Add a "Key Risks" section. At most {limit} words.'
    text = answer(skill)
    required = "## Key Risks\n\nConfidence: low"
    assert len(text.split()) <= limit or text == required
    assert "## Key Risks" in text
    assert text.endswith("Confidence: low")


def test_an_exhaustive_answer_is_several_thousand_characters() -> None:
    assert 3_000 < len(answer("Be exhaustive and detailed.")) < 10_000


@pytest.mark.parametrize("unit", ["characters", "words", "sentences", "paragraphs"])
def test_floors_and_ceilings_hold_together(unit: str) -> None:
    text = answer(f"Write at least 12 {unit} and at most 300 {unit}.")
    size = {
        "characters": len(text),
        "words": len(text.split()),
        "sentences": len(re.findall(r"[.!?](?=\s|$)", text)),
        "paragraphs": len(text.split("\n\n")),
    }
    assert 12 <= size[unit] <= 300


def test_a_floor_that_nobody_could_want_is_given_up() -> None:
    assert len(answer("Write at least 900000000 characters.")) < 2_000_000


def test_a_phrase_to_avoid_is_not_said() -> None:
    assert "startup" in answer("").casefold()
    assert "startup" not in answer('Never mention "startup". Add a "Notes" section.').casefold()


def test_when_everything_is_to_be_avoided_only_the_required_parts_are_left() -> None:
    assert answer("Never write 'e'. End with \"Ok\"") == "Ok"


@pytest.mark.parametrize("task", ["", "?", "Fix it.", "a" * 5_000, "Was heißt das?", "Confidence: high", "# X"])
def test_any_task_is_answered_without_headings_and_labels(task: str) -> None:
    text = answer("", task)
    assert text
    assert not re.search(r"#|:", text)


@given(st.text(max_size=200), st.integers(0, 40))
def test_the_same_task_gives_the_same_sentences(task: str, number: int) -> None:
    one, again = sentences(task), sentences(task)
    for _ in range(number):
        assert next(one) == next(again)


# ------------------------------------------------------------- reading skills

BRIEF = SkillEntry("brief-writer", "Brief Writer", "/s/brief/SKILL.md")
ADVISOR = SkillEntry("advisor", "Advisor", "/s/advisor's/SKILL.md")
SYSTEM = SkillEntry("writer", "write a brief for a startup", "/home/skills/.system/writer/SKILL.md")
SHELL = Conversation(TASK, shell=ShellShape.FUNCTION)


def listing(*entries: SkillEntry, task: str = TASK) -> Conversation:
    return msgspec.structs.replace(SHELL, task=task, catalogue=entries)


@pytest.mark.parametrize(
    ("conversation", "expected"),
    [
        (listing(BRIEF), "$ cat /s/brief/SKILL.md"),
        (listing(ADVISOR, BRIEF), "$ cat /s/brief/SKILL.md"),
        (listing(ADVISOR, BRIEF, task="Advise on it."), "$ cat '/s/advisor'\"'\"'s/SKILL.md'"),
        (listing(BRIEF, ADVISOR, task="?"), "$ cat /s/brief/SKILL.md '/s/advisor'\"'\"'s/SKILL.md'"),
        (listing(*[BRIEF] * 9, task="?"), "$ cat" + " /s/brief/SKILL.md" * 3),
        (listing(SYSTEM), answer("")),
        (msgspec.structs.replace(listing(BRIEF), shell=ShellShape.NONE), answer("")),
        (msgspec.structs.replace(listing(BRIEF), skills=("Use `rg`.",)), "$ rg "),
        (msgspec.structs.replace(listing(BRIEF), calls=(Call("cat /s/brief/SKILL.md", "no"),)), answer("")),
    ],
)
def test_the_worker_reads_the_skills_that_fit_the_task_once(conversation: Conversation, expected: str) -> None:
    assert step(conversation).startswith(expected)


# ------------------------------------------------------------- running tools


def test_tools_run_one_after_the_other_and_then_the_answer_comes() -> None:
    skilled = msgspec.structs.replace(SHELL, skills=("Run `search` first. Consult the rates tool.",))
    query = "'Write a brief on whether a seed-stage dev-tools'"
    assert step(skilled) == f"$ search {query}"
    once = msgspec.structs.replace(skilled, calls=(Call(f"search {query}", "found"),))
    assert step(once) == f"$ rates {query}"
    twice = msgspec.structs.replace(once, calls=(*once.calls, Call(f"rates {query}")))
    assert step(twice) == answer("")


def test_no_tool_runs_where_the_request_offers_no_shell() -> None:
    assert step(Conversation(TASK, skills=("Run `search` first.",))) == answer("")


def test_a_task_cannot_add_words_to_the_command() -> None:
    hostile = msgspec.structs.replace(SHELL, task="'; rm -rf / #", skills=("Run `search` first.",))
    assert step(hostile) == "$ search 'rm -rf'"


# -------------------------------------------------------- structured answers


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"const": 3},
        {"enum": ["b", "a"]},
        {"type": ["null", "string"]},
        {"type": "string", "minLength": 9, "maxLength": 9},
        {"type": "string", "maxLength": 2},
        {"type": "integer", "minimum": 3},
        {"type": "integer", "exclusiveMinimum": 3},
        {"type": "number", "maximum": -2.5},
        {"type": "integer", "minimum": 4, "multipleOf": 5},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"oneOf": [{"type": "integer"}, {"type": "string"}]},
        {
            "type": "object",
            "properties": {"verdict": {"enum": ["PASS", "FAIL"]}, "why": {"type": "string"}, "n": {}},
            "required": ["verdict", "why", "n"],
            "additionalProperties": False,
        },
        {
            "$defs": {"step": {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}},
            "type": "array",
            "items": {"$ref": "#/$defs/step"},
            "minItems": 1,
        },
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]},
            ]
        },
    ],
)
def test_a_structured_answer_fits_its_schema(schema: dict[str, object]) -> None:
    text = step(msgspec.structs.replace(SHELL, schema=schema))
    assert jsonschema_rs.is_valid(schema, json.loads(text))


# --------------------------------------------------------------- disobedience

SKILLED = msgspec.structs.replace(SHELL, skills=('End with "Confidence: high".',))


def share(worker: Worker, conversations: list[Conversation]) -> float:
    obeyed = ["Confidence: high" in step(conversation, worker) for conversation in conversations]
    return obeyed.count(False) / len(obeyed)


def test_a_share_of_the_answers_ignores_the_rules() -> None:
    tasks = [msgspec.structs.replace(SKILLED, task=f"Task {number}") for number in range(400)]
    assert share(Worker(7, 0.0), tasks) == 0
    assert share(Worker(7, 1.0), tasks) == 1
    assert 0.2 < share(Worker(7, 0.3), tasks) < 0.4


def test_disobedience_follows_from_content_and_seed_and_nothing_else() -> None:
    tasks = [msgspec.structs.replace(SKILLED, task=f"Task {number}") for number in range(64)]
    drawn = {task.task: step(task, Worker(7, 0.5)) for task in tasks}
    assert {task.task: step(task, Worker(7, 0.5)) for task in reversed(tasks)} == drawn
    assert {task.task: step(task, Worker(8, 0.5)) for task in tasks} != drawn
    moved = [msgspec.structs.replace(task, thread_id="other", calls=(Call("ls"),)) for task in tasks]
    assert {task.task: step(task, Worker(7, 0.5)) for task in moved} == drawn


@pytest.mark.parametrize("where", ["task", "thread_source"])
def test_replicates_are_drawn_apart(where: str) -> None:
    text = {"task": "The task [[replicate:{}]]", "thread_source": "armarius-replicate-{}"}[where]
    replicates = [msgspec.structs.replace(SKILLED, **{where: text.format(number)}) for number in range(64)]
    assert 0.2 < share(Worker(7, 0.5), replicates) < 0.8


def test_markers_are_no_part_of_the_answer() -> None:
    marked = msgspec.structs.replace(SHELL, task=f"{TASK} [[replicate:3]]")
    assert step(marked) == answer("")

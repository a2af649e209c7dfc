from collections.abc import Callable

import msgspec
import pytest

from armarius.errors import DataError
from armarius.testing.conversation import Call, Conversation, ShellShape
from armarius.testing.faults import KINDS, Fault, fault_in_prompt, parse_fault
from armarius.testing.model import ScriptedModel
from armarius.testing.reply import Patch, Reply, Say, Shell, Think

MODEL = ScriptedModel()
CALL = Call("echo")


def reply(prompt: str, *calls: Call, answers: int = 0) -> Reply:
    return MODEL(Conversation(prompt, shell=ShellShape.FUNCTION, calls=calls, answers=answers))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_is_spelt_by_its_name(kind: str) -> None:
    assert parse_fault(kind) == Fault(kind)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("500*2", Fault("500", times=2)),
        ("slow=0.2", Fault("slow", 0.2)),
        (" 429=1*3 ", Fault("429", 1.0, 3)),
        ("usage-limit", Fault("usage-limit")),
    ],
)
def test_a_fault_may_say_how_long_and_how_often(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert fault_in_prompt(f"Do it. [[fault:{text}]] Thanks.") == fault


@pytest.mark.parametrize("text", ["", "418", "500*", "500*x", "slow=", "slow=x", "500 500"])
def test_another_spelling_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="no fault is spelt"):
        parse_fault(text)


def test_a_misspelt_fault_is_told_its_neighbour() -> None:
    with pytest.raises(DataError, match="did you mean 'silence'"):
        parse_fault("silent")


@pytest.mark.parametrize("prompt", ["", "fault:500", "[fault:500]", "[[fault 500]]"])
def test_an_ordinary_prompt_asks_for_no_fault(prompt: str) -> None:
    assert fault_in_prompt(prompt) is None


SCRIPT = """Do this. SCRIPT: [
    {"reason": "let me see"},
    {"say": "looking", "phase": "commentary"},
    {"sh": "echo hi"},
    {"patch": "*** Begin Patch"},
    {"wait": 1.5}, {"wait": "/fifo"},
    {"fault": "500*1"},
    {"say": "bye"}
] and nothing else"""


@pytest.mark.parametrize(
    ("calls", "answers", "expected"),
    [
        (
            0,
            0,
            Reply(
                (Think("let me see"), Say("looking", "commentary"), Shell("echo hi")),
                place="step 0",
            ),
        ),
        (1, 0, Reply((Patch("*** Begin Patch"),), place="step 1")),
        (2, 0, Reply((Say("bye"),), Fault("500", times=1), (1.5, "/fifo"), place="step 2")),
        (2, 1, Reply((Say("Done."),))),
        (9, 0, Reply((Say("Done."),))),
    ],
)
def test_a_script_plays_the_step_that_the_conversation_has_reached(calls: int, answers: int, expected: Reply) -> None:
    assert reply(SCRIPT, *[CALL] * calls, answers=answers) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("[]", Reply((Say("Done."),))),
        ('[{"fault": "429"}]', Reply((), Fault("429"), place="step 0")),
        ('[{"wait": 2}]', Reply((), waits=(2.0,), place="step 0")),
        ('[{"reason": "hm"}]', Reply((Think("hm"),), place="step 0")),
    ],
)
def test_a_script_may_end_without_a_last_word(script: str, expected: Reply) -> None:
    assert reply(f"SCRIPT:{script}") == expected


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('[{"sh": "x"', "SCRIPT:"),
        ('[{"shout": "x"}]', "unknown field `shout`"),
        ("[{}]", "a step without a verb"),
        ('[{"sh": 3}]', "Expected `str"),
        ('[{"fault": "418"}]', "no fault is spelt '418'"),
    ],
)
def test_a_bad_script_is_refused_with_its_place(script: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        reply(f"SCRIPT:{script}")


@pytest.mark.parametrize("prompt", ["SCRIPT: later", "Write a POSTSCRIPT:[1]", "script:[]"])
def test_a_prompt_without_a_script_is_a_workers_task(prompt: str) -> None:
    assert reply(prompt).place == ""


REFLECTION = 'ARMARIUS REFLECTION v1\n```json\n{"skill": "SKILL", "edit_budget": 1, "failures": []}\n```'


@pytest.mark.parametrize("text", ["[[fault:500]]", 'SCRIPT:[{"sh": "rm"}]'])
def test_a_task_quoted_in_a_reflection_is_only_quoted(text: str) -> None:
    quoted = text.replace('"', r"\"")
    assert reply(REFLECTION.replace("SKILL", quoted)) == Reply((Say('{"edits": []}'),))


@pytest.mark.parametrize(
    "prompt",
    ["Write a brief. {}", 'SCRIPT:[{{"say": "x"}}] {}', "{}\n" + REFLECTION.replace("{", "{{").replace("}", "}}")],
)
def test_a_fault_befalls_every_role(prompt: str) -> None:
    assert reply(prompt.format("[[fault:500]]")).fault == Fault("500")


def test_a_scripts_own_fault_goes_before_the_prompts() -> None:
    prompt = 'SCRIPT:[{"fault": "cut"}, {"sh": "x"}, {"say": "y"}] [[fault:500]]'
    assert reply(prompt).fault == Fault("cut")
    assert reply(prompt, CALL).fault == Fault("500")


def test_the_worker_is_the_one_that_was_handed_in() -> None:
    conversation = Conversation("Task", skills=('End with "Confidence: high".',))
    models: list[Callable[[Conversation], Reply]] = [
        MODEL,
        ScriptedModel(msgspec.structs.replace(MODEL.worker, disobedience=1.0)),
    ]
    steps = [model(conversation).steps[0] for model in models]
    assert [isinstance(step, Say) and "Confidence: high" in step.text for step in steps] == [True, False]

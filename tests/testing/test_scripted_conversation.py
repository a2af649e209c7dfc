import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.testing.conversation import Call, Conversation, ShellShape, read_request

DATA = Path(__file__).parent.parent / "data" / "testing"


def captured(name: str) -> dict[str, Any]:
    return json.loads((DATA / name).read_text())


def read(body: dict[str, Any]) -> Conversation:
    return read_request(json.dumps(body).encode())


def message(role: str, text: str, **more: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}], **more}


@pytest.mark.parametrize(
    ("name", "task", "shell", "takes_patches"),
    [
        ("request-catalogue.json", "hello", ShellShape.FUNCTION, True),
        (
            "request-skill-mention.json",
            "please use $sk-homeagents and $sk-noimplicit now",
            ShellShape.FUNCTION,
            True,
        ),
        ("request-code-mode.json", "hello", ShellShape.CODE_MODE, False),
        ("request-unknown-model.json", "hello", ShellShape.FUNCTION, False),
    ],
)
def test_a_captured_request_yields_its_task_and_its_tools(
    *, name: str, task: str, shell: ShellShape, takes_patches: bool
) -> None:
    conversation = read(captured(name))
    assert conversation.task == task
    assert conversation.shell is shell
    assert conversation.takes_patches is takes_patches
    assert conversation.thread_source == "user"
    assert len(conversation.thread_id) == 36


def test_the_catalogue_gives_absolute_paths() -> None:
    entries = {entry.name: entry for entry in read(captured("request-catalogue.json")).catalogue}
    assert entries["sk-repoagents"].path == "/srv/cxlab/ws/.agents/skills/sk-repoagents/SKILL.md"
    assert entries["sk-repoagents"].description == "in repo .agents/skills"
    assert entries["sk-nested"].path == "/srv/cxlab/home/.agents/skills/nested/deep/sk-nested/SKILL.md"
    assert "/.system/" in entries["skill-creator"].path


def test_injected_skill_texts_are_found_whole_and_in_order() -> None:
    first, second = read(captured("request-skill-mention.json")).skills
    assert first.startswith("---\nname: sk-homeagents\n")
    assert "Use MAGIC-sk-homeagents." in first
    assert "MAGIC-sk-noimplicit" in second


FUNCTION_CALL = {"type": "function_call", "name": "exec_command", "call_id": "c"}
CODE_CALL = {"type": "custom_tool_call", "name": "exec", "call_id": "c"}


@pytest.mark.parametrize(
    ("call", "output", "expected"),
    [
        (
            FUNCTION_CALL | {"arguments": '{"cmd": "cat /s/SKILL.md"}'},
            {"type": "function_call_output", "output": "Chunk ID: 1\nOutput:\n# Rules\nOutput:\nmore\n"},
            ("cat /s/SKILL.md", ("# Rules\nOutput:\nmore\n",)),
        ),
        (
            CODE_CALL | {"input": 'const r = await tools.exec_command({"cmd": "cat /s/SKILL.md"}); text(r.output);'},
            {
                "type": "custom_tool_call_output",
                "output": [
                    {"type": "input_text", "text": "Script completed\nOutput:\n"},
                    {"type": "input_text", "text": "# Rules\n"},
                ],
            },
            ("cat /s/SKILL.md", ("# Rules\n",)),
        ),
        (
            FUNCTION_CALL | {"arguments": '{"cmd": "search x"}'},
            {"type": "function_call_output", "output": "Output:\nfound\n"},
            ("search x", ()),
        ),
        (
            CODE_CALL | {"input": "await tools.exec_command({cmd: `ls`})"},
            {"type": "custom_tool_call_output", "output": ""},
            ("", ()),
        ),
        (
            {"type": "function_call", "name": "get_goal", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "output": "none"},
            ("", ()),
        ),
    ],
)
def test_a_call_is_read_back_in_both_shapes(
    call: dict[str, Any], output: dict[str, Any], expected: tuple[str, tuple[str, ...]]
) -> None:
    body = captured("request-catalogue.json")
    body["input"] += [call, output | {"call_id": "c"}]
    conversation = read(body)
    assert len(conversation.calls) == 1
    assert (conversation.calls[0].command, conversation.skills) == expected
    assert conversation.continued


def test_an_unanswered_call_has_no_output() -> None:
    body = captured("request-catalogue.json")
    body["input"].append(FUNCTION_CALL | {"arguments": '{"cmd": "ls"}'})
    assert read(body).calls == (Call("ls"),)


@pytest.mark.parametrize(
    "context",
    [
        "<environment_context>\n  <cwd>/x</cwd>\n</environment_context>",
        "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>\nbe kind\n</INSTRUCTIONS>",
        "<turn_aborted>\nThe user interrupted.\n</turn_aborted>",
        "<skill>\n<name>s</name>\n<path>/s</path>\ntext\n</skill>",
        "Another language model started to solve this problem and produced a summary",
    ],
)
def test_context_in_the_users_name_is_not_the_task(context: str) -> None:
    assert read({"input": [message("user", "the task"), message("user", context)]}).task == "the task"


def test_only_what_came_after_the_newest_task_counts() -> None:
    old_call = FUNCTION_CALL | {"arguments": '{"cmd": "cat /s/SKILL.md"}'}
    conversation = read(
        {
            "input": [
                message("user", "first"),
                old_call,
                {"type": "function_call_output", "call_id": "c", "output": "Output:\nold rules"},
                message("assistant", "done", phase="final_answer"),
                message("user", "second"),
                message("assistant", "looking", phase="commentary"),
                message("assistant", "done again", phase="final_answer"),
            ]
        }
    )
    assert (conversation.task, conversation.calls, conversation.skills) == ("second", (), ())
    assert conversation.answers == 1


def test_an_answer_schema_is_found() -> None:
    schema = {"type": "object"}
    body = {"input": "hi", "text": {"format": {"type": "json_schema", "schema": schema}}}
    assert read(body).schema == schema
    assert read(body).task == "hi"
    assert read({"input": "hi", "text": {"verbosity": "low"}}).schema is None


@pytest.mark.parametrize("body", [b"", b"[]", b'{"input": 3}', b"{}", b'{"input": [{"content": 3}]}'])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_request(body)


def test_a_conversation_without_a_task_has_an_empty_one() -> None:
    assert read({"input": [message("developer", "be kind")]}).task == ""

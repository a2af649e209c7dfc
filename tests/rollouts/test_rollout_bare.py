"""Files without an envelope, as Codex wrote them until 0.20, and mixtures that nobody promised away."""

import json
from pathlib import Path
from typing import Any

import pytest

from armarius.clock import parse_rfc3339
from armarius.rollouts.reader import RolloutReader, read_rollout
from armarius.thread import AgentMessage, Command, Format, Item, ItemStatus, Reasoning, Thread, TurnState, UserMessage

DATA = Path(__file__).parents[1] / "data" / "rollouts" / "0.20-bare.jsonl"
HEAD: dict[str, Any] = {"id": "t", "timestamp": "2025-07-01T08:00:00.000Z", "instructions": None, "git": None}
MARK = {"record_type": "state"}


def message(role: str, text: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "id": None, "role": role, "content": [{"type": kind, "text": text}]}


def call(call_id: str, *argv: str) -> dict[str, Any]:
    return {"type": "function_call", "name": "shell", "call_id": call_id, "arguments": json.dumps({"command": argv})}


def answer(call_id: str, output: str, code: int) -> dict[str, Any]:
    told = {"output": output, "metadata": {"exit_code": code, "duration_seconds": 0.5}}
    return {"type": "function_call_output", "call_id": call_id, "output": json.dumps(told)}


def read(folder: Path, *lines: dict[str, Any], end: bytes = b"\n") -> Thread:
    path = folder / "rollout.jsonl"
    path.write_bytes(b"".join(json.dumps(line).encode() + end for line in lines))
    return read_rollout(path)


def items(thread: Thread) -> list[Item]:
    return [item for turn in thread.turns for item in turn.items]


def test_a_real_file_of_the_bare_kind_tells_its_thread() -> None:
    thread = read_rollout(DATA)

    asked, thought, ran, said = items(thread)
    assert isinstance(asked, UserMessage)
    assert isinstance(thought, Reasoning)
    assert isinstance(ran, Command)
    assert isinstance(said, AgentMessage)
    assert (asked.text, thought.text) == ("RUN[echo hello; ls]", "**Thinking**")
    assert (ran.command, ran.argv[0], ran.exit_code, ran.status) == (
        "echo hello; ls",
        "bash",
        0,
        ItemStatus.COMPLETED,
    )
    assert ran.output.startswith("hello\na.txt\n")
    assert ran.duration_us == 200_000
    assert thread.format is Format.BARE
    assert (thread.id, thread.git_branch) == ("a421531e-7b2e-4d40-a2f2-1364e13b6a7a", "master")
    assert thread.started_at_us == parse_rfc3339("2026-11-20T12:25:51.273Z")
    assert [item.at_us for item in items(thread)] == [None] * 4
    assert (thread.unknown, thread.bad_lines, thread.responses) == ({}, (), ())


@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_each_word_of_the_user_begins_a_turn_and_context_does_not(tmp_path: Path, end: bytes) -> None:
    thread = read(
        tmp_path,
        HEAD,
        MARK,
        message("user", "<user_instructions>\nbe kind\n</user_instructions>"),
        message("user", "<environment_context>\n  <cwd>/w</cwd>\n</environment_context>"),
        message("system", "nobody says this"),
        message("user", "one"),
        call("c1", "false"),
        answer("c1", "", 1),
        message("assistant", "first"),
        MARK,
        message("user", "<environment_context> is a tag, two"),
        call("c2", "sleep", "9"),
        end=end,
    )

    assert [item.text for item in items(thread) if isinstance(item, UserMessage)] == [
        "one",
        "<environment_context> is a tag, two",
    ]
    assert [turn.state for turn in thread.turns] == [TurnState.UNKNOWN] * 2
    commands = [item for item in items(thread) if isinstance(item, Command)]
    assert [(item.command, item.exit_code, item.status.value) for item in commands] == [
        ("false", 1, "failed"),
        ("sleep 9", None, "in_progress"),
    ]
    assert (thread.unknown, thread.bad_lines) == ({}, ())


def test_a_later_version_may_go_on_with_an_envelope(tmp_path: Path) -> None:
    later = {"timestamp": "2025-10-01T08:00:00.000Z", "type": "event_msg"}
    thread = read(
        tmp_path,
        HEAD,
        message("user", "one"),
        {**later, "payload": {"type": "user_message", "message": "two"}},
    )

    assert [item.text for item in items(thread) if isinstance(item, UserMessage)] == ["one", "two"]
    assert thread.format is Format.BARE


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({"type": "message", "content": "no role"}, "message"),
        ({"type": "prophecy"}, "prophecy"),
        ({"record_type": 1}, "(no type)"),
        ({"id": 1, "timestamp": "2025-07-01T08:00:00.000Z"}, "(no type)"),
        ({"id": "x"}, "(no type)"),
    ],
)
def test_what_only_looks_like_an_old_line_is_counted(tmp_path: Path, line: dict[str, Any], kind: str) -> None:
    thread = read(tmp_path, HEAD, line)

    assert thread.unknown == {kind: 1}


def test_half_a_line_is_read_later_and_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    whole = DATA.read_bytes()
    path.write_bytes(whole[:-20])
    reader = RolloutReader(path)
    reader.advance()
    assert not any(isinstance(item, AgentMessage) for item in items(reader.thread()))

    with path.open("ab") as file:
        file.write(whole[-20:])
    reader.advance()

    assert sum(isinstance(item, AgentMessage) for item in items(reader.thread())) == 1
    assert reader.thread().bad_lines == ()

"""The program behind a hook, and the reader of what it writes."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from armarius.codex import hook_program
from armarius.codex.hooks import HookEvent, Mark, command_of, read_events

SAID = {
    "session_id": "s",
    "turn_id": "t",
    "transcript_path": "/x/rollout.jsonl",
    "cwd": "/project",
    "hook_event_name": "PermissionRequest",
    "model": "m",
    "tool_name": "Bash",
    "tool_input": {"command": "SECRET-COMMAND", "description": "SECRET-WORDS"},
    "prompt": "SECRET-PROMPT",
    "last_assistant_message": "SECRET-ANSWER",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "a place 'quoted'"
    place.mkdir()
    shutil.copy(hook_program.__file__, place / "report.py")
    return place


def fire(folder: Path, said: Any) -> None:
    """As Codex does it: through a shell, in an environment without much."""
    data = said if isinstance(said, bytes) else json.dumps(said).encode()
    command = ["/bin/sh", "-c", command_of(folder / "report.py")]
    done = subprocess.run(command, input=data, capture_output=True, check=False, env={}, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_an_event_becomes_one_private_line_without_what_was_said(folder: Path) -> None:
    fire(folder, SAID)
    fire(folder, SAID | {"hook_event_name": "SubagentStop", "agent_id": "child"})
    file = folder / "events.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "SECRET" not in file.read_text()
    first, second = read_events(file).events
    assert first == HookEvent(first.at_us, "PermissionRequest", "s", "t", None, "Bash", "/project", "/x/rollout.jsonl")
    assert (second.event, second.session_id, second.thread_id) == ("SubagentStop", "s", "child")
    assert 1_700_000_000_000_000 < first.at_us <= second.at_us


@pytest.mark.parametrize(
    "said",
    [b"", b"not json", b"[]", b'"text"', b'{"hook_event_name": ', b"\xff", b"[" * 100_000, b'{"session_id": "s"}'],
)
def test_what_is_no_event_harms_nobody(folder: Path, said: bytes) -> None:
    fire(folder, said)
    assert read_events(folder / "events.jsonl").events == ()


def test_odd_values_stay_one_short_line(folder: Path) -> None:
    fire(folder, SAID | {"cwd": "x" * 100_000, "tool_name": "a\nb\x1b[31m", "turn_id": {"a": 1}})
    fire(folder, b'{"hook_event_name": "Stop", "session_id": "\\ud800"}')
    odd, lone = read_events(folder / "events.jsonl").events
    assert (len(odd.cwd or ""), odd.tool_name, odd.turn_id, lone.session_id) == (4096, "a\nb\x1b[31m", None, "?")


@pytest.mark.parametrize("trouble", ["no program", "no folder", "pipe", "link", "folder"])
def test_whatever_lies_in_the_way_codex_goes_on(folder: Path, tmp_path: Path, trouble: str) -> None:
    match trouble:
        case "no program":
            (folder / "report.py").unlink()
        case "no folder":
            shutil.rmtree(folder)
        case "pipe":
            os.mkfifo(folder / "events.jsonl")
        case "link":
            (folder / "events.jsonl").symlink_to(tmp_path / "elsewhere")
        case _:
            (folder / "events.jsonl").mkdir()
    fire(folder, SAID)
    assert not (tmp_path / "elsewhere").exists()


def test_a_hook_that_gets_no_input_gives_up_by_itself(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-I", "-S", folder / "report.py"], stdin=subprocess.PIPE) as program:
        assert program.wait(60) == 0


def test_many_at_once_lose_nothing_and_stay_within_bounds(folder: Path) -> None:
    old, aside = folder / "events.jsonl", folder / "events.1.jsonl"
    filler = json.dumps({"at_us": 1, "event": "Stop", "session_id": "old", "cwd": "x" * 1000}) + "\n"
    old.write_text(filler * (hook_program.LARGEST // len(filler)))
    mark = read_events(old).mark
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(fire, folder, SAID | {"turn_id": str(number)}) for number in range(40)]:
            done.result()
    read = read_events(old, mark)
    assert sorted(int(event.turn_id or -1) for event in read.events) == list(range(40))
    assert read.skipped == 0
    assert aside.stat().st_size < hook_program.LARGEST + 100_000
    assert old.stat().st_size < 100_000
    assert read_events(old, read.mark).events == ()


def test_nobody_writes_to_a_file_that_is_being_put_aside(folder: Path) -> None:
    file = folder / "events.jsonl"
    file.touch()
    with file.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        fire(folder, SAID)
        assert file.read_bytes() == b""
    fire(folder, SAID)
    assert len(read_events(file).events) == 1


def line(session: str) -> str:
    return json.dumps({"at_us": 1, "event": "Stop", "session_id": session}) + "\n"


def sessions(path: Path, mark: Mark | None = None) -> tuple[list[str], Mark, int]:
    read = read_events(path, mark)
    return [event.session_id for event in read.events], read.mark, read.skipped


def test_reading_goes_on_where_it_stopped_and_half_a_line_waits(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    assert sessions(file) == ([], Mark(), 0)
    file.write_text(line("a") + line("b")[:10])
    found, mark, _ = sessions(file)
    assert found == ["a"]
    with file.open("a") as end:
        end.write(line("b")[10:] + "\nnot json\n" + '{"at_us": "x"}\n' + "é\n" + line("c"))
    found, mark, skipped = sessions(file, mark)
    assert (found, skipped) == (["b", "c"], 3)
    assert sessions(file, mark) == ([], mark, 0)


def test_a_rotation_is_read_across(tmp_path: Path) -> None:
    file, aside = tmp_path / "events.jsonl", tmp_path / "events.1.jsonl"
    file.write_text(line("a") + line("b"))
    _, mark, _ = sessions(file)
    with file.open("a") as end:
        end.write(line("c"))
    file.rename(aside)
    assert sessions(file, mark)[0] == ["c"]
    file.write_text(line("d"))
    found, mark, _ = sessions(file, mark)
    assert found == ["c", "d"]
    assert sessions(file)[0] == ["a", "b", "c", "d"]
    with file.open("a") as end:
        end.write(line("e"))
    assert sessions(file, mark)[0] == ["e"]


def test_a_mark_of_a_file_that_is_gone_means_from_the_beginning(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(line("new"))
    assert sessions(file, Mark(file.stat().st_ino, 7))[0] == ["new"]
    assert sessions(file, Mark(file.stat().st_ino, 10_000))[0] == ["new"]
    assert sessions(file, Mark(1, 10))[0] == ["new"]


def test_a_torn_line_of_a_writer_that_died_does_not_take_the_next_one_with_it(folder: Path) -> None:
    file = folder / "events.jsonl"
    file.write_text(line("a") + line("torn")[:15])
    fire(folder, SAID)
    assert sessions(file)[0::2] == (["a", "s"], 1)

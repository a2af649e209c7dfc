"""The sessions that the benchmark makes: what they claim to hold is what our reader finds in them."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from armarius.rollouts.reader import read_rollout
from armarius.thread import (
    AgentMessage,
    Command,
    Compaction,
    FileChange,
    Reasoning,
    Thread,
    ToolCall,
    UserMessage,
)

GENERATOR = Path(__file__).parents[2] / "benchmarks" / "sessions" / "generate.py"
COUNTED = {
    "user_messages": UserMessage,
    "agent_messages": AgentMessage,
    "reasoning": Reasoning,
    "file_changes": FileChange,
    "tool_calls": ToolCall,
    "compactions": Compaction,
}


def made(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(GENERATOR), str(folder), *words], capture_output=True, text=True, check=False
    )


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def found(thread: Thread) -> dict[str, Any]:
    items = [item for turn in thread.turns for item in turn.items]
    exits = Counter(str(item.exit_code) for item in items if isinstance(item, Command))
    exits["none"] = exits.pop("None", 0)
    tokens = ("input", "cached_input", "cache_write", "output", "reasoning")
    return {
        "id": thread.id,
        "version": thread.cli_version,
        "model": thread.turns[-1].model,
        "cwd": thread.cwd,
        "source": thread.source,
        "parent": thread.parent_id,
        "turns": dict(sorted(Counter(turn.state.value for turn in thread.turns).items())),
        "last_turn": thread.turns[-1].state.value,
        "commands": dict(sorted((code, count) for code, count in exits.items() if count)),
        "responses": len(thread.responses),
        "tokens": {name: getattr(thread.usage, name) for name in tokens},
        **{name: sum(isinstance(item, kind) for item in items) for name, kind in COUNTED.items()},
    }


@pytest.mark.parametrize("long_texts", ["0", "0.3"])
def test_our_reader_finds_in_generated_sessions_what_the_generator_says(tmp_path: Path, long_texts: str) -> None:
    ran = made(tmp_path / "home", "--seed", "7", "--files", "6", "--megabytes", "1.5", "--long-texts", long_texts)
    assert ran.returncode == 0, ran.stderr
    truth = json.loads((tmp_path / "home" / "truth.json").read_text())
    assert truth["totals"]["files"] == len(truth["threads"]) == 6
    for thread in truth["threads"]:
        read = read_rollout(tmp_path / "home" / thread["path"])
        assert (read.unknown, read.bad_lines) == ({}, ())
        assert found(read) == {name: thread[name] for name in found(read)}
    assert sum(truth["totals"]["commands"].values()) > 20


def test_every_generation_that_is_generated_is_read_without_a_remainder(tmp_path: Path) -> None:
    assert made(tmp_path / "home", "--files", "60", "--megabytes", "2").returncode == 0
    truth = json.loads((tmp_path / "home" / "truth.json").read_text())
    versions = {thread["version"] for thread in truth["threads"]}
    assert {"0.139.0", "0.144.4", "0.150.0", "0.155.1", "0.169.0"} <= versions
    for thread in truth["threads"]:
        read = read_rollout(tmp_path / "home" / thread["path"])
        assert (read.unknown, read.bad_lines) == ({}, ()), thread["version"]
        assert found(read) == {name: thread[name] for name in found(read)}


def test_the_seed_decides_every_byte(tmp_path: Path) -> None:
    for folder, seed in (("one", "3"), ("same", "3"), ("other", "4")):
        assert made(tmp_path / folder, "--seed", seed, "--files", "3", "--megabytes", "0.3").returncode == 0
    one, same, other = (hashes(tmp_path / folder) for folder in ("one", "same", "other"))
    assert one == same
    assert not set(one.values()) & set(other.values())


def test_the_comparison_with_the_corpus_is_printed_in_sections(tmp_path: Path) -> None:
    printed = made(tmp_path / "home", "--files", "4", "--megabytes", "0.5", "--print").stdout
    for wanted in (
        "-- head:",
        "-- first turn:",
        "-- later turns:",
        "byte share %",
        "text share corpus",
        "session_meta",
    ):
        assert wanted in printed


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    ran = made(tmp_path, "--files", "1")
    assert ran.returncode == 1
    assert "is not empty" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]

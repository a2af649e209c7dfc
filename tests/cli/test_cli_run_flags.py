"""The flags of a Codex user: what each of them brings to the model, the sandbox or a file."""

import json
import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from armarius import settings
from armarius.cli.files import Outputs
from armarius.errors import HostError
from armarius.testing.model_server import ModelServer
from support.terminal import ARMARIUS, Terminal

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


def said(model: ModelServer) -> list[dict[str, Any]]:
    """The parts of what the user said last."""
    items = model.records[-1].request()["input"]
    return next(item["content"] for item in reversed(items) if item.get("role") == "user")


@pytest.mark.parametrize(
    ("words", "piped", "prompt"),
    [
        (["run", "look at this"], b"a\nb\n", "look at this\n\n<stdin>\na\nb\n</stdin>"),
        (["run", "look at this"], b"", "look at this"),
        (["run"], b"only this\n", "only this\n"),
    ],
)
def test_what_is_piped_in_goes_with_the_prompt_as_codex_puts_it(
    terminal: Terminal, model: ModelServer, words: list[str], piped: bytes, prompt: str
) -> None:
    assert terminal.type(*words, stdin=piped).code == 0
    assert said(model)[-1]["text"] == prompt


def test_codex_itself_puts_piped_data_like_that(terminal: Terminal, model: ModelServer, codex: Path) -> None:
    for data in (b"a\nb\n", b"a\nb"):
        subprocess.run(
            [codex, "exec", "--disable=plugins", "--skip-git-repo-check", "look at this"],
            cwd=terminal.project,
            env=terminal.environ,
            input=data,
            check=True,
            capture_output=True,
        )
        theirs = said(model)[-1]["text"]
        terminal.type("run", "look at this", stdin=data)
        assert said(model)[-1]["text"] == theirs


@pytest.mark.usefixtures("model")
def test_an_input_that_stays_open_is_neither_waited_for_without_end_nor_ignored(terminal: Terminal) -> None:
    reader, writer = os.pipe()
    done = subprocess.run(
        [*ARMARIUS, "run", "hi", "--json"],
        cwd=terminal.project,
        env=terminal.environ,
        stdin=reader,
        capture_output=True,
        check=False,
        timeout=60,
    )
    os.close(reader)
    os.close(writer)
    assert done.returncode == 2
    assert json.loads(done.stderr)["code"] == "stdin-open"


def test_how_the_model_works_is_said_by_flags(terminal: Terminal, model: ModelServer) -> None:
    (terminal.project / "one.png").write_bytes(PIXEL)
    done = terminal.type(
        *("run", script({"say": "ok"}), "--model", "gpt-5.4", "--effort", "high", "--service-tier", "flex"),
        *("--image", "one.png", "--image", "one.png", "--config", "developer_instructions=Be brief, always."),
    )
    assert done.code == 0
    request = model.records[-1].request()
    assert (request["model"], request["reasoning"]["effort"], request["service_tier"]) == ("gpt-5.4", "high", "flex")
    assert [part["type"] for part in said(model)].count("input_image") == 2
    assert "Be brief, always." in json.dumps(request["input"])


def test_a_profile_says_how_the_model_works(terminal: Terminal, model: ModelServer) -> None:
    (terminal.codex_home / "quick.config.toml").write_text('model = "gpt-5.1"\nmodel_reasoning_effort = "low"\n')
    assert terminal.type("run", "--profile", "quick", script({"say": "ok"})).code == 0
    request = model.records[-1].request()
    assert (request["model"], request["reasoning"]["effort"]) == ("gpt-5.1", "low")


@pytest.mark.usefixtures("model")
def test_a_further_folder_may_be_written_to_and_is_watched(terminal: Terminal) -> None:
    (more := terminal.project.parent / "more").mkdir()
    prompt = script({"sh": f"touch {more}/made; touch {more.parent}/not"}, {"say": "ok"})
    answer = terminal.type("run", "--sandbox", "workspace-write", "--add-dir", str(more), prompt, "--json").answer
    assert (answer["state"], answer["files_changed"]) == ("succeeded", [f"{more}/made"])
    assert not (more.parent / "not").exists()


@pytest.mark.usefixtures("model")
def test_an_ephemeral_run_leaves_no_session(terminal: Terminal) -> None:
    answer = terminal.type("run", "--ephemeral", script({"say": "ok"}), "--json").answer
    assert (answer["state"], answer["answer"], answer["rollout"], answer["sandbox_seen"]) == (
        "succeeded",
        "ok",
        None,
        None,
    )
    assert answer["responses"] == 1
    assert list(terminal.codex_home.rglob("rollout-*")) == []
    kept = terminal.type("run", script({"say": "ok"}), "--json").answer
    assert Path(kept["rollout"]).exists(), "history is kept unless somebody says otherwise"


@pytest.mark.usefixtures("model")
def test_the_file_of_the_answer_is_there_only_when_a_turn_was_completed(terminal: Terminal) -> None:
    answer, events = terminal.project / "answer.txt", terminal.project / "events.jsonl"
    answer.write_text("of yesterday")
    events.write_text("of yesterday\n")
    files = ("-o", "answer.txt", "--events", "events.jsonl")
    failed = terminal.type("run", "Say something. [[fault:400]]", *files)
    assert (failed.code, answer.exists()) == (1, False)
    kinds = [json.loads(line)["type"] for line in events.read_text().splitlines()]
    assert kinds[:2] == ["thread.started", "turn.started"]
    assert kinds[-1] == "turn.failed"
    done = terminal.type("run", script({"say": "two\nlines"}), *files, "--json")
    assert (done.code, answer.read_text()) == (0, "two\nlines")
    assert events.read_bytes() == (Path(done.answer["folder"]) / "events.jsonl").read_bytes()
    assert answer.stat().st_mode & 0o777 == events.stat().st_mode & 0o777 == 0o600


def test_an_answer_is_not_written_where_an_agent_led_its_folder(terminal: Terminal, model: ModelServer) -> None:
    (terminal.project / "out").mkdir()
    steps = ({"sh": f"mv out away; ln -s {terminal.home} out"}, {"say": "ssh-ed25519 AAAA"})
    done = terminal.type("run", script(*steps), "--sandbox", "workspace-write", "-o", "out/keys", "--json")
    assert (done.code, done.error["code"], model.requests) == (3, "output-moved", 2)
    assert done.answer["answer"] == "ssh-ed25519 AAAA"
    assert not (terminal.home / "keys").exists()
    assert terminal.type("runs", "list", "--json").answer["runs"][0]["state"] == "succeeded"


def test_events_that_find_no_room_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Outputs(None, tmp_path / "events", settings.load()) as outputs:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
        try:
            with pytest.raises(HostError, match=f"{tmp_path}/events: File too large; the run was ended"):
                outputs.event(b"{}\n" * 4)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_events_come_while_the_run_is_at_work(terminal: Terminal, model: ModelServer, tmp_path: Path) -> None:
    os.mkfifo(held := tmp_path / "held")
    events = tmp_path / "events.jsonl"
    end = os.open(held, os.O_RDWR)
    process = terminal.start("run", script({"wait": str(held)}, {"say": "late"}), "--events", str(events))
    seen = b""
    while b"turn.started" not in seen and process.poll() is None:
        seen = events.read_bytes() if events.exists() else b""
    assert (b"turn.completed" in seen, seen.endswith(b"\n")) == (False, True)
    os.write(end, b"go")
    assert process.communicate()[0] == b"late\n"
    assert b"turn.completed" in events.read_bytes()
    assert model.requests == 1
    os.close(end)

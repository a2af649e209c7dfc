"""Real Codex through the recorder, by the profile that we install: it notices nothing, and nothing is lost."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import tomli_w

from armarius.install.profile import Profile
from armarius.recorder.access import parse_listen
from armarius.recorder.exchange import Exchange
from armarius.recorder.turns import RecordedSession, list_sessions
from armarius.testing.model_server import ModelServer
from support.auth_server import write_login
from support.codex_world import wait_for
from support.recorder_world import TOKEN, Recorder

LATER = 4_000_000_000
KEY = "sk-test-0123456789abcdef"
MODEL_SAYS = ("message", "reasoning", "function_call", "custom_tool_call")


class Recorded:
    """A CODEX_HOME with our profile, a scripted model, and the recorder between them."""

    def __init__(self, folder: Path, codex: Path, model: ModelServer, **recording: Any) -> None:
        self.codex, self.model = codex, model
        self.home, self.project = folder / "codex", folder / "project"
        self.recorder = Recorder(model.base_url, folder, **recording)
        for place in (self.home, self.project, folder / "home"):
            place.mkdir()
        settings = {"model": "gpt-5.5", "analytics": {"enabled": False}, "features": {"plugins": False}}
        (self.home / "config.toml").write_text(tomli_w.dumps(settings))
        self.log_in({"auth_mode": "apikey", "OPENAI_API_KEY": KEY})
        self.environ = {"HOME": str(folder / "home"), "CODEX_HOME": str(self.home), "PATH": "/usr/bin:/bin"}
        self.folder = folder

    def log_in(self, login: dict[str, Any]) -> None:
        (self.home / "auth.json").write_text(json.dumps(login))
        (self.home / "auth.json").chmod(0o600)

    def __enter__(self) -> Self:
        self.recorder.__enter__()
        Profile(self.home, self.folder / "armarius").install(parse_listen(f"127.0.0.1:{self.recorder.port}"), TOKEN)
        return self

    def __exit__(self, *_: object) -> None:
        self.recorder.stop()

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        quick = [f"model_providers.armarius.{name}_max_retries=3" for name in ("request", "stream")]
        options = [word for setting in quick for word in ("-c", setting)]
        return subprocess.Popen(
            [self.codex, "-p", "armarius", *options, "exec", "--json", "--skip-git-repo-check", *words],
            cwd=self.project,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def exec(self, *words: str, script: list[dict[str, Any]] | None = None) -> str:
        """Run to the end; the id of the thread."""
        prompt = [] if script is None else [f"SCRIPT:{json.dumps(script)}"]
        process = self.start(*words, *prompt)
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, out.decode() + err.decode()
        return json.loads(out.splitlines()[0])["thread_id"]

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """All lines of a kind that Codex wrote into its session files."""
        files = sorted(self.home.glob("sessions/**/*.jsonl"))
        every = (json.loads(line) for path in files for line in path.read_text().splitlines())
        return [line["payload"] for line in every if line["type"] == kind]

    @property
    def session(self) -> RecordedSession:
        [session] = list_sessions(self.recorder.journal).sessions
        return session


@pytest.fixture
def world(tmp_path: Path, codex: Path) -> Iterator[Recorded]:
    with ModelServer() as model, Recorded(tmp_path, codex, model) as world:
        yield world


def core(item: dict[str, Any]) -> dict[str, Any]:
    """An item without what Codex adds when it keeps it."""
    added = ("internal_chat_message_metadata_passthrough", "status")
    return {key: value for key, value in item.items() if key not in added and value is not None}


def items(exchanges: list[Exchange], *fields: str) -> dict[str, dict[str, Any]]:
    every = (json.loads(bytes(raw)) for one in exchanges for field in fields for raw in getattr(one, field))
    return {item["id"]: core(item) for item in every if "id" in item}


def assert_same_as_rollouts(world: Recorded) -> None:
    """What was recorded is what Codex kept: items, turn ids and usage, by their ids."""
    exchanges = world.recorder.exchanges()
    kept = {item["id"]: core(item) for item in world.lines("response_item") if item.get("id")}
    said = items([one for one in exchanges if one.end == "completed"], "output")
    assert said
    by_model = {name: item for name, item in kept.items() if item["type"] in MODEL_SAYS and name in said}
    assert by_model == {name: said[name] for name in by_model}
    turns = [one for one in exchanges if one.identity.kind == "turn" and one.end == "completed"]
    assert items(turns, "output").keys() <= kept.keys()
    sent = items(exchanges, "input")
    asked = {name: item for name, item in kept.items() if name in sent and item["type"] != "compaction"}
    assert asked == {name: sent[name] for name in asked}
    tool_outputs = {name for name, item in kept.items() if item["type"].endswith("_output")}
    assert tool_outputs <= sent.keys()
    usage = {record["response_id"]: record for record in world.lines("token_usage_record")}
    recorded = {one.response: one for one in exchanges if one.end == "completed"}
    assert usage.keys() <= recorded.keys()
    assert usage
    for response, record in usage.items():
        told = recorded[response].usage
        assert record["usage"]["input_tokens"] == told["input_tokens"]
        assert record["usage"]["cached_input_tokens"] == told["input_tokens_details"]["cached_tokens"]
        assert record["usage"]["output_tokens"] == told["output_tokens"]
        assert record["turn_id"] == recorded[response].identity.turn
        assert record["thread_id"] == recorded[response].identity.thread
    assert len(recorded) == sum(one.end == "completed" for one in exchanges)  # each answer once


def test_a_run_its_resume_and_both_shapes_of_tool_calls_are_recorded_as_codex_kept_them(world: Recorded) -> None:
    script: list[dict[str, Any]] = [{"reason": "I look"}, {"sh": "echo héllo"}, {"say": "first"}]
    thread = world.exec(script=script)
    assert world.exec("resume", thread, script=[{"say": "second"}]) == thread
    assert [turn.answered for turn in world.session.turns] == ["first", "second"]
    assert [turn.calls for turn in world.session.turns] == [1, 0]
    assert [len(turn.said) for turn in world.session.turns] == [1, 1]
    assert world.session.turns[0].said == [f"SCRIPT:{json.dumps(script)}"]
    assert_same_as_rollouts(world)
    exchanges = world.recorder.exchanges(3)
    assert [one.base for one in exchanges] == [None, exchanges[0].id, exchanges[1].id]
    assert exchanges[2].base_count > exchanges[1].base_count
    assert all(record.headers["authorization"] == f"Bearer {KEY}" for record in world.model.records)
    assert KEY not in "".join(path.read_text() for path in world.recorder.journal.iterdir())
    other = world.exec("-c", "model=gpt-6-sol", script=[{"sh": "echo in code"}, {"say": "third"}])
    sessions = {session.session: session for session in list_sessions(world.recorder.journal).sessions}
    assert sessions.keys() == {thread, other}
    kinds = [json.loads(bytes(item))["type"] for one in world.recorder.exchanges() for item in one.output]
    assert "custom_tool_call" in kinds
    assert_same_as_rollouts(world)


def test_a_compaction_and_a_review_are_recorded_and_are_no_turns_of_the_user(world: Recorded) -> None:
    big = "test -e mark || { touch mark; head -c 9000 /dev/zero | tr '\\0' x; }"
    limit = ("-s", "workspace-write", "-c", "model_auto_compact_token_limit=11000")
    compacted = world.exec(*limit, script=[{"sh": big}, {"say": "after"}])
    [session] = [one for one in list_sessions(world.recorder.journal).sessions if one.session == compacted]
    assert session.others["compaction"] >= 1
    assert len(session.turns) == 1
    assert world.lines("compacted")
    assert_same_as_rollouts(world)
    subprocess.run(["git", "init", "-q", world.project], check=True)
    world.exec("review", "--uncommitted")
    [reviewed] = [one for one in list_sessions(world.recorder.journal).sessions if one.session != compacted]
    assert any(name.startswith("subagent") or name == "review" for name in reviewed.others), reviewed.others
    assert reviewed.turns == []
    assert_same_as_rollouts(world)


def test_trouble_of_the_provider_is_passed_on_and_each_try_is_recorded_as_it_ended(world: Recorded) -> None:
    script: list[dict[str, Any]] = [
        *({"fault": "429=0*1"}, {"say": "one", "phase": "commentary"}, {"sh": "true"}),
        *({"fault": "500*1"}, {"sh": "true"}, {"fault": "cut*1"}, {"say": "end"}),
    ]
    world.exec(script=script)
    ends = [(one.end, one.status) for one in world.recorder.exchanges()]
    assert ends.count(("failed", 429)) == 1
    assert ends.count(("failed", 500)) == 1
    assert ends.count(("upstream_cut", 200)) == 1
    assert ends[-1] == ("completed", 200)
    assert len(world.session.turns) == 1
    assert world.model.requests == len(ends)  # no try of our own
    assert_same_as_rollouts(world)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_codex_that_is_stopped_ends_its_stream_at_the_provider(world: Recorded, how: signal.Signals) -> None:
    process = world.start(
        'SCRIPT:[{"say": "a long answer"}, {"fault": "stall"}]'.replace(
            '}, {"fault', ', "phase": "commentary"}, {"fault'
        )
    )
    wait_for(lambda: world.recorder.state.active == 1 and world.model.requests == 1, "stream")
    os.kill(process.pid, how)
    process.communicate(timeout=30)
    assert [one.end for one in world.recorder.exchanges(1)] == ["client_gone"]
    wait_for(lambda: world.recorder.state.active == 0, "end")


def test_a_chatgpt_login_passes_through_and_is_stored_nowhere(world: Recorded) -> None:
    login = json.loads(write_login(world.home, LATER).read_text())["tokens"]
    world.exec(script=[{"say": "on a plan"}])
    [record] = [record for record in world.model.records if "authorization" in record.headers]
    assert record.headers["authorization"] == f"Bearer {login['access_token']}"
    assert record.headers["chatgpt-account-id"] == login["account_id"]
    assert "x-armarius-token" not in record.headers
    written = "".join(path.read_text() for path in world.recorder.journal.iterdir())
    assert login["access_token"] not in written
    assert login["access_token"][:40] not in written

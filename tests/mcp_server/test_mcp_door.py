"""`armarius mcp` as its clients see it: the official one, and real Codex."""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import jsonschema_rs
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import CallToolResult

from armarius.testing.conversation import Conversation
from armarius.testing.model import ScriptedModel
from armarius.testing.model_server import ModelServer
from armarius.testing.reply import Reply
from support.run_world import Gate, script
from support.terminal import ARMARIUS, Terminal

TOKEN = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"  # no real one

ASKS = {"run", "resume", "review", "validate", "consult", "workflow_run"}

Talk = Callable[[Client], Awaitable[None]]


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str], codex_wheel: Path) -> Terminal:
    made = Terminal(tmp_path, private_home)
    made.environ |= {"ARMARIUS_CODEX": str(codex_wheel)}
    for words in (("init", "-q"), ("commit", "-qm", "1", "--allow-empty")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=made.project, check=True)
    return made


@pytest.fixture
def model(terminal: Terminal) -> Iterator[ModelServer]:
    with ModelServer() as server:
        terminal.serve(server)
        yield server


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    with contextlib.closing(Gate(tmp_path)) as gate:
        yield gate


@pytest.fixture
def waiting_model(terminal: Terminal, gate: Gate) -> Iterator[ModelServer]:
    """A model whose questions the gate hears of."""
    model = ScriptedModel()

    def answer(conversation: Conversation) -> Reply:
        gate.note(conversation.task)
        return model(conversation)

    with ModelServer(answer) as server:
        terminal.serve(server)
        yield server


@contextlib.asynccontextmanager
async def door(terminal: Terminal, *flags: str) -> AsyncGenerator[Client]:
    command = StdioServerParameters(
        command=sys.executable, args=["-m", "armarius", "mcp", *flags], env=terminal.environ, cwd=terminal.project
    )
    async with Client(stdio_client(command)) as client:
        yield client


def talk(terminal: Terminal, words: Talk, *flags: str) -> None:
    async def go() -> None:
        with anyio.fail_after(100):
            async with door(terminal, *flags) as client:
                await words(client)

    anyio.run(go)


def said(result: CallToolResult) -> dict[str, Any]:
    """The answer of a tool that had one."""
    assert not result.is_error, result.content
    return result.structured_content


def code(result: CallToolResult) -> str:
    """The word of the error that a tool answered with."""
    assert result.is_error
    return result.structured_content["code"]


def test_what_reads_is_open_answers_by_its_schema_and_says_no_in_words(terminal: Terminal) -> None:
    (terminal.project / ".armarius.toml").write_text('mcp = ["run_writing"]\n')

    async def words(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert {"sessions_list", "watch", "run", "resume", "review", "batch_check", "plan_list"} <= tools.keys()
        assert not {"run_writing", "resume_writing", "batch", "runs_cancel", "sleep_adopt"} & tools.keys()
        for tool in tools.values():
            assert jsonschema_rs.meta.is_valid(tool.input_schema), tool.name
            assert tool.output_schema is not None
            jsonschema_rs.validator_for(tool.output_schema, offline=True)
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint is (tool.name not in ASKS)
            assert tool.annotations.destructive_hint is False
        for name in ("sessions_list", "runs_list", "sleep_status", "plan_list", "resources_list", "workflow_list"):
            said(await client.call_tool(name, {}))  # the client holds it against the schema
        assert said(await client.call_tool("memory_search", {"query": "x"}))["notes"] == []
        missed = said(await client.call_tool("cache_get", {"tool": "deps", "cwd": str(terminal.project)}))
        assert missed["code"] == "cache-miss"
        for name, arguments, word in (
            ("runs_show", {"run": "--help"}, "run-unknown"),
            ("runs_list", {"limit": 5, "database": "postgresql://elsewhere"}, "input"),
            ("runs_list", {"limit": "many"}, "input"),
            ("runs_list", {"limit": 10**9}, "input"),
            ("sessions_show", {"session": "a\0b"}, "text"),
            ("watch", {"cursor": "../../etc/passwd"}, "input"),
            ("validate", {"work": "run_0", "acceptance": "It works."}, "run-unknown"),
            ("consult", {"run": "run_0", "finding": "It does not."}, "run-unknown"),
            ("workflow_run", {"workflow": "ci-fix", "goal": "x"}, "workflow-writes"),
            ("workflow_run", {"workflow": "/tmp/x.toml", "goal": "x"}, "input"),
            ("memory_add", {"key": "k", "value": "v"}, "tool-closed"),
            ("cache_get", {"tool": "t", "parameters": {"a": "b", "-": "--tool"}, "cwd": "/no"}, "folder-missing"),
            ("watch", {"cursor": f"cur_{'0' * 36}"}, "cursor-unknown"),
            ("run", {"prompt": "x", "sandbox": "danger-full-access"}, "input"),
            ("run_writing", {"prompt": "x"}, "tool-closed"),
            ("runs_cancel", {"run": "run_1"}, "tool-closed"),
            ("no_such", {}, "tool-closed"),
        ):
            assert code(await client.call_tool(name, arguments)) == word, name

    talk(terminal, words)


def test_without_the_library_the_way_out_is_said(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['mcp'] = None\n")
    done = terminal.type("mcp", environ={"PYTHONPATH": str(tmp_path)})
    assert (done.code, "pip install 'armarius[mcp]'" in done.err) == (4, True)


def test_what_changes_something_is_open_to_whom_the_user_names_and_stays_inside(terminal: Terminal) -> None:
    config = Path(terminal.environ["XDG_CONFIG_HOME"]) / "armarius" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('mcp = ["run_writing"]\n')

    async def words(client: Client) -> None:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert names & {"run_writing", "runs_cancel", "batch"} == {"run_writing", "runs_cancel"}
        for folder in ("/", "..", str(terminal.home)):
            assert code(await client.call_tool("run_writing", {"prompt": "x", "cwd": folder})) == "place"

    talk(terminal, words, "--allow", "runs_cancel")
    done = terminal.type("mcp", "--allow", "run_writting")
    assert (done.code, "did you mean 'run_writing'?" in done.err) == (2, True)


@pytest.mark.usefixtures("model")
def test_a_run_tells_what_it_does_and_no_secret_comes_with_its_answer(terminal: Terminal) -> None:
    seen = list[str]()
    prompt = script({"sh": "echo one"}, {"wait": 1.0}, {"say": json.dumps({"token": TOKEN})})
    shape = {"type": "object", "properties": {"token": {"type": "string"}}, "required": ["token"]}
    shape |= {"additionalProperties": False}

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        assert progress > 0
        assert total is None
        seen.append(message or "")

    async def words(client: Client) -> None:
        result = await client.call_tool("run", {"prompt": prompt, "schema": shape}, progress_callback=hear)
        answer = said(result)
        assert (answer["schema"], answer["state"], answer["sandbox"]) == ("armarius.run.v1", "succeeded", "read-only")
        assert answer["parsed"] == {"token": "[redacted:github-token]"}
        assert TOKEN not in str(result)
        again = said(await client.call_tool("resume", {"name": answer["id"], "prompt": script({"fault": "400"})}))
        assert (again["state"], again["problem"]["code"]) == ("failed", "turn-failed")
        assert [run["id"] for run in said(await client.call_tool("runs_list", {}))["runs"]] == [
            again["id"],
            answer["id"],
        ]

    talk(terminal, words)
    assert any("echo one" in message for message in seen), seen
    assert not list((terminal.state / "mcp").glob("call-*"))


def test_who_cancels_ends_the_run(terminal: Terminal, waiting_model: ModelServer, gate: Gate) -> None:
    prompt = script({"wait": str(gate.fifo)}, {"say": "too late"})

    async def ask(client: Client) -> None:
        await client.call_tool("run", {"prompt": prompt})

    async def words(client: Client) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, client)
            await anyio.to_thread.run_sync(gate.await_question)
            group.cancel_scope.cancel()  # says `notifications/cancelled`
        [run] = said(await client.call_tool("runs_list", {}))["runs"]
        [over] = said(await client.call_tool("runs_wait", {"runs": [run["id"]], "timeout_s": 60}))["runs"]
        assert over["state"] == "cancelled"

    talk(terminal, words)
    assert not [line for line in terminal.living() if "codex" in line]
    assert waiting_model.requests == 1


def test_a_client_that_goes_away_without_a_word_ends_the_run(
    terminal: Terminal, waiting_model: ModelServer, gate: Gate
) -> None:
    prompt = script({"wait": str(gate.fifo)}, {"say": "too late"})
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    words = [
        {"id": 1, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "run", "arguments": {"prompt": prompt}}},
    ]
    with subprocess.Popen(
        [*ARMARIUS, "mcp"],
        cwd=terminal.project,
        env=terminal.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        assert server.stdin
        server.stdin.write(b"".join(json.dumps({"jsonrpc": "2.0", **word}).encode() + b"\n" for word in words))
        server.stdin.flush()
        gate.await_question()
        out, _ = server.communicate(timeout=60)
    assert server.returncode == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in out.splitlines())
    [run] = terminal.type("runs", "list", "--json").answer["runs"]
    assert run["state"] == "cancelled"
    assert waiting_model.requests == 1


@pytest.mark.usefixtures("model")
def test_a_watch_goes_on_at_its_cursor_and_misses_nothing(terminal: Terminal) -> None:
    async def words(client: Client) -> None:
        begun = said(await client.call_tool("watch", {"timeout_s": 0.1}))
        assert begun["signals"] == []
        await client.call_tool("run", {"prompt": script({"say": "done"})})
        first = said(await client.call_tool("watch", {"cursor": begun["cursor"], "timeout_s": 60}))
        kinds = [signal["kind"] for signal in first["signals"]]
        assert "turn_completed" in kinds
        again = said(await client.call_tool("watch", {"cursor": begun["cursor"], "timeout_s": 0.1}))
        known = {signal["id"] for signal in first["signals"]}
        assert not known & {signal["id"] for signal in again["signals"]}

    talk(terminal, words)


def test_codex_itself_is_a_client_and_one_that_we_run_can_only_read(terminal: Terminal, model: ModelServer) -> None:
    server = {
        "command": sys.executable,
        "args": ["-m", "armarius", "mcp", "--allow", "run_writing"],
        "env": {
            name: value for name, value in terminal.environ.items() if name.startswith(("ARMARIUS_", "XDG_", "CODEX_"))
        },
        "startup_timeout_sec": 30,
        "required": True,
    }
    terminal.configure(model.base_url, mcp_servers={"armarius": server})
    space = "mcp__armarius"
    nowhere = {"prompt": "x", "cwd": "/no/such/folder"}
    calls = [
        {"name": "sleep_status"},
        {"name": "run", "arguments": nowhere},
        {"name": "run_writing", "arguments": nowhere},
    ]
    prompt = script(*({"call": call | {"namespace": space}} for call in calls), {"say": "asked"})
    done = subprocess.run(
        [terminal.environ["ARMARIUS_CODEX"], "exec", "--json", "--skip-git-repo-check", prompt],
        cwd=terminal.project,
        env=terminal.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    items = [json.loads(line).get("item", {}) for line in done.stdout.splitlines()]
    asked = [item for item in items if item.get("type") == "mcp_tool_call" and item["status"] != "in_progress"]
    assert [item["tool"] for item in asked] == ["sleep_status", "run", "run_writing"]
    assert asked[0]["status"] == "completed"
    assert asked[0]["result"]["structured_content"]["schema"] == "armarius.sleep_status.v1"
    assert codes(model) == ["folder-missing"]
    assert "requires approval" in asked[2]["error"]["message"]  # by our annotation; nobody is there to give it
    nested = terminal.type("run", prompt, "--json").answer
    assert nested["state"] == "succeeded", nested
    heard = json.dumps(model.records[-1].request()["input"])
    assert "armarius.sleep_status.v1" in heard
    assert "unsupported call: mcp__armariusrun" in heard  # Codex was not offered it
    assert codes(model) == []


def codes(model: ModelServer) -> list[str]:
    """The words of our errors that the model has seen in this conversation."""
    return re.findall(r'code\\*":\\*"([a-z-]+)', json.dumps(model.records[-1].request()["input"]))

"""The real Codex against the scripted model: what the demo and many other tests stand on."""

import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.evolve.judge import score
from armarius.evolve.reflect import SCHEMA, Failure, prompt_for
from armarius.testing.benchmarks import load, seeds
from armarius.testing.model_server import ModelServer
from armarius.thread import Usage

_FOUND = "three notes were found"
_SHIM = f"#!/bin/sh\necho '{_FOUND}'\n"


class Run(msgspec.Struct):
    """What one `codex exec --json` did."""

    code: int
    events: list[dict[str, Any]]

    def items(self, kind: str) -> list[dict[str, Any]]:
        done = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in done if item["type"] == kind]

    @property
    def answer(self) -> str:
        return self.items("agent_message")[-1]["text"]

    @property
    def commands(self) -> list[tuple[str, str]]:
        return [(item["command"], item["aggregated_output"]) for item in self.items("command_execution")]

    @property
    def errors(self) -> list[str]:
        return [event["message"] for event in self.events if event["type"] == "error"]


class Machine(msgspec.Struct):
    """A home, a Codex home and a project of their own, and a scripted model."""

    folder: Path
    server: ModelServer

    def install(self, text: bytes) -> None:
        skill = self.folder / "project" / ".agents" / "skills" / "it"
        skill.mkdir(parents=True, exist_ok=True)
        (skill / "SKILL.md").write_bytes(text)

    def run(self, prompt: str, *options: str, model: str = "gpt-5.5") -> Run:
        path = f"{self.folder / 'bin'}:/usr/bin:/bin"
        done = subprocess.run(
            [
                *(codex_binary(), "exec", "--json", "--skip-git-repo-check", "-m", model),
                # A login shell's profile resets PATH, and whether codex restores it is a race.
                *("-c", "allow_login_shell=false"),
                *("-c", f'shell_environment_policy.set={{PATH="{path}"}}'),
                *("-C", str(self.folder / "project"), *options, prompt),
            ],
            env={
                "HOME": str(self.folder / "home"),
                "CODEX_HOME": str(self.folder / "codex"),
                "PATH": os.environ["PATH"],
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=120,
        )
        return Run(done.returncode, [json.loads(line) for line in done.stdout.splitlines()])

    def recorded_usage(self) -> dict[str, Usage]:
        """What Codex's own session files say of each response."""
        recorded: dict[str, Usage] = {}
        for rollout in (self.folder / "codex" / "sessions").rglob("*.jsonl"):
            for line in rollout.read_text().splitlines():
                record = json.loads(line)
                if record["type"] == "token_usage_record":
                    usage = record["payload"]["usage"]
                    recorded[record["payload"]["response_id"]] = Usage(
                        input=usage["input_tokens"],
                        cached_input=usage["cached_input_tokens"],
                        output=usage["output_tokens"],
                        reasoning=usage["reasoning_output_tokens"],
                    )
        return recorded


def codex_binary() -> str:
    spec = importlib.util.find_spec("codex_cli_bin")
    assert spec
    assert spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]) / "bin" / "codex")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    for name in ("home", "codex", "project", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin" / "search").write_text(_SHIM)
    (tmp_path / "bin" / "search").chmod(0o755)
    with ModelServer() as server:
        (tmp_path / "codex" / "config.toml").write_text(
            f"""\
            model_provider = "scripted"
            features = {{ plugins = false, unbounded_connection_retries = false }}
            analytics.enabled = false
            skills.bundled.enabled = false
            [model_providers.scripted]
            name = "scripted"
            base_url = "{server.base_url}"
            wire_api = "responses"
            request_max_retries = 1
            stream_max_retries = 1
            stream_idle_timeout_ms = 300
            """
        )
        yield Machine(tmp_path, server)


def called(run: Run) -> frozenset[str]:
    return frozenset("search" for _, output in run.commands if _FOUND in output)


@pytest.mark.parametrize(
    ("name", "model"), [*((name, "gpt-5.5") for name in seeds()), ("seed-no-brain-first", "gpt-6-sol")]
)
def test_a_deficient_skill_fails_and_passes_with_the_rules_of_the_reflector(
    machine: Machine, name: str, model: str
) -> None:
    seed = load(name)
    task = seed.held_out[0]
    machine.install(seed.skill)
    before = machine.run(task.task, model=model)
    verdict = score(task.judge, before.answer, called(before))
    assert verdict.soft == 0

    failure = Failure(task, before.answer, task.judge.checks)
    schema = machine.folder / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    prompt = prompt_for(seed.skill.decode(), [failure], budget=4)
    reflection = machine.run(prompt, "--output-schema", str(schema), model=model)
    edits = json.loads(reflection.answer)["edits"]
    assert len(edits) == len(task.judge.checks)

    machine.install(seed.skill + b"\n" + "".join(f"- {edit['text']}\n" for edit in edits).encode())
    after = machine.run(task.task, model=model)
    assert score(task.judge, after.answer, called(after)).hard
    assert "/SKILL.md" in after.commands[0][0]
    assert (before.code, reflection.code, after.code) == (0, 0, 0)


def test_a_mentioned_skill_is_obeyed_without_reading_it_again(machine: Machine) -> None:
    machine.install(b'---\nname: it\ndescription: a skill\n---\nEnd with "Mood: good".\n')
    run = machine.run("Use $it to say something.")
    assert run.answer.endswith("\nMood: good")
    assert run.commands == []


def test_agents_md_adds_no_rule(machine: Machine) -> None:
    (machine.folder / "project" / "AGENTS.md").write_text('End every answer with "Mood: good".')
    assert "Mood" not in machine.run("Say something.").answer


@pytest.mark.parametrize("model", ["gpt-5.5", "gpt-6-sol", "a-model-nobody-knows"])
def test_a_script_is_played_step_by_step_and_accounted_for_to_the_token(machine: Machine, model: str) -> None:
    script = [
        {"reason": "let me see"},
        {"say": "looking", "phase": "commentary"},
        {"sh": "echo one; search two"},
        {"fault": "500*1"},
        {"patch": "*** Begin Patch\n*** Add File: made.txt\n+content\n*** End Patch"},
        {"say": "bye"},
    ]
    run = machine.run(f"SCRIPT:{json.dumps(script)}", "-s", "workspace-write", model=model)
    assert run.code == 0
    assert run.items("reasoning")[0]["text"] == "let me see"
    assert [item["text"] for item in run.items("agent_message")] == ["looking", "bye"]
    assert [output for _, output in run.commands] == [f"one\n{_FOUND}\n"]
    assert (machine.folder / "project" / "made.txt").read_text() == "content\n"
    assert [record.fault for record in machine.server.records] == [None, "500", None, None]

    assert machine.recorded_usage() == machine.server.usage
    total = sum(machine.server.usage.values(), Usage())
    assert run.events[-1]["usage"] == {
        "input_tokens": total.input,
        "cached_input_tokens": total.cached_input,
        "cache_write_input_tokens": 0,
        "output_tokens": total.output,
        "reasoning_output_tokens": total.reasoning,
    }
    assert total.cached_input > 0
    assert total.reasoning > 0


def test_a_resumed_thread_plays_the_script_of_its_newest_prompt(machine: Machine) -> None:
    machine.run('SCRIPT:[{"sh": "echo one"}, {"say": "first"}]')
    run = machine.run('SCRIPT:[{"sh": "echo two"}, {"say": "second"}]', "resume", "--last")
    assert ([output for _, output in run.commands], run.answer) == (["two\n"], "second")


@pytest.mark.parametrize(
    ("fault", "requests", "error"),
    [
        ("400", 1, "scripted: bad request"),
        ("401", 2, "unexpected status 401 Unauthorized: scripted: incorrect API key"),
        ("429", 1, "exceeded retry limit, last status: 429 Too Many Requests"),
        ("429=0", 2, "exceeded retry limit, last status: 429 Too Many Requests"),
        ("usage-limit", 1, "hit your usage limit"),
        ("500", 4, "high demand"),
        ("failed", 2, "stream disconnected before completion: scripted failure"),
        ("context", 1, "ran out of room in the model's context window"),
        ("quota", 1, "Quota exceeded"),
        ("incomplete", 1, "Incomplete response returned, reason: max_output_tokens"),
        ("cut", 2, "stream disconnected before completion"),
        ("stall", 2, "idle timeout waiting for SSE"),
    ],
)
def test_a_fault_has_the_outcome_that_codex_gives_it(machine: Machine, fault: str, requests: int, error: str) -> None:
    run = machine.run(f"Say something. [[fault:{fault}]]")
    assert (run.code, run.events[-1]["type"], machine.server.requests) == (1, "turn.failed", requests)
    assert error in run.errors[-1]
    assert run.events[-1]["error"]["message"] == run.errors[-1]


@pytest.mark.parametrize("fault", ["slow=0.01", "cut*1"])
def test_codex_gets_over_a_passing_fault(machine: Machine, fault: str) -> None:
    run = machine.run(f'SCRIPT:[{{"sh": "echo one"}}, {{"fault": "{fault}"}}, {{"say": "bye"}}]')
    assert (run.code, run.answer, run.events[-1]["type"]) == (0, "bye", "turn.completed")
    assert [output for _, output in run.commands] == ["one\n"]


def test_an_answer_schema_is_filled(machine: Machine) -> None:
    schema = machine.folder / "schema.json"
    schema.write_text(
        json.dumps(
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["verdict", "why"],
                "properties": {"verdict": {"enum": ["PASS", "FAIL"]}, "why": {"type": "string"}},
            }
        )
    )
    run = machine.run("Judge it.", "--output-schema", str(schema))
    assert json.loads(run.answer) == {"verdict": "PASS", "why": "done"}

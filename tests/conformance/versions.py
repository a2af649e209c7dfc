"""Real versions of Codex against the scripted model: what each writes, and what we read of it.

`make conformance` runs this and the default suite does not: it fetches what is missing from npm. A version
more is a line more in VERSIONS. Tokens have no column: they are what the model's server counted.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from armarius.rollouts.discovery import find_rollouts
from armarius.rollouts.formats import classify, read_thread
from armarius.testing.model_server import ModelServer
from armarius.thread import AgentMessage, Command, Format, Thread, TurnState, Usage, UserMessage
from support import codex_versions

BUILDS = Path(__file__).parents[2] / ".make" / "codex-versions"
UNKNOWN, DONE, FAILED = TurnState.UNKNOWN, TurnState.COMPLETED, TurnState.FAILED
UNIFIED = "features.unified_exec=true"
"""In these versions the tool that the scripted model calls has to be asked for."""


class Version(msgspec.Struct, frozen=True):
    """How a version writes: the format of its files, and the state of a turn that ended and of one that failed.

    A failure leaves no trace in files until 0.144, not even of an error; in 0.20 `exec` never ends after one.
    `exits` and `streamed` are the exit codes of two commands in the file and in the stream; 0.20 knows no
    such tool, and its `exec` cannot resume.
    """

    number: str
    format: Format
    ended: TurnState
    failed: TurnState | None
    exits: tuple[int | None, ...] = (0, 3)
    streamed: tuple[int, ...] = (0, 3)
    stream: Format = Format.EXEC
    settings: tuple[str, ...] = ()
    resumes: bool = True


VERSIONS = [
    Version("0.20.0", Format.BARE, UNKNOWN, None, (None,), (), Format.EXEC_OLD, resumes=False),
    Version("0.36.0", Format.WRAPPED, UNKNOWN, UNKNOWN, streamed=(), stream=Format.EXEC_OLD),
    Version("0.42.0", Format.WRAPPED, UNKNOWN, UNKNOWN, streamed=(), stream=Format.EXEC_OLD),
    Version("0.58.0", Format.WRAPPED, UNKNOWN, UNKNOWN, settings=(UNIFIED,)),
    Version("0.77.0", Format.WRAPPED, UNKNOWN, UNKNOWN, settings=(UNIFIED,)),
    Version("0.98.0", Format.WRAPPED, UNKNOWN, UNKNOWN),
    Version("0.106.0", Format.TURN_MARKED, DONE, DONE),
    Version("0.118.0", Format.TURN_MARKED, DONE, DONE),
    Version("0.130.0", Format.TURN_MARKED, DONE, DONE),
    Version("0.139.0", Format.TURN_MARKED, DONE, DONE),
    Version("0.144.4", Format.WORLD_STATE, DONE, DONE),
    Version("0.150.0", Format.PAGINATED, DONE, FAILED),
    Version("0.155.1", Format.USAGE_RECORDED, DONE, FAILED),
    Version("0.160.0", Format.USAGE_RECORDED, DONE, FAILED),
    Version("0.165.0", Format.USAGE_RECORDED, DONE, FAILED),
    Version("0.169.0", Format.USAGE_RECORDED, DONE, FAILED),
]

FIRST = [{"reason": "hm"}, {"say": "look", "phase": "commentary"}, {"sh": "echo one"}, {"say": "bye"}]
SECOND = [{"sh": "exit 3"}, {"say": "again"}]
FAILING = [{"fault": "500"}, {"fault": "500"}, {"fault": "500"}]


class Machine(msgspec.Struct):
    """A version, a home of its own, and a model that speaks to it alone."""

    version: Version
    program: Path
    folder: Path
    server: ModelServer

    def run(self, name: str, script: list[dict[str, str]], *resume: str) -> Path:
        """One `exec --json`; where its stream was written to."""
        settings = [part for setting in self.version.settings for part in ("-c", setting)]
        stream = self.folder / f"{name}.jsonl"
        with stream.open("wb") as out:
            subprocess.run(
                [
                    *(self.program, "exec", "--json", "--skip-git-repo-check", *settings, *resume),
                    f"SCRIPT:{json.dumps(script)}",
                ],
                env={
                    "HOME": str(self.folder / "home"),
                    "CODEX_HOME": str(self.folder / "codex"),
                    "TMPDIR": str(self.folder / "temporary"),
                    "PATH": os.environ["PATH"],
                },
                cwd=self.folder / "project",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.DEVNULL,
                check=False,
                timeout=120,
            )
        return stream

    def rollouts(self) -> list[Path]:
        return [file.path for file in find_rollouts(self.folder / "codex")]


@pytest.fixture(params=VERSIONS, ids=lambda version: version.number)
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    version: Version = request.param
    for name in ("home", "codex", "project", "temporary"):
        (tmp_path / name).mkdir()
    with ModelServer() as server:
        (tmp_path / "codex" / "config.toml").write_text(
            f"""\
            model = "gpt-5.5"
            model_provider = "scripted"
            [model_providers.scripted]
            name = "scripted"
            base_url = "{server.base_url}"
            wire_api = "responses"
            request_max_retries = 0
            stream_max_retries = 0
            """
        )
        yield Machine(version, codex_versions.binary(BUILDS, version.number), tmp_path, server)


def items(thread: Thread, kind: type) -> list[object]:
    return [item for turn in thread.turns for item in turn.items if isinstance(item, kind)]


def exits(thread: Thread) -> list[int | None]:
    return [item.exit_code for turn in thread.turns for item in turn.items if isinstance(item, Command)]


def said(thread: Thread) -> list[str]:
    return [item.text for turn in thread.turns for item in turn.items if isinstance(item, AgentMessage)]


def is_clean(thread: Thread) -> bool:
    return (thread.unknown, thread.bad_lines) == ({}, ())


def test_a_run_and_its_resumption_are_read_as_they_were(machine: Machine) -> None:
    version = machine.version
    streams = [machine.run("first", FIRST)]
    [path] = machine.rollouts()
    if version.resumes:
        streams.append(machine.run("second", SECOND, "resume", read_thread(path).id))
    scripts = len(streams)
    counted = sum(machine.server.usage.values(), Usage())

    [path] = machine.rollouts()
    thread = read_thread(path)
    told = [read_thread(stream) for stream in streams]

    assert (classify(path), thread.format) == (version.format, version.format)
    assert [(classify(stream), thread.format) for stream, thread in zip(streams, told, strict=True)] == [
        (version.stream, version.stream)
    ] * scripts
    assert [turn.state for turn in thread.turns] == [version.ended] * scripts
    assert len(items(thread, UserMessage)) == scripts
    assert said(thread) == said(told[0]) + [text for each in told[1:] for text in said(each)]
    assert said(thread)[-1] == ("again" if version.resumes else "Done.")
    assert tuple(exits(thread)) == version.exits
    assert tuple(code for each in told for code in exits(each)) == version.streamed
    assert [is_clean(each) for each in (thread, *told)] == [True] * (1 + scripts)
    if version.format is not Format.BARE:
        assert thread.usage == counted
        assert len(thread.responses) == len(machine.server.usage)
    last = told[-1].usage if told[-1].usage.input == counted.input else told[0].usage + told[-1].usage
    assert (last.input, last.output) == (counted.input, counted.output)


@pytest.mark.parametrize(
    "machine", [version for version in VERSIONS if version.failed], ids=lambda version: version.number, indirect=True
)
def test_a_run_that_fails_is_no_success(machine: Machine) -> None:
    stream = machine.run("failing", FAILING)
    [path] = machine.rollouts()

    thread, told = read_thread(path), read_thread(stream)

    assert [turn.state for turn in thread.turns] == [machine.version.failed]
    assert [turn.state for turn in told.turns] == [FAILED]
    assert len(items(thread, UserMessage)) == 1
    assert said(thread) == said(told) == []
    assert [is_clean(each) for each in (thread, told)] == [True, True]
    assert thread.usage == Usage()

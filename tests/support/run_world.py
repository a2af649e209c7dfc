"""Everything that one run on real Codex needs, and nothing of whoever runs the tests.

Owns a home, a CODEX_HOME that knows the scripted model, a project and a place for Armarius's state;
other Armarius processes in the same world; and the gate at which the model waits.
Does not own the model's server or the ledger's content.
"""

import contextlib
import json
import os
import queue
from collections.abc import Generator
from pathlib import Path
from typing import Any

import msgspec

from armarius.clock import SystemClock
from armarius.codex.binary import Binary
from armarius.dispatch.runner import Runner
from armarius.runs.request import RunRequest
from armarius.store.database import Database
from armarius.store.ledger import open_ledger
from armarius.testing.model_server import ModelServer
from support.codex_config import codex_config
from support.prefork import Forked, Prefork

__all__ = ["TOOLS_PATH", "Gate", "World", "script", "start_other"]

TOOLS_PATH = "/usr/bin:/bin"


def script(*steps: dict[str, Any]) -> str:
    """A prompt that the scripted model plays step by step (`armarius.testing.script`)."""
    return f"SCRIPT:{json.dumps(steps)}"


class World:
    """`environ` is the environment of the Armarius that runs things."""

    def __init__(self, folder: Path, binary: Binary, server: ModelServer) -> None:
        self.binary = binary
        self.server = server
        self.folder = folder
        self.home = folder / "home"
        self.codex_home = self.home / ".codex"
        self.project = folder / "project"
        self.state = folder / "state"
        self.environ = {"LANG": "C.UTF-8"}

    def build(self) -> "World":
        for folder in (self.codex_home, self.project, self.state):
            folder.mkdir(parents=True)
        self.configure()
        return self

    def configure(self, provider: dict[str, Any] | None = None, **config: Any) -> None:
        """Write `config.toml`: the scripted model, few retries, and what is named."""
        patient = {"stream_idle_timeout_ms": 300_000} | (provider or {})
        said = codex_config(self.server.base_url, name="scripted", provider=patient, **config)
        (self.codex_home / "config.toml").write_text(said)

    def request(self, prompt: str, sandbox: str = "read-only", **changes: Any) -> RunRequest:
        request = RunRequest(
            role="worker",
            prompt=prompt,
            cwd=str(self.project),
            sandbox=sandbox,
            home=str(self.home),
            codex_home=str(self.codex_home),
            tools_path=TOOLS_PATH,
            deadline_s=60,
            lean=True,
        )
        return msgspec.structs.replace(request, **changes)

    @contextlib.contextmanager
    def ledger(self) -> Generator[Database]:
        with contextlib.closing(open_ledger(self.state / "ledger.sqlite", SystemClock())) as ledger:
            yield ledger

    @contextlib.contextmanager
    def runner(self) -> Generator[Runner]:
        """A runner with a connection of its own, as every Armarius has one."""
        with self.ledger() as ledger:
            yield self.runner_on(ledger)

    def runner_on(self, ledger: Database) -> Runner:
        return Runner(ledger, SystemClock(), self.state / "runs", self.binary, self.environ)

    def prompts(self) -> list[str]:
        """The newest thing that a person said, for each request that reached the model."""
        said: list[str] = []
        for record in self.server.records:
            items = record.request()["input"]
            users = [part["text"] for item in items if item.get("role") == "user" for part in item["content"]]
            said.append(users[-1])
        return said


_OTHER = Prefork("support.other_armarius", Path(__file__).parents[1])


def start_other(world: World, request: RunRequest, **order: Any) -> Forked:
    """Start another Armarius that does `request` (`other_armarius.py` says what else can be ordered)."""
    order |= {"state": str(world.state), "binary": world.binary, "request": request, "environ": world.environ}
    return _OTHER.start([msgspec.json.encode(order).decode()], Path("/"), {}, is_given=True)


class Gate:
    """What a script waits for (`{"wait": str(gate.fifo)}`), and the questions that came so far.

    `opened_by` is a word in a prompt that opens the gate when it reaches the model.
    """

    def __init__(self, folder: Path) -> None:
        self.fifo = folder / "gate"
        os.mkfifo(self.fifo)
        self._end = os.open(self.fifo, os.O_RDWR)
        self._asked = queue.Queue[str]()
        self.opened_by: str | None = None

    def note(self, prompt: str) -> None:
        self._asked.put(prompt)
        if self.opened_by is not None and self.opened_by in prompt:
            self.open()

    def await_question(self) -> str:
        """The next prompt that has reached the model; its codex lives and waits for the answer."""
        return self._asked.get(timeout=60)

    def open(self) -> None:
        """Let the model answer, now and from now on."""
        os.write(self._end, b"go")

    def close(self) -> None:
        self.open()
        os.close(self._end)

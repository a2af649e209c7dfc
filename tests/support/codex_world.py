"""A CODEX_HOME with real sessions in it: `codex exec` and an app-server, on a scripted model.

Owns starting Codex there, waiting for what it writes, and the state of what it wrote. Does not own
what is right.
Invariant: nothing of whoever runs the tests is seen; every process is gone when the block is left.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from armarius.clock import SystemClock
from armarius.codex.daemon import ask_statuses, control_socket
from armarius.codex.unix_websocket import UnixWebSocket
from armarius.counts.scan import Scan
from armarius.counts.summary import Summary
from armarius.rollouts.discovery import find_rollouts
from armarius.sessions.observe import HookLog, Observations, observe
from armarius.sessions.state import Standing, standing_of
from armarius.testing.model_server import ModelServer
from support.codex_config import codex_config

__all__ = ["Client", "CodexWorld", "wait_for"]

_PATIENCE_S = 60
_STEP_S = 0.01  # between two looks at what another process does


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return once `condition` holds."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {_PATIENCE_S} s"
        time.sleep(_STEP_S)


class CodexWorld:
    """One CODEX_HOME below `folder`, whose model is `server`."""

    def __init__(self, folder: Path, codex: Path, server: ModelServer) -> None:
        self.codex = codex
        self.home = folder / "codex"
        self.project = folder / "project"
        self.armarius_home = folder / "armarius"
        for place in (self.home, self.project, folder / "home"):
            place.mkdir(parents=True)
        self.environ = {"HOME": str(folder / "home"), "CODEX_HOME": str(self.home), "PATH": "/usr/bin:/bin"}
        provider = {"requires_openai_auth": False, "request_max_retries": 0, "stream_max_retries": 0}
        config = codex_config(server.base_url, name="scripted", provider=provider)
        (self.home / "config.toml").write_text(config)
        self._started = list[subprocess.Popen[bytes]]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def start(self, *words: str, through: tuple[str, ...] = ()) -> "subprocess.Popen[bytes]":
        """A codex that runs on, maybe started through another program; it has a process group of its own."""
        with (self.home.parent / f"codex-{len(self._started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*through, self.codex, *words],
                cwd=self.project,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def exec(
        self, script: list[dict[str, Any]], *options: str, through: tuple[str, ...] = ()
    ) -> "subprocess.Popen[bytes]":
        """A `codex exec` of a scripted conversation, which runs on."""
        prompt = f"SCRIPT:{json.dumps(script)}"
        return self.start("exec", "--json", "--skip-git-repo-check", *options, prompt, through=through)

    def start_daemon(self) -> Path:
        """A daemon as Codex starts one for its terminal interface; its socket, once somebody answers there."""
        self.start("app-server", "--listen", "unix://")
        path = control_socket(self.home)
        wait_for(lambda: ask_statuses(path) is not None, "daemon")
        return path

    def until_made(self, name: str) -> None:
        """Wait for a file of the project, which a command of a script makes."""
        wait_for((self.project / name).exists, name)

    def look(self) -> Observations:
        return observe(self.home, SystemClock(), hooks=HookLog(self.armarius_home / "hooks" / "events.jsonl"))

    def summaries(self) -> Iterator[Summary]:
        """What the session files say now, the one that was written to last first."""
        for file in find_rollouts(self.home):
            scan = Scan(file.path)
            scan.advance()
            yield scan.summary()

    def standing(self, *, later_us: int = 0) -> Standing:
        """The state of the newest thread; `later_us` moves now."""
        look, summary = self.look(), next(self.summaries())
        return standing_of(summary, look.of(summary.thread_id, summary.path), SystemClock().now_us() + later_us)


class Client:
    """Whoever works with the app-server: it starts threads and gets their requests."""

    def __init__(self, path: Path) -> None:
        self._socket = UnixWebSocket(path, time.monotonic() + _PATIENCE_S)
        self._asked = 0
        self.heard = list[dict[str, Any]]()
        self.call("initialize", clientInfo={"name": "test", "title": "Test", "version": "1"})
        self._send({"method": "initialized"})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.__exit__()

    def _send(self, message: dict[str, Any]) -> None:
        self._socket.send(json.dumps(message).encode())

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._asked += 1
        self._send({"id": self._asked, "method": method, "params": params})
        while True:
            message = json.loads(self._socket.receive())
            if message.get("id") == self._asked and "method" not in message:
                return message["result"]
            self.heard.append(message)

    def until(self, method: str) -> dict[str, Any]:
        """The next message of this name, or one that came already."""
        while not (found := [message for message in self.heard if message.get("method") == method]):
            self.heard.append(json.loads(self._socket.receive()))
        return found[-1]

    def answer(self, request: dict[str, Any], decision: str) -> None:
        self._send({"id": request["id"], "result": {"decision": decision}})

    def turn(self, thread_id: str, script: list[dict[str, Any]]) -> None:
        words = {"type": "text", "text": f"SCRIPT:{json.dumps(script)}"}
        self.call("turn/start", threadId=thread_id, input=[words])

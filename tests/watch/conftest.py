"""A watch as somebody starts it: a process of its own, whose lines are read as they come."""

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.terminal import ARMARIUS, Terminal

_PATIENCE_S = 60


class Watching:
    """`armarius watch --json …`; from the moment on that it is made, nothing is missed."""

    def __init__(self, terminal: Terminal, words: tuple[str, ...]) -> None:
        ours, theirs = pty.openpty()
        self._err = ours
        self._held = b""
        self.process = subprocess.Popen(
            [*ARMARIUS, "watch", "--json", *words],
            cwd=terminal.project,
            env=terminal.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        os.close(theirs)
        self.heard("watching")

    def heard(self, what: str) -> str:
        """What stands on standard error, up to and with `what`."""
        while what.encode() not in self._held:
            if not select.select([self._err], [], [], _PATIENCE_S)[0]:
                raise AssertionError(f"{what!r} was not said, but {self._held!r}")
            self._held += os.read(self._err, 4096)
        return self._held.decode()

    def next(self) -> dict[str, Any]:
        """The next signal."""
        assert self.process.stdout
        if not select.select([self.process.stdout], [], [], _PATIENCE_S)[0]:
            raise AssertionError("no signal came")
        return json.loads(self.process.stdout.readline())

    def rest(self) -> list[dict[str, Any]]:
        """The signals until it ends by itself, which it does with exit code 0."""
        out, _ = self.process.communicate(timeout=_PATIENCE_S)
        assert self.process.returncode == 0
        return [json.loads(line) for line in out.splitlines()]

    def complaints(self) -> str:
        """All of standard error, once it has ended."""
        with contextlib.suppress(OSError):  # that is how a terminal says that nobody writes any more
            while more := os.read(self._err, 4096):
                self._held += more
        return self._held.decode()

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(_PATIENCE_S)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
        os.close(self._err)


Start = Callable[..., Watching]


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


@pytest.fixture
def watch(terminal: Terminal) -> Iterator[Start]:
    """Starts watches; at the end none is left."""
    with contextlib.ExitStack() as stack:

        def start(*words: object) -> Watching:
            return stack.enter_context(contextlib.closing(Watching(terminal, tuple(map(str, words)))))

        yield start

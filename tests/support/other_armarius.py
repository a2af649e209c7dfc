"""Another Armarius (prefork.py): `main` with one argument, an order as JSON.

It does one run and says how it went. An order may name a moment, `before 2` or `after 2`: then it
kills itself before or after its second commit. `waits` makes it wait for a line before it begins.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import msgspec

from armarius.clock import SystemClock
from armarius.codex.binary import Binary
from armarius.dispatch.runner import Runner
from armarius.errors import ArmariusError
from armarius.runs.request import RunRequest
from armarius.store.sqlite import SqliteDatabase


class Order(msgspec.Struct):
    state: str
    binary: Binary
    request: RunRequest
    environ: dict[str, str]
    moment: str = "never"
    waits: bool = False


class MortalLedger(SqliteDatabase):
    """A ledger whose process is killed at one of its commits."""

    def __init__(self, path: Path, moment: str) -> None:
        super().__init__(path)
        self._moment = moment
        self._commits = 0

    @contextlib.contextmanager
    def transaction(self) -> Generator[None]:
        self._commits += 1
        with super().transaction():
            yield
            self._reach(f"before {self._commits}")
        self._reach(f"after {self._commits}")

    def _reach(self, moment: str) -> None:
        if moment == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Do what the order says; 0."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    state = Path(order.state)
    with contextlib.closing(MortalLedger(state / "ledger.sqlite", order.moment)) as ledger:
        runner = Runner(ledger, SystemClock(), state / "runs", order.binary, order.environ)
        if order.waits:
            say("ready")
            sys.stdin.readline()
        try:
            say(runner.run(order.request).state)
        except ArmariusError as error:
            say(error.code)
    return 0

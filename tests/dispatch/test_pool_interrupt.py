"""Ctrl-C at any moment of several runs: Codex is gone, and the ledger says so."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.dispatch.pool import in_order
from armarius.dispatch.runner import Runner
from armarius.runs.records import latest_runs
from support.run_world import World


class Interrupting(SystemClock):
    """A clock that presses Ctrl-C when it is asked for the time at one of these moments, counted from 1."""

    def __init__(self, moments: Sequence[int]) -> None:
        self._moments = moments
        self._asked = 0

    def now_us(self) -> int:
        self._asked += 1
        if self._asked in self._moments:
            signal.raise_signal(signal.SIGINT)
        return super().now_us()


def living(home: Path) -> int:
    """How many processes were given this home."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found += f"HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0")
            except OSError:  # it ended meanwhile
                continue
    return found


# A run asks for the time for its id, its claim, its start, and its end.
@pytest.mark.parametrize("moments", [[1], [2], [3], [4], [5], [6], [3, 7], [6, 7, 8]], ids=str)
def test_an_interrupt_at_any_moment_leaves_no_codex_and_no_open_run(world: World, moments: list[int]) -> None:
    silent = [world.request(f"Say something about {n}. [[fault:silence]]", deadline_s=8) for n in range(3)]
    with world.ledger() as ledger:
        runner = Runner(ledger, Interrupting(moments), world.state / "runs", world.binary, world.environ)
        with pytest.raises(KeyboardInterrupt):
            list(in_order(runner, silent, 2))
        assert living(world.home) == 0
        states = {run.state for run in latest_runs(ledger, most=10)}
    assert states <= {"cancelled", "claimed"}, "claimed is what was never started"

"""A bench on which a skill text is scored as the demonstration scores it.

Owns the order of its steps: request, run, trial. Does not own any step; they are the product's own.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from armarius.clock import SystemClock
from armarius.codex.binary import find
from armarius.codex.home import read_owner
from armarius.dispatch.pool import in_order
from armarius.dispatch.runner import Runner
from armarius.evolve.replay import Lab, Trial, request_for, trial_of
from armarius.evolve.tasks import Task
from armarius.files import private_folder
from armarius.store.ledger import open_ledger
from support.terminal import Terminal

__all__ = ["ScoreBench"]


class ScoreBench:
    """Replays of tasks with skill texts, on real Codex; a text may be tried more than once."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._path = "/usr/bin:/bin"
        self._clock = SystemClock()
        self._binary = find(setting=None, search_path=self._path, cache=private_folder(terminal.state) / "probes.json")

    def trials(self, skill: Path, jobs: Sequence[tuple[Task, bytes]]) -> list[Trial]:
        """What came of each task with its skill text, in order."""
        lab = Lab(
            experiment="a test",
            folder=private_folder(self._terminal.state / "replays"),
            skill_folder=skill.parent,
            owner=read_owner(self._terminal.codex_home),
            search_path=self._path,
            codex_version=self._binary.version,
            environ={},
            deadline_s=60.0,
        )
        requests = [request_for(lab, task, text, arm="test", replicate=n) for n, (task, text) in enumerate(jobs, 1)]
        with closing(open_ledger(self._terminal.state / "ledger.sqlite", self._clock)) as ledger:
            runner = Runner(ledger, self._clock, self._terminal.state / "runs", self._binary, {})
            results = list(in_order(runner, requests, 4))
        return [trial_of(task, result) for (task, _), result in zip(jobs, results, strict=True)]

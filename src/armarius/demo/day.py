"""What a day of sessions shows: which known tasks were worked on, and how well.

Owns finding the user's turns in the session files and judging their answers. Does not own the files.
Invariant: everything comes from the files; a task that no user turn asked for is not there.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.evolve.judge import score
from armarius.evolve.replay import Trial
from armarius.evolve.tasks import Task, fold_task
from armarius.rollouts.discovery import find_rollouts
from armarius.rollouts.reader import read_rollout
from armarius.thread import Command, Turn, TurnState, Usage, UserMessage

__all__ = ["Day", "read_day"]


class Day(msgspec.Struct, frozen=True):
    """The sessions of a CODEX_HOME, counted, and a trial for each task that a user turn asked for."""

    sessions: int
    turns: int
    commands: int
    usage: Usage
    trials: dict[str, Trial]


def read_day(codex_home: Path, tasks: Sequence[Task]) -> Day:
    """Read every session back; the newest turn on a task counts for it.

    No tool has a second witness here, so a check on a tool call cannot hold in a session.
    """
    by_text = {fold_task(task.task): task for task in tasks}
    trials = dict[str, Trial]()
    threads = [read_rollout(file.path) for file in find_rollouts(codex_home)]
    turns = [turn for thread in threads for turn in thread.turns]
    for thread in threads:
        for turn in thread.turns:
            task = by_text.get(fold_task(_asked(turn)))
            if task is not None and task.task_id not in trials and turn.state is TurnState.COMPLETED:
                answer = turn.final_message or ""
                trials[task.task_id] = Trial(
                    task.task_id, thread.id, answer=answer, score=score(task.judge, answer, frozenset())
                )
    return Day(
        sessions=len(threads),
        turns=len(turns),
        commands=sum(isinstance(item, Command) for turn in turns for item in turn.items),
        usage=sum((thread.usage for thread in threads), Usage()),
        trials=trials,
    )


def _asked(turn: Turn) -> str:
    return "\n".join(item.text for item in turn.items if isinstance(item, UserMessage))

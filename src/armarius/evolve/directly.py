"""Replays without Codex: a model, or somebody, does a task with the skill's text before them.

Owns what is put before them, asking, and the runs that the ledger has of it. Does not own which replays are made.
Invariant: whoever answers has neither tools nor files, so a task that asks for either has no answer here, and no
score. What was answered is on disk before anything is made of it, and is never asked for again. A run of this kind is
in the ledger when it is over, and counts in every budget; no Codex version stands in it.
"""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import msgspec

from armarius.codex.process import Exit
from armarius.dispatch.runner import Runner
from armarius.errors import DataError, HostError, NoAnswer
from armarius.evolve.checks import CommandPasses, FileHolds
from armarius.evolve.endpoint import BUSY, Endpoint
from armarius.evolve.judge import ToolCalled, ToolNotCalled
from armarius.evolve.tasks import Task
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.identity import new_id
from armarius.runs import receipts, records
from armarius.runs.limits import check_budget
from armarius.runs.records import RunRow
from armarius.runs.request import Problem, RunRequest, RunResult
from armarius.thread import ResponseUsage, StreamSpot, Usage

__all__ = [
    "AnEndpoint",
    "ByHand",
    "Directly",
    "Question",
    "answered",
    "ask_in",
    "check_tasks",
    "is_direct",
    "why_beyond",
]

_ANSWER = "answer.json"
_QUESTION = "question.json"
_BEYOND = "beyond"
_LARGEST = 4 << 20


class Question(msgspec.Struct, frozen=True):
    """A task and the text that it is done with; `is_memory` for a project's AGENTS.md."""

    name: str
    text: str
    task: str
    is_memory: bool


class Reply(msgspec.Struct, frozen=True):
    """What was answered and what it cost; `why` says why there is no answer."""

    text: str = ""
    usage: Usage = Usage()
    responses: int = 0
    why: str = ""


class Directly(Protocol):
    """Who answers instead of Codex. `name` is part of what evidence depends on."""

    name: str
    model: str | None

    def put(self, folder: Path, question: Question) -> None:
        """Write down what will be asked; `folder` is this replay's own."""
        ...

    def answer(self, folder: Path) -> Reply:
        """The answer to what was put there; NoAnswer when there is none yet. Called by several threads."""
        ...


class AnEndpoint:
    """A model behind the Responses API. Codex hands over a skill that was named in this very form."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint = endpoint
        self.name = endpoint.address
        self.model: str | None = model

    def put(self, folder: Path, question: Question) -> None:
        if not (folder / _QUESTION).exists():
            parts = [_handed_over(question), question.task]
            body = {"model": self.model, "input": [_message(text) for text in parts]}
            write_atomic(folder / _QUESTION, msgspec.json.encode(body))

    def answer(self, folder: Path) -> Reply:
        kept = folder / _ANSWER
        if kept.exists():
            return msgspec.json.decode(read_bounded(kept, _LARGEST), type=Reply)
        body: dict[str, Any] = msgspec.json.decode(read_bounded(folder / _QUESTION, _LARGEST))
        try:
            said = self._endpoint.ask(body)
        except HostError as error:
            if error.code == BUSY:
                return Reply(why=error.message)
            raise
        if not said.is_whole or not said.text.strip():
            return Reply(usage=said.usage, responses=1, why="the answer was empty or cut short")
        reply = Reply(said.text, said.usage, 1)
        write_atomic(kept, msgspec.json.encode(reply))
        return reply


class ByHand:
    """Whoever writes the answer to a file. All questions of a step lie there before the first is waited for."""

    def __init__(self, folder: Path) -> None:
        self._folder = private_folder(folder)
        self._asked: dict[str, None] = {}
        self.name = "by hand"
        self.model: str | None = None

    def put(self, folder: Path, question: Question) -> None:
        self._asked[folder.name] = None
        prompt = self._folder / f"{folder.name}.prompt.md"
        answer = f"{folder.name}.answer.md"
        text = f"Do the task below as this text wants it, and write the answer, and nothing else, to `{answer}`.\n\n"
        text += f"{_handed_over(question)}\n\n# Task\n\n{question.task}\n"
        if not prompt.exists():
            write_atomic(prompt, text.encode())

    def answer(self, folder: Path) -> Reply:
        text = self._written(folder.name)
        if not text:
            missing = sum(not self._written(name) for name in self._asked)
            raise NoAnswer(
                "handoff-pending",
                f"{missing} answers are waited for in {self._folder}",
                "write the answer to each NAME.prompt.md to NAME.answer.md, then run the same command again",
            )
        return Reply(text)

    def _written(self, name: str) -> str:
        path = self._folder / f"{name}.answer.md"
        return read_bounded(path, _LARGEST).decode(errors="replace").strip() if path.exists() else ""


def why_beyond(task: Task) -> str | None:
    """Why a task cannot be done without Codex; None when it can."""
    if task.start is not None:
        return "it begins with files"
    judges = (task.judge, *((task.hidden_judge,) if task.hidden_judge else ()))
    for check in (check for judge in judges for check in judge.checks):
        if isinstance(check, ToolCalled | ToolNotCalled):
            return "a check is about tools"
        if isinstance(check, CommandPasses | FileHolds):
            return "a check looks at files"
    return None


def check_tasks(tasks: Sequence[Task]) -> None:
    """DataError when some of the tasks need Codex."""
    beyond = {task.task_id: why for task in tasks if (why := why_beyond(task)) is not None}
    if beyond:
        first, why = next(iter(beyond.items()))
        raise DataError(
            "target-tools",
            f"{len(beyond)} of {len(tasks)} tasks need Codex, such as {first}: {why}",
            "take them out, or let --target-backend be codex",
        )


def is_direct(result: RunResult) -> bool:
    """Whether no Codex took part in a run."""
    return not result.codex_version


def answered(directly: Directly, runner: Runner, requests: Iterable[RunRequest], workers: int) -> Generator[RunResult]:
    """Results in the order of `requests`, which is read only as far as there are free workers.

    The ledger is used by the calling thread alone. Refused when nothing is left of a budget.
    """
    coming = iter(requests)
    queue = deque[tuple[RunRequest, RunResult | Future[Reply]]]()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="ask") as pool:
        while True:
            while len(queue) < workers and (request := next(coming, None)) is not None:
                known = _known(runner, request)
                if known is None:
                    check_budget(request, runner.limits(request))
                    queue.append((request, pool.submit(_reply, directly, Path(request.cwd))))
                else:
                    queue.append((request, known))
            if not queue:
                return
            request, reply = queue.popleft()
            yield reply if isinstance(reply, RunResult) else _recorded(runner, directly, request, reply.result())


def _reply(directly: Directly, folder: Path) -> Reply:
    """A task that is beyond those who only answer was not put to them."""
    if (folder / _BEYOND).exists():
        return Reply(why="it cannot be done without Codex")
    return directly.answer(folder)


def ask_in(directly: Directly, folder: Path, task: Task, question: Question) -> None:
    """Put a task to them, unless they could not do it."""
    if why_beyond(task) is None:
        directly.put(folder, question)
    else:
        write_atomic(folder / _BEYOND, b"")


def _known(runner: Runner, request: RunRequest) -> RunResult | None:
    row = runner.ledger.fetch_one(records.QUERIES.run_by_paid_key, RunRow, paid_key=request.paid_key)
    return None if row is None else row.outcome


def _recorded(runner: Runner, directly: Directly, request: RunRequest, reply: Reply) -> RunResult:
    """The run in the ledger, from its beginning to its end at once; one without an answer may be asked for again."""
    run_id, now_us = new_id("run", runner.clock), runner.clock.now_us()
    folder = runner.folder_of(run_id)
    problem = Problem("no-answer", reply.why) if reply.why else None
    result = RunResult(
        id=run_id,
        state="failed" if problem else "succeeded",
        role=request.role,
        folder=str(folder),
        answer=None if problem else reply.text,
        problem=problem,
        usage=reply.usage,
        responses=reply.responses,
        sandbox=request.sandbox,
        model=directly.model,
        ended_at_us=now_us,
    )
    kept = request if problem is None else msgspec.structs.replace(request, paid_key=None)
    spot = StreamSpot(_ANSWER, 1)
    responses = (ResponseUsage(run_id, run_id, reply.usage, spot),) if reply.responses else ()
    private_folder(folder)
    with runner.ledger.transaction():
        records.open_run(
            runner.ledger,
            run_id=run_id,
            folder=str(folder),
            request=kept,
            codex_version="",
            me=runner.me,
            now_us=now_us,
        )
        records.close_run(
            runner.ledger, number=1, result=result, end=Exit("exited"), responses=responses, now_us=now_us
        )
        row = receipts.seal_unclaimed(runner.ledger, now_us, result)
    if row is not None:
        receipts.mark(runner.ledger, str(folder), row)
    return result


def _handed_over(question: Question) -> str:
    if question.is_memory:
        return f"# AGENTS.md instructions\n\n<INSTRUCTIONS>\n{question.text}\n</INSTRUCTIONS>"
    path = f"skills/{question.name}/SKILL.md"
    return f"<skill>\n<name>{question.name}</name>\n<path>{path}</path>\n{question.text}\n</skill>"


def _message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

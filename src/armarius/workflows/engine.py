"""Doing the steps of a workflow, one after the other, each once.

Owns their order, the loop, the user's check, and what came of the whole. Does not own a run or how many live at once.
Invariant: what a step handed on is in the journal before the next one begins; the runs of a step are a batch, so that
a crash in the middle repeats nothing that was paid; a template that writes or checks does so only if the user said so.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec

from armarius import programs
from armarius.artefacts.inventory import inventory_of
from armarius.artefacts.store import Artefacts
from armarius.batch.batch import Batch, ItemEnd, Watcher
from armarius.batch.file import Item, Plan, Read
from armarius.budget import NO_BUDGET, Budget
from armarius.dispatch.api import Dispatch
from armarius.errors import DataError, Refused, UsageError
from armarius.identity import hash_value
from armarius.redact import redact
from armarius.runs.request import RunResult
from armarius.thread import Usage
from armarius.workflows.handoffs import schema_of
from armarius.workflows.journal import Journal, claimed, load_journal, save_journal
from armarius.workflows.template import Step, Template, filled, holds, items_of

__all__ = ["Order", "WorkflowReport", "check_order", "run_workflow"]

_MOST_ITEMS: Final = 32
_TAIL: Final = 8_000
_CHECK_S: Final = 1_800.0


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `writes` and `check` are the user's own words; `budget` is for each step's runs together."""

    template: Template
    id: str
    goal: str
    folder: Path
    writes: bool = False
    check: tuple[str, ...] | None = None
    workers: int | None = None
    model: str | None = None
    lane: str | None = None
    budget: Budget = NO_BUDGET


class WorkflowReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a workflow (`armarius.workflow.v1`); `handed_on` is that of each step, by its name and round.

    `not_met`: every step was done, and the condition of success does not hold.
    """

    id: str
    name: str
    state: Literal["succeeded", "not_met", "failed", "interrupted"]
    handed_on: dict[str, Any]
    runs: tuple[str, ...]
    failed_step: str | None = None
    why: str | None = None
    inventory_cached: bool = False
    usage: Usage = Usage()
    schema: str = "armarius.workflow.v1"


_Stop: TypeAlias = Literal["failed", "interrupted"]


class _Stopped(Exception):
    """A step could not be done."""

    def __init__(self, step: str, state: _Stop, why: str) -> None:
        super().__init__(step)
        self.step = step
        self.state: _Stop = state
        self.why = why


def run_workflow(dispatch: Dispatch, artefacts: Artefacts, order: Order, watcher: Watcher) -> WorkflowReport:
    """Do a workflow, or go on with it; what came of it."""
    check_order(order)
    with claimed(dispatch.settings.home / "workflows", order.id) as path:
        journal, was_cached = _begun(dispatch, artefacts, order, load_journal(path))
        save_journal(path, journal)
        work = _Work(dispatch, order, journal, lambda new: save_journal(path, new), watcher)
        try:
            work.go()
        except _Stopped as stopped:
            return work.report(stopped.state, was_cached, stopped.step, stopped.why)
        met = order.template.succeeds is None or holds(order.template.succeeds, work.known)
        return work.report("succeeded" if met else "not_met", was_cached)


def check_order(order: Order) -> None:
    """Refuse what the user has not said: that it may write, and which command decides."""
    if order.template.writes and not order.writes:
        raise Refused("workflow-writes", f"{order.template.name} changes files", "add --write if it may")
    if order.template.checks and not order.check:
        raise UsageError("workflow-check", f"{order.template.name} needs a command that decides", "add --check CMD")


def _begun(dispatch: Dispatch, artefacts: Artefacts, order: Order, old: Journal | None) -> tuple[Journal, bool]:
    """The journal to go on with; a new one begins with what lies in the repository."""
    asked: dict[str, Any] = {
        "template": msgspec.json.decode(msgspec.json.encode(order.template)),
        "goal": order.goal,
        "folder": str(order.folder),
        "check": None if order.check is None else hash_value(order.check),
    }
    if old is not None:
        if {name: getattr(old, name) for name in asked} != asked:
            raise DataError("workflow-other", f"{order.id} was asked something else", "give it another --id")
        return old, True
    text, was_cached = inventory_of(dispatch.settings, artefacts, order.folder)
    return Journal(id=order.id, inventory=text, **asked), was_cached


class _Work:
    """A workflow at work."""

    def __init__(
        self, dispatch: Dispatch, order: Order, journal: Journal, save: Callable[[Journal], None], watcher: Watcher
    ) -> None:
        self._dispatch = dispatch
        self._order = order
        self._journal = journal
        self._save = save
        self._watcher = watcher
        self._usage = Usage()
        self.known: dict[str, Any] = {"goal": order.goal, "inventory": journal.inventory}

    def go(self) -> None:
        """Every step; those of the loop until its condition holds."""
        loop, over = self._order.template.loop, False
        for step in self._order.template.step:
            if loop is None or step.id not in loop.steps:
                self._do(step, 1)
            elif not over:
                self._loop()
                over = True

    def report(
        self,
        state: Literal["succeeded", "not_met", "failed", "interrupted"],
        was_cached: bool,  # noqa: FBT001  # it goes with the state
        step: str | None = None,
        why: str | None = None,
    ) -> WorkflowReport:
        return WorkflowReport(
            id=self._order.id, name=self._order.template.name, state=state, handed_on=self._journal.done,
            runs=self._journal.runs, failed_step=step, why=why, inventory_cached=was_cached, usage=self._usage,
        )  # fmt: skip

    def _loop(self) -> None:
        loop = self._order.template.loop
        assert loop is not None
        steps = [step for step in self._order.template.step if step.id in loop.steps]
        judge = loop.until.partition(".")[0]
        for number in range(1, loop.most + 1):
            for step in steps:
                self._do(step, number)
                if step.id == judge and holds(loop.until, self.known):
                    return
        if steps[0].id == judge and len(steps) > 1:  # what came after it has not been looked at yet
            self._do(steps[0], loop.most + 1)

    def _do(self, step: Step, number: int) -> None:
        key = f"{step.id}.{number}"
        if key not in self._journal.done:
            value = self._check() if step.check else self._runs(step, key)
            self._journal = msgspec.structs.replace(self._journal, done=self._journal.done | {key: value})
            self._save(self._journal)
        self.known[step.id] = self._journal.done[key]

    def _check(self) -> dict[str, Any]:
        """What the user's command says of the folder as it is now."""
        argv = self._order.check
        assert argv is not None
        done = programs.run(
            argv, cwd=self._order.folder, environ=self._dispatch.settings.environ, timeout=_CHECK_S, most=16 << 20
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        return {
            "command": [redact(word) for word in argv],
            "passed": done.code == 0,
            "exit_code": done.code,
            "output": redact(said)[-_TAIL:],
        }

    def _runs(self, step: Step, key: str) -> Any:
        """What the runs of a step handed on: one answer, or a list of them."""
        if step.each is None:
            [answer] = self._batch(step, key, {"only": filled(step, self.known)})
            return answer
        items = items_of(step, self.known)
        if len(items) > _MOST_ITEMS:
            raise _Stopped(key, "failed", f"{len(items)} items are too many, at most {_MOST_ITEMS}")
        prompts = {str(at): filled(step, self.known, item=item) for at, item in enumerate(items, 1)}
        return self._batch(step, key, prompts) if prompts else []

    def _batch(self, step: Step, key: str, prompts: dict[str, str]) -> list[Any]:
        items = tuple(
            Item(
                id=f"{step.id}-{name}",
                prompt=prompt,
                cwd=str(self._order.folder),
                sandbox="workspace-write" if step.writes else "read-only",
                schema=schema_of(step.answer) if step.answer else None,
                model=self._order.model,
                lane=self._order.lane,
            )
            for name, prompt in prompts.items()
        )
        plan = Plan(f"wf-{self._order.id}.{key}", items, budget=self._order.budget)
        heard = _Heard(self._watcher)
        batch = Batch(
            self._dispatch, Read(plan, {item.id: f"{self._order.id} {key}" for item in items}), retry_failed=True
        )
        report = batch.go(heard, workers=self._order.workers)
        self._usage += report.usage
        runs = tuple(end.run for end in report.items if end.run and end.run not in self._journal.runs)
        self._journal = msgspec.structs.replace(self._journal, runs=self._journal.runs + runs)
        self._save(self._journal)
        if report.state != "succeeded":
            bad = next((end for end in report.items if end.problem is not None), None)
            why = f"{bad.id}: {bad.problem.message}" if bad is not None and bad.problem is not None else report.state
            raise _Stopped(key, "interrupted" if report.state == "interrupted" else "failed", why)
        return [heard.answer(item.id, parsed=step.answer is not None) for item in items]


class _Heard:
    """Keeps what came of each item, and hands everything on."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        self._results = dict[str, RunResult]()
        self.started, self.waits, self.tick = watcher.started, watcher.waits, watcher.tick

    def ended(self, end: ItemEnd, result: RunResult | None) -> None:
        if result is not None:
            self._results[end.id] = result
        self._watcher.ended(end, result)

    def answer(self, name: str, *, parsed: bool) -> Any:
        """What an item that succeeded has answered."""
        result = self._results[name]
        return result.parsed if parsed else result.answer or ""

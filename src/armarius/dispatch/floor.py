"""Where a person speaks to a run that lives: an answer to what it asks, or words for its turn.

Owns the checks that an answer passes, and waiting until it was carried out. Does not own handing it to Codex
(`codex/driver_program.py`) nor the ledger's words for it (`approvals.py`).
Invariant: an answer is for exactly the question that is named, or for the only one there is; it is given once, and
opens nothing for longer than that one request. What would open more is refused here.
"""

import os
import pwd
import time
from pathlib import Path

from armarius.codex.orders import Decision, Done, Order, Orders, Question
from armarius.codex.process import Attempt
from armarius.dispatch.keeper import Keeper
from armarius.errors import DataError, Failed, HostError, NoAnswer, Refused, UsageError
from armarius.identity import new_id
from armarius.redact import redact
from armarius.runs.approvals import note, waiting
from armarius.runs.records import RunRow

__all__ = ["Floor"]

_SEE = "see `armarius runs show`"
_PAUSE_S = 0.02
_PATIENCE_S = 30.0
_LONGEST = 1 << 20


class Floor:
    """A run that lives, and what it waits for."""

    def __init__(self, keeper: Keeper, run: RunRow) -> None:
        """Failed when the run is over, HostError when it runs elsewhere."""
        if run.ended_at_us is not None:
            raise Failed("run-ended", f"{run.id} is over: {run.state}", "go on in its thread with `armarius resume`")
        if run.state == "queued":
            raise Failed("run-queued", f"{run.id} waits for a worker, and nobody hears it yet", "wait until it runs")
        attempt = keeper.last_attempt(run)
        if attempt.host != keeper.me.get("host"):
            raise HostError("run-elsewhere", f"{run.id} runs on {attempt.host}", "say it there")
        self._keeper = keeper
        self._clock = keeper.clock
        self._run_id = run.id
        self._folder = Path(run.folder)
        self._number = attempt.number
        self._orders = Orders(self._folder / str(self._number))

    def questions(self) -> list[Question]:
        """What the run waits for now, as it was asked: `approvals.shown` takes secrets out."""
        return waiting(self._folder, self._number)

    def answer(
        self, decision: Decision, question_id: str | None = None, *, reason: str = "", replies: tuple[str, ...] = ()
    ) -> Question:
        """Answer what the run waits for; `question_id` is needed when that is more than one. The question."""
        question = self._one(question_id)
        _check(question, decision, replies)
        self._give(
            Order(
                name=f"answer-{question.id}",
                by=self._by(),
                at_us=self._clock.now_us(),
                to=question.id,
                decision=decision,
                reason=_fit(reason),
                replies=tuple(map(_fit, replies)),
            )
        )
        return question

    def steer(self, text: str) -> None:
        """Words for the turn that runs."""
        if not text.strip():
            raise UsageError("steer-empty", "there is nothing to say", "give the text")
        if not self._orders.exist:
            raise Refused(
                "not-steerable",
                f"{self._run_id} is driven by codex exec, which hears nothing before its end",
                "start it with `--approval on-request`, or cancel it and resume its thread",
            )
        name = new_id("steer", self._clock)
        self._give(Order(name=name, by=self._by(), at_us=self._clock.now_us(), text=_fit(text)))

    def _one(self, question_id: str | None) -> Question:
        found = self.questions()
        if question_id is not None:
            for question in found:
                if question.id == question_id:
                    return question
            known = {question.id for question in self._orders.questions()} if self._orders.exist else set[str]()
            if question_id in known:
                raise Failed("already-answered", f"{self._run_id} does not wait for {question_id} any more", "")
            raise DataError("question-unknown", f"{self._run_id} asks nothing called {question_id!r}", _SEE)
        if not found:
            raise Failed("nothing-waits", f"{self._run_id} waits for nobody", _SEE)
        if len(found) > 1:
            names = ", ".join(question.id for question in found)
            raise UsageError("which-question", f"{self._run_id} waits with {names}", "say which with --id")
        return found[0]

    def _give(self, order: Order) -> None:
        """Hand an order over, write it down, and wait until it was carried out."""
        self._orders.give(order)
        note(self._keeper.ledger, self._clock, self._run_id, self._folder, self._number)
        end_us = self._clock.monotonic_us() + int(_PATIENCE_S * 1_000_000)
        while (done := self._orders.done(order)) is None:
            if Attempt(self._folder / str(self._number)).liveness() != "alive":
                done = self._orders.done(order) or Done(carried_out=False, message="the run ended first")
                break
            if self._clock.monotonic_us() >= end_us:
                raise NoAnswer("order-pending", f"{self._run_id} has not taken it up yet", _SEE)
            time.sleep(_PAUSE_S)
        if not done.carried_out:
            raise Failed("not-carried-out", f"{self._run_id}: {redact(done.message)}", _SEE)

    def _by(self) -> str:
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            user = str(os.getuid())
        me = self._keeper.me
        return f"{user} (process {me.get('pid')} on {me.get('host')})"


def _check(question: Question, decision: Decision, replies: tuple[str, ...]) -> None:
    """Refuse an answer that means more than this one request, or that is none to it."""
    if decision == "accept":
        if question.kind == "other":
            raise Refused(
                "not-acceptable", f"{question.id} ({question.method}) may only be denied", "`armarius runs deny`"
            )
        if question.kind == "input":
            raise UsageError("reply-needed", f"{question.id} is a question", "answer it with `armarius runs answer`")
        if question.grant_root is not None:
            raise Refused(
                "grant-root",
                f"{question.id} would open {question.grant_root} for the rest of the session",
                "deny it; start a run with --add-dir if that is wanted",
            )
    if decision == "reply":
        if question.kind != "input":
            raise UsageError("no-question", f"{question.id} wants a yes or a no", "use `runs approve` or `runs deny`")
        if len(replies) != len(question.asks):
            raise UsageError("replies", f"{question.id} asks {len(question.asks)} things", "give one TEXT for each")


def _fit(text: str) -> str:
    if len(text) > _LONGEST:
        raise DataError("text-size", f"{len(text):,} characters are too many", f"at most {_LONGEST:,}")
    return text

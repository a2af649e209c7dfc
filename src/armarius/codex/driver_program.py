"""The program that the guard starts in place of `codex exec` when a person may be asked.

Owns one `codex app-server`, one turn in one of its threads, and handing on what is asked and what is said. It
runs as `python -I -m armarius.codex.driver_program FOLDER`, with the prompt on its standard input.
Does not own the deadline or the kill (the guard), nor what anybody answers (`orders.py`).
Invariant: what it prints has the form of `codex exec --json`; no request of Codex is answered but by an order
that names it, and acceptance is never for longer than that one request. Nothing is asked of the model before
what Codex will allow was read back and found no wider than what was asked for. SIGINT interrupts the turn,
which Codex then records; when this program dies, its server does too.

Lines besides those of `codex exec`:

    {"type":"approval.requested","run":…,"question":{…}}   as in `questions/`
    {"type":"approval.answered","to":…,"decision":…}  an order was carried out
    {"type":"approval.gone","id":…}                   Codex waits for it no more
    {"type":"turn.steered","by":…}                    words were handed to the turn
    {"type":"permissions.wider","message":…}          nothing was started
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from armarius.codex import protocol
from armarius.codex.app_server import RequestFailed, Server
from armarius.codex.connection import Notification, ServerRequest
from armarius.codex.driver import Plan
from armarius.codex.exec_lines import changes_of, error_line, item_line, notice_line, turn_line
from armarius.codex.orders import Ask, Change, Done, Kind, Order, Orders, Question
from armarius.codex.protocol import (
    ApprovalAsked,
    InputAsked,
    ItemChanged,
    RequestResolved,
    TextInput,
    ThreadOpened,
    Tokens,
    TokensUpdated,
    Trouble,
    TurnChanged,
    TurnInterrupt,
    TurnSteer,
    Warned,
)
from armarius.codex.rules import find_rules
from armarius.errors import ArmariusError

__all__ = ["main", "widened"]

_LOOK_S = 1.0
_MOST_DIFF = 64 << 10
_KINDS: dict[str, Kind] = {
    "item/commandExecution/requestApproval": "command",
    "item/fileChange/requestApproval": "file_change",
    "item/tool/requestUserInput": "input",
}
_DECLINES: dict[str, dict[str, Any]] = {
    "item/permissions/requestApproval": {"permissions": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
}
"""How a request is declined that has words of its own for it; no acceptance of these is for one request alone."""

_SANDBOXES = {"read-only": "readOnly", "workspace-write": "workspaceWrite", "danger-full-access": "dangerFullAccess"}


def main(folder: Path) -> int:
    """Drive the attempt in `folder` to the end of its turn; 0 when that was completed."""
    os.umask(0o077)
    plan = Plan.read(folder)
    prompt = sys.stdin.buffer.read().decode()
    orders = Orders(folder)
    bell = orders.make()
    heard, hears = os.pipe()
    os.set_blocking(heard, False)
    os.set_blocking(hears, False)
    signal.set_wakeup_fd(hears, warn_on_full_buffer=False)
    interrupts = list[int]()
    signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    rules = find_rules(Path(plan.codex_home), Path.cwd())
    if rules is not None:  # they may have come since the run was asked for
        _emit({"type": "permissions.wider", "message": f"rules that let commands out of the sandbox: {rules}"})
        return 1
    try:
        with Server(
            plan.program,
            environ=None,
            cwd=Path.cwd(),
            arguments=(*plan.arguments, "app-server"),
            wakes=(bell, heard),
        ) as server:
            return _Drive(server, plan, orders, _Ears(interrupts, (bell, heard))).run(prompt, folder)
    except ArmariusError as error:
        sys.stderr.write(f"Error: {error.message}\n")
        return 1


def widened(plan: Plan, opened: ThreadOpened) -> str:
    """What Codex says it will allow beyond what was asked for; empty when there is nothing."""
    seen = opened.sandbox
    wanted = _SANDBOXES[plan.sandbox]
    found = list[str]()
    if seen.get("type") != wanted:
        found.append(f"sandbox {seen.get('type')}")
    if seen.get("networkAccess") and wanted != "dangerFullAccess":
        found.append("network access")
    roots = {*map(str, seen.get("writableRoots") or ())} - {*plan.add_dirs, opened.cwd}
    found += [f"write access to {root}" for root in sorted(roots)]
    if wanted == "workspaceWrite" and not seen.get("excludeSlashTmp"):
        found.append("write access to /tmp")
    if opened.approval_policy != plan.turn.approval_policy:
        found.append(f"approval {opened.approval_policy}")
    if os.path.realpath(opened.cwd) != os.path.realpath(plan.turn.cwd or ""):
        found.append(f"the folder {opened.cwd}")
    return ", ".join(found)


def _emit(line: dict[str, Any]) -> None:
    left = msgspec.json.encode(line) + b"\n"
    while left:
        left = left[os.write(1, left) :]


class _Ears:
    """What reaches this program besides Codex: signals, and the bell of the orders."""

    def __init__(self, interrupts: list[int], wakes: tuple[int, ...]) -> None:
        self.interrupts = interrupts
        self._wakes = wakes

    def silence(self) -> None:
        """Empty what woke us; what it stands for is looked up each time."""
        for wake in self._wakes:
            try:
                while os.read(wake, 4096):
                    pass
            except BlockingIOError:
                continue


class _Drive:
    """One turn, from opening its thread to its end."""

    def __init__(self, server: Server, plan: Plan, orders: Orders, ears: _Ears) -> None:
        self._server = server
        self._plan = plan
        self._orders = orders
        self._ears = ears
        self._run = self._attempt = ""
        self._thread = ""
        self._turn = ""
        self._is_running = False
        self._code: int | None = None
        self._total: Tokens | None = None
        self._asked = 0
        self._warnings = 0
        self._pending = dict[str, ServerRequest]()
        self._known = set[str]()
        self._changes = dict[str, dict[str, Any]]()

    def run(self, prompt: str, folder: Path) -> int:
        self._run, self._attempt = folder.parent.name, folder.name
        opened = self._open()
        self._thread = opened.thread.id
        _emit({"type": "thread.started", "thread_id": self._thread})
        wider = widened(self._plan, opened)
        if wider:
            _emit({"type": "permissions.wider", "message": wider})
            return 1
        if not prompt:
            return 0  # a fork of which nothing is asked yet
        turn = msgspec.structs.replace(
            self._plan.turn, thread_id=self._thread, input=(TextInput(prompt), *self._plan.turn.input)
        )
        self._turn = self._server.call(protocol.TURN_START, turn).turn.id
        while self._code is None:
            self._interrupt()
            self._obey()
            event = self._server.next(_LOOK_S)
            self._ears.silence()
            if isinstance(event, ServerRequest):
                self._ask(event)
            elif event is not None:
                self._tell(event)
        return self._code

    def _open(self) -> ThreadOpened:
        plan = self._plan
        if plan.resume is not None:
            return self._server.call(protocol.THREAD_RESUME, plan.resume)
        if plan.fork is not None:
            return self._server.call(protocol.THREAD_FORK, plan.fork)
        assert plan.start is not None  # one of the three is there
        return self._server.call(protocol.THREAD_START, plan.start)

    # ------------------------------------------------------------ what Codex says

    def _tell(self, event: Notification) -> None:
        match event.body:
            case ItemChanged(thread_id=thread, item=item) if thread == self._thread:
                if item.get("type") == "fileChange":
                    self._changes[str(item.get("id"))] = item
                self._line(item_line(event.method, item))
            case TokensUpdated(thread_id=thread, token_usage=usage) if thread == self._thread:
                self._total = usage.total
            case Trouble(thread_id=thread, error=error) if thread == self._thread:
                _emit(error_line(error))
            case Warned(message=message):
                self._warnings += 1
                _emit(notice_line(self._warnings, message))
            case RequestResolved(request_id=number):
                self._resolved(number)
            case TurnChanged(thread_id=thread, turn=turn) if thread == self._thread and turn.id == self._turn:
                if event.method == "turn/started":
                    self._is_running = True
                    _emit({"type": "turn.started"})
                else:
                    self._line(turn_line(turn.status, turn.error, self._total))
                    self._code = 0 if turn.status == "completed" else 1
            case _:
                pass

    def _line(self, line: dict[str, Any] | None) -> None:
        if line is not None:
            _emit(line)

    def _ask(self, request: ServerRequest) -> None:
        """Keep a question where a person finds it; its name is ours, and never used twice in a run."""
        self._asked += 1
        question = self._question(f"{self._attempt}.{self._asked}", request)
        self._pending[question.id] = request
        self._orders.ask(question)
        _emit({"type": "approval.requested", "run": self._run, "question": question})

    def _question(self, name: str, request: ServerRequest) -> Question:
        kind, body, now_us = _KINDS.get(request.method, "other"), request.body, time.time_ns() // 1_000
        match body:
            case ApprovalAsked(network_approval_context=network):
                return Question(
                    id=name,
                    kind=kind,
                    method=request.method,
                    thread_id=body.thread_id,
                    turn_id=body.turn_id,
                    asked_at_us=now_us,
                    reason=body.reason,
                    command=body.command,
                    cwd=body.cwd,
                    host=str(network.get("host")) if network else None,
                    grant_root=body.grant_root,
                    changes=tuple(map(_bounded, changes_of(self._changes.get(body.item_id, {})))),
                )
            case InputAsked(questions=questions):
                return Question(
                    id=name,
                    kind=kind,
                    method=request.method,
                    thread_id=body.thread_id,
                    turn_id=body.turn_id,
                    asked_at_us=now_us,
                    asks=_asks(questions),
                )
            case _:
                return Question(
                    id=name,
                    kind="other",
                    method=request.method,
                    thread_id=self._thread,
                    turn_id=self._turn,
                    asked_at_us=now_us,
                )

    def _resolved(self, number: int | str) -> None:
        """Codex waits no more for a question that nobody of us has answered: its turn ended, or it knows better."""
        for name, request in list(self._pending.items()):
            if request.id == number:
                del self._pending[name]
                self._orders.forget(name)
                _emit({"type": "approval.gone", "id": name})

    # ------------------------------------------------------------ what a person says

    def _interrupt(self) -> None:
        """Codex takes an interrupt only once the turn has begun."""
        if self._ears.interrupts and self._is_running:
            self._ears.interrupts.clear()
            self._server.call(protocol.TURN_INTERRUPT, TurnInterrupt(self._thread, self._turn))

    def _obey(self) -> None:
        for order in self._orders.new(self._known):
            self._known.add(order.name)
            try:
                done = self._steer(order, order.text) if order.to is None else self._answer(order, order.to)
            except RequestFailed as error:
                done = Done(carried_out=False, message=error.message)
            self._orders.report(order, done)

    def _steer(self, order: Order, text: str) -> Done:
        self._server.call(protocol.TURN_STEER, TurnSteer(self._thread, self._turn, (TextInput(text),)))
        _emit({"type": "turn.steered", "by": order.by})
        return Done(carried_out=True)

    def _answer(self, order: Order, name: str) -> Done:
        request = self._pending.pop(name, None)
        if request is None:
            return Done(carried_out=False, message=f"codex does not wait for {name} any more")
        kind = _KINDS.get(request.method, "other")
        if kind == "input":
            self._server.answer(request, {"answers": _replies(request.body, order)})
        elif request.method in _DECLINES:
            self._server.answer(request, _DECLINES[request.method])
        elif kind == "other":
            self._server.decline(request, order.reason or "declined")
        else:
            self._server.answer(request, {"decision": "accept" if order.decision == "accept" else "decline"})
        _emit({"type": "approval.answered", "to": name, "decision": order.decision, "by": order.by})
        if order.decision == "decline" and order.reason:
            self._steer(order, f"What you asked for was declined: {order.reason}")
        return Done(carried_out=True)


def _bounded(change: Change) -> Change:
    diff = change.diff
    if len(diff) <= _MOST_DIFF:
        return change
    return msgspec.structs.replace(change, diff=f"{diff[:_MOST_DIFF]}\n… {len(diff):,} characters in all\n")


class _Option(msgspec.Struct):
    label: str = ""


class _Asked(msgspec.Struct):
    id: str = ""
    question: str = ""
    options: tuple[_Option, ...] | None = None


def _asks(questions: tuple[dict[str, Any], ...]) -> tuple[Ask, ...]:
    """What is asked, in the order in which it is to be answered."""
    try:
        asked = msgspec.convert(questions, tuple[_Asked, ...])
    except msgspec.ValidationError:
        asked = tuple(_Asked(str(question.get("id", "")), str(question)) for question in questions)
    return tuple(Ask(one.id, one.question, tuple(option.label for option in one.options or ())) for one in asked)


def _replies(body: Any, order: Order) -> dict[str, Any]:
    """Each reply to its question, in their order; none for what was declined."""
    if not isinstance(body, InputAsked) or order.decision != "reply":
        return {}
    names = [str(question.get("id", "")) for question in body.questions]
    return {name: {"answers": [reply]} for name, reply in zip(names, order.replies, strict=False)}


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

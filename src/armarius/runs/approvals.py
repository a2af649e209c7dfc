"""What a run asks of a person and is told, as the ledger has it.

Owns finding what waits, and writing it down. Does not own the files in which it travels (`codex/orders.py`) nor
answering (`floor.py`).
Invariant: what was asked and said stands in the ledger once, whoever writes it down and whenever: it is read from
the attempt's folder, so that a question that came while no Armarius lived is found by the next one. No secret
that is recognised as one gets there.
"""

from pathlib import Path
from typing import Any

import msgspec

from armarius.clock import Clock
from armarius.codex.orders import Change, Order, Orders, Question
from armarius.codex.process import Attempt
from armarius.redact import redact
from armarius.store.database import Database
from armarius.store.ledger import append_event, events_of

__all__ = ["ANSWERED", "ASKED", "STEERED", "note", "shown", "waiting", "was_asked"]

ASKED = "approval_requested"
ANSWERED = "approval_answered"
STEERED = "run_steered"

_MOST_SHOWN = 4_000
_MOST_PARTS = 100


def waiting(folder: Path, number: int | None = None) -> list[Question]:
    """What an attempt, or the last one, of the run in `folder` waits for; nothing once it is over."""
    if number is None:
        numbers = [int(place.name) for place in folder.glob("[1-9]*") if place.name.isdecimal()]
        if not numbers:
            return []
        number = max(numbers)
    attempt = Attempt(folder / str(number))
    orders = Orders(attempt.folder)
    return orders.open_questions() if orders.exist and attempt.liveness() == "alive" else []


def was_asked(attempt: Path) -> bool:
    """Whether an attempt, by its folder, asked anything: what was allowed may have acted on anything."""
    orders = Orders(attempt)
    return orders.exist and bool(orders.questions())


def shown(question: Question) -> Question:
    """A question as it may leave: without secrets."""
    return msgspec.structs.replace(
        question,
        reason=None if question.reason is None else redact(question.reason),
        command=None if question.command is None else redact(question.command),
        changes=tuple(Change(redact(one.path), one.kind, redact(one.diff)) for one in question.changes),
        asks=tuple(msgspec.structs.replace(ask, question=redact(ask.question)) for ask in question.asks),
    )


def note(ledger: Database, clock: Clock, run_id: str, folder: Path, number: int) -> None:
    """Write down what was asked and said in an attempt and is not in the ledger yet."""
    orders = Orders(folder / str(number))
    if not orders.exist:
        return
    told = [(ASKED, one.id, _asked(one)) for one in orders.questions()]
    told += [(ANSWERED if one.to else STEERED, one.to or one.name, _said(one)) for one in orders.orders()]
    if not _missing(ledger, run_id, told):
        return
    with ledger.transaction():  # one writer at a time: looked at again, nobody comes in between
        for kind, _, body in _missing(ledger, run_id, told):
            append_event(ledger, at_us=clock.now_us(), subject=run_id, kind=kind, body=body)


def _missing(ledger: Database, run_id: str, told: list[tuple[str, str, dict[str, Any]]]) -> list[Any]:
    known = set[tuple[str, str]]()
    for event in events_of(ledger, run_id):
        if event.kind in (ASKED, ANSWERED, STEERED):
            known.add((event.kind, str(msgspec.json.decode(event.body).get("id"))))
    return [one for one in told if one[:2] not in known]


def _asked(question: Question) -> dict[str, Any]:
    safe = shown(question)
    told: dict[str, str | list[str] | None] = {
        "id": safe.id,
        "kind": safe.kind,
        "method": safe.method,
        "thread_id": safe.thread_id,
    }
    told |= {"reason": safe.reason, "command": safe.command, "cwd": safe.cwd, "host": safe.host}
    told |= {"changes": [change.path for change in safe.changes], "asks": [ask.question for ask in safe.asks]}
    return {name: _short(value) for name, value in told.items() if value}


def _said(order: Order) -> dict[str, Any]:
    told: dict[str, str | list[str] | None] = {"id": order.to or order.name, "decision": order.decision, "by": order.by}
    told |= {"reason": redact(order.reason), "text": redact(order.text or " · ".join(order.replies))}
    return {name: _short(value) for name, value in told.items() if value}


def _short(value: str | list[str]) -> str | list[str]:
    """A ledger keeps what is needed to know what it was about; the whole stays in the run's folder."""
    if isinstance(value, list):
        return [_cut(one) for one in value[:_MOST_PARTS]]
    return _cut(value)


def _cut(text: str) -> str:
    clean = text.replace("\0", "\ufffd")
    return clean if len(clean) <= _MOST_SHOWN else clean[:_MOST_SHOWN] + "…"

"""What the ledger says that a person should know of the runs of ours.

Owns which of its events are signals. Does not own the ledger, nor who writes into it: events are read
as such, by their kind.
Invariant: an event is read once; a ledger that is not there is none, and is not made.
"""

from pathlib import Path
from typing import Any, cast

import msgspec

from armarius.clock import Clock
from armarius.store.database import Database
from armarius.store.ledger import Event, events_after, open_ledger
from armarius.store.queries import load
from armarius.watch.signals import Kind, Signal, one_line, signal_id

__all__ = ["RunEvents", "signal_of"]

_QUERIES = load(Path(__file__).with_name("queries.sql"))
_PAGE = 500
_ASKED = "approval_requested"


class RunEvents:
    """The ledger at `path`, read on from event `seq`; None: from its present end."""

    def __init__(self, path: Path, clock: Clock, seq: int | None) -> None:
        self._path = path
        self._clock = clock
        self._ledger: Database | None = None
        self._stamp: tuple[int, ...] = ()
        self.seq = seq

    def take(self) -> list[Signal]:
        """The signals of the events since the last call."""
        stamp = _stamp(self._path)
        if not stamp or stamp == self._stamp:
            if not stamp and self.seq is None:
                self.seq = 0  # whatever it will hold is new
            return []
        self._stamp = stamp
        if self._ledger is None:
            self._ledger = open_ledger(self._path, self._clock)
        if self.seq is None:
            self.seq = self._ledger.fetch(_QUERIES.last_event)[0]["seq"]
        signals = list[Signal]()
        while events := events_after(self._ledger, self.seq, _PAGE):
            self.seq = events[-1].seq
            signals += [signal for event in events if (signal := signal_of(event, self._thread_of(event)))]
        return signals

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def _thread_of(self, event: Event) -> str | None:
        assert self._ledger is not None  # events came from it
        row = self._ledger.fetch_one(_QUERIES.thread_of_run, id=event.subject)
        return row["thread_id"] if row else None


def signal_of(event: Event, thread: str | None) -> Signal | None:
    """The signal of an event: a run went over a budget, met a limit of the provider, or waits for a person."""
    body = _body(event.body)
    kind, retry_at_us = Kind.BUDGET_PASSED, None
    if event.kind == "run_rate_limited":
        at_us = body.get("retry_at_us")
        kind, retry_at_us = Kind.RATE_LIMITED, at_us if isinstance(at_us, int) else None
        text = "the provider's limit was reached"
    elif event.kind == "goal_ended":
        kind, text = Kind.GOAL_ENDED, f"the goal ended: {body.get('state')}"
    elif "budget" in event.kind:
        said = ", ".join(f"{name} {value}" for name, value in body.items() if isinstance(value, str | int | float))
        text = f"{event.kind.replace('_', ' ')}{': ' + said if said else ''}"
    elif event.kind == "run_ended" and body.get("state") == "timed_out":
        text = "time budget passed: the run was ended"
    elif event.kind == _ASKED:
        return _question(event, body)
    else:
        return None
    return Signal(
        kind=kind,
        id=signal_id("ledger", event.seq, event.subject),
        at_us=event.at_us,
        text=one_line(f"{event.subject}: {text}"),
        source="ledger",
        thread=thread,
        subject=event.subject,
        retry_at_us=retry_at_us,
    )


def _question(event: Event, body: dict[str, Any]) -> Signal:
    """A run waits for a person; who is told must be able to tell which question it is."""
    is_input = body.get("kind") == "input"
    about = [body.get("command"), *_texts(body.get("changes")), *_texts(body.get("asks")), body.get("reason")]
    words = "; ".join(str(one) for one in about if one) or str(body.get("method") or "something")
    verb = "answer" if is_input else "approve"
    return Signal(
        kind=Kind.WAITING_INPUT if is_input else Kind.WAITING_APPROVAL,
        id=signal_id("ledger", event.seq, event.subject),
        at_us=event.at_us,
        text=one_line(f"{event.subject} asks {body.get('id')}: {words} (`armarius runs {verb}`)"),
        source="ledger",
        thread=body.get("thread_id"),
        cwd=body.get("cwd"),
        subject=event.subject,
    )


def _texts(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _body(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when somebody commits; nothing when there is no ledger."""
    stamp = list[int]()
    for file in (path, path.with_name(f"{path.name}-wal")):
        try:
            seen = file.stat()
        except OSError:
            continue
        stamp += [seen.st_size, seen.st_mtime_ns]
    return tuple(stamp)

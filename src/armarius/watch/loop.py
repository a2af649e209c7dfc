"""A watch, from its beginning to its end.

Owns when what is looked at, the order in which signals are said, and what ends a watch. Does not own
what a signal is, nor how one is printed.
Invariant: every signal is said once, and then remembered by the cursor; what a watch that ends did not
come to say is said by the next. Between two changes nothing is done but a look from time to time.
Whatever cannot be looked at is a warning, never the end.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from armarius.clock import Clock
from armarius.errors import ArmariusError
from armarius.sessions.names import Named
from armarius.watch.changes import Changes
from armarius.watch.cursor import Cursor, load_cursor, save_cursor
from armarius.watch.files import WatchedFiles
from armarius.watch.ledger import RunEvents
from armarius.watch.places import Places
from armarius.watch.repositories import Repository
from armarius.watch.signals import Kind, Signal, signal_id
from armarius.watch.values import WatchedValue

__all__ = ["End", "Plan", "Watch"]

_SWEEP_US = 2_000_000
_SWEEPS_A_LISTING = 5
"""A thousand files are looked at less often than a few places, as long as the kernel tells of changes."""
_LOOK_US = 1_000_000
_QUIET_LOOK_US = 2_000_000
_SETTLE_US = 250_000
_SAVE_US = 5_000_000

End: TypeAlias = Literal["until", "cap", "over", "timeout"]
Look: TypeAlias = Callable[[], list[Signal]]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched and until when. `named` is None for all threads; times in microseconds."""

    hooks: Path
    homes: tuple[Path, ...] = ()
    named: tuple[Named, ...] | None = ()
    repositories: tuple[Repository, ...] = ()
    values: tuple[WatchedValue, ...] = ()
    until: frozenset[Kind] = frozenset()
    max_events: int = 10
    stall_us: int = 600_000_000
    timeout_us: int | None = None
    cursor: Path | None = None
    ledger: Path | None = None


class Watch:
    """One watch; `said` counts the signals so far."""

    def __init__(self, plan: Plan, clock: Clock, say: Callable[[Signal], None], warn: Callable[[str], None]) -> None:
        self._plan = plan
        self._clock = clock
        self._say = say
        self._warn = warn
        self._warned = set[str]()
        self._cursor = load_cursor(plan.cursor) if plan.cursor else None
        known = self._cursor or Cursor()
        self._files = WatchedFiles(plan.homes, plan.named, clock, plan.hooks)
        self._places = Places(plan.repositories, plan.values, clock, heads=known.heads, known=known.values)
        self._runs = RunEvents(plan.ledger, clock, known.ledger_seq) if plan.ledger else None
        self._pending: Sequence[Signal] = known.pending
        self._is_level = False  # whether all that was taken note of has been said, or is pending
        self._sweeps = 0
        self._began = self._swept = self._looked = self._saved = clock.monotonic_us()
        self.said = 0

    def run(self, ready: Callable[[], None]) -> End:
        """Watch until the end; `ready` is called when nothing that happens from then on is missed."""
        end: End | None = None
        is_ready = False
        try:
            while end is None:
                with self._listener() as changes:
                    if not is_ready:
                        is_ready, end = True, self._begin()
                        ready()
                    else:  # what happened while nobody listened
                        self._is_level = False
                        end = self._tell(self._files.sweep() + self._sweep())
                    end = end or self._listen(changes)
        finally:
            if self._is_level:  # else the cursor that was saved last says the same again, and loses nothing
                self._remember()
            if self._runs is not None:
                self._runs.close()
        return end

    def _listener(self) -> Changes:
        return Changes(*self._folders())

    def _folders(self) -> tuple[frozenset[Path], frozenset[Path]]:
        deep = frozenset((*self._files.deep, *self._places.deep))
        return deep, frozenset((*self._files.flat, *self._places.flat))

    def _begin(self) -> End | None:
        pending, self._pending = self._pending, ()
        signals = [*pending, *self._files.start(self._cursor), *self._sweep()]
        if Kind.IDLE in self._plan.until:
            signals += self._files.resting()
        end = self._tell([*signals, *self._look()])
        self._remember()
        return end

    def _listen(self, changes: Changes) -> End | None:
        """Go on until the end, or until there are other folders to listen to."""
        while True:
            paths = changes.take((self._next_us() - self._clock.monotonic_us()) / 1_000_000)
            self._is_level = False
            signals = self._files.changed(paths) + self._changed_places(paths)
            now = self._clock.monotonic_us()
            is_sweep = now - self._swept >= _SWEEP_US
            if is_sweep:
                self._swept, self._sweeps = now, self._sweeps + 1
                is_listing = changes.trouble or self._sweeps % _SWEEPS_A_LISTING == 0
                signals += (self._files.sweep() if is_listing else []) + self._sweep()
            if now - self._looked >= self._look_after_us():
                self._looked = now
                signals += self._look()
            if end := self._tell(signals):
                return end
            if self._plan.timeout_us is not None and now - self._began >= self._plan.timeout_us:
                return "timeout"
            if changes.trouble:
                self._once(f"the system does not tell of changes ({changes.trouble[0]}); looking every 2 s")
            if (is_sweep or self._files.opens(paths)) and self._folders() != changes.folders:
                return None
            if self._plan.cursor is not None and now - self._saved >= _SAVE_US and paths:
                self._remember()

    def _next_us(self) -> int:
        times = [self._swept + _SWEEP_US]
        if self._files.is_busy:
            times.append(self._looked + self._look_after_us())
        if self._plan.timeout_us is not None:
            times.append(self._began + self._plan.timeout_us)
        return min(times)

    def _look_after_us(self) -> int:
        if self._files.is_settling:
            return _SETTLE_US
        return _LOOK_US if self._files.is_lively else _QUIET_LOOK_US

    # Looking

    def _sweep(self) -> list[Signal]:
        signals = self._safely(self._places.sweep) + self._safely(self._files.aims)
        return signals + (self._safely(self._runs_of_ours) if self._runs is not None else [])

    def _look(self) -> list[Signal]:
        signals = self._safely(self._files.look) + self._files.stalls(self._plan.stall_us)
        rested = self._files.rested()
        return signals + (rested if Kind.IDLE in self._plan.until else [])

    def _runs_of_ours(self) -> list[Signal]:
        assert self._runs is not None  # asked only then
        named = self._plan.named
        ids = None if named is None else {one.thread_id for one in named}
        return [signal for signal in self._runs.take() if ids is None or signal.thread in ids]

    def _changed_places(self, paths: Iterable[str]) -> list[Signal]:
        return self._safely(lambda: self._places.changed(paths))

    def _safely(self, look: Look) -> list[Signal]:
        try:
            return look()
        except ArmariusError as error:
            self._once(str(error))
            return []

    def _once(self, trouble: str) -> None:
        if trouble not in self._warned:
            self._warned.add(trouble)
            self._warn(trouble)

    # Saying

    def _tell(self, signals: list[Signal]) -> End | None:
        self._pending, self._is_level = signals, True  # whoever reads may be gone, or interrupt
        for number, signal in enumerate(signals, start=1):
            self._say(signal)
            self._pending = signals[number:]
            self.said += 1
            end: End | None = None
            if signal.kind in self._plan.until:
                end = "until"
            elif self.said >= self._plan.max_events:
                self._say(self._capped())
                end = "cap"
            if end is not None:
                return end
        if signals:
            self._remember()
        return "over" if self._files.is_over else None

    def _capped(self) -> Signal:
        most = self._plan.max_events
        text = f"{most} signal{'s' if most != 1 else ''}, which is the most that was asked for (--max-events)"
        now = self._clock.now_us()
        return Signal(kind=Kind.CAP_REACHED, id=signal_id("cap", now), at_us=now, text=text, source="watch")

    def _remember(self) -> None:
        if self._plan.cursor is None:
            return
        self._saved = self._clock.monotonic_us()
        cursor = Cursor(
            is_all=self._plan.named is None,
            files=self._files.marks(),
            heads=self._places.heads,
            values=self._places.values,
            ledger_seq=self._runs.seq if self._runs else None,
            pending=tuple(self._pending),
        )
        save_cursor(self._plan.cursor, cursor)

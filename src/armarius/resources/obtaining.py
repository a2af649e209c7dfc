"""Getting what is needed, and keeping it: look, lease, look again; renew until it is given back.

Owns the order of these, the waiting, and the end of a holder that could not renew. Does not own a
look (resource_probes.py), a row (leases.py) or what is done with the lease.
Invariant: what is returned was seen free while it was already held, so that nobody else of ours can
have begun in between; whoever cannot renew stops before the ledger lets anybody else in.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Self

import msgspec

from armarius.clock import Clock, rfc3339
from armarius.errors import HostError, NoAnswer, Refused
from armarius.resources.catalogue import record
from armarius.resources.kinds import Declared, spec_of
from armarius.resources.leases import LENGTH_US, Busy, Claim, Held, Lease, Leases
from armarius.resources.needs import Need
from armarius.resources.probes import Prober, Sight
from armarius.store.database import Database

__all__ = ["Heartbeat", "Obtaining", "Renewal", "environ_of"]

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 5.0
_LAST_BEAT_S = 2.0
_PARTS = 3
"""A lease is renewed after a third of its time: two attempts may fail."""
_MARGIN = 6
"""So many parts of its length before the end a holder that could not renew stops."""


class Obtaining(msgspec.Struct):
    """What is needed, by whom, and where to look.

    `pause` waits for so many seconds. `tidy` is called before each attempt: what a crash left may still hold something.
    """

    ledger: Database
    leases: Leases
    prober: Prober
    clock: Clock
    declared: Mapping[str, Declared]
    pause: Callable[[float], None] = time.sleep
    tidy: Callable[[], object] = lambda: None

    def obtain(
        self,
        needs: Sequence[Need],
        *,
        also: Sequence[Claim] = (),
        unless: Callable[[], str] = lambda: "",
        wait_us: int | None = 0,
        length_us: int = LENGTH_US,
        run_id: str | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> Held:
        """All needs at once, or NoAnswer when they were not free for `wait_us` (None: for ever).

        `also` is claimed with them, where there is nothing to look at. `unless` gives a further reason why not, as long
        as there is one. `tell` hears why it waits, whenever that changes.
        """
        began_us, told, pause_s = self.clock.monotonic_us(), "", _FIRST_PAUSE_S
        while True:
            self.tidy()
            got = self._try(needs, also, unless, length_us=length_us, run_id=run_id)
            if isinstance(got, Held):
                return got
            left_us = None if wait_us is None else wait_us - (self.clock.monotonic_us() - began_us)
            if left_us is not None and left_us <= 0:
                code = "resource-timeout" if wait_us else "resource-busy"
                raise NoAnswer(code, f"not free: {got}", "wait for it with --wait, or see `armarius resources list`")
            if tell is not None and got != told:
                tell(got)
                told = got
            # Chance, so that those who wait for the same thing do not all ask in one moment.
            chance = 0.5 + self.clock.entropy(1)[0] / 256
            self.pause(min(pause_s * chance, _LONGEST_PAUSE_S, *(() if left_us is None else (left_us / 1e6,))))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def look(self, need: Need) -> Sight:
        """One need, seen now; what was seen is kept."""
        sight = self.prober.look(need, spec_of(need, self.declared))
        record(self.ledger, sight, self.prober.machine.host, now_us=self.clock.now_us())
        return sight

    def _try(
        self,
        needs: Sequence[Need],
        also: Sequence[Claim],
        unless: Callable[[], str],
        *,
        length_us: int,
        run_id: str | None,
    ) -> Held | str:
        """What was got, or why not. The leases come first where there is nobody to be seen anyway."""
        if why := unless():
            return why
        sights = [self.look(need) for need in needs]
        against = [self._refusal(sight) for sight in sights if sight.claim is None]
        if against:
            return "; ".join(against)
        claims = [sight.claim for sight in sights if sight.claim is not None]
        held = self.leases.acquire([*also, *claims], length_us=length_us, run_id=run_id)
        if isinstance(held, Busy):
            return f"{held.resource} is leased to " + (_holders(held.holders) or "nobody, but there is too little")
        try:
            against = [f"{need}: {reason}" for need in needs if (reason := self._taken_meanwhile(need, held))]
            against += [why] if (why := unless()) else []
        except BaseException:
            self.leases.release(held.leases)
            raise
        if against:
            self.leases.release(held.leases)
            return "; ".join(against)
        return held

    def _refusal(self, sight: Sight) -> str:
        """Why something is not free, and who of ours has it, as it may well be their work that was seen."""
        seats = [seat.lease for seat in self.leases.all() if seat.state == "held"]
        holders = _holders([lease for lease in seats if lease.resource == sight.resource])
        return f"{sight.need}: {sight.reason}" + (f"; leased to {holders}" if holders else "")

    def _taken_meanwhile(self, need: Need, held: Held) -> str | None:
        """Why what we hold is not free after all: a stranger, or what a dead holder left behind."""
        sight = self.look(need)
        mine = {lease.unit for lease in held.leases if lease.resource == sight.resource}
        busy = [look.reason for look in sight.looks if not look.is_free and (not look.unit or look.unit in mine)]
        return "; ".join(busy) or None


class Renewal:
    """Keeps what is held while something uses it. `tick` is called when `due_s` is over, or before."""

    def __init__(self, held: Held, clock: Clock, open_leases: Callable[[], AbstractContextManager[Leases]]) -> None:
        """`open_leases` opens the ledger anew, for each renewal: a server may have been restarted meanwhile."""
        self.held = held
        self._clock = clock
        self._open = open_leases
        self._length_us = min((lease.length_us for lease in held.leases), default=LENGTH_US)
        self._next_us = held.good_until_us - self._length_us + self._length_us // _PARTS

    def due_s(self) -> float:
        """How long there is nothing to do."""
        return max(0.0, (min(self._next_us, self._last_us()) - self._clock.monotonic_us()) / 1e6)

    def check(self) -> None:
        """NoAnswer when the end is near, and whatever uses the lease must end now."""
        if self._clock.monotonic_us() >= self._last_us():
            raise NoAnswer("lease-lost", "the lease could not be renewed in time", "see that the ledger can be reached")

    def tick(self) -> None:
        """Renew when it is time; NoAnswer when the lease is lost."""
        self.check()
        now_us = self._clock.monotonic_us()
        if now_us < self._next_us:
            return
        try:
            with self._open() as leases:
                self.held = leases.renew(self.held)
        except Refused as error:
            raise NoAnswer("lease-lost", error.message, error.hint) from error
        except HostError:
            # Until the end comes near, somebody may put the ledger right.
            self._next_us = now_us + self._length_us // (_PARTS * 8)
            return
        self._next_us = now_us + self._length_us // _PARTS

    def _last_us(self) -> int:
        return self.held.good_until_us - self._length_us // _MARGIN


class Heartbeat:
    """A renewal in a thread of its own, so that a ledger that does not answer cannot hold up the end."""

    def __init__(self, renewal: Renewal) -> None:
        self._renewal = renewal
        self._is_over = threading.Event()
        self._lost: NoAnswer | None = None
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(_LAST_BEAT_S)

    def check(self) -> None:
        """NoAnswer when the lease is lost or may soon be, and whatever uses it must end now."""
        if self._lost is not None:
            raise self._lost
        self._renewal.check()

    def _beat(self) -> None:
        while not self._is_over.wait(self._renewal.due_s()):
            try:
                self._renewal.tick()
            except NoAnswer as error:
                self._lost = error
                return


def environ_of(leases: Sequence[Lease]) -> dict[str, str]:
    """What a program finds in its environment of what is leased for it.

    CUDA_VISIBLE_DEVICES names the GPUs; ARMARIUS_LEASE each unit with its token, e.g. `gpu/GPU-1a2b#7`.
    """
    told = {"ARMARIUS_LEASE": " ".join(f"{lease.resource}/{lease.unit}#{lease.token}" for lease in leases)}
    gpus = [lease.unit for lease in leases if lease.resource == "gpu"]
    return told | ({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {})


def _holders(leases: Sequence[Lease]) -> str:
    return ", ".join(
        f"process {lease.owner_pid} on {lease.host}"
        + (f" for {lease.run_id}" if lease.run_id else "")
        + f" since {rfc3339(lease.acquired_at_us)[:19]}Z"
        for lease in leases
    )

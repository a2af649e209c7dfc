"""The right to use something scarce, as rows of the ledger.

Owns acquiring, renewing, giving back and taking away, and the check of fencing tokens. Does not own
what a resource is (resources.py) nor whether it is free of strangers (resource_probes.py).
Invariant: a unit has one holder at a time, and a token is never given twice: once a lease has ended,
however late its holder wakes up, every act with its token is refused.

Several units are acquired in one transaction or not at all, and nobody waits while holding, so that
no two can wait for each other.

Time. Ends of leases are compared on one clock, never on the clocks of two hosts: on the server's where
there is a server, else on the machine's monotonic clock, which all its processes share and which no
administrator sets. Whoever holds a lease measures on its own monotonic clock from before it asked, and
so ends earlier than the ledger does.

An owner whose process is known to be gone is not waited for. It is known only on the same host, boot
and pid namespace, or when the ledger is a file and the machine was started anew since. What belongs to
a run is held as long as the run is open, whichever of its processes is gone: its Codex may well live,
and what it left in a tree is not yet taken down.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from armarius.checkout.scopes import overlaps
from armarius.clock import Clock
from armarius.codex.guard import Identity, identity_of
from armarius.errors import Refused
from armarius.store.database import Database
from armarius.store.ledger import append_event
from armarius.store.queries import load

__all__ = [
    "LENGTH_US",
    "Amount",
    "Busy",
    "Claim",
    "Held",
    "Lease",
    "Leases",
    "Owner",
    "Paths",
    "Seat",
    "Units",
    "owner_of",
]

LENGTH_US = 60_000_000
"""How long a lease lasts unless it is renewed: long enough for a pause of a busy host, short enough to wait."""

_QUERIES = load(Path(__file__).with_name("leases.sql"))


class Owner(msgspec.Struct, frozen=True):
    """One process, told apart from every other one ever; `namespace` is the one that its pid belongs to."""

    host: str
    boot_id: str
    namespace: str
    owner_pid: int
    owner_start: int

    @property
    def identity(self) -> Identity:
        return {"host": self.host, "boot_id": self.boot_id, "pid": self.owner_pid, "start": self.owner_start}


class Lease(Owner, frozen=True, kw_only=True):
    """A row: who has which unit, with which token. `until_us` is on the ledger's clock, `acquired_at_us` wall time."""

    resource: str
    unit: str
    amount: int
    token: int
    acquired_at_us: int
    until_us: int
    length_us: int
    run_id: str | None = None


class Held(msgspec.Struct, frozen=True):
    """What was acquired together. After `good_until_us` (monotonic) nothing may be done with it."""

    leases: tuple[Lease, ...]
    good_until_us: int


class Units(msgspec.Struct, frozen=True):
    """Any `count` of the units that are named, the first free ones."""

    resource: str
    units: tuple[str, ...]
    count: int = 1


class Amount(msgspec.Struct, frozen=True):
    """So much of a resource of which `limit` can be given out in all."""

    resource: str
    amount: int
    limit: int


class Paths(msgspec.Struct, frozen=True):
    """Some paths of a tree, as patterns (`armarius.checkout.scopes`); no two have a path in common."""

    resource: str
    patterns: tuple[str, ...]


Claim: TypeAlias = Units | Amount | Paths


class Busy(msgspec.Struct, frozen=True):
    """What could not be had, and who has it."""

    resource: str
    holders: tuple[Lease, ...]


class Seat(msgspec.Struct, frozen=True):
    """A lease as it stands: `held`, or `expired` or `gone` and free for the next who asks."""

    lease: Lease
    state: Literal["held", "expired", "gone"]
    left_us: int


def owner_of(pid: int) -> Owner | None:
    """Process `pid` as the owner of leases; None when there is no such process."""
    who = identity_of(pid)
    return None if who is None else Owner(who["host"], who["boot_id"], _namespace(), who["pid"], who["start"])


class Leases:
    """The leases of a ledger, as one process sees them."""

    def __init__(self, ledger: Database, clock: Clock, me: Owner | None = None) -> None:
        """`me` is this process unless it says otherwise."""
        self._ledger = ledger
        self._clock = clock
        me = me or owner_of(os.getpid())
        assert me is not None  # this process is there
        self.me = me

    def acquire(self, claims: Sequence[Claim], *, length_us: int = LENGTH_US, run_id: str | None = None) -> Held | Busy:
        """Take all that is claimed, or nothing and say what was in the way."""
        good_until_us = self._clock.monotonic_us() + length_us
        with self._ledger.transaction():
            now_us = self._now_us()
            live = {name: self._swept(name, now_us) for name in sorted({claim.resource for claim in claims})}
            taken = list[tuple[str, str, int]]()
            for claim in claims:
                here = [(unit, amount) for resource, unit, amount in taken if resource == claim.resource]
                here += [(lease.unit, lease.amount) for lease in live[claim.resource]]
                wanted = _chosen(claim, here)
                if wanted is None:
                    return Busy(claim.resource, tuple(live[claim.resource]))
                taken += [(claim.resource, unit, amount) for unit, amount in wanted]
            leases = tuple(self._take(one, now_us, length_us, run_id) for one in sorted(taken))
        return Held(leases, good_until_us)

    def renew(self, held: Held) -> Held:
        """The same for another length from now; Refused when any of it was lost, which loses all of it."""
        now_monotonic_us = self._clock.monotonic_us()
        renewed = list[Lease]()
        with self._ledger.transaction():
            now_us = self._now_us()
            for lease in held.leases:
                self._check(lease, now_us)
                again = msgspec.structs.replace(lease, until_us=now_us + lease.length_us)
                self._ledger.execute(
                    _QUERIES.renew_lease, **_key(lease), until_us=again.until_us, length_us=again.length_us
                )
                renewed.append(again)
        shortest = min((lease.length_us for lease in renewed), default=LENGTH_US)
        return Held(tuple(renewed), now_monotonic_us + shortest)

    def check(self, leases: Iterable[Lease]) -> None:
        """Refused unless all of them are still held.

        Inside a transaction that does something, this makes sure that nobody else can hold them by then.
        """
        now_us = self._now_us()
        for lease in leases:
            self._check(lease, now_us)

    def release(self, leases: Iterable[Lease]) -> None:
        """Give back what of it is still ours; what was lost is left to whoever has it now."""
        with self._ledger.transaction():
            self.release_within(leases)

    def release_within(self, leases: Iterable[Lease]) -> None:
        """The same as a part of the caller's transaction."""
        now_us = self._clock.now_us()
        for lease in leases:
            if self._ledger.execute(_QUERIES.delete_lease, **_key(lease)):
                self._note("lease_released", lease, now_us)

    def expire(self) -> tuple[Lease, ...]:
        """Take away every lease that ran out or whose owner is gone, and say which."""
        with self._ledger.transaction():
            ended = tuple(seat.lease for seat in self.all() if seat.state != "held")
            for lease in ended:
                self._take_away(lease)
        return ended

    def hand_over(self, held: Held, owner: Owner, run_id: str | None = None) -> Held:
        """Make another process the owner, e.g. the guard, which outlives us; the tokens stay."""
        with self._ledger.transaction():
            return self.hand_over_within(held, owner, run_id)

    def hand_over_within(self, held: Held, owner: Owner, run_id: str | None = None) -> Held:
        """The same as a part of the caller's transaction."""
        self.check(held.leases)
        moved = tuple(
            msgspec.structs.replace(
                lease,
                host=owner.host,
                boot_id=owner.boot_id,
                namespace=owner.namespace,
                owner_pid=owner.owner_pid,
                owner_start=owner.owner_start,
                run_id=run_id or lease.run_id,
            )
            for lease in held.leases
        )
        for lease in moved:
            self._ledger.execute(_QUERIES.hand_over_lease, **_key(lease), **_owner(lease), run_id=lease.run_id)
        return Held(moved, held.good_until_us)

    def all(self) -> tuple[Seat, ...]:
        """Every lease there is, as it stands."""
        return self._seats(self._ledger.fetch(_QUERIES.all_leases, Lease))

    def of_run(self, run_id: str) -> tuple[Seat, ...]:
        """What a run holds, for whoever takes care of it after a crash."""
        return self._seats(self._ledger.fetch(_QUERIES.leases_of_run, Lease, run_id=run_id))

    def take_up(self, run_id: str) -> Held:
        """What a run still holds, renewed, for whoever goes on with it; Refused when any of it was lost."""
        leases = tuple(seat.lease for seat in self.of_run(run_id))
        return self.renew(Held(leases, 0))

    # ------------------------------------------------------------------ inside

    def _seats(self, rows: list[Lease]) -> tuple[Seat, ...]:
        now_us = self._now_us()
        return tuple(Seat(row, self._state(row, now_us), max(0, row.until_us - now_us)) for row in rows)

    def _now_us(self) -> int:
        server_us = self._ledger.server_time_us()
        return self._clock.monotonic_us() if server_us is None else server_us

    def _swept(self, resource: str, now_us: int) -> list[Lease]:
        """Who holds something of a resource, after those were removed who do not any more."""
        live = list[Lease]()
        for lease in self._ledger.fetch(_QUERIES.leases_of_resource, Lease, resource=resource):
            if self._state(lease, now_us) == "held":
                live.append(lease)
            else:
                self._take_away(lease)
        return live

    def _take_away(self, lease: Lease) -> None:
        self._ledger.execute(_QUERIES.delete_lease, **_key(lease))
        self._note("lease_expired", lease, self._clock.now_us())

    def _take(self, chosen: tuple[str, str, int], now_us: int, length_us: int, run_id: str | None) -> Lease:
        resource, unit, amount = chosen
        [row] = self._ledger.fetch(_QUERIES.next_token, resource=resource)
        token: int = row["last"]
        is_server = self._ledger.server_time_us() is not None
        lease = Lease(
            resource=resource,
            unit=unit or f"#{token}",
            amount=amount,
            token=token,
            host=self.me.host,
            boot_id=self.me.boot_id,
            namespace=self.me.namespace,
            owner_pid=self.me.owner_pid,
            owner_start=self.me.owner_start,
            run_id=run_id,
            acquired_at_us=now_us if is_server else self._clock.now_us(),
            until_us=now_us + length_us,
            length_us=length_us,
        )
        self._ledger.execute(_QUERIES.insert_lease, **msgspec.structs.asdict(lease))
        self._note("lease_acquired", lease, lease.acquired_at_us)
        return lease

    def _check(self, lease: Lease, now_us: int) -> None:
        row = self._ledger.fetch_one(_QUERIES.lease_by_token, Lease, **_key(lease))
        if row is None or self._is_over(row, now_us):
            raise Refused(
                "lease-fenced",
                f"the lease of {lease.resource}/{lease.unit} with token {lease.token} has ended",
                "stop what uses it, and acquire it anew",
            )

    def _state(self, lease: Lease, now_us: int) -> Literal["held", "expired", "gone"]:
        if self._is_gone(lease):
            return "gone"
        return "expired" if self._is_over(lease, now_us) else "held"

    def _is_over(self, lease: Lease, now_us: int) -> bool:
        # A machine's clock begins anew when it starts: an end further away than any lease is of an earlier boot.
        of_earlier_boot = self._ledger.server_time_us() is None and lease.until_us - lease.length_us > now_us
        return now_us >= lease.until_us or of_earlier_boot

    def _is_gone(self, lease: Lease) -> bool:
        if (lease.host, lease.boot_id, lease.namespace) == (self.me.host, self.me.boot_id, self.me.namespace):
            return _has_ended(lease) and not self._is_of_open_run(lease)
        return self._ledger.server_time_us() is None and lease.boot_id != self.me.boot_id

    def _is_of_open_run(self, lease: Lease) -> bool:
        return lease.run_id is not None and bool(self._ledger.fetch(_QUERIES.open_run, id=lease.run_id))

    def _note(self, kind: str, lease: Lease, at_us: int) -> None:
        body = {"resource": lease.resource, "unit": lease.unit, "token": lease.token} | {
            "host": lease.host,
            "pid": lease.owner_pid,
        }
        subject = lease.run_id or f"resource:{lease.resource}"
        append_event(self._ledger, at_us=at_us, subject=subject, kind=kind, body=body)


def _chosen(claim: Claim, taken: list[tuple[str, int]]) -> list[tuple[str, int]] | None:
    """Which units with which amounts a claim gets beside what is taken; None when it does not fit."""
    match claim:
        case Units(units=units, count=count):
            used = {unit for unit, _ in taken}
            free = [unit for unit in dict.fromkeys(units) if unit not in used]
            return [(unit, 1) for unit in free[:count]] if len(free) >= count else None
        case Amount(amount=amount, limit=limit):
            fits = sum(amount for _, amount in taken) + amount <= limit
            return [("", amount)] if fits else None
        case Paths(patterns=patterns):
            met = any(overlaps(patterns, msgspec.json.decode(unit, type=list[str])) for unit, _ in taken)
            return None if met else [(msgspec.json.encode(patterns).decode(), 1)]


def _has_ended(owner: Owner) -> bool:
    """Whether a process of this host and namespace is certainly gone."""
    now = identity_of(owner.owner_pid)
    if now is not None:
        return now != owner.identity
    try:
        os.kill(owner.owner_pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it may be hidden from us in /proc and yet live
    # It is there and cannot be told from another one: it is dead and not yet buried, or just now begun.
    return Path(f"/proc/{owner.owner_pid}").exists()


def _namespace() -> str:
    """The pid namespace we are in, as far as the system has such things."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _key(lease: Lease) -> dict[str, str | int]:
    return {"resource": lease.resource, "unit": lease.unit, "token": lease.token}


def _owner(lease: Lease) -> dict[str, str | int]:
    return {
        "host": lease.host,
        "boot_id": lease.boot_id,
        "namespace": lease.namespace,
        "owner_pid": lease.owner_pid,
        "owner_start": lease.owner_start,
    }

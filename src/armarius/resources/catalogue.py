"""Which resources were declared, and what was last seen of each.

Owns the rows of both. Does not own what a kind means (resources.py) nor who holds it (leases.py).
Invariant: what stands in the user's config.toml goes before what others declared in the ledger; the
ledger never names a program to be run.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from armarius.errors import DataError, Refused, UsageError
from armarius.resources.kinds import Declared, check_addition, check_name
from armarius.resources.leases import Leases
from armarius.resources.probes import Sight
from armarius.settings import ProbeSpec, ResourceSpec
from armarius.store.database import Database
from armarius.store.queries import load

__all__ = ["LastReading", "declare", "declared_in", "readings", "record", "withdraw"]

_QUERIES = load(Path(__file__).with_name("resources.sql"))


class LastReading(msgspec.Struct, frozen=True):
    """What a host last saw; `unit` is empty for a resource as a whole."""

    resource: str
    unit: str
    host: str
    at_us: int
    is_free: bool
    reason: str


class _Row(msgspec.Struct, frozen=True):
    name: str
    spec: str


def declared_in(ledger: Database | None, configured: Mapping[str, ResourceSpec]) -> dict[str, Declared]:
    """All that was declared, by name; without a ledger, what the user's own configuration says."""
    found = dict[str, Declared]()
    for row in ledger.fetch(_QUERIES.declared, _Row) if ledger is not None else ():
        try:
            spec = msgspec.json.decode(row.spec, type=ResourceSpec)
        except msgspec.ValidationError:
            continue  # of a newer armarius, or nothing that `declare` would write
        if not isinstance(spec, ProbeSpec):
            found[row.name] = Declared(row.name, spec, "ledger")
    for name, spec in configured.items():
        check_name(name, spec)
        found[name] = Declared(name, spec, "config.toml")
    return dict(sorted(found.items()))


def declare(
    ledger: Database, name: str, spec: ResourceSpec, configured: Mapping[str, ResourceSpec], *, now_us: int
) -> Declared:
    """Declare a resource for all who share the ledger."""
    check_addition(name, spec, tuple(configured))
    text = msgspec.json.encode(spec).decode()
    if not ledger.execute(_QUERIES.declare, name=name, spec=text, now_us=now_us):
        raise UsageError("resource-exists", f"there is a resource {name!r} already", "remove it first")
    return Declared(name, spec, "ledger")


def withdraw(ledger: Database, leases: Leases, name: str, configured: Mapping[str, ResourceSpec]) -> None:
    """Take a declaration back; Refused while somebody holds any of it."""
    if name in configured:
        raise UsageError("resource-configured", f"{name!r} stands in your config.toml", "remove it there")
    with ledger.transaction():
        for seat in leases.all():
            if seat.state == "held" and seat.lease.resource.partition("@")[0] == name:
                who = f"{seat.lease.host}, process {seat.lease.owner_pid}"
                raise Refused("resource-held", f"{name!r} is held by {who}", "wait until it is given back")
        if not ledger.execute(_QUERIES.withdraw, name=name):
            raise DataError("resource-unknown", f"no resource {name!r} was added", "see `armarius resources list`")


def record(ledger: Database, sight: Sight, host: str, *, now_us: int) -> None:
    """Keep what was just seen, for `armarius resources list`."""
    with ledger.transaction():
        if sight.resource == "gpu":  # a card that is not there any more is not shown
            ledger.execute(_QUERIES.forget_readings, resource=sight.resource, host=host)
        for look in sight.looks:
            ledger.execute(
                _QUERIES.record_reading,
                resource=sight.resource,
                unit=look.unit,
                host=host,
                at_us=now_us,
                is_free=int(look.is_free),
                reason=look.reason.replace("\0", ""),
            )


def readings(ledger: Database) -> list[LastReading]:
    """What was last seen, by resource and host."""
    return [
        LastReading(row["resource"], row["unit"], row["host"], row["at_us"], bool(row["is_free"]), row["reason"])
        for row in ledger.fetch(_QUERIES.readings)
    ]

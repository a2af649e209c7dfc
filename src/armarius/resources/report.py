"""Resources as a person or a program reads of them.

Owns the values of `armarius resources`. Does not own what they say.
Invariant: times are RFC 3339; the end of a lease is given in wall time, whatever clock the ledger goes by.
"""

from collections.abc import Mapping, Sequence

import msgspec

from armarius.clock import rfc3339
from armarius.resources.catalogue import LastReading
from armarius.resources.kinds import Declared, spec_of, thresholds_of, units_of
from armarius.resources.leases import Lease, Seat
from armarius.resources.needs import Need
from armarius.resources.probes import Sight
from armarius.settings import ResourceSpec

_TREES = ("repo", "scope")

__all__ = [
    "HolderLine",
    "LeaseReport",
    "LookLine",
    "ProbeLine",
    "ResourceChange",
    "ResourceLine",
    "ResourceList",
    "ResourceProbe",
    "change_of",
    "lease_report",
    "list_of",
    "probe_line",
]


class HolderLine(msgspec.Struct, frozen=True):
    """Who holds a unit. `state` is `held`, or `expired` or `gone`: then the next who asks gets it."""

    unit: str
    amount: int
    token: int
    state: str
    host: str
    pid: int
    run_id: str | None
    since: str
    expires: str


class LookLine(msgspec.Struct, frozen=True):
    """What a host last saw; `unit` is empty for the resource as a whole."""

    unit: str
    host: str
    at: str
    is_free: bool
    reason: str


class ResourceLine(msgspec.Struct, frozen=True):
    """One resource. `name` is what a need calls it, `key` what its leases are called on this machine or another.

    `units` is null where what there is must be looked at. `source` is `config.toml`, `ledger` or `built in`.
    """

    name: str
    key: str
    kind: str
    units: int | None
    thresholds: str
    source: str
    holders: tuple[HolderLine, ...]
    looks: tuple[LookLine, ...]


class ResourceList(msgspec.Struct, frozen=True):
    """All resources that are declared, held or were looked at (`armarius.resources.v1`)."""

    resources: tuple[ResourceLine, ...]
    schema: str = "armarius.resources.v1"


class ProbeLine(msgspec.Struct, frozen=True):
    """What a need looked like, and by which thresholds."""

    need: str
    key: str
    is_free: bool
    reason: str
    thresholds: str
    looks: tuple[LookLine, ...]


class ResourceProbe(msgspec.Struct, frozen=True):
    """Whether each need is free of strangers now (`armarius.resource_probe.v1`); leases are not asked."""

    probes: tuple[ProbeLine, ...]
    schema: str = "armarius.resource_probe.v1"


class ResourceChange(msgspec.Struct, frozen=True):
    """A declaration that was added to the ledger or removed from it (`armarius.resource.v1`)."""

    name: str
    action: str
    kind: str | None = None
    thresholds: str | None = None
    schema: str = "armarius.resource.v1"


class LeaseReport(msgspec.Struct, frozen=True):
    """A command that ran under a lease (`armarius.lease.v1`); times in seconds."""

    leases: tuple[HolderLine, ...]
    waited: float
    exit_code: int
    schema: str = "armarius.lease.v1"


def list_of(
    declared: Mapping[str, Declared], seats: Sequence[Seat], readings: Sequence[LastReading], now_us: int
) -> ResourceList:
    """Everything that is known of resources without looking."""
    keys = {seat.lease.resource for seat in seats} | {reading.resource for reading in readings}
    named = {key.partition("@")[0] for key in keys}
    lines = list[ResourceLine]()
    for name in sorted({"gpu", *declared, *named}):
        one = declared.get(name)
        spec = one.spec if one else _built_in(name, declared)
        for key in sorted(key for key in keys if key.partition("@")[0] == name) or [name]:
            lines.append(
                ResourceLine(
                    name=name,
                    key=key,
                    kind=_kind(name, spec),
                    units=len(units_of(one.spec)) or None if one else None,
                    thresholds=_thresholds(name, spec),
                    source=one.source if one else "built in" if spec is not None or name in _TREES else "unknown here",
                    holders=tuple(_holder(seat, now_us) for seat in seats if seat.lease.resource == key),
                    looks=tuple(_look(reading) for reading in readings if reading.resource == key),
                )
            )
    return ResourceList(tuple(lines))


def probe_line(sight: Sight, spec: ResourceSpec, host: str, at_us: int) -> ProbeLine:
    """What was just seen of a need."""
    looks = tuple(LookLine(look.unit, host, rfc3339(at_us), look.is_free, look.reason) for look in sight.looks)
    is_free = sight.claim is not None
    thresholds = _thresholds(sight.need.name, spec)
    return ProbeLine(str(sight.need), sight.resource, is_free, sight.reason, thresholds, looks)


def change_of(declared: Declared) -> ResourceChange:
    """A resource that was added."""
    return ResourceChange(declared.name, "added", _kind(declared.name, declared.spec), thresholds_of(declared.spec))


def lease_report(leases: Sequence[Lease], *, waited_us: int, exit_code: int, now_us: int) -> LeaseReport:
    """What was held while a command ran; the ends are those of the last renewal."""
    holders = tuple(_holder(Seat(lease, "held", lease.length_us), now_us) for lease in leases)
    return LeaseReport(holders, waited_us / 1_000_000, exit_code)


def _built_in(name: str, declared: Mapping[str, Declared]) -> ResourceSpec | None:
    return spec_of(Need(name), declared) if name in {"gpu", "port", "ram", "disk"} else None


def _kind(name: str, spec: ResourceSpec | None) -> str:
    if name in {"port", "ram", "disk", "repo", "scope"}:
        return name
    return "unknown" if spec is None else str(spec.__struct_config__.tag)


def _thresholds(name: str, spec: ResourceSpec | None) -> str:
    match name:
        case "port":
            return "it can be bound"
        case "ram" | "disk":
            return "as much is available as is wanted"
        case _:
            return "" if spec is None else thresholds_of(spec)


def _holder(seat: Seat, now_us: int) -> HolderLine:
    lease = seat.lease
    return HolderLine(
        unit=lease.unit,
        amount=lease.amount,
        token=lease.token,
        state=seat.state,
        host=lease.host,
        pid=lease.owner_pid,
        run_id=lease.run_id,
        since=rfc3339(lease.acquired_at_us),
        expires=rfc3339(now_us + seat.left_us),
    )


def _look(reading: LastReading) -> LookLine:
    return LookLine(reading.unit, reading.host, rfc3339(reading.at_us), reading.is_free, reading.reason)

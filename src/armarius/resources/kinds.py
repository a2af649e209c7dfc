"""Scarce things: which there are, and whether one is free of strangers.

Owns what a need leads to, and the judgement of a reading by the thresholds that the user stated. Does not
own reading (resource_probes.py) nor who holds what (leases.py).
Invariant: pure. What could not be read is not free. What is only up, and does nothing, is free.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from armarius.errors import DataError, Refused, UsageError, nearest
from armarius.resources.needs import BUILT_IN, Need, size_text
from armarius.settings import (
    ContainersSpec,
    CounterSpec,
    GpuSpec,
    ProbeSpec,
    ProcessesSpec,
    ResourceSpec,
)

__all__ = [
    "BoundPort",
    "Containers",
    "Counted",
    "Declared",
    "Gpu",
    "Machine",
    "Matches",
    "Probed",
    "Reading",
    "Room",
    "Unreadable",
    "check_addition",
    "is_free",
    "key_of",
    "parse_gpus",
    "spec_of",
    "thresholds_of",
    "units_of",
]

_RESERVED = ("port", "ram", "disk", "mcp", "repo", "scope")
_MOST_NAMED = 5


class Machine(msgspec.Struct, frozen=True):
    """Where a reading is from: the host's name, the boot, and the network that ports belong to."""

    host: str
    boot: str
    network: str


class Declared(msgspec.Struct, frozen=True):
    """A resource of the user's own; `source` is `config.toml` or `ledger`."""

    name: str
    spec: ResourceSpec
    source: str


# ------------------------------------------------------------------- readings


class Gpu(msgspec.Struct, frozen=True):
    """One graphics processor. None is what the driver does not tell of this model."""

    uuid: str
    index: int
    name: str
    memory: int | None
    utilisation: float | None
    apps: tuple[str, ...] = ()
    trouble: str | None = None


class Matches(msgspec.Struct, frozen=True):
    """The processes that a pattern was found in: pid and program."""

    processes: tuple[tuple[int, str], ...]


class Containers(msgspec.Struct, frozen=True):
    """CPU in percent of a core by container; None for one that is not running."""

    cpu: dict[str, float | None]


class Room(msgspec.Struct, frozen=True):
    """Bytes that can be had, and of what."""

    available: int
    wanted: int
    what: str


class BoundPort(msgspec.Struct, frozen=True):
    """Whether a port can be listened on; `holder` is who does, as far as we may see."""

    is_taken: bool
    holder: str = ""


class Probed(msgspec.Struct, frozen=True):
    """How the user's command ended; `code` is None at its deadline."""

    code: int | None
    said: str


class Counted(msgspec.Struct, frozen=True):
    """Nothing to look at: only leases count."""


class Unreadable(msgspec.Struct, frozen=True):
    """Nobody could look, and why."""

    reason: str


Reading: TypeAlias = Gpu | Matches | Containers | Room | BoundPort | Probed | Counted | Unreadable


def is_free(reading: Reading, spec: ResourceSpec) -> tuple[bool, str]:
    """Whether what was read means free, and why."""
    match reading, spec:
        case Gpu(), GpuSpec():
            return _gpu_is_free(reading, spec)
        case Matches(processes=found), _:
            if not found:
                return True, "no process matches"
            named = ", ".join(f"{program} ({pid})" for pid, program in found[:_MOST_NAMED])
            return False, f"{len(found)} matching: {named}"
        case Containers(), ContainersSpec():
            return _containers_are_free(reading, spec)
        case Room(available=available, wanted=wanted, what=what), _:
            said = f"{_about(available)} of {what}, {size_text(wanted)} wanted"
            return available >= wanted, said
        case BoundPort(is_taken=True, holder=holder), _:
            return False, "in use" + (f" by {holder}" if holder else "")
        case BoundPort(), _:
            return True, "can be bound"
        case Probed(code=None), _:
            return False, "the probe did not end in time"
        case Probed(code=code, said=said), _:
            return code == 0, f"the probe ended with {code}" + (f": {said}" if said else "")
        case Counted(), _:
            return True, "only leases count"
        case Unreadable(reason=reason), _:
            return False, f"unknown: {reason}"
        case _:
            raise TypeError(f"no judgement of {reading!r} by {spec!r}")


def _gpu_is_free(gpu: Gpu, spec: GpuSpec) -> tuple[bool, str]:
    if gpu.trouble is not None:
        return False, f"unknown: {gpu.trouble}"
    if gpu.memory is None and gpu.utilisation is None:
        return False, "unknown: the driver tells neither memory nor utilisation"
    against = list[str]()
    if len(gpu.apps) > spec.most_apps:
        against.append(f"{len(gpu.apps)} compute programs: {', '.join(gpu.apps[:_MOST_NAMED])}")
    if gpu.memory is not None and gpu.memory > spec.most_memory:
        against.append(f"{gpu.memory} MiB in use, at most {spec.most_memory} is free")
    if gpu.utilisation is not None and gpu.utilisation > spec.most_utilisation:
        against.append(f"{gpu.utilisation:g} % busy, at most {spec.most_utilisation:g} is free")
    if against:
        return False, "; ".join(against)
    memory = "?" if gpu.memory is None else gpu.memory
    utilisation = "?" if gpu.utilisation is None else f"{gpu.utilisation:g}"
    return True, f"{memory} MiB in use, {utilisation} % busy, {len(gpu.apps)} compute programs"


def _containers_are_free(reading: Containers, spec: ContainersSpec) -> tuple[bool, str]:
    busy = [f"{name} at {cpu:g} %" for name, cpu in reading.cpu.items() if cpu is not None and cpu > spec.most_cpu]
    if busy:
        return False, f"{', '.join(busy)} CPU, at most {spec.most_cpu:g} is free"
    up = sum(cpu is not None for cpu in reading.cpu.values())
    return True, f"{up} of {len(reading.cpu)} running, none over {spec.most_cpu:g} % CPU"


def parse_gpus(gpus: str, apps: str) -> tuple[Gpu, ...]:
    """What nvidia-smi says in CSV (`GPU_QUERY`, `APP_QUERY`); ValueError when it is something else."""
    programs = dict[str, list[str]]()
    for line in filter(None, map(str.strip, apps.splitlines())):
        uuid, pid, program = (word.strip() for word in line.split(",", 2))
        programs.setdefault(uuid, []).append(f"{program.rpartition('/')[2]} ({pid})")
    found = list[Gpu]()
    for line in filter(None, map(str.strip, gpus.splitlines())):
        index, uuid, memory, utilisation, name = (word.strip() for word in line.split(",", 4))
        if not uuid or not index.isdecimal():
            raise ValueError(f"no line of a GPU: {line[:100]!r}")
        used, busy, trouble = _number(memory), _number(utilisation), None
        for said, value in ((memory, used), (utilisation, busy)):
            if value is None and said.strip("[]").lower() not in {"n/a", "not supported"}:
                trouble = f"the driver says {said[:60]!r}"
        found.append(
            Gpu(
                uuid=uuid,
                index=int(index),
                name=name,
                memory=None if used is None else int(used),
                utilisation=busy,
                apps=tuple(programs.get(uuid, ())),
                trouble=trouble,
            )
        )
    return tuple(found)


def _number(text: str) -> float | None:
    return float(text) if text.replace(".", "", 1).isdecimal() and text.isascii() else None


def _about(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"


# ------------------------------------------------------------- what there is


def spec_of(need: Need, declared: Mapping[str, Declared]) -> ResourceSpec:
    """What the user said of what is needed; DataError when nobody ever spoke of it."""
    if need.server is not None:
        raise UsageError("need", f"{need}: an MCP server is nothing to lease", "see `armarius doctor mcp`")
    if need.name in declared:
        return declared[need.name].spec
    if need.name == "gpu":
        return GpuSpec()
    if need.name in BUILT_IN:
        return CounterSpec()
    known = sorted({*BUILT_IN, *declared})
    raise DataError(
        "resource-unknown",
        f"no resource called {need.name!r}",
        f"{nearest(need.name, known)}; declare it with `armarius resources add` or in your config.toml",
    )


def key_of(need: Need, spec: ResourceSpec, machine: Machine, device: int | None = None) -> str:
    """Under which name it is leased: what is of one machine is not the same on another.

    A GPU has an id of its own, so that two hosts that reach the same one, reach the same lease.
    """
    match need.name, spec:
        case _, GpuSpec():
            return "gpu"
        case "port", _:
            return f"port@{machine.boot}-{machine.network}"
        case "ram", _:
            return f"ram@{machine.boot}"
        case "disk", _:
            return f"disk@{machine.boot}-{device}"
        case name, ProcessesSpec() | ContainersSpec():
            return f"{name}@{machine.boot}"
        case name, _:
            return name


def units_of(spec: ResourceSpec) -> tuple[str, ...]:
    """The units of what is only counted, or probed as a whole."""
    return () if isinstance(spec, GpuSpec) else tuple(str(number + 1) for number in range(spec.units))


def thresholds_of(spec: ResourceSpec) -> str:
    """What the user stated, in short."""
    match spec:
        case GpuSpec():
            return f"at most {spec.most_memory} MiB, {spec.most_utilisation:g} %, {spec.most_apps} programs"
        case ProcessesSpec():
            return "none matches " + ", ".join(spec.patterns)
        case ContainersSpec():
            return f"{', '.join(spec.names)} at most {spec.most_cpu:g} % CPU"
        case ProbeSpec():
            return f"{spec.command[0]} ends with 0 within {spec.timeout:g} s"
        case CounterSpec():
            return "only leases count"


def check_addition(name: str, spec: ResourceSpec, configured: Sequence[str]) -> None:
    """Refuse what may not be declared in the ledger under a name."""
    if isinstance(spec, ProbeSpec):
        raise Refused(
            "resource-probe",
            "a probe is a program, and the ledger is shared with others who would run it",
            f'write [resources.{name}] with kind = "probe" and command = […] in your own config.toml',
        )
    check_name(name, spec)
    if name in configured:
        raise UsageError("resource-exists", f"{name!r} stands in your config.toml", "change it there")


def check_name(name: str, spec: ResourceSpec) -> None:
    """Refuse a name that already means something else."""
    if name in _RESERVED or (name == "gpu") != isinstance(spec, GpuSpec):
        hint = "`gpu` is for kind gpu alone, and the other way round; also taken: " + ", ".join(_RESERVED)
        raise DataError("resource-name", f"a resource of this kind cannot be called {name!r}", hint)

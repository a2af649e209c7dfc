"""Looking at scarce things: the machine's own numbers, its tools, and the probe that the user named.

Owns every look, each with a deadline. Does not own the judgement (resources.py).
Invariant: whatever cannot be read becomes `Unreadable` with its reason, and is never taken for free;
looking changes nothing; the only program of a user's is the one in their own configuration.
"""

import contextlib
import errno
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

from armarius.codex.guard import identity_of
from armarius.errors import DataError, HostError
from armarius.programs import Finished, run
from armarius.resources.kinds import (
    BoundPort,
    Containers,
    Counted,
    Gpu,
    Machine,
    Matches,
    Probed,
    Reading,
    Room,
    Unreadable,
    is_free,
    key_of,
    parse_gpus,
    units_of,
)
from armarius.resources.leases import Amount, Claim, Units
from armarius.resources.needs import Need
from armarius.resources.process_patterns import Process, matching
from armarius.settings import ContainersSpec, GpuSpec, ProbeSpec, ProcessesSpec, ResourceSpec

__all__ = ["Look", "Prober", "Sight", "this_machine"]

_GPU_QUERY = "--query-gpu=index,uuid,memory.used,utilization.gpu,name"
_APP_QUERY = "--query-compute-apps=gpu_uuid,pid,process_name"
_FORMAT = "--format=csv,noheader,nounits"
_STATS = ("stats", "--no-stream", "--format", "{{.Name}}\t{{.CPUPerc}}")
_PATIENCE_S = 20.0
_SHOWN = 200
_CGROUP = Path("/sys/fs/cgroup")


class Look(msgspec.Struct, frozen=True):
    """What one unit looked like; `unit` is empty where the resource was looked at as a whole."""

    unit: str
    is_free: bool
    reason: str


class Sight(msgspec.Struct, frozen=True):
    """What was seen of a need. `claim` is how to lease it, None while it is not free."""

    need: Need
    resource: str
    looks: tuple[Look, ...]
    claim: Claim | None

    @property
    def reason(self) -> str:
        """Why it is not free, or why it is."""
        told = [look for look in self.looks if look.is_free == (self.claim is not None)] or list(self.looks)
        return "; ".join(f"{look.unit}: {look.reason}" if look.unit else look.reason for look in told)


def this_machine() -> Machine:
    """The machine that this process sees."""
    who = identity_of(os.getpid()) or {}
    try:
        network = str(Path("/proc/self/ns/net").readlink()).strip("net:[]")
    except OSError:
        network = "0"
    return Machine(who["host"], who["boot_id"][:8] or who["host"], network)


class Prober:
    """Looks at what is needed. `environ` is the user's: where tools are found, and what they are told."""

    def __init__(self, environ: Mapping[str, str], folder: Path) -> None:
        """Paths of needs are relative to `folder`."""
        self._environ = dict(environ)
        self._folder = folder
        self.machine = this_machine()

    def look(self, need: Need, spec: ResourceSpec) -> Sight:
        """One need, seen now."""
        match need.name, spec:
            case _, GpuSpec():
                return self._gpus(need, spec)
            case "port", _:
                unit, (free, reason) = str(need.count), is_free(_port(need.count), spec)
                resource = key_of(need, spec, self.machine)
                return Sight(need, resource, (Look(unit, free, reason),), Units(resource, (unit,)) if free else None)
            case (("ram" | "disk"), _):
                return self._amount(need, spec)
            case _:
                units = units_of(spec)
                if need.count > len(units):
                    raise DataError(
                        "resource-units", f"{need} asks for more than the {len(units)} that there are", "ask for less"
                    )
                return self._whole(need, spec, self._reading(spec), units, need.count)

    def _whole(self, need: Need, spec: ResourceSpec, reading: Reading, units: tuple[str, ...], count: int) -> Sight:
        free, reason = is_free(reading, spec)
        resource = key_of(need, spec, self.machine)
        return Sight(need, resource, (Look("", free, reason),), Units(resource, units, count) if free else None)

    def _reading(self, spec: ResourceSpec) -> Reading:
        match spec:
            case ProcessesSpec(patterns=patterns):
                found = matching(_processes(), patterns, os.getpid())
                return Matches(tuple((process.pid, process.name) for process in found))
            case ContainersSpec():
                return self._containers(spec)
            case ProbeSpec():
                return self._probe(spec)
            case _:
                return Counted()

    # ------------------------------------------------------------------- GPUs

    def _gpus(self, need: Need, spec: GpuSpec) -> Sight:
        gpus = self.gpus()
        if isinstance(gpus, Unreadable):
            return Sight(need, "gpu", (Look("", *is_free(gpus, spec)),), None)
        looks = tuple(Look(gpu.uuid, *is_free(gpu, spec)) for gpu in gpus)
        free = tuple(look.unit for look in looks if look.is_free)
        if need.count > len(gpus):
            reason = f"there are {len(gpus)}, {need.count} wanted"
            return Sight(need, "gpu", (*looks, Look("", is_free=False, reason=reason)), None)
        return Sight(need, "gpu", looks, Units("gpu", free, need.count) if len(free) >= need.count else None)

    def gpus(self) -> tuple[Gpu, ...] | Unreadable:
        """Every GPU that the driver shows."""
        try:
            shown = self._tool("nvidia-smi", _GPU_QUERY, _FORMAT)
            apps = self._tool("nvidia-smi", _APP_QUERY, _FORMAT)
            return parse_gpus(shown, apps)
        except (HostError, ValueError) as error:
            return Unreadable(str(error)[:_SHOWN])

    # ------------------------------------------------------------- containers

    def _containers(self, spec: ContainersSpec) -> Reading:
        for program in ("docker", "podman"):
            if shutil.which(program, path=self._environ.get("PATH", os.defpath)):
                try:
                    return Containers({name: self._cpu(program, name) for name in spec.names})
                except (HostError, ValueError) as error:
                    return Unreadable(str(error)[:_SHOWN])
        return Unreadable("neither docker nor podman is on the PATH")

    def _cpu(self, program: str, name: str) -> float | None:
        """Its CPU in percent; None when there is no such container or it does not run."""
        try:
            said = self._tool(program, *_STATS, "--", name)
        except HostError as error:
            if "no such container" in str(error).lower() or "no container with name" in str(error).lower():
                return None
            raise
        percent = said.strip().rpartition("\t")[2].strip()
        return None if percent in {"", "--"} else float(percent.removesuffix("%"))

    # ----------------------------------------------------------------- others

    def _probe(self, spec: ProbeSpec) -> Reading:
        try:
            ended = run(spec.command, cwd=Path("/"), environ=self._environ, timeout=spec.timeout, most=_SHOWN)
        except HostError as error:
            return Unreadable(str(error)[:_SHOWN])
        return Probed(ended.code, _first_line(ended))

    def _amount(self, need: Need, spec: ResourceSpec) -> Sight:
        resource, device = need.name, None
        try:
            if need.name == "ram":
                reading: Reading = Room(_memory(), need.count, "memory available")
            else:
                place = self._folder / (need.path or "")
                device = place.stat().st_dev
                reading = Room(shutil.disk_usage(place).free, need.count, f"disk free at {place}")
        except OSError as error:
            reading = Unreadable(f"{error.filename or need.name}: {error.strerror}")
        resource = key_of(need, spec, self.machine, device)
        free, reason = is_free(reading, spec)
        claim = Amount(resource, need.count, reading.available) if free and isinstance(reading, Room) else None
        return Sight(need, resource, (Look("", free, reason),), claim)

    def _tool(self, program: str, *words: str) -> str:
        """What a tool of the machine prints; HostError when it fails or is not there."""
        ended = run((program, *words), cwd=Path("/"), environ=self._environ | {"LC_ALL": "C"}, timeout=_PATIENCE_S)
        if ended.code != 0:
            how = "did not end in time" if ended.code is None else f"ended with {ended.code}"
            raise HostError("tool", f"{program} {how}: {_first_line(ended)}", "see what it says when you run it")
        return ended.stdout.decode(errors="replace")


def _first_line(ended: Finished) -> str:
    text = (ended.stdout.strip() or ended.stderr.strip()) if ended.code == 0 else (ended.stderr or ended.stdout)
    return text.decode(errors="replace").strip().partition("\n")[0][:_SHOWN]


def _processes() -> tuple[Process, ...]:
    found = list[Process]()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError), process.oneshot():
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(Process(process.pid, process.ppid(), process.name(), tuple(process.cmdline())))
    return tuple(found)


def _port(number: int) -> Reading:
    """Whether a server could listen on a port, by trying, on every address of both families."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104  # closed at once
        try:
            with socket.socket(family, socket.SOCK_STREAM) as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no use
                if family == socket.AF_INET6:
                    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                server.bind((address, number))
                server.listen(1)
        except PermissionError:
            return Unreadable(f"we may not bind port {number}")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return BoundPort(is_taken=True, holder=_listener(number))
            if family == socket.AF_INET6:  # a machine without it
                continue
            return Unreadable(f"port {number}: {error.strerror}")
    return BoundPort(is_taken=False)


def _listener(number: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            is_it = connection.laddr and connection.laddr.port == number and connection.status == psutil.CONN_LISTEN
            if is_it and connection.pid:
                return f"{psutil.Process(connection.pid).name()} ({connection.pid})"
    return ""


def _memory() -> int:
    """Bytes that can be had without swapping, also inside of a container that may have less than the machine."""
    available = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):
        most = int((_CGROUP / "memory.max").read_text())  # "max" is no limit
        used = int((_CGROUP / "memory.current").read_text())
        for line in (_CGROUP / "memory.stat").read_text().splitlines():
            if line.startswith("inactive_file "):
                used -= int(line.split()[1])  # what is given back when it is asked for
        available = min(available, max(0, most - used))
    return available

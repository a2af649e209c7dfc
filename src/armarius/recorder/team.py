"""What a recorder does for a team: skills in, snapshots out, and the service between them.

Owns putting the parts together, and their threads. Does not own any of the parts.
Invariant: the proxy is never waited for and never waits; what goes wrong here is counted, and said.
"""

import ipaddress
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec

from armarius.clock import Clock
from armarius.errors import UsageError
from armarius.recorder.beside import Beside
from armarius.recorder.callback import CallGate, callback_secret
from armarius.recorder.evolution import Api, Evolution, EvolutionState
from armarius.recorder.exchange import Exchange, Inject
from armarius.recorder.flow import Sink
from armarius.recorder.injection import DEFAULT_TOKENS, Injector, Mode
from armarius.recorder.journal import Place
from armarius.recorder.outbound import Outbound, hub_reader, parse_endpoint
from armarius.recorder.pull import Skills, SkillsState, synced_skills
from armarius.recorder.snapshots import NOTHING, Cadence, Noted, Snapshots, SnapshotsState, note
from armarius.recorder.state import ProxyState
from armarius.skills.hub import MANIFEST, FolderSource, HubSource, Source
from armarius.skills.managed import Managed
from armarius.store.objects import open_objects

__all__ = ["Reload", "Team", "TeamPlan", "open_team"]

Reload = Literal["poll", "callback", "off"]


class TeamPlan(msgspec.Struct, frozen=True):
    """What was asked for. `callers` are addresses that a callback may come from, `hosts` those that may be private."""

    folder: Path
    codex_home: Path
    journal: Path | None
    environ: Mapping[str, str] = {}
    skills: str | None = None
    inject: Mode = "off"
    tokens: int = DEFAULT_TOKENS
    reload: Reload = "poll"
    reload_s: float = 30.0
    callers: tuple[str, ...] = ("127.0.0.1", "::1")
    snapshots: str | None = None
    cadence: Cadence = Cadence()
    alias: str = ""
    evolve: str | None = None
    api: Api = "jobs"
    callback: str | None = None
    hosts: tuple[str, ...] = ()
    token: str | None = None


class Team(msgspec.Struct):
    """The places where the proxy meets the parts; all None or empty where nothing was asked for."""

    inject: Inject | None = None
    sinks: tuple[Sink, ...] = ()
    calls: CallGate | None = None
    pull: Callable[[], None] | None = None
    skills: SkillsState | None = None
    snapshots: SnapshotsState | None = None
    evolution: EvolutionState | None = None

    def describe(self, state: ProxyState) -> None:
        """Say how it goes."""
        state.skills, state.snapshots, state.evolution = self.skills, self.snapshots, self.evolution


@contextmanager
def open_team(plan: TeamPlan, clock: Clock, say: Callable[[str], None]) -> Generator[Team]:
    """The parts of `plan`, at work until the block is left."""
    _check(plan)
    with ExitStack() as stack:
        opening = _Opening(plan, clock, say, stack)
        if plan.skills is not None:
            opening.skills(plan.skills)
        noted = opening.evolution(plan.evolve) if plan.evolve is not None else _nobody
        if plan.snapshots is not None and plan.journal is not None:
            opening.snapshots(plan.snapshots, plan.journal, noted)
        yield opening.team


def _nobody(_key: str) -> None:
    """No service is to be told of snapshots."""


def _check(plan: TeamPlan) -> None:
    for name, place in (("skills", plan.skills), ("snapshots", plan.snapshots), ("evolve", plan.evolve)):
        if place is not None and not place.strip():
            raise UsageError(name, f"--{name} names nothing", "leave it out, or name a place")
    for caller in plan.callers:
        try:
            ipaddress.ip_address(caller)
        except ValueError as error:
            raise UsageError("caller", f"--caller {caller!r} is no address", "give one such as 127.0.0.1") from error
    if not (plan.token or "").isascii() or not (plan.token or " ").isprintable():
        raise UsageError("token", "ARMARIUS_TEAM_TOKEN has a line end or a letter that no header has", "set it again")
    if plan.skills is None and (plan.inject != "off" or plan.reload == "callback"):
        raise UsageError("skills", "there are no skills to put in or to get", "name them with --skills")
    if plan.snapshots is not None and plan.journal is None:
        raise UsageError("snapshots", "snapshots are made of what is recorded", "leave --record on")
    if plan.evolve is not None and plan.snapshots is None:
        raise UsageError("evolve", "a service learns from snapshots", "name a place for them with --snapshots")


class _Opening(msgspec.Struct, frozen=True):
    """Opens the parts one by one; what is open is closed by `stack`."""

    plan: TeamPlan
    clock: Clock
    say: Callable[[str], None]
    stack: ExitStack
    team: Team = msgspec.field(default_factory=Team)

    def skills(self, place: str) -> None:
        plan, clock, own = self.plan, self.clock, self.plan.folder / "skills"
        if plan.inject == "off":
            managed = synced_skills(plan.codex_home, plan.folder)
        else:
            managed = Managed(own / "injected", own / "kept")
        every_s = plan.reload_s if plan.reload == "poll" else None
        skills = Skills(self._source(place), place, managed, clock, every_s=every_s, text=plan.inject == "pinned")
        complain = _Complaints(skills.state, "SKILLS", self.say)

        def step(told: list[str]) -> float | None:
            return complain.looking(skills.step(told))

        thread = self._beside("skills", step, step([]))  # before the first request, which they are chosen for
        self.team.skills = skills.state
        self.team.pull = lambda: thread.tell("")
        if plan.inject != "off":
            self.team.inject = Injector(plan.inject, skills.offered, plan.folder / "injected", clock, plan.tokens)
        if plan.reload == "callback":
            self.team.calls = CallGate(
                callback_secret(plan.folder, clock),
                clock,
                frozenset(str(ipaddress.ip_address(one)) for one in plan.callers),
            )

    def _source(self, place: str) -> Source:
        plan = self.plan
        if place.startswith(("http://", "https://")):
            outbound = Outbound(parse_endpoint(place), allowed=frozenset(plan.hosts), token=plan.token)
            return HubSource(hub_reader(outbound))
        if "://" not in place and not (Path(place).expanduser() / MANIFEST).exists():
            return FolderSource(Path(place).expanduser().absolute())
        return HubSource(open_objects(place, plan.environ).get)

    def evolution(self, service: str) -> Callable[[str], None]:
        """Whom to tell of each snapshot."""
        plan, team = self.plan, self.team
        evolution = Evolution(
            Outbound(parse_endpoint(service), allowed=frozenset(plan.hosts), token=plan.token),
            plan.folder / "evolution",
            self.clock,
            lambda: team.pull() if team.pull else None,
            api=plan.api,
            callback=plan.callback if plan.reload == "callback" else None,
        )
        complain = _Complaints(evolution.state, "EVOLUTION", self.say)

        def step(told: list[str]) -> float | None:
            for key in told:
                evolution.note(key)
            return complain.looking(evolution.step())

        team.evolution = evolution.state
        return self._beside("evolution", step).tell

    def snapshots(self, place: str, journal: Path, noted: Callable[[str], None]) -> None:
        plan = self.plan
        objects = open_objects(place, plan.environ)
        folder = plan.folder / "snapshots"
        snapshots = Snapshots(objects, folder, self.clock, noted, cadence=plan.cadence, alias=plan.alias)
        complain = _Complaints(snapshots.state, "SNAPSHOTS", self.say)
        thread = Beside[Noted](
            "snapshots",
            lambda told: complain.looking(snapshots.step(told, journal)),
            self.say,
            last=partial(snapshots.write_due, every=True),
            patience_s=30.0,
        )
        self.stack.enter_context(thread)

        def sink(exchange: Exchange, place: Place) -> None:
            noted = note(exchange, place)
            if noted is not None:
                thread.tell(noted if snapshots.accepts() else NOTHING)

        self.team.snapshots, self.team.sinks = snapshots.state, (sink,)

    def _beside(self, name: str, step: Callable[[list[str]], float | None], first_s: float | None = 0.0) -> Beside[str]:
        return self.stack.enter_context(Beside[str](name, step, self.say, first=first_s, patience_s=1.0))


class _Complaints:
    """Says what is wrong when it changes, not with every try."""

    def __init__(
        self, state: SkillsState | SnapshotsState | EvolutionState, what: str, say: Callable[[str], None]
    ) -> None:
        self._state, self._what, self._say = state, what, say
        self._said: str | None = None

    def looking(self, wait: float | None) -> float | None:
        trouble = self._state.trouble
        if trouble is not None and trouble != self._said:
            self._say(f"{self._what}: {trouble}")
        self._said = trouble
        return wait

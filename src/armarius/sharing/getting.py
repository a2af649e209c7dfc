"""Getting what a run is to hold: what it needs is looked at, others' sessions are, and all of it is leased at once.

Owns bringing these together. Does not own what a run is to hold and keeping it (holding.py), looks and leases
(resources/), nor the sessions (foreign.py). It is apart from holding.py because it is slow to load, and most runs
have nothing to get.
Invariant: whatever is handed out was free of strangers while it was already leased.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.resources.catalogue import declared_in
from armarius.resources.kinds import spec_of
from armarius.resources.leases import Held, Lease, Leases, Paths
from armarius.resources.needs import Need
from armarius.resources.obtaining import Obtaining, environ_of
from armarius.resources.probes import Prober
from armarius.runs.records import QUERIES, RunRow
from armarius.runs.request import RunRequest
from armarius.settings import ResourceSpec
from armarius.sharing import foreign
from armarius.sharing.site import Site, Waiting
from armarius.store.database import Database

__all__ = ["Getting", "check_needs", "environ_of_leases"]


class Getting(msgspec.Struct, frozen=True):
    """What is wanted, by whom, and where to look. `folders` are those whose trees are among the `claims`."""

    ledger: Database
    leases: Leases
    clock: Clock
    site: Site
    tidy: Callable[[], object]
    claims: tuple[Paths, ...]
    folders: tuple[Path, ...]

    def for_run(self, request: RunRequest, needs: Sequence[Need], waiting: Waiting, length_us: int) -> Held:
        """Everything for a run."""
        obtaining = self._obtaining(Path(request.cwd), waiting.pause, needs)
        return obtaining.obtain(
            needs,
            also=self.claims,
            unless=lambda: self._still_before(request) or self._sessions(),
            wait_us=waiting.wait_us,
            length_us=length_us,
            tell=waiting.tell,
        )

    def for_us(self, waiting: Waiting) -> Held:
        """The trees alone, for a moment's change of our own."""
        obtaining = self._obtaining(self.folders[0], waiting.pause, ())
        return obtaining.obtain((), also=self.claims, unless=self._sessions, wait_us=waiting.wait_us)

    def _obtaining(self, folder: Path, pause: Callable[[float], None], needs: Sequence[Need]) -> Obtaining:
        declared = declared_in(self.ledger, self.site.resources) if needs else {}
        prober = Prober(self.site.environ, folder)
        return Obtaining(self.ledger, self.leases, prober, self.clock, declared, pause, self.tidy)

    def _still_before(self, request: RunRequest) -> str:
        if request.after is None:
            return ""
        before = foreign.holding_thread(request.after, Path(request.after_home or request.codex_home), self.clock)
        return "" if before is None else foreign.told(before)

    def _sessions(self) -> str:
        if not self.folders or not self.site.homes:
            return ""
        runs = frozenset(run.folder for run in self.ledger.fetch(QUERIES.open_runs, RunRow))
        return "; ".join(map(foreign.told, foreign.sessions_in(self.folders, self.site.homes, runs, self.clock)))


def check_needs(needs: Iterable[Need], ledger: Database, resources: Mapping[str, ResourceSpec]) -> None:
    """Refuse a name that nobody declared, for which a run would wait for ever."""
    declared = declared_in(ledger, resources)
    for need in needs:
        spec_of(need, declared)


def environ_of_leases(leases: Sequence[Lease]) -> dict[str, str]:
    """What a run's Codex and its commands find in their environment."""
    return environ_of(leases)

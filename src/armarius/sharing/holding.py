"""What a run holds while it lives: its tree, its scope, and what it needs.

Owns what that is, getting it before the claim, keeping it, and the fence of a run that lost it. Does not own
leases and looks (resources/), nor the run (runner.py).
Invariant: a run that writes holds the tree that it writes to, or has one of its own; nothing is held while
waiting; what is held belongs to the run from its claim to its record, whoever of its processes dies.

How long. In a ledger that is a file, all who read it see whether a run is open, so its leases last as long as
it may at most. On a server nobody sees the processes of another host: there a lease lasts a minute and is
renewed by whoever answers for the run. In both the guard knows the moment (`fence` in the attempt's folder)
up to which it may go on, and ends Codex then, also when nobody is left to tell it.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from armarius.clock import Clock
from armarius.errors import HostError, Refused
from armarius.files import write_atomic
from armarius.resources.leases import Held, Leases, Owner, Paths
from armarius.resources.needs import parse_needs
from armarius.resources.trees import claims_of_scope, claims_of_trees
from armarius.runs.request import RunRequest
from armarius.sharing.site import NOW, Site, Waiting
from armarius.store.database import Database
from armarius.thread import Sandbox

if TYPE_CHECKING:
    from armarius.sharing.getting import Getting

__all__ = ["FENCE", "NOTHING", "Holds", "tools_environ"]

FENCE = "fence"
"""The file of an attempt that says until when (monotonic, microseconds) it may go on."""

_OWN_FOLDERS = ("replay", "reflection")
_AFTERWARDS_US = 600_000_000
_MARGIN = 6
_LAST_BEAT_S = 2.0
_TREES = ("repo@", "scope@")


NOTHING = Held((), 0)


class Holds:
    """The leases of runs, as one Armarius process answers for them."""

    def __init__(self, ledger: Database, clock: Clock, site: Site, tidy: Callable[[], object]) -> None:
        self._ledger = ledger
        self._clock = clock
        self._site = site
        self._tidy = tidy
        self._beats = dict[str, _Beat]()
        self.leases = Leases(ledger, clock)

    def obtain(self, request: RunRequest, waiting: Waiting) -> Held:
        """Everything that the run is to hold, at once; NoAnswer when it was not free in time."""
        needs = tuple(need for need in parse_needs(request.needs) if need.server is None)
        folders = _shared_folders(request)
        claims = (*claims_of_trees(folders), *_scope(request))
        if not needs and not claims and request.after is None:
            return NOTHING
        return self._getting(claims, folders).for_run(request, needs, waiting, self._length_us(request))

    def tree_now(self, folder: Path) -> Held:
        """The tree of a folder for a moment's change of our own; NoAnswer, naming who has it, when it is not free."""
        return self._getting(claims_of_trees((folder,)), (folder,)).for_us(NOW)

    def _getting(self, claims: tuple[Paths, ...], folders: tuple[Path, ...]) -> "Getting":
        from armarius.sharing.getting import Getting

        return Getting(self._ledger, self.leases, self._clock, self._site, self._tidy, claims, folders)

    def give(self, held: Held, owner: Owner, run_id: str) -> Held:
        """Make what was obtained the run's; within the transaction of its claim or of its start."""
        return self.leases.hand_over_within(held, owner, run_id) if held.leases else held

    def give_back_unused(self, held: Held) -> None:
        """Give back what was obtained and not made a run's."""
        tokens = {(lease.resource, lease.token) for lease in held.leases}
        seats = self.leases.all() if tokens else ()
        unused = [seat.lease for seat in seats if (seat.lease.resource, seat.lease.token) in tokens]
        unused = [lease for lease in unused if lease.run_id is None]
        if unused:
            self.leases.release(unused)

    def fence(self, held: Held, folder: Path) -> str | None:
        """Write down up to when an attempt may go on; the file's path for its guard."""
        if not held.leases:
            return None
        _write_fence(folder, _last_us(held))
        return str(folder / FENCE)

    def keep(self, run_id: str, held: Held, folder: Path) -> None:
        """Renew until `stop`; when it is lost, let the guard know."""
        if held.leases and self._site.reopen is not None:
            beat = self._beats[run_id] = _Beat(held, folder, self._clock, self._site, self.leases.me)
            beat.start()

    def take_up(self, run_id: str, folder: Path) -> None:
        """Look after what a run holds whose Armarius is gone; what was lost is told to its guard."""
        if not self.leases.of_run(run_id):
            return
        try:
            held = self.leases.take_up(run_id)
        except Refused:
            _write_fence(folder, 0)
            return
        _write_fence(folder, _last_us(held))
        self.keep(run_id, held, folder)

    def going_on(self, run_id: str) -> Held:
        """What a run holds, for its next attempt; Refused when it was lost."""
        self.stop(run_id)
        return self.leases.take_up(run_id)

    def stop(self, run_id: str) -> None:
        """No more looking after: the run is over."""
        beat = self._beats.pop(run_id, None)
        if beat is not None:
            beat.stop()

    def end_within(self, run_id: str) -> None:
        """Give back what a run holds, in the transaction of its end."""
        self.leases.release_within(seat.lease for seat in self.leases.of_run(run_id))

    # ------------------------------------------------------------------ inside

    def _length_us(self, request: RunRequest) -> int:
        if self._ledger.server_time_us() is not None:
            return self._site.length_us
        afterwards_s = sum(required.timeout_s for required in request.required)
        return int(request.deadline_s * 1_500_000 + afterwards_s * 1_000_000) + _AFTERWARDS_US


def tools_environ(held: Held) -> dict[str, str]:
    """What a run's Codex and its commands find in their environment of what it holds."""
    needed = [lease for lease in held.leases if not lease.resource.startswith(_TREES)]
    if not needed:
        return {}
    from armarius.sharing.getting import environ_of_leases

    return environ_of_leases(needed)


def _shared_folders(request: RunRequest) -> tuple[Path, ...]:
    """The folders of others that a run may write to; those of a night are made for their run alone."""
    # What a person may be asked for may be to write.
    only_reads = request.sandbox == Sandbox.READ_ONLY.flag and request.approval == "never"
    if only_reads or request.role in _OWN_FOLDERS:
        return ()
    own = () if request.checkout else (request.cwd,)
    return tuple(map(Path, (*own, *request.add_dirs)))


def _scope(request: RunRequest) -> tuple[Paths, ...]:
    return claims_of_scope(Path(request.cwd), request.scope) if request.scope else ()


def _last_us(held: Held) -> int:
    """When whoever could not renew stops: so long before the ledger lets in anybody else."""
    return held.good_until_us - min(lease.length_us for lease in held.leases) // _MARGIN


def _write_fence(folder: Path, until_us: int) -> None:
    write_atomic(folder / FENCE, str(until_us).encode())


class _Beat:
    """Renews in a thread with a ledger of its own, so that nothing that is slow elsewhere holds it up."""

    def __init__(self, held: Held, folder: Path, clock: Clock, site: Site, me: Owner) -> None:
        assert site.reopen is not None  # the caller has looked
        self._held = held
        self._folder = folder
        self._clock = clock
        self._reopen = site.reopen
        self._beat_s = site.beat_s
        self._me = me
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go, name="leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(_LAST_BEAT_S)

    def _go(self) -> None:
        while not self._is_over.wait(self._beat_s):
            try:
                with closing(self._reopen()) as ledger:
                    self._held = Leases(ledger, self._clock, self._me).renew(self._held)
            except Refused:
                if not self._is_over.is_set():  # else the run has ended, and given it back itself
                    _write_fence(self._folder, 0)
                return
            except HostError:
                continue  # the ledger cannot be reached: somebody may put it right before the fence is reached
            if not self._is_over.is_set() and self._folder.is_dir():
                _write_fence(self._folder, _last_us(self._held))

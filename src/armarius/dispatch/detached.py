"""Runs that their caller does not wait for.

Owns handing one in and seeing to it that a worker lives. Does not own the worker.
Invariant: a run is accepted by one commit, and whoever accepted it has seen a worker that will look at the
queue once more, or has started one.
"""

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Iterable

import psutil

from armarius.background import start_background
from armarius.clock import Clock
from armarius.dispatch import workers
from armarius.dispatch.runner import Runner
from armarius.errors import UsageError
from armarius.files import private_folder
from armarius.runs import queued
from armarius.runs.limits import check_budget
from armarius.runs.queued import Place
from armarius.runs.records import QUERIES, RunRow
from armarius.runs.request import RunRequest
from armarius.settings import Settings
from armarius.store.database import Database

__all__ = ["LOG", "check_portable", "detach", "ensure_worker", "environ_behind", "keep_alone", "see_to_worker"]

LOG = "worker.log"
"""What a worker in the background prints, below ARMARIUS_HOME."""

_ROUNDS, _ROUND_S = 30, 0.1


def detach(settings: Settings, runner: Runner, request: RunRequest, *, any_host: bool = False) -> RunRow:
    """Accept a run that a worker is to do; the run as it waits."""
    if any_host:
        check_portable(settings, request)
    check_budget(request, runner.limits(request))
    place = queued.place_of(settings, request, any_host=any_host)
    ledger, clock = runner.ledger, runner.clock
    known = request.paid_key and ledger.fetch_one(QUERIES.run_by_paid_key, RunRow, paid_key=request.paid_key)
    if known:
        return known
    with ledger.transaction():
        run_id = queued.hand_in(ledger, clock, settings.runs, request, place)
    ensure_worker(settings, ledger, clock, place)
    return runner.row(run_id)


def ensure_worker(settings: Settings, ledger: Database, clock: Clock, place: Place) -> bool:
    """Start a worker in the background unless one of this seat lives that has what is needed; whether it did."""
    seat = queued.seat_of(settings)
    there = [row for row in workers.living(ledger, clock, host=os.uname().nodename) if row.seat == seat]
    if any(_has(row.owner_pid, place.variables) for row in there):
        return False
    private_folder(settings.home)
    argv = [sys.executable, "-m", "armarius", "worker", "--background", "--json"]
    argv += [word for name in place.variables for word in ("--with", name)]
    start_background(argv, environ=environ_behind(settings), log=settings.home / LOG)
    return True


def environ_behind(settings: Settings) -> dict[str, str]:
    """The environment of an Armarius in the background that works on what we do."""
    database = {} if settings.database is None else {"ARMARIUS_DATABASE": settings.database}
    return settings.environ | {"ARMARIUS_HOME": str(settings.home)} | database


def see_to_worker(settings: Settings, ledger: Database, clock: Clock, runs: Iterable[RunRow]) -> None:
    """Start a worker for those of the runs that wait for one here; after a restart of the machine none lives.

    Not without the variables that a run needs: it would do nothing, in the place of the one that has them.
    """
    seat = queued.seat_of(settings)
    for run in runs:
        place = queued.place_in(ledger, run.id) if run.state == "queued" else None
        if place is None or place.seat not in (None, seat):
            continue
        if all(name in settings.environ for name in place.variables):
            ensure_worker(settings, ledger, clock, place)


def keep_alone(settings: Settings, variables: tuple[str, ...] = ()) -> int | None:
    """The right to be the one worker in the background with these variables, as a descriptor; None: there is one."""
    which = hashlib.sha256("\0".join((settings.database or "", *sorted(variables))).encode()).hexdigest()[:16]
    descriptor = os.open(
        settings.home / f"worker-{which}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    for _ in range(_ROUNDS):  # one that is just leaving holds it for a moment, and takes nothing any more
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_ROUND_S)
        else:
            return descriptor
    os.close(descriptor)
    return None


def _has(pid: int, variables: tuple[str, ...]) -> bool:
    """Whether a worker of ours has these variables; only it and we can see that."""
    if not variables:
        return True
    try:
        environ = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return False
    return all(name in environ for name in variables)


def check_portable(settings: Settings, request: RunRequest) -> None:
    """Refuse for any host what is on this one alone."""
    what = (
        "a thread goes on where it lies"
        if request.origin is not None
        else "an image is a file of this host"
        if request.images
        else "a folder to write to besides is one of this host"
        if request.add_dirs
        else "a profile is a file of this host"
        if request.profile is not None
        else "the ledger is a file of this host"
        if settings.database is None
        else None
    )
    if what is not None:
        raise UsageError("any-host", f"{what}, so it cannot be done on any", "leave out --any-host")

"""What runs need, taken from the user's settings.

Owns opening the ledger and bringing together codex, its owner and a runner. Does not own work.
Invariant: nobody gets a runner before the login was found fit to be billed, and what an earlier
Armarius left open on this host has been recorded by then.
"""

from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from armarius.clock import Clock, SystemClock
from armarius.codex.billing import Kind
from armarius.codex.binary import Binary, find
from armarius.codex.dotenv import check_dotenv
from armarius.codex.home import Owner, read_owner
from armarius.dispatch.runner import Runner
from armarius.dispatch.standing import standing_of
from armarius.files import private_folder
from armarius.lanes.billing import admit
from armarius.lanes.lanes import Lanes
from armarius.settings import Settings
from armarius.sharing.site import Site
from armarius.store.database import Database
from armarius.store.ledger import open_ledger

__all__ = ["Workbench", "keys_of", "ledger_of", "site_of", "workbench"]


class Workbench(msgspec.Struct, frozen=True):
    """Everything for runs. `keys` are the variables that the owner's provider names, with values."""

    owner: Owner
    keys: dict[str, str]
    binary: Binary
    ledger: Database
    runner: Runner
    clock: Clock


@contextmanager
def ledger_of(settings: Settings) -> Generator[Database]:
    """The user's ledger, open; made when it is not there yet."""
    private_folder(settings.home)
    with closing(open_ledger(settings.database or settings.ledger, SystemClock())) as ledger:
        yield ledger


@contextmanager
def workbench(settings: Settings, lane: str | None = None) -> Generator[Workbench]:
    """All that runs need, for the time of a command; by the login of a lane, or of the default one."""
    lanes = Lanes(settings)
    name = lane or lanes.default()
    lanes.find(name)
    home = lanes.home(name)
    owner, keys = keys_of(settings, home, kind=lanes.kind_of(home))
    private_folder(settings.home)
    binary = find(
        setting=settings.codex,
        search_path=settings.search_path,
        user_home=settings.user_home,
        cache=settings.home / "probes.json",
    )
    clock = SystemClock()
    with ledger_of(settings) as ledger:
        standing = standing_of(settings, ledger, clock, binary)
        runner = Runner(
            ledger, clock, settings.runs, binary, settings.environ, standing=standing, site=site_of(settings)
        )
        runner.recover()
        yield Workbench(owner, keys, binary, ledger, runner, clock)


def site_of(settings: Settings) -> Site:
    """Where to look before a run begins."""
    return Site(
        homes=tuple(Lanes(settings).homes()),
        resources=settings.resources,
        environ=settings.environ,
        reopen=lambda: open_ledger(settings.database or settings.ledger, SystemClock()),
    )


def keys_of(
    settings: Settings,
    codex_home: Path,
    *,
    kind: Kind | None = None,
    program: Path | None = None,
    cwd: Path | None = None,
    profile: str | None = None,
    overrides: Iterable[str] = (),
) -> tuple[Owner, dict[str, str]]:
    """The owner of a CODEX_HOME, fit to be billed, and what of the environment its provider names.

    `kind` is that of its lane, `program` the Codex that is asked whether it agrees, `cwd`, `profile`
    and `overrides` (`-c`) are those of the run.
    """
    owner = read_owner(codex_home)
    check_dotenv(codex_home)
    admit(settings, codex_home, kind=kind, program=program, cwd=cwd, profile=profile, overrides=overrides)
    return owner, {name: settings.environ[name] for name in owner.key_variables if name in settings.environ}

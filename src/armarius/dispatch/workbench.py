"""What runs need, taken from the user's settings.

Owns opening the ledger and bringing together codex, its owner and a runner. Does not own work.
Invariant: nobody gets a runner before the login was found fit to be billed, and what an earlier
Armarius left open on this host has been recorded by then.
"""

from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from armarius.clock import Clock, SystemClock
from armarius.codex.billing import Kind
from armarius.codex.binary import Binary, find
from armarius.codex.home import Owner, read_owner
from armarius.dispatch.runner import Runner
from armarius.files import private_folder
from armarius.lanes.billing import admit
from armarius.lanes.lanes import Lanes
from armarius.settings import Settings
from armarius.store.database import Database
from armarius.store.ledger import open_ledger

__all__ = ["Workbench", "keys_of", "ledger_of", "workbench"]


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
    with closing(open_ledger(settings.ledger, SystemClock())) as ledger:
        yield ledger


@contextmanager
def workbench(settings: Settings, lane: str | None = None) -> Generator[Workbench]:
    """All that runs need, for the time of a command; by the login of a lane, or of the default one."""
    lanes = Lanes(settings)
    home = lanes.home(lane or lanes.default())
    owner, keys = keys_of(settings, home, kind=lanes.kind_of(home))
    private_folder(settings.home)
    binary = find(setting=settings.codex, search_path=settings.search_path, cache=settings.home / "probes.json")
    clock = SystemClock()
    with ledger_of(settings) as ledger:
        runner = Runner(ledger, clock, settings.runs, binary, settings.environ)
        runner.recover()
        yield Workbench(owner, keys, binary, ledger, runner, clock)


def keys_of(
    settings: Settings,
    codex_home: Path,
    *,
    kind: Kind | None = None,
    program: Path | None = None,
    cwd: Path | None = None,
    profile: str | None = None,
) -> tuple[Owner, dict[str, str]]:
    """The owner of a CODEX_HOME, fit to be billed, and what of the environment its provider names.

    `kind` is that of its lane, `program` the Codex that is asked whether it agrees, `cwd` and `profile`
    are those of the run.
    """
    owner = read_owner(codex_home)
    admit(settings, codex_home, kind=kind, program=program, cwd=cwd, profile=profile)
    return owner, {name: settings.environ[name] for name in owner.key_variables if name in settings.environ}

"""What the commands about resources have in common: the ledger, who we are in it, what was declared."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from armarius.clock import SystemClock
from armarius.dispatch.keeper import Keeper
from armarius.dispatch.workbench import ledger_of
from armarius.resources.catalogue import declared_in
from armarius.resources.leases import Leases, Owner
from armarius.resources.obtaining import Obtaining
from armarius.resources.probes import Prober
from armarius.settings import Settings

__all__ = ["obtaining", "opened_leases"]


@contextmanager
def obtaining(settings: Settings) -> Generator[Obtaining]:
    """Everything for getting what is needed."""
    clock = SystemClock()
    with ledger_of(settings) as ledger:
        declared = declared_in(ledger, settings.resources)
        prober = Prober(settings.environ, Path.cwd())
        tidy = Keeper(ledger, clock).recover
        yield Obtaining(ledger, Leases(ledger, clock), prober, clock, declared, tidy=tidy)


@contextmanager
def opened_leases(settings: Settings, me: Owner) -> Generator[Leases]:
    """The leases alone, on a connection of their own."""
    with ledger_of(settings) as ledger:
        yield Leases(ledger, SystemClock(), me)

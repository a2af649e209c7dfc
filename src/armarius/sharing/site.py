"""Where to look before a run begins, and how to wait for what is not free.

Owns these two values. Does not own looking (getting.py) nor what is waited for (holding.py).
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from armarius.resources.leases import LENGTH_US
from armarius.settings import ResourceSpec
from armarius.store.database import Database

__all__ = ["NOW", "NOWHERE", "WAIT", "Site", "Waiting"]


class Waiting(msgspec.Struct, frozen=True):
    """How to wait for what is held by others: at most so long (None: for ever), and who is told why."""

    wait_us: int | None = None
    tell: Callable[[str], None] | None = None
    pause: Callable[[float], None] = time.sleep


WAIT = Waiting()
"""For ever, in silence."""

NOW = Waiting(wait_us=0)
"""Not at all: whatever is not free is refused."""


class Site(msgspec.Struct, frozen=True):
    """Where to look on behalf of runs.

    `homes` are the CODEX_HOMEs in which others may have sessions, `resources` what the user's configuration declares.
    `reopen` opens the ledger once more, for a thread of its own. `beat_s` is how often what is held is looked after,
    `length_us` how long a lease lasts on a server that is not asked any more.
    """

    homes: tuple[Path, ...] = ()
    resources: Mapping[str, ResourceSpec] = {}
    environ: Mapping[str, str] = {}
    reopen: Callable[[], Database] | None = None
    beat_s: float = 20.0
    length_us: int = LENGTH_US


NOWHERE = Site()

"""The variables that Codex takes from `.env` in its home.

Owns which names such a file sets, and which of them no run can have. Does not own who is billed (billing.py).
Invariant: Codex sets these over the environment that it was given, so that no allow-list holds them back: what would
take the place of something that a run states is refused; every other name can be kept from the commands of a run.
Rather a name too many than one too few is found: a line within a value that looks like one counts, too.
"""

import os
import re
from pathlib import Path

from armarius.errors import Refused
from armarius.files import read_bounded

__all__ = ["DOTENV", "check_dotenv", "names_in"]

DOTENV = ".env"

_LARGEST = 64 << 10
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=", re.MULTILINE)
_STATED = frozenset({"HOME", "TMPDIR"})
_PREFIXES = ("ARMARIUS_", "LD_")


def names_in(codex_home: Path) -> tuple[str, ...]:
    """The names that Codex would set in this home; DataError for a file that cannot be read."""
    path = codex_home / DOTENV
    if not os.path.lexists(path):
        return ()
    found = _LINE.findall(read_bounded(path, _LARGEST).decode(errors="replace"))
    # Codex leaves out names of its own.
    return tuple(sorted({name for name in found if not name.upper().startswith("CODEX_")}))


def check_dotenv(codex_home: Path) -> None:
    """Refuse a home that would move a run's temporary folder, to which it may write, or make its processes strange.

    A name with a point in it cannot be kept from commands: no `--config` of Codex's can spell it.
    """
    barred = [name for name in names_in(codex_home) if name in _STATED or name.startswith(_PREFIXES) or "." in name]
    if barred:
        raise Refused(
            "home-env",
            f"{codex_home / DOTENV} sets {' and '.join(barred)}, which Codex would put over what the run is given",
            "take it out of there",
        )

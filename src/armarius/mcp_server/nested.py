"""Whether an agent that Armarius runs is the one that asks.

Owns looking at who started us. Does not own what follows from it.
Invariant: below a guard of ours nobody can say otherwise: the line of parents is the kernel's.
"""

import psutil

from armarius.codex import guard

__all__ = ["is_nested"]


def is_nested() -> bool:
    """Whether one of our parents is the guard of a run."""
    program = str(guard.__file__)
    for parent in psutil.Process().parents():
        try:
            if program in parent.cmdline():
                return True
        except psutil.Error:  # it ended, or is somebody else's
            continue
    return False

"""How many connections and files this process may have open at the same time.

Owns asking the system for as many as are needed. Does not own how many that is.
Invariant: it never becomes fewer, and where the system allows no more, nothing happens.
"""

import contextlib
import resource

__all__ = ["allow_descriptors"]


def allow_descriptors(count: int) -> None:
    """Let this process have `count` descriptors, or as many as it may; many systems begin with 256 or 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    with contextlib.suppress(OSError, ValueError):  # some systems have a limit beyond the one that they tell
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))

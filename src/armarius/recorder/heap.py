"""Memory that large requests have left behind, given back to the machine.

Owns asking the C library for it. Does not own when.
Invariant: where the library cannot do it, nothing happens.
"""

import ctypes
from typing import Any

__all__ = ["give_back"]

_trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None)


def give_back() -> None:
    """Give back pages that nothing is on; glibc keeps those between others until it is asked."""
    if _trim is not None:
        _trim(0)

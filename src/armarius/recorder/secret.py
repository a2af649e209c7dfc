"""Secrets that the recorder makes itself: the token of its clients, the one that a service signs calls with.

Owns making one. Does not own what it is good for, or whether what stands in the file is one.
Invariant: it is made once, however many programs want it at the same moment, and its owner alone can read it.
"""

import base64
from pathlib import Path

from armarius.clock import Clock
from armarius.files import locked, private_folder, write_atomic

__all__ = ["made_once"]


def made_once(path: Path, clock: Clock) -> Path:
    """The file at `path`, which holds a secret from now on."""
    private_folder(path.parent)
    if not path.exists():
        with locked(path.with_name(f"{path.name}.lock")):
            if not path.exists():
                write_atomic(path, base64.urlsafe_b64encode(clock.entropy(32)).rstrip(b"="))
    return path

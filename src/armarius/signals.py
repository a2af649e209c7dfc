"""What signals mean, and the change of it.

Owns which of them interrupt this program, and that one which comes during the change is taken by the old meaning
or by the new one. Does not own what is done about them.
Invariant: in a program of one thread no signal is lost to the change, and none is complained of: Python writes an
error of its own to standard error for one that came just before it began to be ignored.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["interrupting", "set_handler"]


def interrupting() -> tuple[signal.Signals, ...]:
    """The signals that interrupt this program: SIGINT unless it is deaf to it, SIGTERM where that means the same.

    It does on the command line; a program that uses us from Python may have another use for it.
    """
    interrupt, terminate = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    found = () if interrupt is signal.SIG_IGN else (signal.SIGINT,)
    is_same = terminate is signal.default_int_handler or (callable(terminate) and terminate == interrupt)
    return (*found, signal.SIGTERM) if is_same else found


def set_handler(
    number: int, handler: Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
) -> Callable[[int, FrameType | None], Any] | int | signal.Handlers | None:
    """Do as `signal.signal` does, with the signal held back meanwhile: called in the main thread, gives the old one.

    Whatever the old handler raises for a signal that had come already is raised here, and nothing is changed.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # Signals that were caught and wait for Python are handled at the end of this call.
        signal.pthread_sigmask(signal.SIG_BLOCK, (number,))
        return signal.signal(number, handler)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

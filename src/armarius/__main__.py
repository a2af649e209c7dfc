"""The command `armarius`, and `python -m armarius`.

Owns what a process of its own does around the command line. Does not own the command line.
"""

import gc
import signal
import sys

from armarius import cli

__all__ = ["main"]

_OBJECTS = 20_000


def main() -> int:
    """Run this process's command line; its exit code."""
    # What a command imports stays. Looking for garbage in it after every 700 objects, and once more on the
    # way out, was a third of what a short command cost.
    gc.set_threshold(_OBJECTS)
    # Whoever ends us so wants what Ctrl-C does: nothing of ours goes on, and what was done is recorded.
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return cli.main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())

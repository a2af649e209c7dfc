"""Words left for a thread that another Codex has open.

Owns asking the program whether it has a queue, and putting words into it. Does not own who takes them out.
Invariant: a program that does not say that it can is never tried; nothing is queued when this raises.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from armarius.errors import DataError, Failed, HostError

__all__ = ["queue_message"]

_LONGEST = 100_000  # one word of a command line is at most 128 KiB
_PATIENCE_S = 30
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_NEEDED = {"--thread", "--message"}


def queue_message(program: Path, environ: Mapping[str, str], thread_id: str, message: str) -> None:
    """Put words into the queue of a thread; HostError when this Codex has none, Failed when it would not."""
    if len(message.encode()) > _LONGEST:
        raise DataError("prompt-size", f"what is queued has at most {_LONGEST:,} bytes", "shorten it, or name a file")
    if "\0" in message:
        raise DataError("prompt-encoding", "what is queued may hold no NUL", "take it out")
    if not set(_FLAG.findall(_ask(program, {}, "queue", "--help").stdout)) >= _NEEDED:
        raise HostError("codex-old", f"{program} has no queue", "use a newer Codex, or wait until the session is free")
    done = _ask(program, environ, "queue", f"--thread={thread_id}", f"--message={message}")
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or "it said nothing"
        raise Failed("not-queued", f"codex did not queue it: {said}", "see `armarius sessions list`")


def _ask(program: Path, environ: Mapping[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            [program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=dict(environ),
            timeout=_PATIENCE_S,
            check=False,
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError("codex-broken", f"{program} cannot be run: {error}", "see `armarius doctor`") from error

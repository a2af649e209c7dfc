"""`armarius` in a process of its own that need not import everything first.

Owns a process that has imported the command line once, and a fork of it for each command that is typed: the same
`main`, with arguments, folder, environment and descriptors of its own. Does not own what is typed.
Invariant: a command leaves nothing for the next one, because it was done in a fork. That a command imports all it
needs by itself is shown elsewhere (tests/cli/test_cli_help.py), and so is each that is started through `exec`.

    python prefork.py DESCRIPTOR

The descriptor is a SOCK_SEQPACKET socket: one order is one message, with four descriptors, namely the command's
standard input, output and error, and where its process id and its wait status are written.
"""

import contextlib
import gc
import json
import os
import pkgutil
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from armarius import __main__, cli

__all__ = ["Prefork"]

_MOST = 1 << 17
_NUMBER = struct.Struct("i")


class Prefork:
    """The process to fork from: begun with the first command, gone with whoever began it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._beginning = threading.Lock()

    def run(
        self, words: Sequence[str | bytes], folder: Path, environ: dict[str, str], given: bytes, patience_s: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, as `subprocess.run` does when it captures the output."""
        order = json.dumps({"words": [os.fsdecode(word) for word in words], "folder": str(folder), "environ": environ})
        pipes = [os.pipe() for _ in range(4)]
        (theirs_in, ours_in), *outputs = pipes
        theirs = [theirs_in, *(end for _, end in outputs)]
        try:
            socket.send_fds(self._open(), [order.encode()], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        with ThreadPoolExecutor(3) as pool:
            out, err = (pool.submit(_read, end, patience_s) for end, _ in outputs[:2])
            pool.submit(_write, ours_in, given)
            status = _await(outputs[2][0], patience_s)
            return subprocess.CompletedProcess(
                ["armarius", *words], os.waitstatus_to_exitcode(status), out.result(), err.result()
            )

    def _open(self) -> socket.socket:
        with self._beginning:
            if self._line is None:
                self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    self._process = subprocess.Popen(
                        [sys.executable, "-P", __file__, str(theirs.fileno())],
                        pass_fds=(theirs.fileno(),),
                        stdin=subprocess.DEVNULL,
                        env={"PATH": "/usr/bin:/bin"},
                    )
        return self._line


def _read(descriptor: int, patience_s: float) -> bytes:
    """All that comes; TimeoutError when nothing comes and nobody closes it."""
    found = list[bytes]()
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while select.select([file], [], [], patience_s)[0]:
            if not (part := file.read(_MOST)):
                return b"".join(found)
            found.append(part)
    raise TimeoutError(f"somebody still holds the output after {b''.join(found)[-1_000:]!r}")


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _await(descriptor: int, patience_s: float) -> int:
    """The wait status of the command that reports there; one that takes too long is ended."""
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        [pid] = _NUMBER.unpack(file.read(_NUMBER.size))
        if not select.select([file], [], [], patience_s)[0]:
            os.kill(pid, signal.SIGKILL)
        [status] = _NUMBER.unpack(file.read(_NUMBER.size))
        return status


def _serve(line: socket.socket) -> int:
    """Take orders until nobody can give one any more; what is returned is a command's exit code, in its fork."""
    for module in pkgutil.walk_packages(cli.__path__, f"{cli.__name__}."):
        import_module(module.name)
    assert threading.active_count() == 1, "no fork has a thread that another one had"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for those that wait for a command
    while True:
        message, descriptors, _, _ = socket.recv_fds(line, _MOST, 4)
        if not message:
            return 0
        if os.fork() == 0:
            line.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (pid := os.fork()) == 0:
                return _be(json.loads(message), descriptors)
            os.write(descriptors[3], _NUMBER.pack(pid))
            for descriptor in descriptors[:3]:
                os.close(descriptor)
            os.write(descriptors[3], _NUMBER.pack(os.waitpid(pid, 0)[1]))
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _be(order: dict[str, Any], descriptors: list[int]) -> int:
    """Be the command: its folder, its environment, its standard streams."""
    for number, descriptor in enumerate(descriptors):
        if number < 3:
            os.dup2(descriptor, number)
        os.close(descriptor)
    # The old ones remember what kind of file they stood on.
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        for number, mode, old in ((0, "r", sys.stdin), (1, "w", sys.stdout), (2, "w", sys.stderr))
    )
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    random.seed()
    sys.argv = ["armarius", *order["words"]]
    return __main__.main()


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1]))))

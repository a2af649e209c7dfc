"""Programs of ours, each in a process of its own that need not import everything first.

Owns a process that has imported a program once, and a fork of it for each time that the program is started: the same
`main`, with arguments, folder, environment and standard streams of its own. Does not own the programs.
Invariant: a start leaves nothing for the next one, because all of it was done in a fork. That a command imports by
itself what it needs is shown elsewhere (tests/cli/test_cli_help.py), and by every command that is started by `exec`.

    python prefork.py DESCRIPTOR MODULE PATH…

The descriptor is a SOCK_SEQPACKET socket: one order is one message, with four descriptors, namely the program's
standard input, output and error, and where its process id and its wait status are written.
"""

import atexit
import contextlib
import gc
import json
import os
import pkgutil
import random
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, Self

import msgspec

from armarius import cli

__all__ = ["ARMARIUS", "Forked", "Prefork"]

_MOST = 1 << 17
_NUMBER = struct.Struct("i")
_STREAMS = 3


class Order(msgspec.Struct, frozen=True):
    """How a program is to be started. `leads`: it is the leader of a session of its own."""

    words: list[str]
    folder: str
    environ: dict[str, str]
    leads: bool


class Forked:
    """A program that was started: what `subprocess.Popen` is, as far as tests ask for it."""

    def __init__(self, words: Sequence[str | bytes], given: int | None, out: int, err: int, status: int) -> None:
        self.args = list(words)
        self.stdin: IO[bytes] | None = None if given is None else os.fdopen(given, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(out, "rb")
        self.stderr: IO[bytes] = os.fdopen(err, "rb")
        self.returncode: int | Any = None  # as subprocess has it: who has waited need not look again
        self._status = os.fdopen(status, "rb", buffering=0)
        [self.pid] = _NUMBER.unpack(self._status.read(_NUMBER.size))

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            [status] = _NUMBER.unpack(self._status.read(_NUMBER.size))
            self._status.close()
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # over, though its status has not come yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, data: bytes = b"", timeout: float | None = None) -> tuple[bytes, bytes]:
        """Give it all of `data`, take all that it says until everybody has closed its outputs, and wait for it."""
        end = None if timeout is None else time.monotonic() + timeout
        said: dict[IO[bytes], list[bytes]] = {self.stdout: [], self.stderr: []}
        left = memoryview(data)
        with selectors.DefaultSelector() as ready:
            for stream in said:
                if not stream.closed:
                    ready.register(stream, selectors.EVENT_READ)
            if self.stdin is not None and not self.stdin.closed:
                ready.register(self.stdin, selectors.EVENT_WRITE)
            while ready.get_map():
                events = ready.select(None if end is None else max(end - time.monotonic(), 0))
                if not events:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                for key, _ in events:
                    stream: Any = key.fileobj
                    if stream is self.stdin:
                        left = left[self._give(left) :]
                        is_over = not left
                    else:
                        part = stream.read1(_MOST)
                        said[stream].append(part)
                        is_over = not part
                    if is_over:
                        ready.unregister(stream)
                        stream.close()
        self.wait(None if end is None else max(end - time.monotonic(), 0))
        return b"".join(said[self.stdout]), b"".join(said[self.stderr])

    def _give(self, data: memoryview) -> int:
        """How much of it was taken; all of it when nobody reads."""
        assert self.stdin is not None
        try:
            return os.write(self.stdin.fileno(), data[: select.PIPE_BUF])
        except BrokenPipeError:
            return len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


class Prefork:
    """The process to fork from: begun with the first start, gone with whoever began it.

    `module` has a `main` that looks at `sys.argv` and gives an exit code; it may stand in one of the folders `path`.
    """

    def __init__(self, module: str, *path: Path) -> None:
        self._module = module
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._beginning = threading.Lock()

    def start(
        self,
        words: Sequence[str | bytes],
        folder: Path,
        environ: dict[str, str],
        *,
        is_given: bool = False,
        leads: bool = False,
    ) -> Forked:
        """Start it with these words, in a folder; with a standard input that can be written to, or with none."""
        order = Order([os.fsdecode(word) for word in words], str(folder), dict(environ), leads)
        given, take = os.pipe() if is_given else (os.open(os.devnull, os.O_RDONLY), None)
        (out, out_end), (err, err_end), (status, status_end) = (os.pipe() for _ in range(_STREAMS))
        theirs = [given, out_end, err_end, status_end]
        try:
            socket.send_fds(self._open(), [json.dumps(msgspec.to_builtins(order)).encode()], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        return Forked(words, take, out, err, status)

    def _close(self) -> None:
        if self._line is not None and self._process is not None:
            self._line.close()
            self._process.wait()

    def _open(self) -> socket.socket:
        with self._beginning:
            if self._line is None:
                self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                atexit.register(self._close)
                with theirs:
                    self._process = subprocess.Popen(
                        [sys.executable, "-P", __file__, str(theirs.fileno()), self._module, *map(str, self._path)],
                        pass_fds=(theirs.fileno(),),
                        stdin=subprocess.DEVNULL,
                        env={"PATH": "/usr/bin:/bin"},
                    )
        return self._line


ARMARIUS = Prefork("armarius.__main__")
"""The command line."""


def _serve(line: socket.socket, main: Callable[[], int | None]) -> int | None:
    """Take orders until nobody can give one any more; what is returned is a program's exit code, in its fork."""
    assert threading.active_count() == 1, "no fork has a thread that another one had"
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks for those that wait for a program
    while True:
        message, descriptors, _, _ = socket.recv_fds(line, _MOST, _STREAMS + 1)
        if not message:
            return 0
        if os.fork() == 0:
            line.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if (pid := os.fork()) == 0:
                _become(msgspec.convert(json.loads(message), Order), descriptors)
                _leave(main() or 0)
            os.write(descriptors[_STREAMS], _NUMBER.pack(pid))
            for descriptor in descriptors[:_STREAMS]:
                os.close(descriptor)
            os.write(descriptors[_STREAMS], _NUMBER.pack(os.waitpid(pid, 0)[1]))
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def _become(order: Order, descriptors: list[int]) -> None:
    """Be who was started: its session, folder, environment, arguments and standard streams."""
    if order.leads:
        os.setsid()
    for number, descriptor in enumerate(descriptors):
        if number < _STREAMS:
            os.dup2(descriptor, number)
        os.close(descriptor)
    # The old ones remember what kind of file they stood on.
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115
        for number, mode, old in ((0, "r", sys.stdin), (1, "w", sys.stdout), (2, "w", sys.stderr))
    )
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environ)
    time.tzset()
    random.seed()
    sys.argv = ["armarius", *order.words]


def _leave(code: int) -> NoReturn:
    """End as the interpreter does, but for taking apart, piece by piece, all that was ever imported."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _import(name: str) -> Callable[[], int | None]:
    """The `main` of a module; for the command line, every command is imported with it."""
    module = import_module(name)
    if name.startswith("armarius."):
        for command in pkgutil.walk_packages(cli.__path__, f"{cli.__name__}."):
            import_module(command.name)
        import_module("armarius.dispatch.engine")
    return module.main


if __name__ == "__main__":
    sys.path += sys.argv[3:]
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1])), _import(sys.argv[2])))

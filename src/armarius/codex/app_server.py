"""A `codex app-server` of our own, spoken to over its standard input and output.

Owns the process, its end, and waiting with a deadline. Does not own the frames (`connection.py`),
what is said in them (`protocol.py`), nor what a run is for. One thread uses a `Server`; nothing here
runs beside its caller.
Invariant: the process is gone, with its whole group, when the `with` block is left; it dies by itself
when Armarius is killed, because its standard input ends. No request of the server is ever answered but
by `answer`, so that an approval waits for whoever may give it.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from armarius import __version__
from armarius.codex.command import allowed_environ, toml_value
from armarius.codex.connection import Answer, Connection, Garbage, Notification, RpcError, ServerRequest
from armarius.codex.protocol import INITIALIZE, ClientInfo, Initialize, Method
from armarius.errors import Failed, HostError, NoAnswer

__all__ = ["RequestFailed", "Server", "environ_for"]

P = TypeVar("P")
R = TypeVar("R")

_CHUNK = 256 << 10
_MOST_GARBAGE = 100
_END_S = 2.0
_TAIL = 2_000
_DEADLINE_S = 30.0
_STATE_TAKEN = "failed to initialize state runtime"
_STATE_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Of Codexes that begin at the same moment in a home without a database, all but one may end of this (0.163: three of
four). Nothing was asked of it yet, and the one that makes the database is done at once."""
_QUIET: dict[str, str | bool | list[str]] = {
    # Without these an app-server looks up hosts of the vendor at each start.
    "analytics.enabled": False,
    "features.plugins": False,
}


class RequestFailed(Failed):
    """The server understood a request and would not do it."""

    def __init__(self, method: str, error: RpcError) -> None:
        super().__init__("codex-request", f"codex refused {method}: {error.message} ({error.code})")
        self.method = method
        self.error = error


def environ_for(codex_home: Path, ambient: Mapping[str, str], **more: str) -> dict[str, str]:
    """The environment of a server: the allow-list that holds for every Codex, this home, and `more`."""
    return allowed_environ(ambient) | {"PATH": ambient.get("PATH", os.defpath), "CODEX_HOME": str(codex_home)} | more


class Server:
    """Use as a context manager; entering it starts the process and says hello.

    `environ` is the whole environment; None hands on that of this process. Descriptors in `wakes` end a wait in
    `next` when they can be read. `garbage` are the latest things it said that were no messages.
    """

    def __init__(
        self,
        program: str | Path,
        *,
        environ: Mapping[str, str] | None,
        cwd: Path,
        arguments: tuple[str, ...] = ("app-server",),
        longest_line: int | None = None,
        wakes: tuple[int, ...] = (),
    ) -> None:
        overrides = [f"--config={key}={toml_value(value)}" for key, value in _QUIET.items()]
        self._argv = [str(program), *overrides, *arguments]
        self._environ = None if environ is None else dict(environ)
        self._wakes = wakes
        self._cwd = cwd
        self._connection = Connection() if longest_line is None else Connection(longest_line=longest_line)
        self._events = deque[Notification | ServerRequest]()
        self._answers = dict[int, Answer]()
        self._unsent = bytearray()
        self._ended = False
        self.garbage = deque[Garbage](maxlen=_MOST_GARBAGE)
        self.codex_home = ""
        self.user_agent = ""

    def __enter__(self) -> Self:
        for pause_s in _STATE_PAUSES_S:
            try:
                return self._start()
            except HostError as error:
                if error.code != "codex-gone" or _STATE_TAKEN not in error.message:
                    raise
            time.sleep(pause_s)
        return self._start()

    def _start(self) -> Self:
        """Start the process and say hello; HostError when it cannot be started, or ends before it has answered."""
        self._ended = False
        self._unsent.clear()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process, in `_end`
        try:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=self._environ,
                cwd=self._cwd,
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise HostError(
                "codex-broken", f"{self._argv[0]} cannot be started: {error.strerror}", "see `armarius doctor`"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._input, False)
        os.set_blocking(self._output, False)
        try:
            hello = Initialize(ClientInfo("armarius", __version__, "Armarius"), {"experimentalApi": True})
            told = self.call(INITIALIZE, hello)
            self._send(self._connection.notify("initialized"))
        except BaseException:
            self._end()
            raise
        self.codex_home, self.user_agent = told.codex_home, told.user_agent
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        return self._process.pid

    def call(self, method: Method[P, R], params: P, *, deadline_s: float = _DEADLINE_S) -> R:
        """Ask, and wait for the answer; events that come meanwhile are kept for `next`.

        RequestFailed when the server will not, NoAnswer at the deadline, HostError when it is gone.
        """
        number, line = self._connection.request(method.name, params)
        self._send(line)
        try:
            answered = self._pump(deadline_s, lambda: number in self._answers)
        except HostError:
            self._connection.forget(number)
            raise
        if not answered:
            self._connection.forget(number)
            raise NoAnswer(
                "codex-silent",
                f"codex app-server did not answer {method.name} within {deadline_s:g} s",
                "try again; `armarius doctor` says whether codex works",
            )
        answer = self._answers.pop(number)
        if answer.error is not None:
            raise RequestFailed(method.name, answer.error)
        try:
            return msgspec.convert(answer.result, method.answer)
        except msgspec.ValidationError as error:
            raise HostError(
                "codex-protocol",
                f"{self._argv[0]} answered {method.name} in a shape that is not known: {error}",
                "use a Codex version that `armarius doctor` calls tested",
            ) from error

    def next(self, timeout_s: float) -> Notification | ServerRequest | None:
        """The oldest event that was not taken yet; None when none comes in time, HostError when none can."""
        if not self._events:
            self._pump(timeout_s, lambda: bool(self._events), self._wakes)
        return self._events.popleft() if self._events else None

    def answer(self, request: ServerRequest, result: Any) -> None:
        """Answer a request of the server. Whoever calls this decides for a person."""
        self._send(self._connection.answer(request, result))

    def decline(self, request: ServerRequest, message: str) -> None:
        """Say that a request of the server will not be met."""
        self._send(self._connection.decline(request, message))

    # ------------------------------------------------------------- the process

    def _send(self, line: bytes) -> None:
        self._unsent += line
        self._write()

    def _write(self) -> None:
        """Write what the pipe takes now; the rest goes when the server reads again."""
        while self._unsent:
            try:
                del self._unsent[: os.write(self._input, self._unsent)]
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._unsent.clear()  # it is gone; whoever waits for it will be told
                return

    def _pump(self, timeout_s: float, enough: Callable[[], bool], wakes: tuple[int, ...] = ()) -> bool:
        """Read and write until `enough()`; False at the deadline or a wake, HostError when the server is gone."""
        deadline = time.monotonic() + timeout_s
        while not enough():
            if self._ended:
                raise self._gone()
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with selectors.DefaultSelector() as selector:
                selector.register(self._output, selectors.EVENT_READ)
                if self._unsent:
                    selector.register(self._input, selectors.EVENT_WRITE)
                for wake in wakes:
                    selector.register(wake, selectors.EVENT_READ)
                ready = {key.fd for key, _ in selector.select(left)}
            if self._input in ready:
                self._write()
            if self._output in ready:
                self._read()
            if ready.intersection(wakes):
                return enough()
        return True

    def _read(self) -> None:
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._ended = True
        for message in self._connection.feed(data):
            match message:
                case Answer(id=number):
                    self._answers[number] = message
                case Garbage():
                    self.garbage.append(message)
                case _:
                    self._events.append(message)

    def _gone(self) -> HostError:
        self._reap(time.monotonic() + _END_S)
        said = self._complaint() or "it said nothing"
        return HostError(
            "codex-gone",
            f"{' '.join(self._argv[:1])} app-server ended ({self._process.returncode}): {said}",
            "see `armarius doctor`",
        )

    def _complaint(self) -> str:
        """The end of what it wrote to standard error, on one line."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _TAIL))
        return " ".join(self._stderr.read().decode(errors="replace").split())

    def _end(self) -> None:
        """Close its input, which ends it and lets it record the turn; then make sure, group and all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        deadline = time.monotonic() + _END_S
        # Its last words are read, because a full pipe would keep it from ending.
        while not self._ended and (left := deadline - time.monotonic()) > 0:
            with selectors.DefaultSelector() as selector:
                selector.register(self._output, selectors.EVENT_READ)
                if selector.select(left):
                    self._read()
        self._reap(deadline)
        self._process.stdout.close()
        self._stderr.close()

    def _reap(self, deadline: float) -> None:
        """Wait for its end until `deadline`, then end it and whatever it left in its group."""
        if self._process.returncode is not None:
            return  # its number may be another's by now
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

"""A command of Armarius' own, called by a program of ours that may stop wanting its answer.

Owns starting one, its lines as they come, asking it to end, and its end. Does not own what is called.
Invariant: it is asked to end as a person would ask it (SIGINT), so that what it began is ended and
recorded; who does not heed that within a minute is killed. No more is kept of an output than was allowed.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from armarius.errors import HostError

__all__ = ["Call"]

_CHUNK = 64 << 10
_PATIENCE_S = 60.0
_MOST_ERROR = 64 << 10


class Call:
    """A command that was called; only the event loop that called it may use it."""

    def __init__(self, process: asyncio.subprocess.Process, data: bytes, most: int) -> None:
        self._process = process
        self._most = most
        self._lines = asyncio.Queue[bytes | None]()
        self._asked = asyncio.Event()
        self._error = b""
        self.is_too_large = False
        # A task of its own: whoever waits for the answer may be cancelled, the command is seen to its end.
        self.ended = asyncio.ensure_future(self._attend(data))

    @classmethod
    async def start(
        cls, words: Sequence[str], *, environ: Mapping[str, str], cwd: Path, data: bytes = b"", most: int
    ) -> Self:
        """Call `armarius WORDS…` with `data` on its standard input; HostError when it cannot be started."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "armarius", *words),
                cwd=cwd,
                env=dict(environ),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise HostError("program-start", f"cannot start armarius in {cwd}: {error}", "check the folder") from error
        return cls(process, data, most)

    @property
    def error(self) -> str:
        """What it said on standard error, once it has ended."""
        return self._error.decode(errors="replace")

    def ask_to_end(self) -> None:
        """As Ctrl-C does; it may take a while, and what it says until then is still read."""
        self._asked.set()

    async def lines(self) -> AsyncIterator[bytes]:
        """Every line of its standard output, to the end."""
        while (line := await self._lines.get()) is not None:
            yield line

    async def _attend(self, data: bytes) -> int:
        """See it to its end; its exit code."""
        watch = asyncio.ensure_future(self._end_when_asked())
        try:
            await asyncio.gather(self._feed(data), self._read_output(), self._read_error())
            return await self._process.wait()
        finally:
            watch.cancel()
            self._lines.put_nowait(None)

    async def _feed(self, data: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # all three were asked for
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read it
            stdin.write(data)
            await stdin.drain()
        stdin.close()

    async def _read_output(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        size, rest = 0, b""
        while chunk := await stdout.read(_CHUNK):
            size += len(chunk)
            if size > self._most:
                self.is_too_large, rest = True, b""
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._lines.put_nowait(line)
        if rest:
            self._lines.put_nowait(rest)

    async def _read_error(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while chunk := await stderr.read(_CHUNK):
            self._error = (self._error + chunk)[-_MOST_ERROR:]

    async def _end_when_asked(self) -> None:
        await self._asked.wait()
        self._signal(signal.SIGINT)
        await asyncio.sleep(_PATIENCE_S)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, number)

"""Signals for those who are not looking at the terminal.

Owns the three ways: a notification on the desktop, a command of the user's, a webhook on this machine.
Does not own what is said.
Invariant: a push never holds up the watch and never ends it; each way that fails is named once, and so is
how many signals were not handed on when the watch was over. No shell, and nothing leaves this machine: a
webhook is on loopback, and nothing redirects it.
"""

import http.client
import ipaddress
import queue
import shlex
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import msgspec

from armarius.errors import ArmariusError, Refused, UsageError
from armarius.programs import run
from armarius.watch.signals import Signal

__all__ = ["Pushes", "by_command", "by_notification", "by_webhook"]

_PATIENCE_S = 10.0
_LONGEST_WEBHOOK_S = 2.0
_GOOD = range(200, 300)

Way = Callable[[Signal], str | None]
"""Sends one signal; what went wrong, or None."""


class Pushes:
    """Sends signals by every way, beside the watch; `warn` hears once of each way that fails."""

    def __init__(self, ways: Mapping[str, Way], warn: Callable[[str], None]) -> None:
        self._ways = dict(ways)
        self._warn = warn
        self._failed = set[str]()
        self._signals = queue.SimpleQueue[Signal | None]()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        if self._ways:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signals.put(None)
        if self._ways:
            self._thread.join(_PATIENCE_S)
        if self._thread.is_alive():
            left = self._signals.qsize()  # the mark of the end stands for the one in hand
            said = "1 signal was" if left == 1 else f"{left} signals were"
            self._warn(f"{said} not handed on within {_PATIENCE_S:g} s of the end")

    def send(self, signal: Signal) -> None:
        if self._ways:
            self._signals.put(signal)

    def _work(self) -> None:
        while (signal := self._signals.get()) is not None:
            for name, way in self._ways.items():
                trouble = way(signal)
                if trouble and name not in self._failed:
                    self._failed.add(name)
                    self._warn(f"{name}: {trouble}; further failures of it are not told")


def by_command(line: str, *, cwd: Path, environ: Mapping[str, str]) -> Way:
    """Runs a command, which finds the signal as JSON on its standard input."""
    try:
        argv = shlex.split(line)
    except ValueError as error:
        raise UsageError("exec", f"--exec {line!r}: {error}", "quote it as in a shell") from error
    if not argv:
        raise UsageError("exec", "--exec names no command", "e.g. --exec 'tee -a signals.jsonl'")

    def send(signal: Signal) -> str | None:
        return _run(argv, cwd, environ, msgspec.json.encode(signal))

    return send


def by_notification(*, cwd: Path, environ: Mapping[str, str]) -> Way:
    """Shows a notification by what the desktop has for it."""

    def send(signal: Signal) -> str | None:
        title, text = f"Codex: {signal.kind.replace('_', ' ')}", signal.text[:300]
        if sys.platform == "darwin":
            # Handed over as arguments, and not as a part of the script.
            script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
            return _run(["osascript", "-e", script, title, text], cwd, environ, b"")
        plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return _run(["notify-send", "--app-name=armarius", "--", title, plain], cwd, environ, b"")

    return send


def by_webhook(url: str) -> Way:
    """Posts the signal as JSON to a port of this machine."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname or "", parts.port or 80
    except ValueError as error:
        raise UsageError("webhook", f"--webhook {url!r}: {error}", "e.g. http://127.0.0.1:8080/signals") from error
    if parts.scheme != "http" or not host:
        raise UsageError("webhook", f"--webhook {url!r} is no http:// address", "e.g. http://127.0.0.1:8080/signals")
    address = _loopback(host, port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def send(signal: Signal) -> str | None:
        connection = http.client.HTTPConnection(address, port, timeout=_LONGEST_WEBHOOK_S)
        headers = {"Content-Type": "application/json", "Host": parts.netloc.rpartition("@")[2]}
        try:
            connection.request("POST", path, msgspec.json.encode(signal), headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"{url}: {error or type(error).__name__}"
        finally:
            connection.close()
        return None if status in _GOOD else f"{url} answered {status}"

    return send


def _loopback(host: str, port: int) -> str:
    """The address of a name of this machine; Refused for any other one."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise UsageError("webhook", f"--webhook: no host {host!r}: {error}", "e.g. http://127.0.0.1:8080") from error
    if not all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found):
        raise Refused(
            "webhook-remote",
            f"--webhook: {host} is not this machine; signals hold what was said in your sessions",
            "use a port on 127.0.0.1, and forward from there what you mean to send",
        )
    return min(found, key=lambda address: (":" in address, address))


def _run(argv: list[str], cwd: Path, environ: Mapping[str, str], data: bytes) -> str | None:
    try:
        done = run(argv, cwd=cwd, environ=environ, timeout=_PATIENCE_S, data=data)
    except ArmariusError as error:
        return error.message
    if done.code is None:
        return f"{argv[0]} did not end within {_PATIENCE_S:g} s"
    if done.code != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return f"{argv[0]} ended with {done.code}" + (f": {said[-1][:200]}" if said else "")
    return None

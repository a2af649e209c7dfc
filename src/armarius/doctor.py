"""What is missing on this machine, and how to get it.

Owns the checks. Does not own mending: it changes nothing, starts no run and asks no network.
Invariant: every check says what was looked at, how long it took, and the way out when it fails.
"""

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from armarius.clock import Clock
from armarius.codex.binary import OLDEST, ask_version, locate
from armarius.codex.editors import editor_programs
from armarius.codex.home import read_owner
from armarius.errors import ArmariusError
from armarius.sessions.folders import Place, sweep
from armarius.sessions.index import SessionIndex, default_places
from armarius.settings import Settings

__all__ = ["Diagnosis", "Finding", "diagnose"]

_LEAST_FREE = 1 << 30
_CHOSEN = ("setting", "PATH")
"""Where a codex was put on purpose, so that nobody asks what else there would have been."""

Verdict = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True):
    """One check: what was found, and the way out when it is not `ok`."""

    check: str
    verdict: Verdict
    found: str
    hint: str
    took_us: int


class Diagnosis(msgspec.Struct, frozen=True):
    """All checks (`armarius.doctor.v1`)."""

    findings: tuple[Finding, ...]
    schema: str = "armarius.doctor.v1"

    @property
    def failed(self) -> bool:
        return any(finding.verdict == "fail" for finding in self.findings)


def diagnose(settings: Settings, clock: Clock) -> Diagnosis:
    """Look at everything; a check that cannot be made is a finding of its own."""
    checks: dict[str, Callable[[Settings], tuple[Verdict, str, str]]] = {
        "python": _python,
        "codex": _codex,
        "login": _login,
        "keys": _keys,
        "sessions": _sessions,
        "state": _state,
        "disk": _disk,
        "loopback": _loopback,
        "git": _git,
    }
    return Diagnosis(tuple(_findings(checks, settings, clock)))


def _findings(
    checks: dict[str, Callable[[Settings], tuple[Verdict, str, str]]], settings: Settings, clock: Clock
) -> Iterator[Finding]:
    for name, check in checks.items():
        began = clock.monotonic_us()
        try:
            verdict, found, hint = check(settings)
        except ArmariusError as error:
            verdict, found, hint = "fail", error.message, error.hint
        except OSError as error:
            verdict, found, hint = "fail", str(error), "mend its owner, mode or disk"
        yield Finding(name, verdict, found, hint, clock.monotonic_us() - began)


def _python(_: Settings) -> tuple[Verdict, str, str]:
    return "ok", f"{sys.version.split()[0]} at {sys.executable}", ""


def _codex(settings: Settings) -> tuple[Verdict, str, str]:
    path, origin = locate(setting=settings.codex, search_path=settings.search_path, user_home=settings.user_home)
    version = ask_version(path)
    if tuple(map(int, version.split("."))) < OLDEST:
        needed = ".".join(map(str, OLDEST))
        return "fail", f"{version} at {path} ({origin})", f"update it to {needed} or newer"
    skipped = editor_programs(settings.user_home).skipped
    if skipped and origin not in _CHOSEN:
        return "warn", f"{version} at {path} ({origin})", f"passed over {skipped[0]}"
    return "ok", f"{version} at {path} ({origin})", ""


def _login(settings: Settings) -> tuple[Verdict, str, str]:
    owner = read_owner(settings.codex_home)
    provider = owner.provider.get("model_provider", "openai")
    found = f"{owner.login.mode} login, provider {provider}, in {settings.codex_home}"
    if owner.login.mode == "none" and provider == "openai":
        return "warn", found, "run `codex login`; the demo needs no login"
    missing = [name for name in owner.key_variables if not settings.environ.get(name)]
    if missing:
        return "warn", f"{found}; {', '.join(missing)} is not set", "set it before a run"
    return "ok", found, ""


def _keys(settings: Settings) -> tuple[Verdict, str, str]:
    if not settings.api_keys:
        return "ok", "no API key in the environment", ""
    names = ", ".join(settings.api_keys)
    if read_owner(settings.codex_home).login.mode == "chatgpt" and not settings.drop_keys:
        return "fail", f"{names} beside a ChatGPT login", f"unset {names}: Codex could bill the key instead"
    return "warn", f"{names} is set; Armarius does not hand it to Codex", "nothing to do"


def _sessions(settings: Settings) -> tuple[Verdict, str, str]:
    places = default_places(settings)
    seen = [(place, sweep(place)) for place in places]
    files = [(place.path / file.path, file.size) for place, looked in seen for file in looked.files.values()]
    size = sum(size for _, size in files) / 1_000_000
    found = f"{len(files)} session files, {size:,.1f} MB, under {', '.join(str(place.path) for place in places)}"
    closed = sum(not os.access(path, os.R_OK) for path, _ in files) + sum(len(looked.closed) for _, looked in seen)
    skipped = _skipped(settings, places)
    if closed:
        return "warn", f"{found}; {closed} cannot be opened{skipped}", "mend their owner and mode"
    if skipped:
        return "warn", found + skipped, "nothing else is hidden by them; `armarius sessions show` names their places"
    return "ok", found, ""


def _skipped(settings: Settings, places: list[Place]) -> str:
    """What the last sync met in the files and could not use."""
    index = SessionIndex.existing(settings.session_index)
    if index is None:
        return ""
    with contextlib.closing(index):
        trouble = index.trouble(places)
    said = f"; {trouble.bad_lines} bad lines in {trouble.with_bad_lines} files skipped" if trouble.bad_lines else ""
    return said + (f"; {trouble.unknown} records of kinds that are not known" if trouble.unknown else "")


def _state(settings: Settings) -> tuple[Verdict, str, str]:
    home = settings.home
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not place.is_dir():
        return "fail", f"{place} is no folder", "move it away or set ARMARIUS_HOME"
    if not os.access(place, os.W_OK):
        return "fail", f"{place} cannot be written", "mend its owner or set ARMARIUS_HOME"
    if Path("/tmp") in (home, *home.parents):  # noqa: S108  # naming it in order to warn of it
        return (
            "warn",
            f"{home} lies in the temp folder, which sandboxed agents can write",
            "set ARMARIUS_HOME elsewhere",
        )
    if place != home:
        return "ok", f"{home} will be made", ""
    mode = home.stat().st_mode & 0o777
    if mode & 0o077:
        return "warn", f"{home} has mode {mode:o}", f"chmod 700 {home}"
    return "ok", str(home), ""


def _disk(settings: Settings) -> tuple[Verdict, str, str]:
    place = next(folder for folder in (settings.home, *settings.home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    found = f"{free / 1_000_000_000:.1f} GB free at {place}"
    return ("ok", found, "") if free >= _LEAST_FREE else ("warn", found, "free some space: runs keep their sessions")


def _loopback(_: Settings) -> tuple[Verdict, str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
    return "ok", "127.0.0.1 can be listened on", ""


def _git(settings: Settings) -> tuple[Verdict, str, str]:
    found = shutil.which("git", path=settings.search_path)
    return ("ok", found, "") if found else ("warn", "no git on PATH", "install git")

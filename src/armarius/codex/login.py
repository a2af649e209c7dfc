"""What the real Codex does with a login: say what it is, make one, refresh one.

Owns starting codex for these three. Does not own reading the login's file (home.py) nor the judgement.
Invariant: Codex alone writes a login. A refresh happens in one process at a time for each login, under
a lock on the file that the login really lies in, and is proven by the file: what the server answers
counts for nothing.
"""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Generator, Mapping
from pathlib import Path

import msgspec

from armarius.codex.app_server import RequestFailed, Server, environ_for
from armarius.codex.home import Login, read_login
from armarius.codex.layers import SYSTEM
from armarius.codex.protocol import Method
from armarius.errors import Failed, HostError
from armarius.files import locked, private_folder, write_atomic
from armarius.programs import run

__all__ = ["login_status", "make_login", "refresh_login"]

_STATUS_S = 20.0
_REFRESH_S = 60.0
_KEPT = 32
_TERMINAL = ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "BROWSER")
"""What opening a browser needs, on top of what every Codex gets."""

_FILES = ("auth.json", "config.toml")
_SYSTEM_FILES = ("config.toml", "managed_config.toml", "requirements.toml")


class _Refresh(msgspec.Struct, rename={"refresh_token": "refreshToken"}):
    refresh_token: bool = True


class _Anything(msgspec.Struct):
    """An answer of which nothing is read."""


_ACCOUNT_READ = Method("account/read", _Refresh, _Anything)


def login_status(program: Path, codex_home: Path, environ: Mapping[str, str], cache: Path) -> str:
    """What `codex login status` says; the same files have the same answer, which `cache` keeps.

    Both outputs count, because it prints to standard error, and so does every warning of Codex's own.
    """
    key = _key(program, codex_home)
    known = _read_cache(cache)
    if key not in known:
        told = run(
            [str(program), "login", "status"],
            cwd=codex_home,
            environ=environ_for(codex_home, environ),
            timeout=_STATUS_S,
        )
        lines = (told.stdout + b"\n" + told.stderr).decode(errors="replace").splitlines()
        said = " ".join(line.strip() for line in lines if line.strip() and not line.startswith("WARNING: "))
        if told.code is None:
            raise HostError("login-silent", f"{program} login status did not end", "see `armarius doctor`")
        newest = dict(list(known.items())[-_KEPT:])
        if cache.parent.is_dir():  # whoever only looks does not make it
            write_atomic(cache, msgspec.json.encode(newest | {key: said}))
        return said
    return known[key]


def make_login(
    program: Path, codex_home: Path, environ: Mapping[str, str], *, device_auth: bool = False, api_key: bool = False
) -> Login:
    """Let the person log in: codex has the terminal, and its login stays in this home.

    `api_key` reads the key from standard input. Failed when codex did not make a login.
    """
    more = {name: environ[name] for name in _TERMINAL if name in environ}
    flags = [*(["--device-auth"] if device_auth else []), *(["--with-api-key"] if api_key else [])]
    argv = [str(program), "--config=cli_auth_credentials_store=file", "login", *flags]
    try:
        done = subprocess.run(argv, env=environ_for(codex_home, environ, **more), cwd=codex_home, check=False)
    except OSError as error:
        raise HostError("codex-broken", f"cannot start {program}: {error.strerror}", "see `armarius doctor`") from error
    if done.returncode != 0:
        raise Failed("login-failed", f"`codex login` ended with {done.returncode}", "try again")
    return read_login(codex_home)


def refresh_login(program: Path, codex_home: Path, environ: Mapping[str, str], locks: Path, until_us: int) -> Login:
    """The login, refreshed by Codex if it ends before `until_us`; HostError when that did not help.

    Whoever waited for another's refresh finds it done. `environ` is the whole environment of Codex.
    A login without an end, such as an API key, is returned as it is.
    """
    with _alone(locks, codex_home / "auth.json"):
        login = read_login(codex_home)
        if login.expires_at_us is None or login.expires_at_us > until_us:
            return login
        trouble = ""
        with Server(program, environ=environ, cwd=codex_home) as server:
            try:
                server.call(_ACCOUNT_READ, _Refresh(), deadline_s=_REFRESH_S)
            except RequestFailed as error:
                trouble = f" ({error.error.message})"  # it asks for more than the token; the file says what came of it
        after = read_login(codex_home)
    if after.expires_at_us == login.expires_at_us:
        raise HostError(
            "login-stale", f"Codex did not refresh the login in {codex_home}{trouble}", "log in again, or try later"
        )
    if after.expires_at_us is None or after.expires_at_us <= until_us:
        raise HostError(
            "login-expiring",
            f"the refreshed login in {codex_home} still expires before the work could end",
            "ask for less time",
        )
    return after


@contextlib.contextmanager
def _alone(locks: Path, login: Path) -> Generator[None]:
    """The right to refresh the login that `login` is or leads to, for one process of this machine."""
    name = hashlib.sha256(os.fsencode(login.resolve())).hexdigest()[:16]
    with locked(private_folder(locks) / f"login-{name}"):
        yield


def _key(program: Path, codex_home: Path) -> str:
    """Program and files as they are now: another login, configuration or Codex has another key."""
    stamps = [str(codex_home)]
    files = (*(codex_home / name for name in _FILES), *(SYSTEM / name for name in _SYSTEM_FILES))
    for path in (program, *files):
        try:
            seen = path.stat()
            stamps.append(f"{path}:{seen.st_ino}:{seen.st_size}:{seen.st_mtime_ns}:{seen.st_ctime_ns}")
        except FileNotFoundError:
            stamps.append(f"{path}:-")
    return hashlib.sha256("\n".join(stamps).encode(errors="surrogateescape")).hexdigest()


def _read_cache(cache: Path) -> dict[str, str]:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=dict[str, str])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return {}  # a cache: what cannot be read is asked again

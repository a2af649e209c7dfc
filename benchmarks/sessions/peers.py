"""The programs of others that we are measured beside.

Owns which versions they are, how they are fetched into a folder of their own, and how each is asked
for its totals without a network and without the user's own home. Does not own measuring.
Invariant: a peer that cannot be had is left out and named; it never stops the measurement of the rest.
"""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

__all__ = ["Peer", "Program", "fetched"]

_HERE: Final = Path(__file__).parent
_OWN_UV: Final = _HERE.parents[1] / ".make" / "uv" / "bin" / "uv"
_CCUSAGE: Final = "20.0.24"
_PYTHON_PEERS: Final = ("duckdb==2.0.0", "agentsview==0.46.1")
_ARCHITECTURES: Final = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_TIME_S: Final = 600


@dataclass(frozen=True)
class Program:
    """What is started once for each measurement; `totals` reads what it printed."""

    argv: list[str]
    environ: dict[str, str]
    totals: Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Peer:
    """`program` gets the CODEX_HOME and an empty folder for whatever the peer wants to keep."""

    name: str
    version: str
    program: Callable[[Path, Path], Program]


def fetched(folder: Path) -> tuple[list[Peer], list[str]]:
    """The peers that could be had, and what was the matter with the others."""
    peers, missing = list[Peer](), list[str]()
    for fetch in (_fetch_ccusage, _fetch_python):
        try:
            peers += fetch(folder)
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or str(error)
            missing.append(f"{fetch.__name__.removeprefix('_fetch_')}: {said.strip()[-300:]}")
    return peers, missing


def _fetch_ccusage(folder: Path) -> list[Peer]:
    native = (
        f"@ccusage/ccusage-{platform.system().lower()}-{_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    )
    home = folder / "npm"
    program = home / "node_modules" / native / "bin" / "ccusage"
    if not program.exists() or _CCUSAGE not in (home / "node_modules" / native / "package.json").read_text():
        home.mkdir(parents=True, exist_ok=True)
        wanted = (f"ccusage@{_CCUSAGE}", f"{native}@{_CCUSAGE}")
        _run("npm", "install", "--no-audit", "--no-fund", "--prefix", str(home), *wanted)
    program.chmod(0o755)

    def ask(codex_home: Path, kept: Path) -> Program:
        environ = _environ(kept) | {"CODEX_HOME": str(codex_home)}
        return Program([str(program), "codex", "daily", "--json", "--offline"], environ, _of_ccusage)

    return [Peer("ccusage codex", _CCUSAGE, ask)]


def _fetch_python(folder: Path) -> list[Peer]:
    home = folder / "python"
    marker = home / "peers.txt"
    if not marker.exists() or marker.read_text() != "\n".join(_PYTHON_PEERS):
        uv = os.environ.get("UV") or shutil.which("uv") or str(_OWN_UV)
        _run(uv, "venv", "--quiet", "--clear", "--no-project", str(home))
        _run(uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *_PYTHON_PEERS)
        marker.write_text("\n".join(_PYTHON_PEERS))
    python = str(home / "bin" / "python")

    def duckdb(reader: str) -> Callable[[Path, Path], Program]:
        argv = [python, str(_HERE / "others.py"), reader]
        return lambda codex_home, kept: Program([*argv, str(codex_home)], _environ(kept), _of_last_line)

    def agentsview(codex_home: Path, kept: Path) -> Program:
        environ = _environ(kept) | {
            "AGENTSVIEW_DATA_DIR": str(kept / "data"),
            "AGENTSVIEW_NO_DAEMON": "1",
            "CODEX_SESSIONS_DIR": str(codex_home / "sessions"),
        }
        return Program([str(home / "bin" / "agentsview"), "sync", "--full"], environ, lambda _: {})

    versions = {name: version for name, _, version in (peer.partition("==") for peer in _PYTHON_PEERS)}
    return [
        Peer("DuckDB typed", versions["duckdb"], duckdb("duckdb")),
        Peer("DuckDB typed, tokens alone", versions["duckdb"], duckdb("duckdb-tokens")),
        Peer("agentsview sync --full", versions["agentsview"], agentsview),
    ]


def _environ(kept: Path) -> dict[str, str]:
    """Nothing of the caller's but the way to programs."""
    return {"PATH": os.environ["PATH"], "HOME": str(kept), "TMPDIR": str(kept), "DO_NOT_TRACK": "1"}


def _of_ccusage(printed: str) -> dict[str, Any]:
    """Its words for tokens; what was read from or written to the cache is not part of its input."""
    said = json.loads(printed)["totals"]
    cached, written = said["cacheReadTokens"], said["cacheCreationTokens"]
    return {
        "tokens": {
            "input": said["inputTokens"] + cached + written,
            "cached_input": cached,
            "cache_write": written,
            "output": said["outputTokens"],
            "reasoning": said["reasoningOutputTokens"],
        }
    }


def _of_last_line(printed: str) -> dict[str, Any]:
    return json.loads(printed.splitlines()[-1])["totals"]


def _run(*argv: str) -> None:
    subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
        text=True,
        timeout=_TIME_S,
    )

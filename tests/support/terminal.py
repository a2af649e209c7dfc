"""`armarius` as somebody types it: a process of its own (prefork.py), on a machine that is all below one folder.

Owns the machine (home, CODEX_HOME, project), typing and what came of it. Does not own what is right.
Invariant: nothing of whoever runs the tests is seen; the model is one on loopback or none.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from armarius.evolve.tasks import Task
from armarius.testing.model_server import ModelServer
from support import prefork
from support.codex_config import codex_config
from support.prefork import Forked

__all__ = ["ARMARIUS", "UNPRIVILEGED", "Done", "Terminal"]

ARMARIUS = (sys.executable, "-m", "armarius")

UNPRIVILEGED = (
    *(sys.executable, "-c"),
    # PR_SET_SECUREBITS with SECBIT_NOROOT (capabilities(7)): what root starts from here on may do no
    # more than the modes of files allow. Another uid could not even start an interpreter below /root.
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(28, 3, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])",
)
"""What to start a program through so that it is nobody special, also when the tests run as root."""

_PATIENCE_S = 120
_READ_AT_START = ("LANG", "LC_", "PYTHON")
"""Variables that Python itself looks at, once: such a command is started anew."""


class Done(msgspec.Struct, frozen=True):
    """What a command left: its exit code and both outputs."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The one JSON object on standard error."""
        return json.loads(self.err)


class Terminal:
    """A machine below `folder`, and the commands that are typed in its project."""

    def __init__(self, folder: Path, home: dict[str, str]) -> None:
        self.environ = home | {"PATH": "/usr/bin:/bin"}
        self.home = Path(home["HOME"])
        self.codex_home = Path(home["CODEX_HOME"])
        self.state = Path(home["ARMARIUS_HOME"])
        self.project = folder / "project"
        (self.project / ".git").mkdir(parents=True)
        (self.project / ".git" / "HEAD").write_text("ref: refs/heads/main\n")

    def type(
        self,
        *words: str | bytes,
        stdin: bytes = b"",
        environ: dict[str, str] | None = None,
        through: tuple[str, ...] = (),
        folder: Path | None = None,
    ) -> Done:
        """Run a command to its end."""
        place, whole = folder or self.project, self.environ | (environ or {})
        if through or any(name.startswith(_READ_AT_START) for name in environ or ()):
            done = subprocess.run(
                [*through, *ARMARIUS, *words],
                cwd=place,
                env=whole,
                input=stdin,
                capture_output=True,
                check=False,
                timeout=_PATIENCE_S,
            )
        else:
            with prefork.ARMARIUS.start(words, place, whole, is_given=True) as process:
                out, err = process.communicate(stdin, _PATIENCE_S)
                done = subprocess.CompletedProcess(process.args, process.wait(), out, err)
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *words: str) -> Forked:
        """Start a command in a session of its own, as a terminal does; should all fail, a run ends by itself."""
        environ = self.environ | {"ARMARIUS_TIMEOUT": str(_PATIENCE_S)}
        return prefork.ARMARIUS.start(words, self.project, environ, leads=True)

    def configure(self, base_url: str, **more: Any) -> None:
        """Let this machine's Codex speak to the model at `base_url`."""
        (self.codex_home / "config.toml").write_text(codex_config(base_url, **more))

    def serve(self, server: ModelServer) -> None:
        self.configure(server.base_url)

    def install(self, skill: bytes, name: str = "writer") -> Path:
        """A skill of the project; its file."""
        file = self.project / ".agents" / "skills" / name / "SKILL.md"
        file.parent.mkdir(parents=True)
        file.write_bytes(skill)
        return file

    def write_tasks(self, train: tuple[Task, ...], held_out: tuple[Task, ...], name: str = "tasks.json") -> Path:
        """A reviewed task file in the project."""
        rows = [msgspec.to_builtins(task) | {"split": "train"} for task in train]
        rows += [msgspec.to_builtins(task) | {"split": "held_out"} for task in held_out]
        file = self.project / name
        file.write_text(json.dumps({"schema": "armarius.tasks.v1", "reviewed": True, "tasks": rows}))
        return file

    def living(self) -> list[str]:
        """Processes that were given this machine's home: Codex, its guard and its commands."""
        mark = f"HOME={self.home}".encode()
        found = list[str]()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:  # it ended meanwhile
                    continue
        return found

    def files(self) -> dict[str, bytes]:
        """Every file of this machine but Armarius's cache, by path."""
        cache = Path(self.environ["XDG_CACHE_HOME"]) / "armarius"
        roots = (self.home, self.project)
        found = (Path(top) / name for root in roots for top, _, names in os.walk(root) for name in names)
        return {str(path): path.read_bytes() for path in found if cache not in path.parents}

"""The commands that a page shows, typed by somebody who follows it.

Owns finding them and a shell in a project, with this Python's `armarius` on its PATH. Does not own which
pages there are. Invariant: nothing of whoever runs the tests is seen; a command that fails is shown whole.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from armarius.testing.model_server import ModelServer
from support.codex_config import codex_config

__all__ = ["Reader", "commands_of"]

_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PATIENCE_S = 300


def commands_of(text: str) -> list[str]:
    """The lines of its console blocks, without the prompt."""
    return [line.removeprefix("$ ") for block in _CONSOLE.findall(text) for line in block.splitlines()]


class Reader:
    """Somebody at a shell in `project`, at home in `home`; `programs` are further ones on the PATH."""

    def __init__(self, project: Path, home: dict[str, str], *programs: Path) -> None:
        folders = [Path(sys.executable).parent, *(program.parent for program in programs)]
        self._project = project
        self._home = home
        self._environ = home | {"PATH": os.pathsep.join([*map(str, folders), home["PATH"]])}

    def ask(self, server: ModelServer) -> None:
        """Let Codex speak to this model."""
        Path(self._home["CODEX_HOME"], "config.toml").write_text(codex_config(server.base_url))

    def type(self, line: str, *, allowed: tuple[int, ...] = (0,)) -> str:
        """What it prints on standard output."""
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self._project,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode in allowed, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

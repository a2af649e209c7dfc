"""The programs of others that a night is measured beside.

Owns which versions they are and how they are fetched into a folder of their own. Does not own measuring.
Invariant: nothing of theirs enters our environment, and a run of theirs sees nothing of the user's but the way to
programs.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["VERSIONS", "python_of_peers"]

_CHECKOUT: Final = Path(__file__).parents[2]
_FOLDER: Final = _CHECKOUT / ".make" / "peers-sleep"
VERSIONS: Final = {"skillopt": "0.2.0", "gepa": "0.1.4"}


def python_of_peers() -> str:
    """The Python of their environment, made once."""
    python = _FOLDER / "bin" / "python"
    wanted = [f"{name}=={version}" for name, version in VERSIONS.items()]
    marker = _FOLDER / "peers.txt"
    if not marker.exists() or marker.read_text() != "\n".join(wanted):
        uv = os.environ.get("UV") or shutil.which("uv") or str(_CHECKOUT / ".make" / "uv" / "bin" / "uv")
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--no-project", "--python", sys.executable, str(_FOLDER)], check=True
        )
        subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *wanted], check=True)
        marker.write_text("\n".join(wanted))
    return str(python)

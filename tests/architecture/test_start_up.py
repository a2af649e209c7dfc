"""What a start of the command line loads: not the heavy libraries, unless a command needs them."""

import re
import subprocess
import sys

import pytest

HEAVY = {"dbos", "mcp", "psycopg", "ruamel", "sqlalchemy"}
"""Each costs more than the tenth of a second that a whole `armarius --help` may take."""


def run_python(environ: dict[str, str], *arguments: str) -> tuple[int, set[str]]:
    """The exit code, and the top-level packages that were imported on the way."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"^import time: +\d+ \| +\d+ \| *(\w+)", done.stderr, re.MULTILINE)
    return done.returncode, set(found)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["sessions", "list"]], ids=" ".join)
def test_a_quick_command_loads_nothing_heavy(private_home: dict[str, str], words: list[str]) -> None:
    code, loaded = run_python(private_home, "-m", "armarius", *words)
    assert code == 0
    assert "click" in loaded
    assert loaded & HEAVY == set()


def test_a_heavy_library_would_be_seen(private_home: dict[str, str]) -> None:
    code, loaded = run_python(private_home, "-c", "def late():\n from psycopg import rows\nlate()")
    assert code == 0
    assert loaded & HEAVY == {"psycopg"}

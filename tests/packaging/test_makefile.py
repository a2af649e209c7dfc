"""The Makefile on machines that lack something, and its list of targets."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
OLD = "#!/bin/sh\nexit 1\n"
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *executable*) echo "$0";; esac\n'
TOOLS = ("sh", "mkdir", "rm")


def make(checkout: Path, path: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make with nothing but a PATH, as if these tests had not been started by make themselves."""
    program = shutil.which("make")
    assert program
    return subprocess.run(
        [program, *arguments],
        cwd=checkout,
        env={"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_every_target_with_one_line() -> None:
    listed = re.findall(r"^  make ([\w-]+) +\S", make(ROOT, os.environ["PATH"]).stdout, re.MULTILINE)
    phony = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()
    assert listed == [name for name in re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE) if name != "compiled"]
    assert sorted([*listed, "compiled"]) == sorted(phony)


@pytest.mark.parametrize(
    ("python", "line"),
    [
        (None, "Python 3.11 or newer was not found; install it, or name it with PYTHON="),
        (OLD, "Python 3.11 or newer was not found; install it, or name it with PYTHON="),
        (WITHOUT_VENV, "install python3-venv (apt-get install python3-venv)"),
    ],
    ids=["no python", "an old python", "a python without venv"],
)
def test_what_the_machine_lacks_is_one_line(tmp_path: Path, python: str | None, line: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    if python is not None:
        (folder / "python3").write_text(python)
        (folder / "python3").chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    done = make(tmp_path, str(folder), "install")
    said = [each for each in done.stderr.splitlines() if "***" not in each]
    assert done.returncode == 2
    assert len(said) == 1
    assert line in said[0]
    assert not (tmp_path / ".venv").exists()

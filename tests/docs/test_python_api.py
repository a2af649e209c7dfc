"""The example of `docs/python-api.md` is run as it stands, and prints what the page says."""

import re
import subprocess
import sys
from pathlib import Path

from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

PAGE = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text()


def test_the_example_of_the_page_prints_what_the_page_says(tmp_path: Path, private_home: dict[str, str]) -> None:
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    [printed] = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    terminal = Terminal(tmp_path, private_home)
    with ModelServer() as server:
        terminal.serve(server)
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=terminal.project,
            env=terminal.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == printed
        assert server.requests == 3

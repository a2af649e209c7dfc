"""The soak itself, for some seconds, and the tables of the benchmark."""

import subprocess
import sys
from pathlib import Path

import pytest

PROXY = Path(__file__).parents[2] / "benchmarks" / "proxy"


@pytest.mark.parametrize("seed", [1])
def test_streams_in_trouble_are_recorded_once_each_and_nothing_that_did_not_happen(seed: int) -> None:
    words = [sys.executable, PROXY / "soak.py", "--seconds", "4", "--streams", "64", "--seed", str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "every finished turn once, and nothing else" in done.stdout
    assert "recorder gets" in done.stdout
    assert int(done.stdout.partition(" seen whole")[0].rpartition(" ")[2]) > 50

"""The soak itself: for some seconds, and (`make test-long`) for a minute, which is a minute of both cores."""

import subprocess
import sys
from pathlib import Path

import pytest

PROXY = Path(__file__).parents[2] / "benchmarks" / "proxy"


@pytest.mark.parametrize(("seconds", "seed"), [(4, 1), pytest.param(60, 2, marks=pytest.mark.long)])
def test_streams_in_trouble_are_recorded_once_each_and_nothing_that_did_not_happen(seconds: int, seed: int) -> None:
    words = [sys.executable, PROXY / "soak.py", "--seconds", str(seconds), "--streams", "64", "--seed", str(seed)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120 + seconds, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "every finished turn once, and nothing else" in done.stdout
    assert "recorder gets" in done.stdout
    assert int(done.stdout.partition(" seen whole")[0].rpartition(" ")[2]) > 50

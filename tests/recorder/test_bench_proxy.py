"""The soak itself: a minute of it, beside the other tests, and (`make test-long`) one that keeps both cores busy."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.soaking import PROGRAM, result


def assert_sound(code: int, said: str) -> None:
    assert (code, "every finished turn once, and nothing else" in said) == (0, True), said
    assert "recorder gets" in said
    assert int(said.partition(" seen whole")[0].rpartition(" ")[2]) > 50


@pytest.mark.soak
def test_a_minute_of_streams_in_trouble_is_recorded_once_each_and_nothing_that_did_not_happen(soak: Path) -> None:
    until = time.monotonic() + 200
    while (said := result(soak)) is None:
        assert time.monotonic() < until, "the soak does not end"
        time.sleep(0.2)
    assert_sound(*said)


@pytest.mark.long
def test_a_minute_of_as_many_streams_as_two_cores_can_do_is_recorded_in_the_same_way() -> None:
    words = [sys.executable, PROGRAM, "--seconds", "60", "--streams", "64", "--seed", "2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180, check=False)
    assert_sound(done.returncode, done.stdout + done.stderr)

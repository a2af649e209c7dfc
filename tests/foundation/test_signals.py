"""What a signal means is changed between two signals, and never within one."""

import os
import signal
import subprocess
import sys

_SIGNALS = 1_000_000
_PROGRAM = """
import signal
from armarius.signals import set_handler

heard = set()
signal.signal(signal.SIGTERM, lambda number, frame: heard.add(number))
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("begun", flush=True)
while signal.SIGTERM not in heard:
    set_handler(signal.SIGINT, lambda number, frame: heard.add(number))
    set_handler(signal.SIGINT, signal.SIG_IGN)
print(signal.SIGINT in heard)
"""


def test_a_signal_that_comes_while_it_begins_to_be_ignored_is_not_complained_of() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "begun\n"
        for _ in range(_SIGNALS):
            os.kill(process.pid, signal.SIGINT)
        process.terminate()
        process.wait()
        assert (process.returncode, process.stdout.read(), process.stderr.read()) == (0, "True\n", "")

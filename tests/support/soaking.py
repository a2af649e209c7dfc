"""The soak of the recorder, beside the other tests: it waits more than it works.

Owns its process, as long as the tests run that began it. Does not own what the soak does (`benchmarks/proxy/soak.py`).
Invariant: what it said is there whole or not at all; it ends with the tests, however they end.

    python soaking.py PID FOLDER WORDS…  runs WORDS while PID lives, and leaves `said` and `code` in FOLDER
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["PROGRAM", "begin", "result"]

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "proxy" / "soak.py"
_A_MINUTE = ("--seconds", "60", "--streams", "64", "--seed", "1", "--answer", "12", "--restarts", "5")


def begin(folder: Path, tests: int) -> None:
    """Begin it, for as long as the process `tests` lives; it has a home of its own."""
    folder.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "TMPDIR": str(folder)}
    words = [sys.executable, __file__, str(tests), str(folder), sys.executable, str(PROGRAM), *_A_MINUTE]
    begun = subprocess.Popen(words, env=environ, stdin=subprocess.DEVNULL, start_new_session=True)
    begun.returncode = 0  # nobody waits for it: it says itself that it is over


def result(folder: Path) -> tuple[int, str] | None:
    """Its exit code and what it said, once it is over."""
    there = folder / "result"
    if not there.exists():
        return None
    code, said = json.loads(there.read_text())
    return code, said


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def main(tests: int, folder: Path, words: list[str]) -> None:
    with (folder / "said").open("w+") as said:
        soak = subprocess.Popen(words, stdout=said, stderr=said, process_group=0)
        while soak.poll() is None:
            try:
                soak.wait(1)
            except subprocess.TimeoutExpired:
                if not _lives(tests):
                    os.killpg(soak.pid, signal.SIGKILL)
        said.seek(0)
        part = folder / "part"
        part.write_text(json.dumps([soak.returncode, said.read()]))
        part.replace(folder / "result")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])

"""Short helper programs end, whatever they do."""

import sys
from pathlib import Path

import pytest

from armarius import programs
from armarius.errors import HostError

PRINTS = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
FLOODS = "import sys\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"
HANGS = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(60)"
CLOSES_AND_HANGS = "import os, time\nos.close(1); os.close(2)\nwhile True: time.sleep(60)"
LEAVES_A_CHILD = (
    "import os, sys, time\npid = os.fork()\nif pid: print(pid, flush=True); os._exit(0)\nwhile True: time.sleep(60)"
)


def run(code: str, folder: Path, timeout: float = 60) -> programs.Finished:
    return programs.run([sys.executable, "-c", code], cwd=folder, environ={}, timeout=timeout, most=1000)


def test_a_program_says_how_it_ended(tmp_path: Path) -> None:
    assert run(PRINTS, tmp_path) == programs.Finished(3, b"out\n", b"err\n")


@pytest.mark.parametrize("code", [FLOODS, HANGS, CLOSES_AND_HANGS])
def test_a_program_that_does_not_end_is_ended(code: str, tmp_path: Path) -> None:
    done = run(code, tmp_path, timeout=0.5)
    assert done.code is None
    assert len(done.stdout) <= 1000


def test_what_a_program_started_ends_with_it(tmp_path: Path) -> None:
    done = run(LEAVES_A_CHILD, tmp_path, timeout=1)
    child = int(done.stdout)
    while is_alive(child):  # it was sent SIGKILL, which takes effect when its turn comes
        pass


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_nothing_is_handed_on_but_what_is_said(tmp_path: Path) -> None:
    done = programs.run(
        [sys.executable, "-c", "import os; print(os.environ['A'], os.getcwd(), os.environ.get('HOME'))"],
        cwd=tmp_path,
        environ={"A": "b"},
    )
    assert done.stdout.decode() == f"b {tmp_path} None\n"


@pytest.mark.parametrize(("code", "read"), [("sys.stdin.buffer.read()", 3_000_000), ("b''", 0)])
def test_a_program_gets_its_input_and_need_not_read_it(code: str, read: int, tmp_path: Path) -> None:
    done = programs.run(
        [sys.executable, "-c", f"import sys; print(len({code}))"], cwd=tmp_path, environ={}, data=b"x" * 3_000_000
    )
    assert done == programs.Finished(0, f"{read}\n".encode(), b"")


@pytest.mark.parametrize("argv", [["/no/such/program"], ["a\0b"]])
def test_a_program_that_is_not_there_is_an_error_with_its_name(argv: list[str], tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot start"):
        programs.run(argv, cwd=tmp_path, environ={})

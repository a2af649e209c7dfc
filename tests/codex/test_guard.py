"""The guard's promises, on real processes: shells and small programs in place of codex."""

import json
import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from armarius.codex import guard
from armarius.codex.process import MARKER, Attempt, Launch
from armarius.errors import HostError

IGNORE_INT = "trap '' INT; "
IGNORE_BOTH = "trap '' INT TERM; "
FOREVER = "while :; do read _ < {fifo}.never; done"


class Stage:
    """A folder with a FIFO on which programs of a test report, in place of sleeping and hoping."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        os.mkfifo(f"{self.fifo}.never")  # nobody ever writes to it: a wait without end
        self._reader = os.open(self.fifo, os.O_RDWR)
        self._never = os.open(f"{self.fifo}.never", os.O_RDWR)
        self.attempt = Attempt(folder / "attempt")

    def hear(self) -> str:
        ready, _, _ = select.select([self._reader], [], [], 30)
        assert ready, "nobody reported"
        return os.read(self._reader, 4096).decode().strip()

    def launch(
        self,
        script: str,
        *,
        deadline: float = 60,
        grace: tuple[float, float] = (0.2, 0.2),
        cap: int = 1 << 20,
        environ: dict[str, str] | None = None,
    ) -> Launch:
        return Launch(
            argv=("/bin/sh", "-c", script.replace("{fifo}", str(self.fifo))),
            environ={"PATH": "/usr/bin:/bin"} if environ is None else environ,
            cwd=str(self.folder),
            deadline_s=deadline,
            grace_s=grace,
            output_cap_bytes=cap,
        )

    def run(self, script: str, prompt: bytes = b"", **settings: object) -> Attempt:
        self.attempt.start(self.launch(script, **settings), prompt)  # pyright: ignore[reportArgumentType]
        return self.attempt

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._never)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def gone(pid: int) -> bool:
    return guard.identity_of(pid) is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("exit 0", ("exited", 0, None)),
        ("exit 7", ("exited", 7, None)),
        ("kill -KILL $$", ("exited", None, "SIGKILL")),
        ("kill -TERM $$", ("exited", None, "SIGTERM")),
    ],
)
def test_the_end_of_a_program_is_recorded_as_it_was(
    stage: Stage, script: str, expected: tuple[str, int | None, str | None]
) -> None:
    end = stage.run(script).wait()
    assert (end.outcome, end.exit_code, end.signal) == expected
    assert end.signals_sent == ()
    assert end.stragglers == 0


def test_output_goes_to_files_and_the_prompt_arrives_with_an_end(stage: Stage) -> None:
    attempt = stage.run("cat; echo to-stderr >&2", prompt="grüße\n--yolo".encode())
    assert attempt.wait().exit_code == 0
    assert attempt.events.read_text() == "grüße\n--yolo"
    assert attempt.stderr.read_text() == "to-stderr\n"


def test_the_environment_is_exactly_the_one_given_plus_the_mark_of_the_attempt(stage: Stage) -> None:
    os.environ["LEAK_CANARY"] = "leaked"
    try:
        attempt = stage.run("env", environ={"PATH": "/usr/bin:/bin", "ONE": "1 \n2"})
        attempt.wait()
    finally:
        del os.environ["LEAK_CANARY"]
    shell_adds = ("PWD=", "SHLVL=", "_=", "OLDPWD=")
    seen = [line for line in attempt.events.read_text().splitlines() if not line.startswith(shell_adds)]
    assert sorted(seen) == sorted([f"{MARKER}={attempt.folder}", "ONE=1 ", "2", "PATH=/usr/bin:/bin"])


def test_everything_in_the_folder_is_for_its_owner_alone(stage: Stage) -> None:
    attempt = stage.run("echo hello")
    attempt.wait()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in attempt.folder.iterdir()}
    assert stat.S_IMODE(attempt.folder.stat().st_mode) == 0o700
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    assert (attempt.folder / "guard.log").read_bytes() == b""


@pytest.mark.parametrize(
    ("trap", "signals", "ended_by"),
    [
        ("", ("SIGINT",), "SIGINT"),
        (IGNORE_INT, ("SIGINT", "SIGTERM"), "SIGTERM"),
        (IGNORE_BOTH, ("SIGINT", "SIGTERM", "SIGKILL"), "SIGKILL"),
    ],
)
def test_a_deadline_asks_politely_first_and_kills_at_last(
    stage: Stage, trap: str, signals: tuple[str, ...], ended_by: str
) -> None:
    attempt = stage.run(trap + FOREVER, deadline=0.3)
    end = attempt.wait()
    assert (end.outcome, end.signals_sent, end.signal) == ("deadline", signals, ended_by)


def test_a_cancel_gives_the_program_the_chance_to_end_well(stage: Stage) -> None:
    attempt = stage.run("trap 'echo bye; exit 3' INT; echo up > {fifo}; " + FOREVER, grace=(30, 30))
    assert stage.hear() == "up"
    assert attempt.cancel()
    end = attempt.wait()
    assert (end.outcome, end.exit_code, end.signals_sent) == ("cancelled", 3, ("SIGINT",))
    assert attempt.events.read_text() == "bye\n"
    assert not attempt.cancel()


def test_a_guard_that_was_stopped_hears_a_cancel(stage: Stage) -> None:
    attempt = stage.run("echo up > {fifo}; " + FOREVER)
    assert stage.hear() == "up"
    os.kill(json.loads((attempt.folder / "guard.json").read_bytes())["pid"], signal.SIGSTOP)
    assert attempt.cancel()
    assert attempt.wait().outcome == "cancelled"


def test_a_cancel_is_heard_from_the_first_moment_on(tmp_path: Path) -> None:
    launch = Launch(argv=("/bin/sleep", "600"), environ={}, cwd="/", deadline_s=30)
    for number in range(6):
        attempt = Attempt(tmp_path / str(number))
        attempt.start(launch, b"")
        while number % 2 and not (attempt.folder / "guard.json").exists():
            pass  # the other half is cancelled while its guard is only starting
        assert attempt.cancel()
        end = attempt.wait()
        assert (end.outcome, end.stragglers) == ("cancelled", 0)


def test_a_closed_terminal_does_not_end_the_work(stage: Stage) -> None:
    attempt = stage.run("echo up > {fifo}; read _ < {fifo}.go; exit 5")
    os.mkfifo(f"{stage.fifo}.go")
    assert stage.hear() == "up"
    os.kill(json.loads((attempt.folder / "guard.json").read_bytes())["pid"], signal.SIGHUP)
    Path(f"{stage.fifo}.go").write_text("go\n")
    assert attempt.wait().exit_code == 5


@pytest.mark.parametrize(
    "leave_behind",
    [
        "sh -c 'echo $$ > {fifo}; exec cat {fifo}.never' &",
        "setsid sh -c 'echo $$ > {fifo}; exec cat {fifo}.never' &",
        "setsid sh -c \"trap '' TERM INT; echo \\$\\$ > {fifo}; while :; do read _ < {fifo}.never; done\" &",
        "(setsid sh -c '(setsid sh -c \"echo \\$\\$ > {fifo}; exec cat {fifo}.never\" &)' &);",
    ],
    ids=["child", "own session", "ignores TERM", "double fork"],
)
def test_nothing_that_a_program_leaves_behind_survives_it(stage: Stage, leave_behind: str) -> None:
    os.mkfifo(f"{stage.fifo}.go")
    attempt = stage.run(leave_behind + " read _ < {fifo}.go; exit 0")
    orphan = int(stage.hear())
    assert not gone(orphan)
    Path(f"{stage.fifo}.go").write_text("go\n")
    end = attempt.wait()
    assert (end.outcome, end.exit_code) == ("exited", 0)
    assert end.stragglers >= 1
    assert end.unkillable == 0
    assert gone(orphan)


def test_a_flood_of_output_is_cut_at_the_cap(stage: Stage) -> None:
    end = stage.run("exec yes", cap=100_000).wait()
    assert end.outcome == "output_cap"
    assert end.output_bytes > 100_000


@pytest.mark.parametrize(
    ("printed", "stopped"),
    [
        ("bad news", True),
        ("good news\\nbad news", True),
        ("x bad news", False),
        ("good news", False),
        ("bad ne", False),
    ],
)
def test_a_line_that_begins_as_a_launch_names_ends_the_program(stage: Stage, printed: str, *, stopped: bool) -> None:
    script = f"printf '{printed}\\n'; " + (FOREVER if stopped else "exit 0")
    launch = msgspec.structs.replace(stage.launch(script), stops=(("other", "never"), ("news", "bad news")))
    stage.attempt.start(launch, b"")
    end = stage.attempt.wait()
    assert (end.outcome, end.stopped_by) == (("stopped", "news") if stopped else ("exited", None))


def test_a_line_is_looked_at_when_it_is_whole_and_of_any_length(stage: Stage) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; printf 'bad'; read _ < {fifo}.go; printf ' news\\n'; " + FOREVER
    os.mkfifo(f"{stage.fifo}.go")
    launch = msgspec.structs.replace(stage.launch(script, cap=1 << 24), stops=(("news", "x*bad news"),))
    stage.attempt.start(launch, b"")
    with open(f"{stage.fifo}.go", "w") as go:  # noqa: PTH123
        go.write("go\n")
    stage.attempt.cancel()
    assert stage.attempt.wait().outcome == "cancelled", "the head of a line without measure is not its beginning"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo over; exec sleep 600", ("stopped", "linger", "SIGINT")),
        ("echo first; echo over; " + IGNORE_BOTH + FOREVER, ("stopped", "linger", "SIGKILL")),
        ("echo over; kill -TERM $$", ("exited", None, "SIGTERM")),
        ("printf over; sleep 0.6; kill -TERM $$", ("exited", None, "SIGTERM")),
        ("echo over; echo more; sleep 0.6; kill -TERM $$", ("exited", None, "SIGTERM")),
        ("echo not over; sleep 0.6; kill -TERM $$", ("exited", None, "SIGTERM")),
    ],
    ids=["silent", "hears no signal", "ends", "half a line", "goes on", "says it in a line"],
)
def test_a_program_that_says_that_it_is_over_has_to_end_or_to_say_more(
    stage: Stage, script: str, expected: tuple[str, str | None, str]
) -> None:
    launch = msgspec.structs.replace(stage.launch(script), last="over", linger_s=0.1)
    stage.attempt.start(launch, b"")
    end = stage.attempt.wait()
    assert (end.outcome, end.stopped_by, end.signal) == expected


def test_what_a_tool_reports_is_kept_by_the_guard_and_never_makes_a_tool_wait(stage: Stage) -> None:
    fifo = stage.folder / "witness"
    os.mkfifo(fifo)
    script = f"for n in 1 2 3; do echo called $n > {fifo}; done; (echo late > {fifo}) & exit 0"
    launch = msgspec.structs.replace(stage.launch(script), witness=str(fifo))
    stage.attempt.start(launch, b"")
    assert stage.attempt.wait().exit_code == 0
    told = stage.attempt.witness.read_text().splitlines()
    assert told[:3] == ["called 1", "called 2", "called 3"]


@pytest.mark.parametrize(
    ("argv", "cwd", "reason"),
    [
        (("/no/such/codex",), "/", "No such file or directory: /no/such/codex"),
        (("/etc/passwd",), "/", "Permission denied: /etc/passwd"),
        (("/bin/true",), "/no/such/folder", "No such file or directory: /no/such/folder"),
    ],
)
def test_a_program_that_cannot_start_is_told_from_one_that_failed(
    stage: Stage, argv: tuple[str, ...], cwd: str, reason: str
) -> None:
    stage.attempt.start(Launch(argv=argv, environ={}, cwd=cwd, deadline_s=5), b"")
    end = stage.attempt.wait()
    assert (end.outcome, end.error, end.exit_code) == ("not_started", reason, None)


def test_an_attempt_is_started_once(stage: Stage) -> None:
    attempt = stage.run("echo up > {fifo}; read _ < {fifo}.never")
    assert stage.hear() == "up"
    with pytest.raises(HostError, match="already started"):
        Attempt(attempt.folder).start(stage.launch("true"), b"")
    attempt.cancel()
    attempt.wait()
    with pytest.raises(HostError, match="already started"):
        attempt.start(stage.launch("true"), b"")


def test_liveness_follows_the_attempt_from_outside(stage: Stage) -> None:
    other = Attempt(stage.attempt.folder)
    stage.attempt.folder.mkdir()
    assert other.liveness() == "absent"
    stage.run("echo up > {fifo}; read _ < {fifo}.never")
    assert stage.hear() == "up"
    assert other.liveness() == "alive"
    assert other.cancel()
    assert other.wait().outcome == "cancelled"
    assert other.liveness() == "ended"
    stage.attempt.wait()


PARENT = """
import sys
from pathlib import Path
from armarius.codex.process import Attempt, Launch
import msgspec
launch = msgspec.json.decode(sys.stdin.buffer.read(), type=Launch)
Attempt(Path(sys.argv[1])).start(launch, b"the prompt")
print("started", flush=True)
sys.stdin = open(sys.argv[2])
sys.stdin.read()
"""


def test_the_work_goes_on_when_the_one_who_started_it_is_killed(stage: Stage) -> None:
    os.mkfifo(f"{stage.fifo}.go")
    launch = stage.launch("cat; echo up > {fifo}; read _ < {fifo}.go; echo done; exit 4")
    with start_python(PARENT, str(stage.attempt.folder), f"{stage.fifo}.never", launch=launch) as parent:
        assert stage.hear() == "up"
        parent.kill()
    adopted = Attempt(stage.attempt.folder)
    assert adopted.liveness() == "alive"
    Path(f"{stage.fifo}.go").write_text("go\n")
    end = adopted.wait()
    assert (end.outcome, end.exit_code) == ("exited", 4)
    assert adopted.events.read_text() == "the promptdone\n"


@pytest.mark.parametrize("script", ["", "setsid "], ids=["same session", "own session"])
def test_when_the_guard_is_killed_its_orphans_are_ended_before_anybody_goes_on(stage: Stage, script: str) -> None:
    attempt = stage.run(script + "sh -c 'echo $$ $PPID > {fifo}; exec cat {fifo}.never' & wait")
    orphan, program = map(int, stage.hear().split())
    who = json.loads((attempt.folder / "guard.json").read_bytes())
    os.kill(who["pid"], signal.SIGKILL)
    end = attempt.wait()
    assert end.outcome == "lost"
    assert gone(orphan)
    assert gone(program)
    assert attempt.liveness() == "lost"


def test_a_pid_that_now_belongs_to_another_process_is_never_signalled(stage: Stage) -> None:
    attempt = stage.run("echo up > {fifo}; read _ < {fifo}.never")
    assert stage.hear() == "up"
    path = attempt.folder / "guard.json"
    true_self = path.read_bytes()
    with start_python("import sys; sys.stdin.read()") as bystander:
        path.write_text(json.dumps(json.loads(true_self) | {"pid": bystander.pid}))
        assert not attempt.cancel()
        assert bystander.poll() is None
    path.write_bytes(true_self)
    assert attempt.cancel()
    attempt.wait()


def start_python(code: str, *arguments: str, launch: Launch | None = None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if launch is not None:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(launch))
        process.stdin.close()
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
    return process

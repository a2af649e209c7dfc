"""When something scarce is free: the judgement as a table, and looks at real things."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from armarius.errors import DataError
from armarius.resources.kinds import (
    BoundPort,
    Containers,
    Counted,
    Gpu,
    Matches,
    Probed,
    Reading,
    Room,
    Unreadable,
    is_free,
    parse_gpus,
)
from armarius.resources.leases import Amount, Units
from armarius.resources.needs import parse_need
from armarius.resources.probes import Prober, Sight
from armarius.resources.process_patterns import Process, matching
from armarius.settings import ContainersSpec, CounterSpec, GpuSpec, ProbeSpec, ProcessesSpec, ResourceSpec

CARD = "GPU-4c1d0000-0000-0000-0000-000000000001"
OTHER_CARD = "GPU-4c1d0000-0000-0000-0000-000000000002"


def gpu(memory: int | None = 3, utilisation: float | None = 0, **more: object) -> Gpu:
    return Gpu("GPU-1", 0, "A100", memory, utilisation, **more)  # pyright: ignore[reportArgumentType]


NO_MATCH = ProcessesSpec(["train"])
QUIET = ContainersSpec(["a", "b"])
PROBE = ProbeSpec(["p"])


@pytest.mark.parametrize(
    ("reading", "spec", "free", "why"),
    [
        (gpu(), GpuSpec(), True, "3 MiB in use, 0 % busy, 0 compute programs"),
        (gpu(500, 10), GpuSpec(), True, "500 MiB"),
        (gpu(501), GpuSpec(), False, "501 MiB in use, at most 500 is free"),
        (gpu(3, 10.5), GpuSpec(), False, "10.5 % busy, at most 10 is free"),
        (gpu(apps=("python (7)",)), GpuSpec(), False, "1 compute programs: python (7)"),
        (gpu(20_000, apps=("a (1)",)), GpuSpec(most_memory=30_000, most_apps=1), True, "20000 MiB"),
        (gpu(None), GpuSpec(), True, "? MiB in use"),
        (gpu(3, None), GpuSpec(), True, "? % busy"),
        (gpu(None, None), GpuSpec(), False, "neither memory nor utilisation"),
        (gpu(trouble="the driver says 'ERR!'"), GpuSpec(), False, "unknown: the driver says 'ERR!'"),
        (Matches(()), NO_MATCH, True, "no process matches"),
        (Matches(((7, "python"),)), NO_MATCH, False, "1 matching: python (7)"),
        (Containers({"a": 0.3, "b": None}), QUIET, True, "1 of 2 running"),
        (Containers({"a": 5.0, "b": 0}), QUIET, True, "2 of 2 running"),
        (Containers({"a": 0.3, "b": 93.1}), QUIET, False, "b at 93.1 % CPU"),
        (Room(100, 100, "x"), CounterSpec(), True, "100B wanted"),
        (Room(99, 100, "x"), CounterSpec(), False, "100B wanted"),
        (BoundPort(is_taken=False), CounterSpec(), True, "can be bound"),
        (BoundPort(is_taken=True, holder="nginx (3)"), CounterSpec(), False, "in use by nginx (3)"),
        (Probed(0, "fine"), PROBE, True, "ended with 0: fine"),
        (Probed(1, "in use by Bob"), PROBE, False, "ended with 1: in use by Bob"),
        (Probed(None, ""), PROBE, False, "did not end in time"),
        (Counted(), CounterSpec(), True, "only leases count"),
        (Unreadable("no driver"), GpuSpec(), False, "unknown: no driver"),
        (Unreadable("x"), CounterSpec(), False, "unknown: x"),
    ],
)
def test_a_reading_is_judged_by_what_the_user_stated(
    *, reading: Reading, spec: ResourceSpec, free: bool, why: str
) -> None:
    verdict, reason = is_free(reading, spec)
    assert verdict is free
    assert why in reason


def test_what_nvidia_smi_says_is_read() -> None:
    shown = (
        f"0, {CARD}, 13452, 97, NVIDIA A100-SXM4-80GB\n1, {OTHER_CARD}, 4, 0, Odd, name\n2, GPU-3, [N/A], [N/A], MIG\n"
        "3, GPU-4, [Unknown Error], 0, Lost\n"
    )
    apps = f"{CARD}, 4711, /usr/bin/python3\n{CARD}, 12, [Not Found]\n"
    assert parse_gpus(shown, apps) == (
        Gpu(CARD, 0, "NVIDIA A100-SXM4-80GB", 13452, 97.0, ("python3 (4711)", "[Not Found] (12)")),
        Gpu(OTHER_CARD, 1, "Odd, name", 4, 0.0),
        Gpu("GPU-3", 2, "MIG", None, None),
        Gpu("GPU-4", 3, "Lost", None, 0.0, trouble="the driver says '[Unknown Error]'"),
    )


@pytest.mark.parametrize("text", ["No devices were found", "0, GPU-1", "x, GPU-1, 1, 1, n", "0, , 1, 1, n"])
def test_what_is_not_nvidia_smi_is_not_taken_for_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_gpus(text, "")


# ------------------------------------------------------------------- processes

TREE = (
    Process(1, 0, "init", ("/sbin/init",)),
    Process(10, 1, "bash", ("bash", "-c", "armarius resources lease train -- python train.py")),
    Process(11, 10, "python3", ("/venv/bin/python3", "/venv/bin/armarius", "resources", "lease", "train")),
    Process(20, 1, "bash", ("bash", "-c", 'codex exec "train the model"')),
    Process(21, 20, "node", ("node", "/usr/lib/node_modules/@openai/codex/bin/codex.js", "exec", "train the model")),
    Process(22, 21, "codex", ("/x/codex", "exec", "train the model")),
    Process(30, 1, "python3", ("python3", "/site/armarius/codex/guard.py", "train")),
    Process(31, 1, "python3", ("python3", "-m", "armarius", "run", "train the model")),
    Process(40, 1, "codex-linux-san", ("codex-linux-sandbox", "--", "bash", "-lc", "python train.py")),
)


@pytest.mark.parametrize(
    "work",
    [
        Process(50, 22, "python3", ("python3", "train.py")),
        Process(50, 1, "python3", ("python3", "train.py", "--out", "/data/codex")),
        Process(50, 1, "bash", ("bash", "-lc", "python train.py")),
        Process(50, 1, "train", ()),
        Process(50, 1, "python3", ("python3", "-c", "train()")),
    ],
    ids=lambda process: process.line,
)
def test_work_matches_and_whoever_asked_for_it_does_not(work: Process) -> None:
    assert matching((*TREE, work), ["train"], 11) == (work,)
    assert matching(TREE, ["train"], 11) == ()


def test_a_shell_that_does_the_work_itself_matches_though_it_also_starts_codex() -> None:
    shell = Process(60, 1, "bash", ("bash", "train.sh"))
    codex = Process(61, 60, "codex", ("codex", "exec", "look at it"))
    assert matching((*TREE, shell, codex), ["train"], 11) == (shell,)


def test_a_bad_pattern_is_one_clear_error() -> None:
    with pytest.raises(DataError, match=r"'\(' is no pattern: missing"):
        matching((), ["("], 1)


# ------------------------------------------------------------------ real looks


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    return folder


@pytest.fixture
def look(tools: Path, tmp_path: Path) -> Callable[..., Sight]:
    """Looks on a machine that has only the tools in `tools`, beside /bin."""
    prober = Prober({"PATH": f"{tools}:/usr/bin:/bin"}, tmp_path)

    def one(need: str, spec: ResourceSpec | None = None) -> Sight:
        return prober.look(parse_need(need), spec or CounterSpec())

    return one


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def nvidia_smi(tools: Path, gpus: str, apps: str = "", code: int = 0) -> None:
    """A program that answers as nvidia-smi does, to the very questions that are asked of it."""
    fields = "index,uuid,memory.used,utilization.gpu,name"
    write(
        tools / "nvidia-smi",
        f"""#!/bin/sh
[ "$2" = --format=csv,noheader,nounits ] || {{ echo "unknown option" >&2; exit 2; }}
case "$1" in
--query-gpu={fields}) printf '%s' '{gpus}' ;;
--query-compute-apps=gpu_uuid,pid,process_name) printf '%s' '{apps}' ;;
*) exit 2 ;;
esac
exit {code}
""",
    )


def test_only_free_gpus_are_claimed(look: Callable[..., Sight], tools: Path) -> None:
    gpus = f"0, {CARD}, 8000, 90, A100\n1, {OTHER_CARD}, 4, 0, A100\n"
    nvidia_smi(tools, gpus, f"{CARD}, 4711, python3\n")
    sight = look("gpu:1", GpuSpec())
    assert (sight.resource, sight.claim) == ("gpu", Units("gpu", (OTHER_CARD,)))
    sight = look("gpu:2", GpuSpec())
    assert sight.claim is None
    assert "4711" in sight.reason
    assert look("gpu:2", GpuSpec(9000, 95, 1)).claim == Units("gpu", (CARD, OTHER_CARD), 2)
    assert "there are 2, 3 wanted" in look("gpu:3", GpuSpec(9000, 95, 1)).reason


@pytest.mark.parametrize(
    ("gpus", "code", "why"),
    [
        ("NVIDIA-SMI has failed because it couldn`t communicate with the NVIDIA driver\n", 9, "ended with 9"),
        ("garbage\n", 0, "unknown"),
        ("", 0, "there are 0, 1 wanted"),
    ],
)
def test_a_gpu_that_nobody_can_see_is_not_free(
    look: Callable[..., Sight], tools: Path, gpus: str, code: int, why: str
) -> None:
    nvidia_smi(tools, gpus, code=code)
    sight = look("gpu", GpuSpec())
    assert sight.claim is None
    assert why in sight.reason


def test_without_a_driver_there_is_no_gpu(look: Callable[..., Sight]) -> None:
    sight = look("gpu", GpuSpec())
    assert (sight.claim, "nvidia-smi" in sight.reason) == (None, True)


def test_a_container_that_is_up_and_does_nothing_is_free(look: Callable[..., Sight], tools: Path) -> None:
    write(
        tools / "docker",
        """#!/bin/sh
[ "$1 $2 $3" = "stats --no-stream --format" ] || exit 125
case "$6" in
idle) printf 'idle\\t0.07%%\\n' ;;
busy) printf 'busy\\t183.20%%\\n' ;;
stopped) printf 'stopped\\t--\\n' ;;
broken) echo 'Cannot connect to the Docker daemon' >&2; exit 1 ;;
*) echo "Error response from daemon: No such container: $6" >&2; exit 1 ;;
esac
""",
    )
    assert look("c", ContainersSpec(["idle", "stopped", "removed"])).claim is not None
    for names, why in ((["idle", "busy"], "busy at 183.2 %"), (["idle", "broken"], "Cannot connect")):
        sight = look("c", ContainersSpec(names))
        assert sight.claim is None
        assert why in sight.reason


def test_a_port_is_free_when_it_can_be_listened_on(look: Callable[..., Sight]) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        number = server.getsockname()[1]
        sight = look(f"port:{number}")
        assert sight.claim is None
        assert f"({os.getpid()})" in sight.reason
    claim = look(f"port:{number}").claim
    assert isinstance(claim, Units)
    assert claim.units == (str(number),)


def test_memory_and_disk_are_measured(look: Callable[..., Sight], tmp_path: Path) -> None:
    for need in ("ram:1MiB", "disk:1MiB", f"disk:1MiB@{tmp_path}"):
        claim = look(need).claim
        assert isinstance(claim, Amount)
        assert claim.limit >= claim.amount == 1 << 20
    for need in ("ram:900PiB", "disk:900PiB", f"disk:1MiB@{tmp_path}/nowhere"):
        assert look(need).claim is None


def test_two_paths_on_one_disk_share_what_it_has(look: Callable[..., Sight], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    assert look("disk:1MiB@sub").resource == look(f"disk:1MiB@{tmp_path}").resource


@pytest.mark.parametrize(
    ("script", "timeout", "free", "why"),
    [
        ("echo all quiet", 10, True, "all quiet"),
        ("echo held by Ann >&2; exit 3", 10, False, "ended with 3: held by Ann"),
        ("sleep 60", 0.05, False, "did not end in time"),
        ("kill -9 $$", 10, False, "ended with -9"),
        (r"printf '\033[2Jx\000y\n'; head -c 5000000 /dev/zero", 10, True, ""),
    ],
)
def test_the_user_s_own_probe_decides(
    look: Callable[..., Sight], tools: Path, *, script: str, timeout: float, free: bool, why: str
) -> None:
    command = write(tools / "probe", f"#!/bin/sh\n{script}\n")
    sight = look("thing", ProbeSpec([str(command), "a b"], timeout))
    assert (sight.claim is not None) is free
    assert why in sight.reason


def test_a_probe_that_is_not_there_is_not_free(look: Callable[..., Sight]) -> None:
    assert "cannot start '/nowhere'" in look("thing", ProbeSpec(["/nowhere"])).reason


def test_more_than_there_are_can_never_be_had(look: Callable[..., Sight]) -> None:
    with pytest.raises(DataError, match="asks for more than the 2"):
        look("thing:3", CounterSpec(2))


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    argv = [sys.executable, "-c", "import sys; sys.stdin.read()", "unlikely-word-of-a-test"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_a_running_process_is_seen_until_it_ends(look: Callable[..., Sight], worker: "subprocess.Popen[bytes]") -> None:
    spec = ProcessesSpec(["unlikely-word-of-a-tes[t]"])
    sight = look("work", spec)
    assert sight.claim is None
    assert f"({worker.pid})" in sight.reason
    worker.kill()
    worker.wait()
    assert look("work", spec).claim is not None

"""Two hosts and one GPU against one PostgreSQL over a network: never two holders, the late one is fenced.

Each host is a network, pid and host-name namespace of its own, so that nobody sees the other's processes.
It needs root and `ip`; run with `pytest tests/long/lease_hosts.py`.
"""

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest

from armarius.clock import SystemClock
from armarius.codex.binary import find
from armarius.resources.catalogue import declare
from armarius.settings import CounterSpec
from armarius.store.ledger import open_ledger
from support.databases import running_postgres
from support.hosts import NETWORK, Host, two_hosts
from support.run_world import script

RUN_HOST = Path(__file__).parents[1] / "support" / "run_host.py"
HOLDER = Path(__file__).parents[1] / "support" / "lease_holder.py"
KILLS = int(os.environ.get("ARMARIUS_LONG_KILLS", "40"))


@pytest.fixture
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts("scriptorium-a", "scriptorium-b") as two:
        yield two


@pytest.fixture
def port(hosts: tuple[Host, Host]) -> Iterator[int]:
    number = 40_000 + os.getpid() % 10_000
    addresses = ",".join(host.address for host in hosts)
    with running_postgres(addresses, NETWORK, number) as folder:
        with psycopg.connect(f"postgresql://postgres@/postgres?host={folder}&port={number}", autocommit=True) as server:
            server.execute("CREATE DATABASE shared")
        yield number


def start_on(host: Host, *words: str) -> "subprocess.Popen[str]":
    """A Python program in the namespaces of a host."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [*host.through, sys.executable, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
        start_new_session=True,
    )


class Speaking:
    """A process of a host, line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert self.hear() == "ready"

    def tell(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.hear()

    def kill(self) -> None:
        """All of it at once, as a power cut does."""
        self.process.kill()
        with self.process:
            pass


class Holder(Speaking):
    """A process of a host that takes leases."""

    def __init__(self, host: Host, port: int, folder: Path, length_s: float) -> None:
        place = f"postgresql://postgres@{host.address}:{port}/shared"
        super().__init__(start_on(host, str(HOLDER), place, "here", "0", str(length_s), "GPU-1", str(folder)))


def test_the_host_that_was_cut_off_is_fenced_when_it_comes_back(
    hosts: tuple[Host, Host], port: int, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        one, other = (Holder(host, port, tmp_path, 2) for host in hosts)
        stack.callback(one.kill)
        stack.callback(other.kill)
        assert one.ask("acquire") == "held GPU-1 1"
        assert other.ask("acquire") == "busy"
        assert one.ask("renew") == "done"
        hosts[0].cut(is_cut=True)
        while (said := other.ask("acquire")) == "busy":
            pass
        assert said == "held GPU-1 2"
        hosts[0].cut(is_cut=False)
        assert one.ask("renew") == "refused lease-fenced"
        assert one.ask("check") == "refused lease-fenced"
        assert one.ask("release") == "done"
        assert other.ask("check") == "done"


def test_killed_at_random_two_hosts_never_hold_one_gpu_at_a_time(
    hosts: tuple[Host, Host], port: int, tmp_path: Path
) -> None:
    chance = random.Random(7)
    said = list[str]()
    with contextlib.ExitStack() as stack:

        def begin(number: int) -> Holder:
            holder = Holder(hosts[number], port, tmp_path, 1)
            stack.callback(holder.kill)
            holder.tell(f"loop {chance.random()} 1")
            return holder

        holders = [begin(0), begin(1)]
        for _ in range(KILLS):
            number = chance.randrange(2)
            said += [holders[number].hear() for _ in range(chance.randint(1, 10))]
            holders[number].kill()
            holders[number] = begin(number)
        said += [holder.hear() for holder in holders for _ in range(10)]
    assert [line for line in said if not line.startswith("turn")] == []
    tokens = [word for line in said for word in line.split()[1:]]
    assert len(tokens) == len(set(tokens)) >= KILLS


def test_a_run_on_a_host_that_was_cut_off_has_ended_before_another_host_begins(
    hosts: tuple[Host, Host], port: int, tmp_path: Path, codex_wheel: Path
) -> None:
    (tmp_path / "shared").mkdir()
    binary = find(setting=str(codex_wheel), search_path="", cache=tmp_path / "probes.json")
    with contextlib.closing(
        open_ledger(f"postgresql://postgres@{hosts[0].address}:{port}/shared", SystemClock())
    ) as ledger:
        declare(ledger, "lic", CounterSpec(), {}, now_us=1)
    lock = tmp_path / "shared" / "gpu"

    def begin(stack: contextlib.ExitStack, number: int, command: str) -> Speaking:
        host = hosts[number]
        prompt = script({"sh": command}, {"say": "done"})
        words = (f"postgresql://postgres@{host.address}:{port}/shared", str(tmp_path / host.name))
        told = msgspec.json.encode(binary).decode()
        speaking = Speaking(start_on(host, str(RUN_HOST), *words, told, prompt, "6"))
        stack.callback(speaking.kill)
        return speaking

    with contextlib.ExitStack() as stack:
        one = begin(stack, 0, f"flock -n {lock} sh -c 'touch {lock}.used; sleep 200'")
        other = begin(stack, 1, f"flock -n {lock} true")
        assert one.ask("go") == "held 1"
        while not lock.with_suffix(".used").exists():
            pass
        hosts[0].cut(is_cut=True)
        assert other.ask("go") == "held 2"
        assert one.hear() == "ended lease-lost"
        assert other.hear() == "ended 0 of 1 failed"
        other_result = other.ask("record")
        hosts[0].cut(is_cut=False)
        assert (one.ask("record"), other_result) == ("recorded interrupted", "recorded succeeded")

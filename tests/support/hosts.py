"""Hosts of their own on one machine: a network, pid and host-name namespace each, joined by a cable that can be cut.

Owns building and removing them. Does not own what runs on them.
Invariant: what was built is removed, also when a test fails; where the kernel does not permit it the test is skipped.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Generator

import pytest

__all__ = ["NETWORK", "Host", "two_hosts"]

NETWORK = "10.213.0.0/16"
"""What the hosts are reached from."""


class Host:
    """One host. `address` is that of the outer world as this host reaches it."""

    def __init__(self, name: str, number: int) -> None:
        self.name, self.namespace = name, f"arm{os.getpid() % 10_000}{number}"
        self.outer, self.inner = f"{self.namespace}o", f"{self.namespace}i"
        self.address, self._own = f"10.213.{number}.1", f"10.213.{number}.2"

    def build(self) -> None:
        _ip("netns", "add", self.namespace)
        _ip("link", "add", self.outer, "type", "veth", "peer", "name", self.inner, "netns", self.namespace)
        _ip("addr", "add", f"{self.address}/24", "dev", self.outer)
        _ip("link", "set", self.outer, "up")
        _ip("-n", self.namespace, "addr", "add", f"{self._own}/24", "dev", self.inner)
        _ip("-n", self.namespace, "link", "set", self.inner, "up")
        _ip("-n", self.namespace, "link", "set", "lo", "up")

    def remove(self) -> None:
        # The link first: with the namespace it goes some time later, and its name is needed again.
        subprocess.run(["ip", "link", "del", self.outer], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.namespace], check=False, capture_output=True)

    def cut(self, *, is_cut: bool) -> None:
        _ip("-n", self.namespace, "link", "set", self.inner, "down" if is_cut else "up")

    @property
    def on_its_network(self) -> tuple[str, ...]:
        """What to start a program of ours with that stands at the cable's inner end."""
        return ("ip", "netns", "exec", self.namespace)

    @property
    def through(self) -> tuple[str, ...]:
        """What to start a program with, so that it runs on this host; killing it takes all of the host along."""
        inside = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        return (*self.on_its_network, *inside, "sh", "-c", f'hostname {self.name}; exec "$@"', "sh")


@contextlib.contextmanager
def two_hosts(one: str, other: str) -> Generator[tuple[Host, Host]]:
    """Two hosts of these names for the length of a block."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("network namespaces need root, `ip` and `unshare`")
    two = Host(one, 1), Host(other, 2)
    with contextlib.ExitStack() as stack:
        for host in two:
            stack.callback(host.remove)
            try:
                host.build()
            except subprocess.CalledProcessError as error:
                said = error.stderr.decode().strip()
                if "not permitted" not in said:
                    raise
                pytest.skip(f"network namespaces are not permitted here: {said}")
        yield two


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)

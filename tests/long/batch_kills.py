"""Batches of forty items whose Armarius is killed again and again: the same end, everything asked for once."""

import json
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from support.terminal import Terminal

ITEMS = 40
SEEDS = int(os.environ.get("ARMARIUS_LONG_SEEDS", "5"))


@pytest.fixture
def terminal(tmp_path: Path, private_home: dict[str, str]) -> Terminal:
    return Terminal(tmp_path, private_home)


def plan(terminal: Terminal, chance: random.Random) -> tuple[str, set[str], set[str]]:
    """A file with failures here and there; the items that fail, and those that they block."""
    items = list[dict[str, Any]]()
    failing, blocked = set[str](), set[str]()
    for number in range(ITEMS):
        name = f"i{number}"
        after = [item["id"] for item in chance.sample(items, min(len(items), chance.randrange(3)))]
        if blocked.union(failing).intersection(after):
            blocked.add(name)
        elif chance.random() < 0.1:
            failing.add(name)
        said = f"SCRIPT:{json.dumps([{'sh': 'true'}, {'say': name}])}"
        items.append({"id": name, "after": after, "prompt": "Go. [[fault:400]]" if name in failing else said})
    (terminal.project / "plan.jsonl").write_text("\n".join(map(json.dumps, items)))
    return "plan.jsonl", failing, blocked


@pytest.mark.parametrize("seed", range(SEEDS))
def test_nothing_is_lost_or_repeated(terminal: Terminal, seed: int) -> None:
    chance = random.Random(seed)  # no secret
    file, failing, blocked = plan(terminal, chance)
    with ModelServer() as server:
        terminal.serve(server)
        for _ in range(60):
            process = terminal.start("batch", file, "--workers", "6", "--json")
            try:
                process.wait(chance.uniform(0.3, 2.5))
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
        done = terminal.type("batch", file, "--json")
        states = {item["id"]: item["state"] for item in json.loads(done.out.splitlines()[-1])["items"]}
        assert {name for name, state in states.items() if state == "failed"} == failing
        assert {name for name, state in states.items() if state == "blocked"} == blocked
        succeeded = {name for name, state in states.items() if state == "succeeded"}
        assert succeeded == {f"i{number}" for number in range(ITEMS)} - failing - blocked
        assert server.requests == 2 * len(succeeded) + len(failing)


def test_a_limit_with_a_time_stops_what_would_be_asked_by_the_same_login(terminal: Terminal) -> None:
    items = [{"id": name, "prompt": f"SCRIPT:{json.dumps([{'say': name}])}"} for name in "abcd"]
    (terminal.project / "plan.jsonl").write_text("\n".join(map(json.dumps, items)))
    with ModelServer(faults={number: Fault("usage-limit") for number in range(2, 12)}) as server:
        terminal.serve(server)
        done = terminal.type("batch", "plan.jsonl", "--workers", "1", "--json")
        assert server.requests == 2
    ends = json.loads(done.out.splitlines()[-1])["items"]
    assert [end["state"] for end in ends] == ["succeeded", "failed", "blocked", "blocked"]
    assert all(end["problem"]["retry_at_us"] for end in ends[1:])

"""Faults, bad input and threats that meet a whole Armarius on real Codex, one test each.

Which row of which list each one stands for is said in `tests/dispatch/test_faults_and_threats.py`.
"""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from armarius.testing.faults import Fault
from armarius.testing.model_server import ModelServer
from support.terminal import Terminal


def script(*steps: dict[str, Any]) -> str:
    return "SCRIPT:" + json.dumps(steps)


def batch_of(terminal: Terminal, *items: dict[str, Any]) -> str:
    (terminal.project / "plan.jsonl").write_text("\n".join(map(json.dumps, items)))
    return "plan.jsonl"


def report(out: str) -> dict[str, Any]:
    return json.loads(out.splitlines()[-1])


CROWDED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
taken = []
while (number := os.open(os.devnull, os.O_RDONLY)) < 256 - 1 - int(sys.argv[1]):
    taken.append(number)
os.close(number)
from armarius.cli import main
sys.exit(main(sys.argv[2:]))
"""
"""Armarius in a process that has only so many descriptors left; what it starts has all of its own."""


def test_with_hardly_a_descriptor_left_nothing_is_lost_and_nothing_is_paid_for_twice(
    terminal: Terminal, model: ModelServer
) -> None:
    items = [{"id": name, "prompt": script({"say": name})} for name in "abc"]
    file = batch_of(terminal, *items)
    codes = set[int]()
    for free in (6, 16, 22):
        done = subprocess.run(
            [sys.executable, "-c", CROWDED, str(free), "batch", file, "--json"],
            cwd=terminal.project,
            env=terminal.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        codes.add(done.returncode)
    assert 4 in codes
    last = report(terminal.type("batch", file, "--json").out)
    assert [item["state"] for item in last["items"]] == ["succeeded"] * 3
    assert model.requests == 3


def test_a_login_that_ends_in_the_middle_of_a_batch_stops_the_spending_and_keeps_what_was_done(
    terminal: Terminal,
) -> None:
    items: list[dict[str, Any]] = [{"id": name, "prompt": script({"say": name})} for name in "abc"]
    items.append({"id": "d", "prompt": script({"say": "d"}), "after": ["a"]})
    file = batch_of(terminal, *items)
    with ModelServer(faults={number: Fault("401") for number in range(2, 12)}) as server:
        terminal.serve(server)
        done = terminal.type("batch", file, "--workers", "1", "--json")
        first = {item["id"]: item for item in report(done.out)["items"]}
        assert server.requests <= 4, "the one that was refused, and what Codex itself had under way"
    assert (done.code, done.err) == (1, "")
    assert [first[name]["state"] for name in "abcd"] == ["succeeded", "failed", "blocked", "blocked"]
    assert {first[name]["problem"]["code"] for name in "bcd"} == {"login"}
    assert all(first[name]["blocked_by"] == ["b"] for name in "cd")
    with ModelServer() as server:
        terminal.serve(server)
        last = report(terminal.type("batch", file, "--json").out)
        assert server.requests == 3
    assert [item["state"] for item in last["items"]] == ["succeeded"] * 4


def test_a_batch_that_another_host_began_is_left_to_it_unless_it_is_said_to_be_gone(
    terminal: Terminal, model: ModelServer
) -> None:
    file = batch_of(terminal, {"id": "a", "prompt": script({"say": "a"})})
    name = report(terminal.type("batch", file, "--json").out)["id"]
    elsewhere(terminal, name)
    done = terminal.type("batch", "--resume", name, "--json")
    assert (done.code, done.error["code"]) == (5, "batch-elsewhere")
    assert "on elsewhere since 20" in done.error["message"]
    assert "--force" in done.error["hint"]
    done = terminal.type("batch", "--resume", name, "--force", "--json")
    assert (done.code, report(done.out)["items"][0]["is_kept"]) == (0, True)
    assert model.requests == 1


def elsewhere(terminal: Terminal, name: str) -> None:
    """As if another host had begun it."""
    program = (
        "import sys; from armarius.store.sqlite import SqliteDatabase; from armarius.store.queries import Query;"
        "from pathlib import Path; ledger = SqliteDatabase(Path(sys.argv[1]));"
        "ledger.execute(Query('x', 'x', \"UPDATE batch SET host = 'elsewhere', ended_at_us = NULL WHERE id = :id\"),"
        "id=sys.argv[2]); ledger.close()"
    )
    words = [sys.executable, "-c", program, str(terminal.state / "ledger.sqlite"), name]
    subprocess.run(words, check=True, env=terminal.environ)


def test_a_home_of_codex_that_a_repository_brings_along_is_refused(terminal: Terminal, model: ModelServer) -> None:
    brought = terminal.project / "sub" / ".codex-home"
    brought.mkdir(parents=True)
    (brought / "config.toml").write_bytes((terminal.codex_home / "config.toml").read_bytes())
    for place in (brought, terminal.project):
        done = terminal.type("run", "hi", "--json", environ={"CODEX_HOME": str(place)}, folder=terminal.project / "sub")
        assert (done.code, done.error["code"]) == (5, "home-in-project"), done
    assert model.requests == 0


def test_no_run_writes_where_its_evidence_its_login_or_the_programs_of_ours_are_named(
    terminal: Terminal, model: ModelServer
) -> None:
    write = ("run", "hi", "--sandbox", "workspace-write", "--skip-git-check", "--json")
    config = Path(terminal.environ["XDG_CONFIG_HOME"])
    for folder, what in (
        (terminal.home, "where Armarius keeps its evidence"),
        (terminal.state / "runs", "where Armarius keeps its evidence"),
        (config / "armarius", "which programs Armarius starts"),
        (terminal.codex_home / "sessions", "where Codex keeps its login"),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        done = terminal.type(*write, folder=folder)
        assert (done.code, done.error["code"]) == (5, "folder-kept"), done
        assert what in done.error["message"]
    done = terminal.type(*write, "--add-dir", str(config))
    assert (done.code, done.error["code"], model.requests) == (5, "add-dir", 0)
    assert terminal.type("run", script({"say": "read"}), folder=terminal.home).code == 0


def test_nothing_that_is_typed_widens_a_run(terminal: Terminal, model: ModelServer) -> None:
    for code, *words in (
        (2, "--yolo"),
        (5, "--sandbox=danger-full-access"),
        (5, "--config", 'sandbox_mode="workspace-write"'),
    ):
        done = terminal.type("run", "hi", *map(str, words), "--json")
        assert (done.code, done.out) == (code, ""), done
    assert model.requests == 0


def test_a_prompt_and_a_name_that_look_like_flags_are_a_prompt_and_a_name(
    terminal: Terminal, model: ModelServer
) -> None:
    hostile = "--yolo --sandbox=danger-full-access"
    done = terminal.type("run", "--json", "--", hostile)
    assert (done.answer["state"], done.answer["sandbox_seen"]) == ("succeeded", "read-only")
    items = ({"id": "a", "prompt": hostile}, {"id": "b", "prompt": "-", "after": ["a"]})
    last = report(terminal.type("batch", batch_of(terminal, *items), "--json").out)
    assert [item["state"] for item in last["items"]] == ["succeeded"] * 2
    said = [record.request()["input"][-1]["content"][-1]["text"] for record in model.records]
    assert said == [hostile, hostile, "-"]
    named = terminal.type("batch", batch_of(terminal, {"id": "a", "kind": "resume", "thread": "--last", "prompt": "x"}))
    assert (named.code, "--last" in named.err) == (3, True)


def test_a_file_that_is_none_is_neither_waited_for_nor_written_to(terminal: Terminal, model: ModelServer) -> None:
    secret = terminal.project.parent / "secret"
    secret.write_text("untouched")
    here = terminal.project
    os.mkfifo(here / "pipe")
    (here / "device").symlink_to("/dev/zero")
    (here / "link").symlink_to(secret)
    for words in (("-o", "pipe"), ("--events", "link")):
        done = terminal.type("run", "hi", *words, "--json")
        assert (done.code, done.error["code"]) == (3, "output-kind"), done
    done = terminal.type("batch", "device", "--json")
    assert (done.code, done.error["code"]) == (3, "not-a-file"), done
    done = terminal.type("batch", batch_of(terminal, {"id": "a", "prompt_file": "pipe"}), "--json")
    assert (done.code, "is a pipe" in done.error["message"]) == (3, True)
    assert (secret.read_text(), model.requests) == ("untouched", 0)


def test_what_is_kept_of_a_batch_is_its_owner_s_alone_whatever_the_mask_is(
    terminal: Terminal, model: ModelServer
) -> None:
    file = batch_of(terminal, {"id": "a", "prompt": script({"say": "a"})})
    through = ("/bin/sh", "-c", 'umask 0; exec "$@"', "sh")
    assert terminal.type("batch", file, "--json", through=through).code == 0
    open_to_others = [
        str(path.relative_to(terminal.state))
        for path in (terminal.state, *terminal.state.rglob("*"))
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []
    assert model.requests == 1

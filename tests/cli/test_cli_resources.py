"""`armarius resources` as somebody types it."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.prefork import Forked
from support.terminal import Terminal

Check = Callable[[Any], None]


@pytest.fixture
def said(terminal: Terminal) -> Path:
    """The user's own configuration: one thing with two units, and one with a probe."""
    config = terminal.home / ".config" / "armarius" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        '[resources.lic]\nkind = "counter"\nunits = 2\n'
        f'[resources.hw]\nkind = "probe"\ncommand = ["/usr/bin/test", "!", "-e", "{terminal.home}/busy"]\n'
    )
    return config


@pytest.fixture
def running(terminal: Terminal, said: Path) -> Iterator[Forked]:  # noqa: ARG001
    """Somebody who holds all of `lic` and sleeps."""
    with terminal.start("resources", "lease", "lic:2", "--", "sh", "-c", "echo $$; exec sleep 600") as process:
        yield process
        process.kill()


def child_of(process: Forked) -> psutil.Process:
    assert process.stdout
    return psutil.Process(int(process.stdout.readline()))


def test_a_command_runs_under_its_lease_and_its_end_is_ours(terminal: Terminal, said: Path) -> None:
    del said
    done = terminal.type("resources", "lease", "lic:2", "--", "sh", "-c", 'echo "$ARMARIUS_LEASE"; exit 7')
    assert (done.code, done.out, done.err) == (7, "lic/1#1 lic/2#2\n", "")
    done = terminal.type("resources", "lease", "lic", "--", "sh", "-c", "kill -TERM $$")
    assert done.code == 128 + signal.SIGTERM
    assert terminal.type("resources", "lease", "lic", "--", "cat", stdin=b"in\n").out == "in\n"
    assert all(line["holders"] == [] for line in terminal.type("resources", "list", "--json").answer["resources"])


def test_as_json_the_report_stands_alone_on_standard_output(terminal: Terminal, said: Path, check: Check) -> None:
    del said
    done = terminal.type("resources", "lease", "lic", "--and", "hw", "--json", "--", "sh", "-c", "echo out; exit 3")
    assert (done.code, done.err) == (3, "out\n")
    check(done.answer)
    assert [(one["unit"], one["token"]) for one in done.answer["leases"]] == [("1", 1), ("1", 1)]
    assert done.answer["exit_code"] == 3


def test_what_somebody_holds_is_not_had_and_is_shown(terminal: Terminal, running: Forked, check: Check) -> None:
    child_of(running)
    done = terminal.type("resources", "lease", "lic", "--json", "--", "true")
    assert (done.code, done.out, done.error["code"]) == (6, "", "resource-busy")
    assert f"process {running.pid} on " in done.error["message"]
    done = terminal.type("resources", "lease", "lic", "--wait", "60", "--", "true")
    assert (done.code, "write --timeout" in done.err) == (2, True), "it would wait for ever, to start the program 60"
    done = terminal.type("resources", "lease", "lic", "--timeout", "0.3", "--", "true")
    assert done.code == 6
    assert done.err.startswith("waiting: lic is leased to process")
    answer = terminal.type("resources", "list", "--json").answer
    check(answer)
    [line] = [line for line in answer["resources"] if line["name"] == "lic"]
    assert [(one["unit"], one["token"], one["state"], one["pid"]) for one in line["holders"]] == [
        *(("1", 1, "held", running.pid), ("2", 2, "held", running.pid)),
    ]
    assert line["holders"][0]["since"] < line["holders"][0]["expires"]
    assert [one["is_free"] for one in line["looks"]] == [True]
    assert f"process {running.pid} on" in terminal.type("resources", "list").out


def test_a_holder_that_is_killed_takes_its_command_along_and_frees_the_lease(
    terminal: Terminal, running: Forked
) -> None:
    child = child_of(running)
    running.kill()
    running.wait()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert terminal.type("resources", "lease", "lic:2", "--", "true").code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_the_lease_is_given_back(
    terminal: Terminal, running: Forked, number: signal.Signals
) -> None:
    child = child_of(running)
    running.send_signal(number)
    assert running.wait(60) == 128 + number
    assert not child.is_running()
    answer = terminal.type("resources", "list", "--json").answer
    assert [one for line in answer["resources"] for one in line["holders"]] == []


def test_nothing_that_the_command_started_outlives_the_lease(terminal: Terminal, said: Path) -> None:
    del said
    script = "setsid sleep 600 & echo $!; sleep 600 & echo $!"
    done = terminal.type("resources", "lease", "lic", "--", "sh", "-c", script)
    assert done.code == 0
    for pid in done.out.split():
        assert not psutil.pid_exists(int(pid))


def test_a_command_whose_lease_was_taken_away_is_ended(terminal: Terminal, said: Path) -> None:
    del said
    process = terminal.start("resources", "lease", "lic", "--expiry", "2", "--", "sh", "-c", "echo $$; exec sleep 600")
    with process:
        child = child_of(process)
        # The holder stands still for longer than its lease lasts, and somebody else goes by.
        process.send_signal(signal.SIGSTOP)
        while True:
            answer = terminal.type("resources", "list", "--json").answer
            [line] = [line for line in answer["resources"] if line["name"] == "lic"]
            if [one["state"] for one in line["holders"]] == ["expired"]:
                break
        assert terminal.type("resources", "lease", "lic:2", "--", "true").code == 0
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 6
        assert process.stderr
        assert b"lease" in process.stderr.read()
        assert not child.is_running()


def test_a_probe_says_what_it_saw(terminal: Terminal, said: Path, check: Check) -> None:
    del said
    done = terminal.type("resources", "probe", "hw", "lic:2", "--json")
    assert done.code == 0
    check(done.answer)
    (terminal.home / "busy").touch()
    done = terminal.type("resources", "probe", "hw", "--json")
    assert (done.code, done.answer["probes"][0]["is_free"]) == (1, False)
    assert terminal.type("resources", "lease", "hw", "--", "true").code == 6
    assert "the probe ended with 1" in terminal.type("resources", "list").out


def test_what_is_added_can_be_leased_and_removed(terminal: Terminal, check: Check) -> None:
    done = terminal.type("resources", "add", "bench", "--units", "3", "--json")
    assert done.code == 0
    check(done.answer)
    assert terminal.type("resources", "lease", "bench:3", "--", "true").code == 0
    done = terminal.type("resources", "remove", "bench", "--json")
    check(done.answer)
    assert done.answer["action"] == "removed"
    assert terminal.type("resources", "lease", "bench", "--", "true").code == 3


@pytest.mark.parametrize(
    ("typed", "code", "why"),
    [
        ("lease gpu:0 -- true", 2, "no number from 1"),
        ("lease lic", 2, "there is no command to run"),
        ("lease lic:3 -- true", 3, "more than the 2"),
        ("lease nothing -- true", 3, "no resource called"),
        ("lease lic -- /no/such/program", 4, "cannot start '/no/such/program'"),
        ("lease lic --expiry 0 -- true", 2, "0"),
        ("add x --kind probe", 5, "config.toml"),
        ("add lic", 2, "stands in your config.toml"),
        ("add X", 2, "is no name"),
        ("add x --units 0", 2, ">= 1"),
        ("add x --kind processes", 2, "patterns"),
        ("add x --kind processes --pattern (", 3, "is no pattern"),
        ("add x --most-cpu 3", 2, "unknown field"),
        ("add port", 3, "cannot be called"),
        ("remove lic", 2, "stands in your config.toml"),
        ("remove x", 3, "no resource"),
        ("probe x", 3, "no resource"),
    ],
)
def test_each_mistake_is_one_clear_line(terminal: Terminal, said: Path, typed: str, code: int, why: str) -> None:
    del said
    done = terminal.type("resources", *typed.split())
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert why in done.err


@pytest.mark.parametrize(
    "text",
    ['[resources.x]\nkind = "probe"\ncommand = ["/bin/sh"]\n', "[resources]\n", 'resources = "x"\n'],
)
def test_a_project_may_not_declare_a_resource(terminal: Terminal, text: str) -> None:
    (terminal.project / ".armarius.toml").write_text(text)
    done = terminal.type("run", "hello", "--json")
    assert (done.code, json.loads(done.err)["code"]) == (5, "project-file")

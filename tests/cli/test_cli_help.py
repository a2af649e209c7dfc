"""Every command explains itself, and names all it can do."""

import re
from collections.abc import Iterator
from importlib.metadata import version

import click
import pytest

from armarius.cli import cli
from support.terminal import Terminal


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner
            yield from commands(inner, (*path, name))


EVERY = dict(commands(cli))


def does_something(command: click.Command) -> bool:
    """Whether it is more than a name for other commands."""
    return not isinstance(command, click.Group) or command.invoke_without_command


COMMANDS = """
batch consult demo exec fork goal mcp report resume
review run schema validate watch worker
audit: export ingest prune report verify
cache: get list prune put
doctor: - billing config mcp sessions
gate: plan replay
install: codex hooks
lanes: add list login refresh remove status use
memory: add distill forget list search
plan: check close init list new resume show
policy: check explain init test
proxy: doctor install serve sessions status uninstall
resources: add lease list probe remove
runs: accept answer approve cancel deny drop keep list logs merge needs-review reject retry show steer wait
schedule: add list remove show-next
sessions: export list make-visible search show stats sync tail
sleep: adopt dry-run explain harvest history reject rollback run schedule status unschedule
template: copy list
uninstall: codex hooks
workflow: list run
"""
"""Those of one word, then the groups; a dash is a group that does something itself."""


def test_there_are_as_many_commands_as_we_mean_to_have() -> None:
    named = sorted(" ".join(path) for path, command in EVERY.items() if does_something(command))
    groups = [line.split(":") for line in COMMANDS.splitlines() if ":" in line]
    inner = [f"{group} {name}".removesuffix(" -") for group, names in groups for name in names.split()]
    alone = [name for line in COMMANDS.splitlines() if ":" not in line for name in line.split()]
    assert named == sorted([*alone, *inner])


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_a_command_explains_itself_and_each_of_its_options(terminal: Terminal, path: tuple[str, ...]) -> None:
    done, command = terminal.type(*path, "--help"), EVERY[path]
    assert (done.code, done.err) == (0, "")
    if len(path) < 2:  # the words of a group are made alike
        assert terminal.type(*path, "-h") == done
    assert done.out.startswith(f"Usage: {' '.join(('armarius', *path))} ")
    assert (command.help or "").splitlines()[0] in " ".join(done.out.split())
    for option in command.params:
        if isinstance(option, click.Option):
            shown = rf"^  {re.escape(', '.join(option.opts))}\b.*"
            assert re.search(shown, done.out, re.MULTILINE), option.opts
            assert option.help, f"{option.opts} says nothing of itself"
        else:
            assert option.make_metavar(click.Context(command)).strip("[]") in done.out
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            assert re.search(rf"^  {name} +\S", done.out, re.MULTILINE)
        assert "..." not in done.out.partition("Commands:")[2], "a summary was cut short"


def test_the_version_is_the_package_s(terminal: Terminal) -> None:
    done = terminal.type("--version")
    assert (done.code, done.out, done.err) == (0, f"armarius {version('armarius')}\n", "")


@pytest.mark.parametrize("path", [path for path, command in EVERY.items() if not does_something(command)])
def test_a_group_alone_shows_its_help_and_is_a_usage_error(terminal: Terminal, path: tuple[str, ...]) -> None:
    done = terminal.type(*path)
    assert (done.code, done.out) == (2, "")
    assert done.err == terminal.type(*path, "--help").out


def test_help_names_every_exit_code(terminal: Terminal) -> None:
    out = " ".join(terminal.type("--help").out.split())
    assert "0 done, 1 failed, 2 usage, 3 bad data, 4 environment, 5 refused by policy, 6 no answer, 130 inter" in out

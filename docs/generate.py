"""Writes the documents that are made from the code, or says that they are stale.

Owns the form of `docs/cli.md`. Does not own a word of it: the commands' own help is the text.
Invariant: the same commands give the same bytes, on any terminal.

    python docs/generate.py [--check]
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from armarius.cli import cli

WIDTH = 88
TARGET = Path(__file__).with_name("cli.md")

HEAD = """\
# The command line

Made from the commands' own help by `make docs`; `make check` fails when it is stale.
"""


def render(group: click.Group, name: str) -> str:
    """The whole document: each command in the order of the help, a group before its commands."""
    return "\n".join([HEAD, *_sections(group, name, None)])


def _sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    settings: dict[str, Any] = {**command.context_settings, "terminal_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    yield f"{'##' if parent is None or parent.parent is None else '###'} {context.command_path}\n"
    yield f"```text\n{context.get_help().rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                yield from _sections(found, below, context)


def settle(text: str, target: Path, *, check: bool) -> int:
    """Make `target` hold `text`; with `check`, only say when it does not. The exit code."""
    if target.exists() and target.read_text() == text:
        return 0
    if check:
        sys.stderr.write(f"{target.name} is stale; write it anew with `make docs`\n")
        return 1
    target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(settle(render(cli, "armarius"), TARGET, check=sys.argv[1:] == ["--check"]))

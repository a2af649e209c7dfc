"""`armarius policy explain`."""

import shlex
from pathlib import Path

import click

from armarius.audit.policy_check import explain
from armarius.cli.output import print_json, say
from armarius.cli.policy.files import AS_JSON, LANE, codex_of, files_of
from armarius.errors import UsageError


@click.command()
@click.argument("words", metavar="-- CMD...", nargs=-1, type=click.UNPROCESSED)
@click.option("--rules", "files", type=click.Path(path_type=Path), multiple=True, help="A file of rules.")
@LANE
@AS_JSON
def command(*, words: tuple[str, ...], files: tuple[Path, ...], lane: str | None, as_json: bool) -> int:
    """Say what the rules say of a command, and what that means; run nothing.

    Codex compares words: a rule about `git` does not meet `/usr/bin/git`.
    """
    if not words:
        raise UsageError("policy-command", "no command is named", "write it after --")
    settings, binary = codex_of()
    done = explain(binary, files_of(settings, files, lane), words)
    if as_json:
        print_json(done)
        return 0
    say(f"{shlex.join(words)}: {done.decision or 'no rule'}: {done.means}")
    for one in done.matched:
        say(f"  {' '.join(one.prefix)} … {one.decision}" + (f": {one.justification}" if one.justification else ""))
    return 0

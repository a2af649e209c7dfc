"""`armarius policy test`."""

import shlex
from pathlib import Path

import click

from armarius.audit.policy_check import try_examples
from armarius.cli.output import print_json, print_table, say
from armarius.cli.policy.files import AS_JSON, FILES, LANE, codex_of, files_of


@click.command()
@FILES
@LANE
@AS_JSON
def command(*, files: tuple[Path, ...], lane: str | None, as_json: bool) -> int:
    """Have Codex decide every example of the rules, all files together.

    An example holds when what is decided is what its rule says, or stricter because of another rule. The exit code is
    1 when one does not hold.
    """
    settings, binary = codex_of()
    done = try_examples(binary, files_of(settings, files, lane))
    if as_json:
        print_json(done)
    else:
        rows = [
            ("ok" if one.holds else "NO", one.decision or "-", f"{one.file}:{one.line}", shlex.join(one.command))
            for one in done.examples
        ]
        print_table(("", "DECISION", "RULE", "COMMAND"), rows)
        if done.unread:
            which = "1 statement is" if done.unread == 1 else f"{done.unread} statements are"
            say(f"{which} no literal rule; Codex alone checked its examples", err=True)
    return 0 if all(one.holds for one in done.examples) else 1

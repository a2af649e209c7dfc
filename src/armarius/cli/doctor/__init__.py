"""`armarius doctor`: what is missing, and how to get it; one file for each closer look."""

import click

from armarius import settings as configuration
from armarius.cli.group import LazyGroup
from armarius.cli.output import print_json, print_table
from armarius.clock import SystemClock
from armarius.doctor import diagnose
from armarius.errors import HostError

COMMANDS = {
    "billing": "Who would be billed for a run, and why.",
    "config": "What Codex really goes by here, and where each key comes from.",
    "mcp": "Which MCP servers a run would really have.",
    "sessions": "What the sessions take up, and what was left behind.",
}


@click.group(cls=LazyGroup, package="armarius.cli.doctor", commands=COMMANDS, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> int | None:
    """Say what is missing and how to get it; change nothing.

    Without a command it looks at the machine. The exit code is 4 when something is missing that a
    run needs.
    """
    if context.invoked_subcommand is not None:
        return None
    diagnosis = diagnose(configuration.load(), SystemClock())
    if as_json:
        print_json(diagnosis)
    else:
        rows = [(f.check, f.verdict, f"{f.took_us / 1_000:.1f} ms", f.found, f.hint) for f in diagnosis.findings]
        print_table(("CHECK", "", "TOOK", "FOUND", "WAY OUT"), rows)
    return HostError.exit_code if diagnosis.failed else 0

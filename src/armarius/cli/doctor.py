"""`armarius doctor`: what is missing, and how to get it."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table
from armarius.clock import SystemClock
from armarius.doctor import diagnose
from armarius.errors import HostError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Say what is missing and how to get it; change nothing.

    The exit code is 4 when something is missing that a run needs.
    """
    diagnosis = diagnose(configuration.load(), SystemClock())
    if as_json:
        print_json(diagnosis)
    else:
        rows = [(f.check, f.verdict, f"{f.took_us / 1_000:.1f} ms", f.found, f.hint) for f in diagnosis.findings]
        print_table(("CHECK", "", "TOOK", "FOUND", "WAY OUT"), rows)
    return HostError.exit_code if diagnosis.failed else 0

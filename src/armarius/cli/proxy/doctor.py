"""`armarius proxy doctor`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table
from armarius.errors import HostError
from armarius.install.proxy_doctor import examine


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """Look at the profile, the recorder, the journal and who is billed; change nothing.

    The exit code is 4 when something is missing.
    """
    report = examine(configuration.load())
    if as_json:
        print_json(report)
    else:
        print_table(("CHECK", "", "FOUND", "WAY OUT"), [(f.check, f.verdict, f.found, f.hint) for f in report.findings])
    return HostError.exit_code if report.failed else 0

"""`armarius policy check`."""

from pathlib import Path

import click

from armarius.audit.policy_check import check_files
from armarius.cli.output import print_json, print_table, say
from armarius.cli.policy.files import AS_JSON, FILES, LANE, codex_of, files_of


@click.command()
@FILES
@LANE
@click.option("--for-worker", is_flag=True, help="Require that `codex login --with-api-key` is forbidden.")
@click.option("--strict", is_flag=True, help="Let warnings count, too.")
@AS_JSON
def command(*, files: tuple[Path, ...], lane: str | None, for_worker: bool, strict: bool, as_json: bool) -> int:
    """Say what speaks against rules: what Codex does not take, what is allowed too broadly, what is not tested.

    FILE is a file of rules; without one, those that would hold here. The exit code is 1 when something is wrong.
    """
    settings, binary = codex_of()
    report = check_files(binary, files_of(settings, files, lane), for_worker=for_worker)
    if as_json:
        print_json(report)
    else:
        found = report.findings
        rows = [(f"{one.file}:{one.line}", one.severity, one.code, f"{one.message}; {one.hint}") for one in found]
        if rows:
            print_table(("WHERE", "", "RULE", "WHY"), rows)
        many = len(report.files)
        say(f"{report.rules} rules in {many} {'file' if many == 1 else 'files'}, {len(found)} findings")
    return 1 if report.fails(strict=strict) else 0

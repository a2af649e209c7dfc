"""`armarius report`."""

from pathlib import Path
from typing import Literal

import click

from armarius.audit.report_folder import fill_folder
from armarius.audit.run_report import renewed, report_on
from armarius.cli.database import DATABASE, load
from armarius.cli.output import clean, print_json, say
from armarius.cli.runs.lines import AS_JSON, keeper
from armarius.errors import DataError, UsageError
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.runs.records import find_run

_LARGEST = 64 << 20


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option(
    "-o", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file, or renew it."
)
@click.option("--format", "form", type=click.Choice(["md", "html"]), help="Default: as the file is called, else md.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="Put prompts, logs and artefacts there, too."
)
@DATABASE
@AS_JSON
def command(
    *,
    runs: tuple[str, ...],
    output: Path | None,
    form: Literal["md", "html"] | None,
    folder: Path | None,
    as_json: bool,
) -> int:
    """Say what is proven of runs, beside what you write about them.

    RUN is an id or the beginning of one. Of a file that is there already only the marked evidence is renewed; what
    you wrote around it stays as it is. The exit code is 1 when anything was changed since it was recorded.
    """
    if as_json and (output is not None or form is not None):
        raise UsageError("usage", "--json goes to standard output", "leave out -o and --format")
    with keeper() as there:
        rows = [find_run(there.ledger, run) for run in runs]
        report = report_on(there.ledger, load().home, rows)
    if folder is not None:
        fill_folder(private_folder(folder.absolute()), rows)
        output = output or (None if as_json else folder / "report.md")
    if as_json:
        print_json(report)
        return 0 if report.is_intact else 1
    kind = form or ("html" if output is not None and output.suffix in {".html", ".htm"} else "md")
    if output is None:
        click.echo(clean(renewed(None, report, kind)), nl=False)
    else:
        write_atomic(output.absolute(), renewed(_existing(output), report, kind).encode())
        say(str(output), err=True)
    return 0 if report.is_intact else 1


def _existing(path: Path) -> str | None:
    if not path.exists():
        return None
    try:
        return read_bounded(path, _LARGEST).decode()
    except UnicodeDecodeError as error:
        raise DataError("report-encoding", f"{path}: byte {error.start} is not UTF-8", "name another file") from error

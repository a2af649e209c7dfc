"""`armarius audit ingest`."""

import os
import stat
from pathlib import Path

import click

from armarius.audit.streams import Labels
from armarius.cli.audit.record import AS_JSON, DB, the_record
from armarius.cli.output import print_json, say
from armarius.errors import DataError
from armarius.sessions.finding import counted


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@DB
@click.option("--label", help="What to call it.")
@click.option("--repo", help="The repository that it worked on.")
@click.option("--branch", help="The branch that it worked on.")
@click.option("--purpose", help="What it was for.")
@AS_JSON
def command(  # one for each flag
    *,
    file: Path,
    db: Path | None,
    label: str | None,
    repo: str | None,
    branch: str | None,
    purpose: str | None,
    as_json: bool,
) -> int:
    """Take in what `codex exec --json` printed, of any version.

    FILE is a file or a pipe; `-` is standard input. A stream that is there already is not taken in
    again. It is kept as it is, and named by the hash of its content; lines that could not be used are
    counted, and hide no other.
    """
    for value in (label, repo, branch, purpose):
        if value is not None and "\0" in value:
            raise DataError("label", "a label cannot hold a NUL character", "leave it out")
    source = "standard input" if str(file) == "-" else str(file.absolute())
    with the_record(db, make=True) as streams:
        descriptor = 0 if str(file) == "-" else _opened(file)
        try:
            done = streams.ingest(descriptor, source, Labels(label, repo, branch, purpose))
        finally:
            if descriptor:
                os.close(descriptor)
    if as_json:
        print_json(done)
    else:
        how = "was there already" if done.known else "taken in"
        bad = f", {counted(done.bad_lines, 'line')} could not be used" if done.bad_lines else ""
        say(f"{done.id} {how}: {counted(done.runs, 'run')}, {counted(done.size, 'byte')}{bad}, {done.sha256}")
    return 0


def _opened(file: Path) -> int:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError as error:
        raise DataError("missing", f"{file} does not exist", "check the path") from error
    except OSError as error:
        raise DataError("unreadable", f"cannot read {file}: {error.strerror}", "check the path") from error
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError("not-a-file", f"{file} is a directory", "name a file")
    return descriptor

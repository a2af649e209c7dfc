"""`armarius sessions export`."""

import sys
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.output import as_json_text, clean, say
from armarius.cli.sessions.options import HOMES
from armarius.clock import SystemClock, rfc3339
from armarius.errors import UsageError
from armarius.files import write_atomic
from armarius.sessions.export import Exported, Form, as_html, as_markdown, redacted
from armarius.sessions.index import default_places
from armarius.sessions.names import find_named
from armarius.sessions.reading import read_session, refuse_others
from armarius.thread import Thread

_FORMS: dict[str, Form] = {".md": "md", ".markdown": "md", ".html": "html", ".htm": "html", ".json": "json"}


@click.command()
@click.argument("session")
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "html", "json"]),
    help="Markdown, a page, or JSON; default: what the name of --output ends in, else md.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write this file; default, and `-`: standard output.",
)
@click.option("--force", is_flag=True, help="Replace --output if it is there.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@HOMES
def command(  # one for each flag
    *,
    session: str,
    form: Form | None,
    output: Path | None,
    force: bool,
    as_json: bool,
    codex_homes: tuple[Path, ...],
) -> int:
    """Write one session as one file, with secrets replaced.

    SESSION is named as for `show`. A page needs nothing besides itself. A file that is there is kept
    unless --force is given; a new one can be read by you alone.
    """
    if as_json and form not in {None, "json"}:
        raise UsageError("usage", f"--json and --format {form} cannot both be", "choose one")
    output = None if output == Path("-") else output
    if output is not None and output.exists() and not force:
        raise UsageError("file-exists", f"{output} is there", "give --force to replace it")
    named = find_named(default_places(configuration.load(), codex_homes), session)
    refuse_others(named.path)
    thread = redacted(read_session(named))
    form = "json" if as_json else form or _FORMS.get(output.suffix.lower() if output else "", "md")
    text = _text(thread, form, SystemClock().now_us()).encode()
    if output is None:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    else:
        write_atomic(output, text)
        say(f"{output}: {len(text):,} bytes", err=True)
    return 0


def _text(thread: Thread, form: Form, at_us: int) -> str:
    if form == "json":
        return as_json_text(Exported(thread, rfc3339(at_us))) + "\n"
    return clean(as_html(thread, at_us) if form == "html" else as_markdown(thread, at_us))

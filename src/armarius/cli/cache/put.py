"""`armarius cache put`."""

import sys
from pathlib import Path

import click

from armarius.artefacts.state import repository_of, state_of
from armarius.artefacts.store import key_of
from armarius.cli.cache.place import AS_JSON, FOLDER, PARAMETERS, TOOL, Kept, artefacts_of, parameters_of
from armarius.cli.database import load
from armarius.cli.output import print_json, say
from armarius.cli.running import folder_of
from armarius.errors import DataError, Refused
from armarius.files import read_bounded

_LARGEST = 16 << 20


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@TOOL
@PARAMETERS
@FOLDER
@click.option("--expect", metavar="KEY", help="Refuse when the state is another than `get` named.")
@AS_JSON
def command(
    *, file: Path, tool: str, parameters: tuple[str, ...], folder: Path | None, expect: str | None, as_json: bool
) -> int:
    """Keep an analysis of this state.

    FILE is text; `-` is standard input. Its secrets are replaced. --expect takes the key that a `get`
    without an answer named: an analysis that was begun on another state is not kept.
    """
    settings, named = load(), parameters_of(parameters)
    data = sys.stdin.buffer.read(_LARGEST + 1) if str(file) == "-" else read_bounded(file, _LARGEST)
    if len(data) > _LARGEST:
        raise DataError("too-large", f"standard input has more than {_LARGEST:,} bytes", "keep a summary")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise DataError("encoding", f"{file}: byte {error.start} is not UTF-8", "keep text") from error
    repo = repository_of(settings, folder_of(folder))
    state = state_of(settings, repo)
    if expect is not None and expect != key_of(tool, named, state):
        raise Refused("cache-moved", "the working copy has changed since", "make the analysis again")
    entry = artefacts_of(settings).put(tool, named, state, str(repo.top), text)
    if as_json:
        print_json(Kept((entry,), entry.size))
    else:
        say(f"{entry.key} {entry.size:,} bytes")
    return 0

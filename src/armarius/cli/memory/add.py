"""`armarius memory add`."""

from pathlib import Path

import click

from armarius.cli.memory.place import AS_JSON, SCOPE, expiry_us, print_notes, scope_of, the_memory
from armarius.cli.numbers import Within
from armarius.errors import DataError, UsageError
from armarius.files import read_bounded
from armarius.memory.notes import Kind
from armarius.memory.store import Draft

_LARGEST = 8 << 20


@click.command()
@click.argument("key", required=False)
@click.argument("value", required=False)
@click.option(
    "--type",
    "kind",
    type=click.Choice(["preference", "constraint", "fact"]),
    default="fact",
    show_default=True,
    help="What it is.",
)
@click.option("--file", "document", type=click.Path(path_type=Path), help="A document, kept in pieces.")
@SCOPE
@click.option("--expires", metavar="TIME", help="How long it holds: 12h, 30d, 8w.")
@click.option("--confidence", type=Within(0, 1), default=1.0, show_default=True, help="How sure it is.")
@click.option("--source", default="user", show_default=True, help="Where it comes from.")
@AS_JSON
def command(  # one for each flag
    *,
    key: str | None,
    value: str | None,
    kind: Kind,
    document: Path | None,
    scope: str | None,
    expires: str | None,
    confidence: float,
    source: str,
    as_json: bool,
) -> int:
    """Remember a note, or a document in pieces.

    A later note of the same type, KEY and scope takes the place of the earlier one, and a document that
    of its earlier version. What looks like a secret, or speaks to a model as an instruction, is
    refused; in a document secrets are replaced.
    """
    if (document is None) == (key is None or value is None) or (document is not None and key is not None):
        raise UsageError("memory-what", "a memory is KEY and VALUE, or one --file", "name one of them")
    where, until = scope_of(scope), expiry_us(expires)
    with the_memory() as memory:
        if document is not None:
            notes = memory.add_document(str(document.absolute()), _text(document), scope=where, expires_at_us=until)
        else:
            draft = Draft(
                kind=kind, key=key or "", value=value or "", scope=where, source=source, confidence=confidence,
                expires_at_us=until,
            )  # fmt: skip
            notes = memory.add([draft])
    print_notes(notes, as_json=as_json)
    return 0


def _text(path: Path) -> str:
    try:
        return read_bounded(path, _LARGEST).decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DataError("encoding", f"{path}: byte {error.start} is not UTF-8", "save it as UTF-8") from error

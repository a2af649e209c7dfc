"""`armarius memory forget`."""

import click

from armarius.cli.memory.place import AS_JSON, print_notes, the_memory


@click.command()
@click.argument("note")
@AS_JSON
def command(*, note: str, as_json: bool) -> int:
    """Delete a note or a document, for good.

    NOTE is an id or the beginning of it, a key, or the path of a document. What the note had replaced is
    deleted with it, and overwritten in the file.
    """
    with the_memory() as memory:
        gone = memory.forget(note)
    print_notes(gone, as_json=as_json)
    return 0

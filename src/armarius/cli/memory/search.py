"""`armarius memory search`."""

import click

from armarius.cli.memory.place import AS_JSON, print_notes, scope_of, scopes_here, the_memory
from armarius.cli.output import say


@click.command()
@click.argument("query")
@click.option(
    "--scope", "scopes", metavar="SCOPE", multiple=True, help="Look here alone; default: this repository and user."
)
@click.option("--limit", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many.")
@AS_JSON
def command(*, query: str, scopes: tuple[str, ...], limit: int, as_json: bool) -> int:
    """Find notes by their words.

    Any of the words in QUERY may occur; "several words" in quotes follow each other; begin* finds words
    that begin so. Better matches come first (BM25). A nearer scope hides the same key of a farther one.
    """
    with the_memory() as memory:
        notes = memory.search(query, [scope_of(one) for one in scopes] or scopes_here(), most=limit)
    if notes or as_json:
        print_notes(notes, as_json=as_json)
    else:
        say("Nothing found.")
    return 0

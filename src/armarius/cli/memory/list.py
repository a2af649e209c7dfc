"""`armarius memory list`."""

import click

from armarius.cli.memory.place import AS_JSON, print_notes, scope_of, the_memory
from armarius.cli.output import say
from armarius.memory.notes import Kind


@click.command("list")
@click.option("--scope", metavar="SCOPE", help="Of this scope alone; default: of all.")
@click.option("--type", "kind", type=click.Choice(["preference", "constraint", "fact", "chunk"]), help="Of this type.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many.")
@AS_JSON
def command(*, scope: str | None, kind: Kind | None, limit: int, as_json: bool) -> int:
    """List the notes that count, newest first.

    What a later note has replaced, and what is over, is not shown.
    """
    with the_memory() as memory:
        notes = memory.notes(scope=None if scope is None else scope_of(scope), kind=kind, most=limit)
    if notes or as_json:
        print_notes(notes, as_json=as_json)
    else:
        say("Nothing is remembered. Begin with `armarius memory add`.")
    return 0

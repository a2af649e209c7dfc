"""`armarius runs answer`."""

import click

from armarius.cli.runs.asking import floor
from armarius.cli.runs.spoken import AS_JSON, print_spoken


@click.command()
@click.argument("run")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True)
@click.option("--id", "question", help="Which question, as `runs show` names it; needed when several wait.")
@AS_JSON
def command(*, run: str, texts: tuple[str, ...], question: str | None, as_json: bool) -> int:
    """Answer what a run wants to know: one TEXT for each thing it asks, in their order.

    RUN is its id or the beginning of it.
    """
    with floor(run) as (run_id, there):
        asked = there.answer("reply", question, replies=texts)
    print_spoken(run_id, "answered", asked, as_json=as_json)
    return 0

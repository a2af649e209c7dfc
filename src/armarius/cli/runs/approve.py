"""`armarius runs approve`."""

import click

from armarius.cli.runs.asking import floor
from armarius.cli.runs.spoken import AS_JSON, print_spoken


@click.command()
@click.argument("run")
@click.option("--id", "question", help="Which question, as `runs show` names it; needed when several wait.")
@AS_JSON
def command(*, run: str, question: str | None, as_json: bool) -> int:
    """Allow the one thing that a run waits for.

    RUN is its id or the beginning of it. A command that is allowed runs outside the sandbox, this once;
    nothing is allowed for longer, and nothing else with it.
    """
    with floor(run) as (run_id, there):
        asked = there.answer("accept", question)
    print_spoken(run_id, "approved", asked, as_json=as_json)
    return 0

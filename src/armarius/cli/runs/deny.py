"""`armarius runs deny`."""

import click

from armarius.cli.runs.asking import floor
from armarius.cli.runs.spoken import AS_JSON, print_spoken


@click.command()
@click.argument("run")
@click.option("--id", "question", help="Which question, as `runs show` names it; needed when several wait.")
@click.option("--reason", default="", help="Why; the agent is told.")
@AS_JSON
def command(*, run: str, question: str | None, reason: str, as_json: bool) -> int:
    """Refuse the one thing that a run waits for; the run goes on without it.

    RUN is its id or the beginning of it.
    """
    with floor(run) as (run_id, there):
        asked = there.answer("decline", question, reason=reason)
    print_spoken(run_id, "denied", asked, as_json=as_json)
    return 0

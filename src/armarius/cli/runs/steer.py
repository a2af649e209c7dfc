"""`armarius runs steer`."""

import click

from armarius.cli.runs.asking import floor
from armarius.cli.runs.spoken import AS_JSON, print_spoken


@click.command()
@click.argument("run")
@click.argument("text")
@AS_JSON
def command(*, run: str, text: str, as_json: bool) -> int:
    """Say something to a run while its turn goes on.

    RUN is its id or the beginning of it; it was started with --approval on-request, since `codex exec`
    hears nothing before its end. To stop a run, use `armarius runs cancel`.
    """
    with floor(run) as (run_id, there):
        there.steer(text)
    print_spoken(run_id, "steered", None, as_json=as_json)
    return 0

"""`armarius sleep explain`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.cli.sleep.options import AS_JSON, OF_PROJECT
from armarius.dispatch.workbench import ledger_of
from armarius.errors import DataError
from armarius.evolve.explained import explain
from armarius.evolve.records import QUERIES, NightRow, ProposalRow
from armarius.store.database import Database

_MOST = 10_000


@click.command()
@click.argument("night", required=False)
@OF_PROJECT
@AS_JSON
def command(*, night: str | None, project: str, as_json: bool) -> int:
    """Say why a night ended as it did.

    NIGHT is an id of `armarius sleep history`, or its beginning; the newest if left out.
    """
    with ledger_of(configuration.load()) as ledger:
        row = _find(ledger, night, project)
        staged = ledger.fetch_one(QUERIES.proposal_of_night, ProposalRow, night_id=row.id)
    told = explain(row.id, row.state, row.outcome, staged.state if staged else "")
    if as_json:
        print_json(told)
        return 0
    say(f"{row.id}: {row.state}, {row.target_path}")
    for sentence in told.sentences:
        say(sentence)
    if told.tasks:
        say("")
        rows = [(t.task, str(t.wins), str(t.losses), str(t.ties), str(t.errors)) for t in told.tasks]
        print_table(("TASK", "WON", "LOST", "TIED", "ERRORS"), rows)
    if told.night:
        say("")
        say(f"report {told.night.report}")
    return 0


def _find(ledger: Database, name: str | None, project: str) -> NightRow:
    rows = ledger.fetch(QUERIES.latest_nights, NightRow, project=project, most=1 if name is None else _MOST)
    if name is None and not rows:
        raise DataError("night-none", "there was no night yet", "plan one with `armarius sleep dry-run`")
    prefix = name or ""
    found = [row for row in rows if row.id.startswith(prefix) or row.id.startswith(f"night_{prefix}")]
    if not found:
        raise DataError("night-unknown", f"no night {name!r}", "see `armarius sleep history`")
    if len(found) > 1:
        raise DataError("night-ambiguous", f"{name!r} begins more than one night", "write more of its id")
    return found[0]

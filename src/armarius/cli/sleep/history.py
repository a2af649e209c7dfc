"""`armarius sleep history`."""

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.cli.sleep.options import AS_JSON, OF_PROJECT
from armarius.clock import rfc3339
from armarius.dispatch.workbench import ledger_of
from armarius.evolve.records import QUERIES, NightRow


class PastNight(msgspec.Struct, frozen=True):
    """A night in short. What is not known of an open one is None; `notes` say what became of candidates in it."""

    id: str
    number: int
    project: str
    target: str
    state: str
    created_at: str
    ended_at: str | None
    decision: str | None = None
    reason: str | None = None
    e_value: float | None = None
    pairs_used: int | None = None
    runs: int | None = None
    tokens: int | None = None
    candidates: int | None = None
    notes: tuple[str, ...] = ()


class SleepHistory(msgspec.Struct, frozen=True):
    """Nights, the newest first (`armarius.sleep_history.v1`)."""

    nights: tuple[PastNight, ...]
    schema: str = "armarius.sleep_history.v1"


@click.command()
@OF_PROJECT
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many.")
@AS_JSON
def command(*, project: str, limit: int, as_json: bool) -> int:
    """List the nights there were and what came of each."""
    with ledger_of(configuration.load()) as ledger:
        nights = tuple(map(_past, ledger.fetch(QUERIES.latest_nights, NightRow, project=project, most=limit)))
    if as_json:
        print_json(SleepHistory(nights))
        return 0
    if not nights:
        say("No night yet. Plan one with `armarius sleep dry-run`.")
        return 0
    head = ("NIGHT", "BEGUN", "STATE", "DECISION", "E", "PAIRS", "CANDIDATES", "RUNS", "TOKENS", "TARGET")
    print_table(head, [_row(night) for night in nights])
    for night in nights:
        for note in night.notes:
            say(f"{night.id}: {note}")
    return 0


def _past(row: NightRow) -> PastNight:
    report = row.outcome
    ended = None if row.ended_at_us is None else rfc3339(row.ended_at_us)
    common = (row.id, row.number, row.project, row.target_path, row.state, rfc3339(row.created_at_us), ended)
    if report is None:
        return PastNight(*common)
    found = (report.decision, report.reason, report.e_value, report.pairs_used, report.runs, report.usage.total)
    return PastNight(*common, *found, len(report.candidates), report.notes)


def _row(night: PastNight) -> tuple[str, ...]:
    begun = night.created_at[:16].replace("T", " ")
    if night.decision is None:
        return (night.id, begun, night.state, "", "", "", "", "", "", night.target)
    numbers = (
        f"{night.e_value:.2f}",
        str(night.pairs_used),
        str(night.candidates),
        str(night.runs),
        f"{night.tokens:,}",
    )
    return (night.id, begun, night.state, f"{night.decision} ({night.reason})", *numbers, night.target)

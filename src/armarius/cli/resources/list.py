"""`armarius resources list`."""

import click

from armarius.cli.database import load
from armarius.cli.output import print_json, print_table
from armarius.cli.resources.opened import obtaining
from armarius.resources.catalogue import declared_in, readings
from armarius.resources.report import HolderLine, LookLine, ResourceList, list_of


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """List resources: who holds each, and what was last seen.

    Nothing is looked at anew; `armarius resources probe` does that.
    """
    settings = load()
    if settings.has_ledger:
        with obtaining(settings) as desk:
            now_us = desk.clock.now_us()
            answer = list_of(desk.declared, desk.leases.all(), readings(desk.ledger), now_us)
    else:
        answer = list_of(declared_in(None, settings.resources), (), (), 0)
    if as_json:
        print_json(answer)
    else:
        _print(answer)
    return 0


def _print(answer: ResourceList) -> None:
    rows = list[tuple[str, ...]]()
    for line in answer.resources:
        units = "?" if line.units is None else str(line.units)
        first = (line.key, line.kind, units, f"{line.thresholds} ({line.source})")
        told = [_held(holder) for holder in line.holders] + [_seen(look) for look in line.looks]
        rows += [
            (*(first if number == 0 else ("", "", "", "")), text)
            for number, text in enumerate(told or ["nobody has it"])
        ]
    print_table(("RESOURCE", "KIND", "UNITS", "FREE WHEN", "WHO HAS IT, WHAT WAS SEEN"), rows)


def _held(holder: HolderLine) -> str:
    whom = f", {holder.run_id}" if holder.run_id else ""
    until = f"until {_short(holder.expires)}" if holder.state == "held" else f"{holder.state}: free for the next"
    since = _short(holder.since)
    return f"{holder.unit}: process {holder.pid} on {holder.host}{whom} since {since}, {until}, token {holder.token}"


def _seen(look: LookLine) -> str:
    unit = f"{look.unit} " if look.unit else ""
    return f"{unit}{'free' if look.is_free else 'busy'} on {look.host} at {_short(look.at)}: {look.reason}"


def _short(moment: str) -> str:
    return moment[:19].replace("T", " ")

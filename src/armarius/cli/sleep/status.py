"""`armarius sleep status`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.cli.sleep.harvesting import episodes_of_project
from armarius.cli.sleep.options import AS_JSON, OF_PROJECT
from armarius.clock import SystemClock, rfc3339
from armarius.dispatch.workbench import ledger_of
from armarius.errors import ArmariusError
from armarius.evolve.adoption import finish
from armarius.evolve.candidates import OpenCandidate, undecided
from armarius.evolve.drift import DriftLine, drift_lines
from armarius.evolve.records import QUERIES, NightRow, ProposalRow
from armarius.evolve.report import NightReport
from armarius.gate.drift import ALARM_AT
from armarius.settings import Settings

_MOST_SHOWN = 60


class NightLine(msgspec.Struct, frozen=True):
    """A night; `report` once it is over."""

    id: str
    number: int
    state: str
    target: str
    created_at: str
    report: NightReport | None


class SleepStatus(msgspec.Struct, frozen=True):
    """The last nights and proposals, newest first (`armarius.sleep_status.v1`).

    `candidates` are undecided, with their evidence so far. `drift` says how adopted skills fare in real sessions, and
    what to do when they got worse.
    """

    nights: tuple[NightLine, ...]
    proposals: tuple[ProposalRow, ...]
    drift: tuple[DriftLine, ...] = ()
    candidates: tuple[OpenCandidate, ...] = ()
    schema: str = "armarius.sleep_status.v1"


@click.command()
@OF_PROJECT
@AS_JSON
def command(*, project: str, as_json: bool) -> int:
    """Say what the last nights found and what waits to be adopted."""
    settings = configuration.load()
    with ledger_of(settings) as ledger:
        finish(ledger, SystemClock(), settings.home)
        nights = ledger.fetch(QUERIES.latest_nights, NightRow, project=project, most=10)
        proposals = ledger.fetch(QUERIES.latest_proposals, ProposalRow, project=project, most=10)
        candidates = undecided(ledger, project)
        rows = ledger.fetch(QUERIES.nights_adopted, NightRow)
        projects = {night.id: night.project for night in rows if project in ("", night.project)}
        adopted = [row for row in ledger.fetch(QUERIES.adopted_proposals, ProposalRow) if row.night_id in projects]
    drift = _drift(settings, adopted, projects)
    if as_json:
        print_json(SleepStatus(tuple(map(_night_line, nights)), tuple(proposals), drift, candidates))
        return 0
    if not nights:
        say("No night yet. Start one with `armarius sleep run --backend codex …`.")
        return 0
    rows = [(n.id, rfc3339(n.created_at_us)[:16].replace("T", " "), n.state, n.target_path) for n in nights]
    print_table(("NIGHT", "BEGUN", "STATE", "TARGET"), rows)
    _say_candidates(candidates)
    if proposals:
        say("")
        lines = [
            (p.id, p.state.replace("_", " "), f"{p.e_value:.2f}", Path(p.target_path).parent.name, p.folder)
            for p in proposals
        ]
        print_table(("PROPOSAL", "STATE", "E", "SKILL", "FOLDER"), lines)
    if any(p.state == "staged" for p in proposals):
        say("read a staged one in its folder; then `armarius sleep adopt`, or `reject`")
    if nights[0].state == "open":
        say("the newest night is open: the same `armarius sleep run` goes on with it")
    for line in drift:
        seen = line.seen
        if seen.after:
            say("")
            say(f"{line.target} since its adoption: {seen.wrong_after} of {seen.after} uses went wrong,")
            say(f"before: {seen.wrong_before} of {seen.before}; evidence of drift {seen.e_value:.1f} of {ALARM_AT}")
        if line.advice:
            say(f"DRIFT: {line.advice}")
    return 0


def _say_candidates(candidates: Sequence[OpenCandidate]) -> None:
    """Who is undecided, and what speaks for it so far."""
    if not candidates:
        return
    say("")
    rows = [
        (
            one.id,
            f"{one.rounds} of {one.nights}",
            f"{one.e_value:.2f}",
            f"{one.wins}/{one.losses}/{one.ties}",
            "; ".join(one.edits)[:_MOST_SHOWN],
            one.target,
        )
        for one in candidates
    ]
    print_table(("CANDIDATE", "ROUNDS", "E", "WON/LOST/TIED", "EDITS", "TARGET"), rows)
    for one in candidates:
        if one.note:
            say(f"{one.id}: {one.note}")


def _drift(settings: Settings, adopted: Sequence[ProposalRow], projects: Mapping[str, str]) -> tuple[DriftLine, ...]:
    """How adopted skills fare; a project whose sessions cannot be read has nothing to say."""
    found = list[DriftLine]()
    for project in sorted({projects[row.night_id] for row in adopted}):
        try:
            episodes = episodes_of_project(settings, Path(project))
        except ArmariusError as error:
            say(f"{project}: {error.message}", err=True)
            continue
        found += drift_lines([row for row in adopted if projects[row.night_id] == project], episodes)
    return tuple(found)


def _night_line(night: NightRow) -> NightLine:
    created = rfc3339(night.created_at_us)
    return NightLine(night.id, night.number, night.state, night.target_path, created, night.outcome)

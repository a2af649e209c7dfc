"""`armarius worker`: do the runs that wait."""

import os
import sys

import click
import msgspec

from armarius.cli.database import DATABASE, load
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock, rfc3339
from armarius.dispatch.detached import keep_alone
from armarius.dispatch.workers import WorkerRow

_IDLE_S = 120.0


class WorkerReport(msgspec.Struct, frozen=True):
    """A worker that began (`armarius.worker.v1`)."""

    id: str
    seat: str
    pid: int
    jobs: int
    started_at: str
    schema: str = "armarius.worker.v1"


@click.command()
@DATABASE
@click.option("--jobs", type=click.IntRange(1, 256), help="Runs at a time; default: `workers` of your settings.")
@click.option("--until-idle", is_flag=True, help="End when nothing waits that can be done here.")
@click.option("--background", is_flag=True, help="As `--detach` starts one: alone, and for two idle minutes.")
@click.option("--with", "variables", multiple=True, metavar="NAME", help="A variable for whose sake it is started.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object once it works.")
def command(*, jobs: int | None, until_idle: bool, background: bool, variables: tuple[str, ...], as_json: bool) -> int:
    """Do the runs that wait, and those that come by the clock.

    It works until it is stopped (Ctrl-C, SIGTERM). Runs that are at work then go on, and the next worker
    records them. Any number of workers may share a ledger; on one host those of one ARMARIUS_HOME share a
    queue, and the one that began last sets how many runs each does at a time.
    """
    from armarius.dispatch.worker import Worker

    settings = load()
    alone = keep_alone(settings, variables) if background else None
    if background and alone is None:
        return 0
    idle_s = _IDLE_S if background else 0.0 if until_idle else None
    worker = Worker(settings, SystemClock(), jobs or settings.workers, idle_s=idle_s, keeps_schedules=not until_idle)

    def ready(row: WorkerRow) -> None:
        if as_json:
            print_json(WorkerReport(row.id, row.seat, row.owner_pid, row.jobs, rfc3339(row.started_at_us)))
        else:
            say(f"{row.id} does {row.jobs} runs at a time for {row.seat}; Ctrl-C stops it, and no run")

    worker.work(ready)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that wait for runs must not keep us: the runs have guards of their own.
    os._exit(0)

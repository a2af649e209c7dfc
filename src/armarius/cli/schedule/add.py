"""`armarius schedule add`."""

import click

from armarius.cli.database import load
from armarius.cli.output import say
from armarius.cli.run import command as run
from armarius.cli.running import folder_of, words_of
from armarius.cli.schedule.lines import AS_JSON, print_schedules
from armarius.dispatch import schedules
from armarius.dispatch.cron import zone_of
from armarius.dispatch.desk import Desk
from armarius.dispatch.detached import check_portable, ensure_worker
from armarius.dispatch.workbench import workbench
from armarius.errors import UsageError
from armarius.runs.queued import place_of
from armarius.settings import local_zone


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("cron")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- run ...")
@click.option("--zone", help="The time zone, e.g. Europe/Berlin; default: that of this machine.")
@AS_JSON
def command(*, cron: str, words: tuple[str, ...], zone: str | None, as_json: bool) -> int:
    """Have a run done by the clock.

    CRON is minute, hour, day, month and weekday in one argument. After `--` stands a whole `run` command,
    which is checked now, in this folder and with your settings, and kept as it was understood. A worker has
    to live when its time comes; one is started here, and stays as long as there are schedules.
    """
    if not words or words[0] != "run":
        raise UsageError("schedule-command", "only `run` comes by the clock", "write it after `--`: -- run PROMPT")
    context = run.make_context("run", list(words[1:]))
    said = {name: context.params.pop(name) for name in ("packet", "query")}
    if any(value is not None for value in said.values()):
        raise UsageError(
            "schedule-flags", "a packet or notes would be read now, and not when its time comes", "say it all"
        )
    prompt, typed = context.params.pop("prompt"), words_of(context.params)
    if typed.detach or typed.as_json or typed.last_message is not None or typed.events is not None:
        raise UsageError("schedule-flags", "nobody is there to print or write for", "leave out what writes a result")
    if prompt in (None, "-"):
        raise UsageError("prompt-missing", "a schedule needs its PROMPT as an argument", "write it after the flags")
    options = typed.options()
    settings = load(folder_of(options.cwd))
    named = zone or local_zone(settings)
    zone_of(named)
    with workbench(settings, options.lane) as bench:
        request = Desk(settings, bench).request(prompt, options)
        if typed.any_host:
            check_portable(settings, request)
        place = place_of(settings, request, any_host=typed.any_host)
        added = schedules.add(bench.ledger, bench.clock, request, place, cron=cron, zone=named)
        ensure_worker(settings, bench.ledger, bench.clock, place)
        now_us = bench.clock.now_us()
    if as_json:
        print_schedules([added], now_us, as_json=True)
    else:
        say(added.id)
    return 0

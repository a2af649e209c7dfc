"""`armarius resources lease`."""

import re
import sys

import click

from armarius.cli.database import load
from armarius.cli.numbers import MOST_S, Within
from armarius.cli.output import print_json, say
from armarius.cli.resources.opened import obtaining, opened_leases
from armarius.errors import HostError, UsageError
from armarius.foreground import run_foreground
from armarius.resources.leases import Held, Owner
from armarius.resources.needs import parse_needs
from armarius.resources.obtaining import Heartbeat, Renewal, environ_of
from armarius.resources.report import LeaseReport, lease_report
from armarius.settings import Settings

_SECONDS = re.compile(r"[0-9.]+")


@click.command()
@click.argument("need")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- CMD...")
@click.option("--and", "others", metavar="NEED", multiple=True, help="Something else that it needs, too.")
@click.option("--wait", is_flag=True, help="Wait until all of it is free.")
@click.option("--timeout", type=Within(0, MOST_S, min_open=True), help="Seconds to wait at most; implies --wait.")
@click.option(
    "--expiry", type=Within(2, 86_400), default=60, show_default=True,
    help="Seconds until a lease that nobody renews is free.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; CMD then writes to standard error.")
def command(
    *,
    need: str,
    words: tuple[str, ...],
    others: tuple[str, ...],
    wait: bool,
    timeout: float | None,
    expiry: float,
    as_json: bool,
) -> int:
    """Run a command while nobody else has what it needs.

    NEED is gpu:1, port:8080, ram:8GiB, disk:10GiB@/path or NAME:2. The lease is renewed while CMD runs
    and given back at its end, which is the end of all that CMD started. The exit code is that of CMD; 6
    when NEED was not free, or when the lease was lost, which ends CMD. CMD finds its GPUs in
    CUDA_VISIBLE_DEVICES, and its leases with their tokens in ARMARIUS_LEASE.
    """
    if not words:
        raise UsageError("lease", "there is no command to run", "write it after `--`")
    if wait and _SECONDS.fullmatch(words[0]):  # as `armarius run --wait` has it; here it would wait for ever
        raise UsageError("lease", f"--wait has no seconds here, and {words[0]} is no command", "write --timeout")
    needs = parse_needs((need, *others))
    settings = load()
    wait_us = None if wait and timeout is None else int((timeout or 0) * 1_000_000)
    with obtaining(settings) as desk:
        began_us = desk.clock.monotonic_us()
        held = desk.obtain(
            needs, wait_us=wait_us, length_us=int(expiry * 1_000_000), tell=lambda why: say(f"waiting: {why}", err=True)
        )
        waited_us = desk.clock.monotonic_us() - began_us
        me, clock = desk.leases.me, desk.clock
    renewal = Renewal(held, clock, lambda: opened_leases(settings, me))
    try:
        with Heartbeat(renewal) as heartbeat:
            code = run_foreground(
                words,
                environ=settings.environ | environ_of(held.leases),
                check=heartbeat.check,
                output=sys.stderr.fileno() if as_json else None,
            )
    finally:
        _give_back(settings, me, renewal.held)
    if as_json:
        report: LeaseReport = lease_report(
            renewal.held.leases, waited_us=waited_us, exit_code=code, now_us=clock.now_us()
        )
        print_json(report)
    return code


def _give_back(settings: Settings, me: Owner, held: Held) -> None:
    """Release; where the ledger cannot be reached, the lease ends by itself, and the command's end counts."""
    try:
        with opened_leases(settings, me) as leases:
            leases.release(held.leases)
    except HostError as error:
        say(f"armarius: the lease was not given back and will run out: {error}", err=True)

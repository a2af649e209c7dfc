"""`armarius resources probe`."""

import click

from armarius.cli.database import load
from armarius.cli.output import print_json, print_table
from armarius.cli.resources.opened import obtaining
from armarius.resources.kinds import spec_of
from armarius.resources.needs import Need, parse_needs
from armarius.resources.report import ResourceProbe, probe_line


@click.command()
@click.argument("needs", nargs=-1, metavar="[NEED]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, needs: tuple[str, ...], as_json: bool) -> int:
    """Look whether something is free, now.

    NEED is gpu:1, port:8080, ram:8GiB, disk:10GiB@/path or NAME:2; without one, the GPUs and all that
    is declared. Who holds a lease is not asked. Exit code 0 when all of it is free, 1 when not.
    """
    settings = load()
    wanted = parse_needs(needs)
    with obtaining(settings) as desk:
        wanted = wanted or tuple(Need(name) for name in sorted({"gpu", *desk.declared}))
        for need in wanted:
            spec_of(need, desk.declared)  # a name that nobody knows is said before anything is looked at
        sights = [desk.look(need) for need in wanted]
        now_us, host = desk.clock.now_us(), desk.prober.machine.host
        lines = tuple(probe_line(sight, spec_of(sight.need, desk.declared), host, now_us) for sight in sights)
    if as_json:
        print_json(ResourceProbe(lines))
    else:
        rows = [(line.need, "free" if line.is_free else "busy", line.reason) for line in lines]
        print_table(("NEED", "IS", "WHY"), rows)
    return 0 if all(line.is_free for line in lines) else 1

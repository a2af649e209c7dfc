"""`armarius resources add`."""

import re

import click
import msgspec

from armarius.cli.database import load
from armarius.cli.numbers import Within
from armarius.cli.output import print_json, say
from armarius.cli.resources.opened import obtaining
from armarius.errors import UsageError
from armarius.resources.catalogue import declare
from armarius.resources.process_patterns import matching
from armarius.resources.report import change_of
from armarius.settings import RESOURCE_NAME, ResourceSpec

_KINDS = ("counter", "processes", "containers", "gpu", "probe")


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(_KINDS), default="counter", show_default=True, help="What it is.")
@click.option("--units", type=int, help="How many may be held at a time; 1 unless said.")
@click.option("--pattern", "patterns", multiple=True, help="Busy while a process matches (processes); RE2.")
@click.option("--container", "names", multiple=True, help="Busy while it uses CPU (containers).")
@click.option("--most-cpu", type=Within(0, 100_000), help="Percent of a core that is not yet busy (containers).")
@click.option("--most-memory", type=int, help="MiB in use that are not yet busy (gpu).")
@click.option("--most-utilisation", type=Within(0, 100_000), help="Percent that is not yet busy (gpu).")
@click.option("--most-apps", type=int, help="Compute programs that are not yet busy (gpu).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, name: str, kind: str, as_json: bool, **said: object) -> int:
    """Declare a resource for all who share the ledger.

    A probe is a program, which only your own config.toml may name.
    """
    if not re.fullmatch(RESOURCE_NAME, name):
        raise UsageError("resource-name", f"{name[:80]!r} is no name", "use a-z, 0-9, - and _, a letter first")
    spec = _spec(kind, {key: value for key, value in said.items() if value not in (None, ())})
    settings = load()
    with obtaining(settings) as desk:
        one = declare(desk.ledger, name, spec, settings.resources, now_us=desk.clock.now_us())
    if as_json:
        print_json(change_of(one))
    else:
        say(f"added {name}: {change_of(one).thresholds}")
    return 0


def _spec(kind: str, said: dict[str, object]) -> ResourceSpec:
    if kind == "probe":
        said = {"command": ["-"]}  # refused by the ledger's own rule, whatever it would be
    try:
        spec = msgspec.convert({"kind": kind} | said, ResourceSpec)
    except msgspec.ValidationError as error:
        options = "see `armarius resources add --help` for the options of each kind"
        raise UsageError("resource-spec", f"kind {kind}: {error}", options) from error
    if patterns := getattr(spec, "patterns", None):
        matching((), patterns, 0)  # a pattern that is none is said now and not at the first look
    return spec

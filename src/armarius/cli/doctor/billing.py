"""`armarius doctor billing`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.codex.billing import Billing
from armarius.codex.binary import locate
from armarius.errors import HostError
from armarius.lanes.billing import billing_of
from armarius.lanes.lanes import Lanes

_PAYS = {
    "chatgpt": "Your ChatGPT plan would be billed.",
    "api": "An API key of OpenAI would be billed.",
    "provider": "The provider {provider!r} would be billed{keys}.",
    "nobody": "Nobody could be billed: there is no login.",
}


class BillingReport(msgspec.Struct, frozen=True):
    """What `doctor billing` answers (`armarius.doctor_billing.v1`)."""

    lane: str
    billing: Billing
    schema: str = "armarius.doctor_billing.v1"


@click.command()
@click.option("--lane", help="Look at this lane. Default: the one that a run would use.")
@click.option("--profile", help="With this profile of Codex.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, lane: str | None, profile: str | None, as_json: bool) -> int:
    """Say who would be billed for a run here, and why; start none.

    Every fact comes with its file or variable. The exit code is 4 when a login is lacking and 5 when
    Armarius would refuse to run.
    """
    settings = configuration.load()
    lanes = Lanes(settings)
    name = lane or lanes.default()
    found = lanes.find(name)
    billing = billing_of(
        settings,
        lanes.home(name),
        kind=found.kind if found else None,
        program=locate(setting=settings.codex, search_path=settings.search_path, user_home=settings.user_home)[0],
        cwd=Path.cwd(),
        profile=profile,
    )
    if as_json:
        print_json(BillingReport(name, billing))
    else:
        _say(name, billing)
    if billing.objections:
        return billing.objections[0].exit_code
    return HostError.exit_code if billing.plan == "nobody" else 0


def _say(name: str, billing: Billing) -> None:
    keys = f", with {' and '.join(billing.key_variables)}" if billing.key_variables else ""
    say(f"Lane {name}, {billing.home}. " + _PAYS[billing.plan].format(provider=billing.provider, keys=keys))
    print_table(("FACT", "VALUE", "FROM"), [(fact.fact, fact.value, fact.where) for fact in billing.because])
    for found in billing.objections:
        say(f"Refused ({found.code}): {found.message}; {found.hint}")

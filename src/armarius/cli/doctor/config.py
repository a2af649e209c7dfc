"""`armarius doctor config`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.codex.app_server import environ_for
from armarius.codex.binary import find
from armarius.codex.effective import Feature, Setting, features_of, settings_of
from armarius.files import private_folder
from armarius.lanes.lanes import Lanes


class ConfigReport(msgspec.Struct, frozen=True):
    """What `doctor config` answers (`armarius.doctor_config.v1`)."""

    lane: str
    settings: tuple[Setting, ...]
    features: tuple[Feature, ...]
    schema: str = "armarius.doctor_config.v1"


@click.command()
@click.option("--lane", help="Look at this lane. Default: the one that a run would use.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, lane: str | None, as_json: bool) -> int:
    """Say what Codex really goes by here: each key that is set, its value, and the file that it comes from.

    Codex itself is asked, so that a project's file counts only when Codex trusts the project. Values that may be
    secrets are not shown. What a run of Armarius states by itself is marked with a star.
    """
    settings = configuration.load()
    lanes = Lanes(settings)
    name = lane or lanes.default()
    cache = private_folder(settings.home) / "probes.json"
    program = Path(find(setting=settings.codex, search_path=settings.search_path, cache=cache).path)
    environ = environ_for(lanes.home(name), settings.environ)
    here = Path.cwd()
    report = ConfigReport(name, settings_of(program, environ, here), features_of(program, environ, here))
    if as_json:
        print_json(report)
        return 0
    rows = [(("* " if one.is_stated else "") + one.key, one.value, _from(one)) for one in report.settings]
    print_table(("KEY", "VALUE", "FROM"), rows)
    say("")
    print_table(
        ("FEATURE", "", "STAGE", "WHY IT MATTERS"),
        [(one.name, "on" if one.is_on else "off", one.stage, one.why) for one in report.features],
    )
    return 0


def _from(one: Setting) -> str:
    return one.where + (f" (not {', '.join(one.under)})" if one.under else "")

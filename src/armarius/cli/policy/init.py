"""`armarius policy init`."""

from pathlib import Path

import click

from armarius.audit.policy import TEMPLATES
from armarius.audit.policy_check import write_template
from armarius.cli.output import print_json, say
from armarius.cli.policy.files import AS_JSON, LANE, codex_of, home_of
from armarius.files import private_folder


@click.command()
@click.option("--template", type=click.Choice(sorted(TEMPLATES)), default="worker", help="Whose; default: worker.")
@LANE
@click.option("--to", type=click.Path(path_type=Path), help="Write this file instead of the lane's.")
@AS_JSON
def command(*, template: str, lane: str | None, to: Path | None, as_json: bool) -> int:
    """Write rules to begin with, once Codex has taken them and every example of theirs.

    They forbid what would change who pays (`codex login --with-api-key`), publish something, or raise rights. A file
    that is there with other words stays as it is.
    """
    settings, binary = codex_of()
    file = to.absolute() if to is not None else private_folder(home_of(settings, lane) / "rules") / "armarius.rules"
    done = write_template(binary, template, file)
    if as_json:
        print_json(done)
    else:
        say(f"{file}: {done.rules} rules, {done.examples} examples" + ("" if done.is_new else "; it was there"))
    return 0

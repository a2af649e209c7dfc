"""`armarius proxy serve`."""

from pathlib import Path
from typing import Any, Literal

import click

from armarius import settings as configuration
from armarius.cli.numbers import Within
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.install.profile import client_token
from armarius.recorder.access import DEFAULT_LISTEN, Listen, Route, parse_listen, parse_upstream
from armarius.recorder.callback import CALLBACK_PATH
from armarius.recorder.injection import DEFAULT_TOKENS
from armarius.recorder.server import Serving, run_proxy
from armarius.recorder.snapshots import Cadence
from armarius.recorder.state import ProxyState
from armarius.recorder.team import TeamPlan, open_team
from armarius.settings import Settings


@click.command()
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, help="HOST:PORT, on loopback; port 0: any.")
@click.option("--upstream", help="The provider. Default: OpenAI's, the one that fits the login.")
@click.option(
    "--record", type=click.Choice(["on", "off"]), default="on", show_default=True, help="Whether to keep a journal."
)
@click.option("--skills", metavar="DIR|URL", help="The team's skills: a folder, s3://BUCKET/PREFIX or https://….")
@click.option(
    "--inject",
    type=click.Choice(["off", "catalogue", "pinned"]),
    default="off",
    show_default=True,
    help="Put them into requests: a list of them, or the texts that fit. off: keep CODEX_HOME/skills in step.",
)
@click.option(
    "--inject-tokens",
    type=click.IntRange(1, 100_000),
    default=DEFAULT_TOKENS,
    show_default=True,
    help="At most so much of each request.",
)
@click.option(
    "--reload",
    type=click.Choice(["poll", "callback", "off"]),
    default="poll",
    show_default=True,
    help="How new skills are noticed.",
)
@click.option(
    "--reload-seconds",
    type=Within(5, 86_400),
    default=30.0,
    show_default=True,
    help="How long between two looks, with --reload poll.",
)
@click.option("--caller", "callers", multiple=True, metavar="ADDRESS", help="Who may call back.  [default: loopback]")
@click.option("--snapshots", metavar="DIR|URL", help="Write sessions, redacted, to a folder or s3://BUCKET/PREFIX.")
@click.option(
    "--snapshot-turns", type=click.IntRange(1, 1000), default=1, show_default=True, help="After so many turns each."
)
@click.option(
    "--snapshot-idle",
    type=Within(1, 86_400),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="And when nothing happened in a session for so long.",
)
@click.option("--alias", default="", help="Whose sessions these are, in the snapshots.")
@click.option("--evolve", metavar="URL", help="The service that improves skills; told of each snapshot.")
@click.option(
    "--evolve-api",
    type=click.Choice(["jobs", "skillclaw"]),
    default="jobs",
    show_default=True,
    help="What it speaks: jobs that are followed, or SkillClaw's /trigger.",
)
@click.option("--allow-host", "hosts", multiple=True, metavar="HOST", help="A server of yours on a private network.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when it listens.")
def command(*, listen: str, upstream: str | None, record: Literal["on", "off"], as_json: bool, **team: Any) -> int:
    """Stand between Codex and its provider until it is interrupted.

    Keys and logins pass through and are stored nowhere. What cannot be written is forwarded all the same,
    counted, and said on standard error.
    """
    settings = configuration.load()
    clock = SystemClock()
    journal = settings.recorder / "journal" if record == "on" else None
    address = parse_listen(listen)

    def complain(text: str) -> None:
        say(f"armarius proxy: {text}", err=True)

    def ready(state: ProxyState) -> None:
        if as_json:
            print_json(state)
        else:
            kept = f"Recording below {state.journal.folder}." if state.journal else "Recording nothing."
            say(f"Listening on {state.listen}, forwarding to {state.upstream}. {kept}")

    with open_team(_plan(settings, journal, address, **team), clock, complain) as opened:
        run_proxy(
            Serving(
                listen=address,
                token=client_token(settings.recorder, clock),
                clock=clock,
                say=complain,
                ready=ready,
                journal=journal,
                route=Route(None if upstream is None else parse_upstream(upstream)),
                team=opened,
            )
        )
    return 0


def _plan(
    settings: Settings,
    journal: Path | None,
    listen: Listen,
    *,
    snapshot_turns: int,
    snapshot_idle: float,
    callers: tuple[str, ...],
    **asked: Any,
) -> TeamPlan:
    named = {"skills", "inject", "reload", "snapshots", "alias", "evolve", "hosts"}
    return TeamPlan(
        settings.recorder,
        settings.codex_home,
        journal,
        settings.environ,
        tokens=asked["inject_tokens"],
        reload_s=asked["reload_seconds"],
        api=asked["evolve_api"],
        cadence=Cadence(snapshot_turns, snapshot_idle),
        callback=listen.url.removesuffix("/v1") + CALLBACK_PATH.decode() if listen.port else None,
        token=settings.environ.get("ARMARIUS_TEAM_TOKEN"),
        **({"callers": callers} if callers else {}),
        **{name: asked[name] for name in named},
    )

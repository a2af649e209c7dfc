"""`armarius proxy serve`."""

from typing import Literal

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.install.profile import client_token
from armarius.recorder.access import DEFAULT_LISTEN, Route, parse_listen, parse_upstream
from armarius.recorder.flow import ProxyState
from armarius.recorder.server import Serving, run_proxy


@click.command()
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, help="HOST:PORT, on loopback; port 0: any.")
@click.option("--upstream", help="The provider. Default: OpenAI's, the one that fits the login.")
@click.option(
    "--record", type=click.Choice(["on", "off"]), default="on", show_default=True, help="Whether to keep a journal."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object when it listens.")
def command(*, listen: str, upstream: str | None, record: Literal["on", "off"], as_json: bool) -> int:
    """Stand between Codex and its provider until it is interrupted.

    Keys and logins pass through and are stored nowhere. What cannot be written is forwarded all the same,
    counted, and said on standard error.
    """
    settings = configuration.load()
    clock = SystemClock()

    def ready(state: ProxyState) -> None:
        if as_json:
            print_json(state)
        else:
            kept = f"Recording below {state.journal.folder}." if state.journal else "Recording nothing."
            say(f"Listening on {state.listen}, forwarding to {state.upstream}. {kept}")

    run_proxy(
        Serving(
            listen=parse_listen(listen),
            token=client_token(settings.recorder, clock),
            clock=clock,
            say=lambda text: say(f"armarius proxy: {text}", err=True),
            ready=ready,
            journal=settings.recorder / "journal" if record == "on" else None,
            route=Route(parse_upstream(upstream) if upstream else None),
        )
    )
    return 0

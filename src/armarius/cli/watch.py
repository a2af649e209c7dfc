"""`armarius watch`."""

import contextlib
import sys
from datetime import datetime
from pathlib import Path

import click

from armarius import settings as configuration
from armarius.cli.numbers import MOST_S, Within
from armarius.cli.output import print_json, say
from armarius.clock import SystemClock
from armarius.errors import NoAnswer, UsageError
from armarius.sessions.folders import Place
from armarius.sessions.names import Named, find_named
from armarius.settings import Settings
from armarius.watch.loop import Plan, Watch
from armarius.watch.push import Pushes, Way, by_command, by_notification, by_webhook
from armarius.watch.repositories import find_repository
from armarius.watch.signals import Confidence, Kind, Signal
from armarius.watch.values import WatchedValue

_SHOWN = 400
_SHORT = 13


@click.command()
@click.argument("threads", nargs=-1, metavar="[THREAD]...")
@click.option("--all", "is_all", is_flag=True, help="Watch every session, also those that begin later.")
@click.option(
    "--repo", "repos", type=click.Path(path_type=Path), multiple=True, help="Say when this repository's HEAD moves."
)
@click.option("--value", "values", metavar="FILE:REGEX", multiple=True, help="Say when what REGEX finds last changes.")
@click.option("--until", type=click.Choice([kind.value for kind in Kind]), multiple=True, help="End at this signal.")
@click.option("--max-events", type=click.IntRange(1), default=10, show_default=True, help="End after so many signals.")
@click.option(
    "--stall", type=Within(0, MOST_S, min_open=True), default=600, show_default=True,
    help="Seconds without a word in an open turn.",
)  # fmt: skip
@click.option("--timeout", type=Within(0, MOST_S, min_open=True), help="Seconds until the watch ends.")
@click.option("--cursor", type=click.Path(dir_okay=False, path_type=Path), help="Go on where the last watch stopped.")
@click.option("--notify", is_flag=True, help="Show each signal as a desktop notification.")
@click.option("--exec", "commands", metavar="CMD", multiple=True, help="Run this for each signal: JSON on its input.")
@click.option("--webhook", "webhooks", metavar="URL", multiple=True, help="Post each signal here; loopback only.")
@click.option(
    "--codex-home", "codex_homes", type=click.Path(exists=True, file_okay=False, path_type=Path), multiple=True,
    help="Look here; may be repeated. Default: your CODEX_HOME.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a signal.")
def command(
    *,
    threads: tuple[str, ...],
    is_all: bool,
    repos: tuple[Path, ...],
    values: tuple[str, ...],
    until: tuple[str, ...],
    max_events: int,
    stall: float,
    timeout: float | None,
    cursor: Path | None,
    notify: bool,
    commands: tuple[str, ...],
    webhooks: tuple[str, ...],
    codex_homes: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Say what needs a person, and nothing else.

    THREAD is a session's id, the beginning of it, its name, codex://threads/ID, or a file. One line a
    signal; silence otherwise. Nothing is answered, and nothing is written into Codex's own folders.

    It ends when every named thread has come to rest, crashed or met its goal, at --until, at the cap,
    and at --timeout: the last line says which. What a kind of --until names and holds already, ends it
    at once. Exit code 0 after a signal, 6 after a --timeout without one.
    """
    if is_all and threads:
        raise UsageError("watch", "--all and named threads exclude each other", "leave one of them out")
    if not (is_all or threads or repos or values):
        raise UsageError("watch", "there is nothing to watch", "name a thread, or say --all, --repo or --value")
    settings = configuration.load()
    homes = tuple(home.resolve() for home in codex_homes or (settings.codex_home,))
    named = None if is_all else tuple(_named(homes, name) for name in threads)
    plan = Plan(
        hooks=settings.hook_events,
        homes=homes if is_all or threads else (),
        named=named,
        repositories=tuple(
            find_repository(repo, search_path=settings.search_path, user_home=settings.user_home) for repo in repos
        ),
        values=tuple(map(WatchedValue, values)),
        until=frozenset(map(Kind, until)),
        max_events=max_events,
        stall_us=int(stall * 1_000_000),
        timeout_us=None if timeout is None else int(timeout * 1_000_000),
        cursor=cursor,
        ledger=settings.ledger if is_all or threads else None,
    )
    ways = _ways(settings, notify=notify, commands=commands, webhooks=webhooks)
    return _watch(plan, ways, as_json=as_json)


def _watch(plan: Plan, ways: dict[str, Way], *, as_json: bool) -> int:
    with contextlib.ExitStack() as stack:
        pushes = stack.enter_context(Pushes(ways, _warn))

        def tell(signal: Signal) -> None:
            print_json(signal) if as_json else say(_line(signal))
            pushes.send(signal)

        watch = Watch(plan, SystemClock(), tell, _warn)
        end = watch.run(_reassure)
    if end == "timeout" and not watch.said:
        raise NoAnswer("watch-timeout", "no signal until the timeout", "give it a longer --timeout, or none")
    return 0


def _reassure() -> None:
    """Silence is what a watch is for, but a person wants to see that it has begun."""
    if sys.stderr.isatty():
        say("watching", err=True)


def _named(homes: tuple[Path, ...], name: str) -> Named:
    return find_named([Place("codex", home) for home in homes], name)


def _ways(settings: Settings, *, notify: bool, commands: tuple[str, ...], webhooks: tuple[str, ...]) -> dict[str, Way]:
    here = Path.cwd()
    ways = {f"--exec {line}": by_command(line, cwd=here, environ=settings.environ) for line in commands}
    ways |= {f"--webhook {url}": by_webhook(url) for url in webhooks}
    if notify:
        ways["--notify"] = by_notification(cwd=here, environ=settings.environ)
    return ways


def _line(signal: Signal) -> str:
    """When, what, whose, and in which words; one line whatever was said."""
    time = datetime.fromtimestamp(signal.at_us / 1_000_000).astimezone().strftime("%H:%M:%S")
    whose = signal.thread[:_SHORT] if signal.thread else ""
    folder = Path(signal.cwd).name if signal.cwd else ""
    retry = ""
    if signal.retry_at_us is not None:
        until = datetime.fromtimestamp(signal.retry_at_us / 1_000_000).astimezone()
        retry = f" (again at {until:%Y-%m-%d %H:%M})"
    unsure = "" if signal.confidence is Confidence.HIGH else f" [{signal.confidence} confidence, by {signal.source}]"
    text = signal.text if len(signal.text) <= _SHOWN else signal.text[: _SHOWN - 1] + "…"
    return "  ".join(filter(None, (time, signal.kind.value, whose, folder, text))) + retry + unsure


def _warn(text: str) -> None:
    say(f"armarius: {text}".replace("\n", " "), err=True)

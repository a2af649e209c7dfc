"""`armarius sessions stats`."""

import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Final

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import clean, print_json, print_table, say
from armarius.cli.sessions.options import AS_JSON, FILTERS, HOMES, wish_of
from armarius.cli.sessions.synced import say_skipped, synced_index
from armarius.clock import SystemClock
from armarius.sessions.listing import choose_files
from armarius.sessions.prices import load_prices
from armarius.sessions.stats import By, Group, Stats, stats_of

_HEAD: Final = ("SESSIONS", "TURNS", "SUCCESS", "INPUT", "CACHED", "OUTPUT", "REASONING", "SUBAGENTS", "COST", "WAITED")
_BLOCKS: Final = " ▏▎▍▌▋▊▉█"
_LEAST_BAR: Final = 8
_NAME_SHARE: Final = 3
_MICRO: Final = 1_000_000
_WORDS: Final = {"day": "DAY", "repo": "REPOSITORY", "model": "MODEL", "source": "SOURCE"}
_MEASURES: Final[dict[str, Callable[[Group], tuple[int, str]]]] = {
    "tokens": lambda group: (group.usage.total, _short(group.usage.total)),
    "cost": lambda group: (group.cost_micro_usd or 0, _cost(group)),
    "turns": lambda group: (group.turns, f"{group.turns:,}"),
    "sessions": lambda group: (group.sessions, f"{group.sessions:,}"),
    "waited": lambda group: (group.waited_us, _time(group.waited_us)),
}


@click.command()
@HOMES
@FILTERS
@click.option("--by", type=click.Choice(list(_WORDS)), default="day", show_default=True, help="What makes a row.")
@click.option(
    "--plot",
    type=click.Choice(list(_MEASURES)),
    is_flag=False,
    flag_value="tokens",
    help="Draw bars instead of a table: --plot=tokens is what --plot alone draws.",
)
@AS_JSON
def command(  # one for each flag
    *,
    codex_homes: tuple[Path, ...],
    since: int | None,
    repo: Path | None,
    model: str | None,
    source: str | None,
    states: tuple[str, ...],
    by: By,
    plot: str | None,
    as_json: bool,
) -> int:
    """Sum up sessions: turns, tokens, cost, success, and the time they waited for a person.

    Costs are what the tokens would cost at the provider's standard API rate on their day; what has no
    known price is not in them. A `prices.toml` in Armarius's home replaces the prices. With --since,
    only what happened from then on counts.
    """
    settings = configuration.load()
    prices = load_prices(settings.home / "prices.toml")
    wish = wish_of(since=since, repo=repo, model=model, source=source, states=states)
    with synced_index(settings, codex_homes, source) as desk:
        files = choose_files(desk.index, desk.places, wish, desk.look, now_us=SystemClock().now_us())
        stats = stats_of(desk.index, files, wish, prices, by)
    if as_json:
        print_json(stats)
        return 0
    say_skipped(desk.synced.unreadable, desk.synced.closed)
    if not stats.groups:
        say("No sessions match.")
        return 0
    if plot:
        _draw(stats, plot)
    else:
        rows = [_row(group) for group in (*stats.groups, msgspec.structs.replace(stats.total, name="TOTAL"))]
        print_table((_WORDS[by], *_HEAD), rows)
    if stats.unpriced:
        models = ", ".join(f"{name} ({_short(tokens)})" for name, tokens in stats.unpriced.items())
        say(f"no price is known for tokens of {models}; a prices.toml in {settings.home} can name one", err=True)
    return 0


def _row(group: Group) -> tuple[str, ...]:
    usage = group.usage
    return (
        group.name,
        f"{group.sessions:,}",
        f"{group.turns:,}",
        _percent(group.success),
        _short(usage.input),
        _percent(group.cache_share),
        _short(usage.output),
        _short(usage.reasoning),
        _short(group.subagents.total),
        _cost(group),
        _time(group.waited_us),
    )


def _draw(stats: Stats, measure: str) -> None:
    """A bar for each group, as wide as the terminal allows."""
    width = shutil.get_terminal_size().columns
    of = _MEASURES[measure]
    names = [_cut(clean(group.name).replace("\n", " "), width // _NAME_SHARE) for group in stats.groups]
    values = [of(group) for group in stats.groups]
    label, figure = max(map(len, names)), max(len(text) for _, text in values)
    room = max(_LEAST_BAR, width - label - figure - 4)
    most = max(value for value, _ in values) or 1
    for name, (value, text) in zip(names, values, strict=True):
        say(f"{name:<{label}}  {_bar(value, most, room)}  {text:>{figure}}")
    say(f"{'':<{label}}  {measure} by {stats.by}: {of(stats.total)[1]}")


def _bar(value: int, most: int, room: int) -> str:
    """`room` columns, filled in eighths of a column; what is not nothing shows."""
    eighths = value * room * 8 // most
    if value and not eighths:
        eighths = 1
    full, part = divmod(eighths, 8)
    return (_BLOCKS[8] * full + (_BLOCKS[part] if part else "")).ljust(room)


def _cut(text: str, most: int) -> str:
    """The end of a name says more than its beginning: it is a path."""
    return text if len(text) <= most else "…" + text[len(text) - most + 1 :]


def _short(number: int) -> str:
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (10_000, "k")):
        if number >= size:
            return f"{number / (1_000 if unit == 'k' else size):.1f}{unit}"
    return f"{number:,}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _cost(group: Group) -> str:
    """US dollars; `≥` when there is more that nobody knows the price of."""
    if group.cost_micro_usd is None:
        return "unknown"
    dollars = Decimal(group.cost_micro_usd) / _MICRO
    return f"{'≥ ' if group.unpriced_tokens else ''}${dollars:,.2f}"


def _time(microseconds: int) -> str:
    minutes = microseconds // 60_000_000
    return f"{minutes // 60}h{minutes % 60:02}" if minutes >= 60 else f"{minutes}m"  # noqa: PLR2004  # an hour

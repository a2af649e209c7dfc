"""`armarius validate`: an independent judge."""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import click

from armarius.audit.validate import validate
from armarius.audit.validation import LARGEST_ACCEPTANCE, Network, Order, Validation, outcome_code
from armarius.audit.verdict import text_of
from armarius.budget import NO_BUDGET, parse_budget
from armarius.cli.database import named
from armarius.cli.numbers import MOST_S, Within
from armarius.cli.output import print_json, say
from armarius.dispatch.api import open_dispatch
from armarius.dispatch.desk import Options
from armarius.errors import DataError, UsageError
from armarius.files import read_bounded
from armarius.runs.request import Authorisation

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("name", metavar="RUN|REF")
@click.option("--acceptance", type=_PATH, required=True, help="What has to hold, as text; the judge reads all of it.")
@click.option("--command", "commands", metavar="CMD", multiple=True, help="The judge must run this; so do we.")
@click.option("--repo", type=_PATH, help="Where a REF is looked for. Default: here.")
@click.option("--base", metavar="REF", help="Where the work began. Default: as recorded; of a REF its parent.")
@click.option("--oracle", metavar="GLOB", multiple=True, help="Further paths that are taken from the base.")
@click.option("--from-worker", metavar="GLOB", multiple=True, help="Paths that are the worker's after all.")
@click.option("--schema", "as_schema", is_flag=True, help="Have the verdict in its JSON form.")
@click.option("--scratch", is_flag=True, help="Let the judge write in its checkout, which is thrown away.")
@click.option(
    "--network",
    type=click.Choice(["none", "fetch", "sandbox", "full"]),
    default="none",
    help="The most that may be had, tried in this order.",
)
@click.option("--fetch", metavar="CMD", multiple=True, help="Run by us beforehand, outside the sandbox.")
@click.option("--authorised-by", metavar="WHO", help="With --network full: who allows it.")
@click.option("--reason", help="With --network full: why.")
@click.option("--until", metavar="TIME", help="With --network full: when that ends, e.g. 2026-11-21T18:00Z.")
@click.option(
    "--other", type=click.Choice(["lane", "model"]), multiple=True, help="What of the author's the judge's may not be."
)
@click.option("--model", help="The judge's model.")
@click.option("--effort", help="Reasoning effort, e.g. low, medium, high.")
@click.option("--lane", help="The login to use: one of `armarius lanes`, or `own`.")
@click.option("--timeout", type=Within(0, MOST_S, min_open=True), help="Seconds until a judge is ended.")
@click.option("--budget", metavar="MEASURE=N,…", help="What each judge may use up: tokens, requests, minutes, agents.")
@click.option("--json", "as_json", is_flag=True, help="Print the validation as one JSON object.")
def command(  # click hands over one argument a flag
    *,
    name: str,
    acceptance: Path,
    commands: tuple[str, ...],
    repo: Path | None,
    base: str | None,
    oracle: tuple[str, ...],
    from_worker: tuple[str, ...],
    as_schema: bool,
    scratch: bool,
    network: Network,
    fetch: tuple[str, ...],
    other: tuple[Literal["lane", "model"], ...],
    lane: str | None,
    as_json: bool,
    **typed: Any,
) -> int:
    """Have a run's work, or a commit, judged by another Codex, against an acceptance text.

    The judge gets a fresh checkout with the tests of the base and not the worker's, knows nothing of the worker's
    session, and may only read. Its verdict counts when it is in the form of the contract and rests on commands that
    were seen to run. PASS is exit code 0, FAIL 1; without a verdict it is 6, after a second judge was asked.
    """
    order = Order(
        name=name,
        acceptance=_text(acceptance),
        acceptance_file=acceptance.absolute(),
        commands=commands,
        repo=repo,
        base=base,
        oracle=oracle,
        of_worker=from_worker,
        as_json=as_schema,
        scratch=scratch,
        network=network,
        fetch=fetch,
        authorisation=_authorisation(typed, name),
        other=frozenset(other),
        options=Options(
            model=typed["model"],
            effort=typed["effort"],
            lane=lane,
            timeout=typed["timeout"],
            budget=NO_BUDGET if typed["budget"] is None else parse_budget(typed["budget"]),
        ),
    )
    with open_dispatch(lane=lane, database=named()) as dispatch:
        done = validate(dispatch, order, lambda text: say(text, err=True))
    if as_json:
        print_json(done)
    else:
        _say(done)
    return outcome_code(done.outcome)


def _text(path: Path) -> str:
    try:
        return read_bounded(path, LARGEST_ACCEPTANCE).decode()
    except UnicodeDecodeError as error:
        raise DataError("acceptance", f"{path}: byte {error.start} is not UTF-8", "save it as UTF-8") from error


def _authorisation(typed: dict[str, Any], scope: str) -> Authorisation | None:
    who, reason, until = typed["authorised_by"], typed["reason"], typed["until"]
    if who is None and reason is None and until is None:
        return None
    if not (who and reason and until):
        raise UsageError("authorisation", "an authorisation has three parts", "give --authorised-by, --reason, --until")
    try:
        at = datetime.fromisoformat(until)
    except ValueError as error:
        raise UsageError("until", f"--until {until!r}: {error}", "write e.g. 2026-11-21T18:00Z") from error
    if at.tzinfo is None:
        raise UsageError("until", f"--until {until!r} names no time zone", "add Z for UTC")
    return Authorisation(who, f"the judges of {scope}", reason, int(at.timestamp() * 1_000_000))


def _say(done: Validation) -> None:
    if done.verdict is not None:
        say(text_of(done.verdict).rstrip("\n"))
    if done.outcome not in ("PASS", "FAIL"):
        say(f"{done.outcome} ({done.code}): {done.reason}")
    if done.restored:
        say(f"of the base: {', '.join(one.path for one in done.restored)}", err=True)
    for one in (ran for judge in done.judges[-1:] for ran in judge.ours):
        say(f"we ran {' '.join(one.argv)}: {'passed' if one.passed else one.problem or one.exit_code}", err=True)
    for sign in done.signs:
        say(f"look at {sign.path}:{sign.line}: {sign.kind}: {sign.why}", err=True)
    shared = f" · as the author's: {', '.join(done.same)}" if done.same else ""
    say(f"{done.id} · judged by {done.judges[-1].run}{shared} · {done.file}", err=True)

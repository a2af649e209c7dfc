"""`armarius consult`: does a finding hold?"""

from typing import Any

import click

from armarius.audit.consult import Consultation, Question, consult
from armarius.budget import NO_BUDGET, parse_budget
from armarius.cli.database import named
from armarius.cli.numbers import MOST_S, Within
from armarius.cli.output import print_json, say
from armarius.cli.running import read_prompt
from armarius.dispatch.api import Options, open_dispatch
from armarius.errors import NoAnswer


@click.command()
@click.argument("run", metavar="RUN")
@click.option("--finding", metavar="TEXT", required=True, help="What is wrong, and where; `-` reads it.")
@click.option("--diff", is_flag=True, help="Put the work's diff into the question.")
@click.option("--fresh", is_flag=True, help="Ask a fresh reviewer first, and the author only if need be.")
@click.option("--model", help="The model that is asked.")
@click.option("--effort", help="Reasoning effort, e.g. low, medium, high.")
@click.option("--lane", help="The reviewer's login; the author's is that of its session.")
@click.option("--timeout", type=Within(0, MOST_S, min_open=True), help="Seconds until an answer is given up.")
@click.option("--budget", metavar="MEASURE=N,…", help="What each answer may use up: tokens, requests, minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, run: str, finding: str, diff: bool, fresh: bool, as_json: bool, **typed: Any) -> int:
    """Ask the author of a run's work whether a finding holds, and a fresh reviewer where that settles nothing.

    Both may only read, and what they say counts only with evidence that was seen. Consensus is exit code 0, also
    when it is that the finding does not hold; what you or a person must decide is 6. Then it is decided: the same
    finding is not asked again.
    """
    budget = NO_BUDGET if typed["budget"] is None else parse_budget(typed["budget"])
    options = Options(
        model=typed["model"], effort=typed["effort"], lane=typed["lane"], timeout=typed["timeout"], budget=budget
    )
    text = read_prompt(finding)
    question = Question(run=run, finding=text, first="fresh" if fresh else "author", diff=diff, options=options)
    with open_dispatch(lane=options.lane, database=named()) as dispatch:
        done = consult(dispatch, question, lambda words: say(words, err=True))
    if as_json:
        print_json(done)
    else:
        _say(done)
    return 0 if done.outcome == "consensus" else NoAnswer.exit_code


def _say(done: Consultation) -> None:
    say(f"{done.outcome}: {done.reason}")
    for name, text in (("root cause", done.root_cause), ("resolution", done.resolution)):
        if text:
            say(f"{name}: {text}")
    for one in done.asked:
        say(f"{one.party} ({one.run}): {one.position}" + (f", {one.problem}" if one.problem else ""), err=True)
        for piece in one.evidence:
            place = piece.command or f"{piece.path}:{piece.line}"
            say(f"  {'seen' if piece.seen else 'NOT seen'}: {place}: {piece.text}", err=True)
    for sign in done.signs:
        say(f"look at {sign.path}:{sign.line}: {sign.kind}: {sign.why}", err=True)

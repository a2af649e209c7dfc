"""`armarius goal`: until the condition really holds."""

from typing import Any

import click
import msgspec

from armarius.cli.files import Outputs
from armarius.cli.numbers import MOST_S, Within
from armarius.cli.output import print_json, say
from armarius.cli.running import Flags, flags, folder_of, read_prompt, words_of
from armarius.cli.sharing import waiting_of
from armarius.dispatch.api import Dispatch, open_dispatch
from armarius.dispatch.goal import CHECK_S, GoalReport, Way, Wish, command_of, pursue, take_up
from armarius.errors import UsageError


@click.command()
@click.argument("objective", required=False)
@click.argument("command_words", metavar="[-- CMD…]", nargs=-1, type=click.UNPROCESSED)
@click.option("--done-when", metavar="CMD", help="The command that decides; split as a shell would, run without one.")
@click.option("--max-turns", type=click.IntRange(1, 1000), help="Turns at most.")
@click.option("--check-timeout", type=Within(0, MOST_S, min_open=True), default=CHECK_S, help="Seconds for CMD.")
@click.option("--resume", "goal", metavar="GOAL|RUN", help="Take up a goal that is not done, with its settings.")
@flags(lane=True)
def command(  # click hands over one argument a flag
    *,
    objective: str | None,
    command_words: tuple[str, ...],
    done_when: str | None,
    max_turns: int | None,
    check_timeout: float,
    goal: str | None,
    **typed: Any,
) -> int:
    """Let Codex work, turn after turn, until a command of yours succeeds.

    OBJECTIVE is the instruction of the first turn; each later turn of the same thread is told what failed.
    CMD is run by Armarius in the working folder, after each turn, with your rights and outside the sandbox.
    It is done (exit code 0) only when CMD ends with 0. --timeout is for all turns together, --budget too.
    """
    words = words_of(typed)
    if goal is not None:
        if objective is not None or done_when is not None or command_words:
            raise UsageError("goal-resume", "a goal that is taken up knows what it is about", "give --resume alone")
        with open_dispatch() as dispatch, Outputs(words.last_message, words.events, dispatch.settings) as outputs:
            return _report(take_up(dispatch, goal, _way(dispatch, outputs, words), max_turns), outputs, words)
    argv = command_of(done_when, command_words)
    if max_turns is None:
        raise UsageError("max-turns", "a goal needs an end", "say --max-turns N")
    text = read_prompt(objective)
    options = words.options()
    if options.sharing.checkout:
        raise UsageError("goal-checkout", "a goal works where its condition is checked", "leave out --checkout")
    with open_dispatch(folder_of(options.cwd), lane=options.lane) as dispatch:
        request = dispatch.request(text, options)
        each = msgspec.structs.replace(request, budget=dispatch.settings.run_budget)
        wish = Wish(text, argv, max_turns, each, request.deadline_s, check_timeout, options.budget)
        with Outputs(words.last_message, words.events, dispatch.settings) as outputs:
            return _report(pursue(dispatch, wish, _way(dispatch, outputs, words)), outputs, words)


def _way(dispatch: Dispatch, outputs: Outputs, words: Flags) -> Way:
    each = outputs.event if words.events else None
    waiting = waiting_of(words.wait)
    return Way(_tell, lambda request, closing: dispatch.do(request, each=each, waiting=waiting, closing=closing))


def _tell(text: str) -> None:
    say(text, err=True)


def _report(report: GoalReport, outputs: Outputs, words: Flags) -> int:
    problem = report.problem
    outputs.end(report.answer)
    if words.as_json:
        print_json(report)
    else:
        turns = len(report.runs)
        match report.state:
            case "already":
                say("the condition holds already; nothing was started")
            case "done":
                say(f"{report.id} done: the condition holds after {turns} turn{'' if turns == 1 else 's'}")
            case state:
                why = f"{problem.message}; {problem.hint}".rstrip("; ") if problem else ""
                say(f"{report.id} not done ({state}): {why}", err=True)
                say(f"take it up again with `armarius goal --resume {report.id}`", err=True)
    if report.state in ("done", "already"):
        return 0
    return problem.exit_code if problem else 1

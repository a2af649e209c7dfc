"""`armarius plan resume`."""

from typing import Any

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, say
from armarius.cli.plan.place import record, root_of
from armarius.cli.running import Flags, do, flags, words_of
from armarius.dispatch.desk import Desk
from armarius.dispatch.workbench import workbench
from armarius.errors import UsageError
from armarius.plans.check import Repository
from armarius.plans.folder import find_plan
from armarius.plans.resume import Resumption, resumption


@click.command()
@click.argument("plan", required=False)
@click.option("--start", is_flag=True, help="Go on with it now, as a run of its own.")
@flags(lane=True)
def command(*, plan: str | None, start: bool, **typed: Any) -> int:
    """Say what is needed to go on with a plan, or go on with it.

    PLAN is its path, its slug or the beginning of one; without it, the only open plan. Prints where it
    stands, its runs and threads as they are recorded, the last that succeeded, and the next step. With
    --start a new run is told to go on; it may only read, unless --sandbox says more.
    """
    words = words_of(typed)
    root = root_of(words.folder)
    repository = Repository(root)
    path = find_plan(root, plan)
    if not start:
        if words != Flags(as_json=words.as_json, folder=words.folder):
            raise UsageError("plan-start", "flags of a run without --start", "add --start, or leave them out")
        with record() as ledger:
            found = resumption(path, repository, ledger)
        print_json(found) if words.as_json else _tell(found)
        return 0
    settings = configuration.load(root)
    options = msgspec.structs.replace(words.options(), cwd=root)
    with workbench(settings, options.lane) as bench:
        found = resumption(path, repository, bench.ledger)
        if found.plan.state != "open":
            raise UsageError("plan-closed", f"{found.plan.path} is {found.plan.state}", "name an open plan")
        desk = Desk(settings, bench)
        return do(desk, desk.request(found.prompt, options), words)


def _tell(found: Resumption) -> None:
    plan = found.plan
    say(f"{plan.title or '(no title)'}\n{plan.path} · {plan.state} · {plan.done} of {plan.steps} steps done")
    for run in found.runs:
        thread = f" · thread {run.thread_id}" if run.thread_id else ""
        say(f"run {run.id} {run.state}{thread}" + (f" · {run.error}" if run.error else ""))
    for thread in found.threads:
        say(f"thread {thread}")
    for rollout in found.rollouts:
        say(f"rollout {rollout}")
    receipt = found.receipt
    say(f"last proof: {receipt.id} {receipt.state} {receipt.ended_at or ''}" if receipt else "last proof: none")
    if receipt and receipt.answer:
        say(f"    {receipt.answer}")
    if plan.errors:
        say(f"{plan.errors} errors; see `armarius plan check {plan.path}`")
    say(f"next step: {plan.next_step or 'none, all are done: `armarius plan close`'}")
    say(f"next command: {found.next_command}")

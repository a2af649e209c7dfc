"""`armarius sleep harvest`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.cli.sleep.harvesting import HARVESTING, TARGET, Wish, gathered_of, project_of
from armarius.cli.sleep.options import AS_JSON, PROJECT
from armarius.clock import SystemClock
from armarius.errors import ArmariusError, DataError, Refused
from armarius.evolve.forecast import Found, found_in
from armarius.evolve.gather import Gathered, TaskDrafts, task_drafts
from armarius.evolve.harvest import Source
from armarius.files import read_bounded, write_atomic

_TEXT = 60
_MOST_OLD = 16 << 20


class _Old(msgspec.Struct):
    """What stands where the file is to be written."""

    schema: str = ""
    reviewed: bool = False


class HarvestReport(msgspec.Struct, frozen=True):
    """What was found (`armarius.sleep_harvest.v1`). `output` is where `file` was written."""

    project: str
    found: Found
    file: TaskDrafts
    output: str | None
    schema: str = "armarius.sleep_harvest.v1"


@click.command()
@PROJECT
@HARVESTING
@TARGET
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the tasks to this file.")
@click.option("--progress", is_flag=True, help="Say what is being read.")
@AS_JSON
def command(  # one for each flag
    *,
    project: Path,
    source: Source,
    codex_homes: tuple[Path, ...],
    claude_home: Path | None,
    max_sessions: int | None,
    lookback_hours: float,
    target: Path | None,
    roots: tuple[Path, ...],
    max_tasks: int | None,
    output: Path | None,
    progress: bool,
    as_json: bool,
) -> int:
    """Find the work that recurs in your sessions, with checks where they tell them; nothing is sent.

    Review what --output wrote, set "reviewed" to true in it, and give it to `armarius sleep run --tasks-file`.
    """
    settings = configuration.load(project)
    wish = Wish(source, codex_homes, claude_home, max_sessions, lookback_hours, target, roots, max_tasks)
    gathered = gathered_of(settings, project, wish, tells=progress)
    file = task_drafts(gathered, project_of(project), SystemClock().now_us())
    if output is not None:
        _write(output, file)
    if as_json:
        written = None if output is None else str(output)
        print_json(HarvestReport(str(project_of(project)), found_in(gathered), file, written))
        return 0
    _say(gathered, file, lookback_hours)
    if output is not None:
        say(f"written to {output}; nobody has reviewed it yet")
    return 0


def _write(output: Path, file: TaskDrafts) -> None:
    """Write the file, but never over one that a person has reviewed, nor over anything else."""
    if output.exists():
        try:
            old = msgspec.json.decode(read_bounded(output, _MOST_OLD), type=_Old)
        except (msgspec.DecodeError, ArmariusError, RecursionError):
            old = _Old()
        if old.schema != file.schema:
            raise DataError("output-exists", f"{output} is there and is no task file", "name another file")
        if old.reviewed:
            raise Refused("output-reviewed", f"{output} was reviewed by a person", "name another file")
    if not output.absolute().parent.is_dir():
        raise DataError("output-folder", f"{output.absolute().parent} is no folder", "make it first")
    write_atomic(output.absolute(), msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")


def _say(gathered: Gathered, file: TaskDrafts, lookback_hours: float) -> None:
    say_found(found_in(gathered), lookback_hours)
    for note in gathered.notes:
        say(note)
    if not file.tasks and not file.drafts:
        return
    say(f"target {gathered.target} ({gathered.target_why})")
    if file.tasks:
        say("")
        rows = [
            (task.task_id, str(origin.turns), str(origin.wrong), ops, "no" if task.uncertifiable else "yes", task.task)
            for task in file.tasks
            if (origin := task.origin)
            for ops in [" ".join(dict.fromkeys(check.op for check in task.judge.checks))]
        ]
        head = ("TASK", "TURNS", "WRONG", "CHECKS", "CERTIFIES", "ASKED FOR")
        print_table(head, [(*row[:-1], _short(row[-1])) for row in rows])
    for draft in file.drafts:
        say(f"needs {draft.asks}: {_short(draft.task)}")


def say_found(found: Found, lookback_hours: float) -> None:
    """The sessions and what is in them, in a few lines."""
    window = f"the last {lookback_hours:g} hours" if lookback_hours else "all of history"
    say(f"{found.sessions} sessions of {found.source} in {window}, {found.turns} requests")
    for reason, count in sorted(found.left_out.items()):
        say(f"  left out {count}: {reason}")
    if not found.sessions:
        say("try --lookback-hours 0, --source claude, or another --project")
        return
    say(
        f"{found.kinds} kinds of work recur; {found.once} requests came in one session only, {found.small} ask for "
        "nothing by themselves"
    )
    if found.unrelated:
        say(f"{found.unrelated} kinds have nothing to do with the target")
    if found.spilt:
        say(f"{found.spilt} are over the number that was asked for")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"

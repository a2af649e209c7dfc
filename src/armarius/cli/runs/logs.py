"""`armarius runs logs`."""

import click

from armarius.cli.output import as_json_text, clean, say
from armarius.cli.runs.asking import question_in
from armarius.cli.runs.lines import keeper
from armarius.codex.events import fold
from armarius.dispatch.afterwards import event_of_run, events_of_run, stderr_of_run
from armarius.errors import UsageError
from armarius.runs.records import find_run
from armarius.thread import AgentMessage, Command, FileChange, Item, ItemStatus, Notice, Reasoning


@click.command()
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@click.option("--events", "raw", is_flag=True, help="Codex's own events, a line each.")
@click.option("--stderr", is_flag=True, help="What Codex said besides its events.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each event.")
def command(*, run: str, follow: bool, raw: bool, stderr: bool, as_json: bool) -> int:
    """Show what Codex printed in a run, also while it runs.

    RUN is its id or the beginning of it.
    """
    if stderr and (raw or follow or as_json):
        raise UsageError("logs-flags", "--stderr stands alone", "leave out the other flags")
    with keeper() as runs:
        row = find_run(runs.ledger, run)
        if stderr:
            click.echo(clean(stderr_of_run(runs, row)), nl=False)
            return 0
        for attempt, number, line in events_of_run(runs, row, follow=follow):
            if as_json:
                click.echo(as_json_text(event_of_run(row.id, attempt, number, line)))
            elif raw:
                click.echo(clean(line.decode(errors="replace").rstrip("\n")))
            else:
                _tell(line, number)
    return 0


def _tell(line: bytes, number: int) -> None:
    if words := question_in(line):
        say(words)
    stream = fold([line], name="events", number=number)
    if stream.error is not None:
        say(f"! {stream.error}")
    for item in stream.items:
        if text := _words_of(item):
            say(text)


def _words_of(item: Item) -> str:
    match item:
        case AgentMessage(text=text):
            return text
        case Reasoning(text=text):
            return f"~ {text}"
        case Command(command=command, status=status, exit_code=code) if status is not ItemStatus.IN_PROGRESS:
            return f"$ {command}" + ("" if code in (0, None) else f"  [exit {code}]")
        case FileChange(changes=changes, status=status) if status is not ItemStatus.IN_PROGRESS:
            return f"± {', '.join(change.path for change in changes)}  [{status.value}]"
        case Notice(message=message):
            return f"! {message}"
        case _:
            return ""

"""`armarius runs show`."""

import click

from armarius.cli.output import print_json, say
from armarius.cli.runs.asking import words_of_question
from armarius.cli.runs.lines import AS_JSON, RunRecord, event_line, keeper, questions_of, run_line, shown_state
from armarius.cli.runs.metering import MeterLine, words_of_meter
from armarius.clock import rfc3339
from armarius.dispatch.meter import spent_by
from armarius.runs.decisions import decision_of
from armarius.runs.records import find_run
from armarius.store.ledger import events_of


@click.command()
@click.argument("run")
@AS_JSON
def command(*, run: str, as_json: bool) -> int:
    """Show one run.

    RUN is its id or the beginning of it.
    """
    with keeper() as runs:
        row = find_run(runs.ledger, run)
        events = events_of(runs.ledger, row.id)
        decided = decision_of(runs.ledger, row.id)
        meter = MeterLine(spent_by(runs, row), row.asked.budget)
    if as_json:
        print_json(
            RunRecord(
                run_line(row, None, decided), row.outcome, tuple(map(event_line, events)), questions_of(row), meter
            )
        )
        return 0
    word = f", {decided.replace('_', ' ')}" if decided else ""
    say(f"{row.id}  {shown_state(row)}{word}  {row.role}")
    say(f"in {row.cwd} · sandbox {row.sandbox} · codex {row.codex_version or '?'}")
    say(words_of_meter(meter))
    for event in events:
        say(f"  {rfc3339(event.at_us)}  {event.kind} {event.body}")
    for question in questions_of(row):
        say("\n".join(words_of_question(row.id, question)))
    result = row.outcome
    if result is not None:
        usage = result.usage
        say(f"thread {result.thread_id or 'none'} · {usage.input:,} tokens in, {usage.output:,} out")
        say(f"folder {result.folder}")
        if result.files_changed:
            say("changed " + ", ".join(result.files_changed))
        if result.answer is not None:
            say("\n" + result.answer)
    if row.error_message:
        say(f"{row.error_code}: {row.error_message}")
    return 0

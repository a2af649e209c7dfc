"""`armarius proxy sessions`."""

import click

from armarius import settings as configuration
from armarius.cli.output import print_json, print_table, say
from armarius.clock import rfc3339
from armarius.recorder.turns import RecordedSession, list_sessions


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(*, as_json: bool) -> int:
    """List what was recorded: sessions, the turns of their users, tokens; the newest first."""
    settings = configuration.load()
    answer = list_sessions(settings.recorder / "journal")
    if as_json:
        print_json(answer)
        return 0
    if answer.sessions:
        head = ("SESSION", "LAST", "TURNS", "REQUESTS", "TOKENS IN", "OUT", "ENDS", "FIRST WORDS")
        print_table(head, [_cells(session) for session in answer.sessions])
    else:
        say("Nothing is recorded yet; see `armarius proxy status`.")
    for place in answer.broken:
        say(f"{place} cannot be read", err=True)
    return 0


def _cells(session: RecordedSession) -> tuple[str, ...]:
    words = next((said for turn in session.turns for said in turn.said), "")
    return (
        session.session or "(unknown)",
        rfc3339(session.last_us)[:19],
        str(len(session.turns)),
        str(session.exchanges),
        f"{session.input_tokens:,}",
        f"{session.output_tokens:,}",
        " ".join(f"{end}:{count}" for end, count in sorted(session.ends.items())),
        words[:60],
    )

"""`armarius memory distill`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from armarius.cli.database import load
from armarius.cli.memory.place import AS_JSON, SCOPE, expiry_us, memory_of, scope_of
from armarius.cli.output import print_json, print_table, say
from armarius.dispatch.api import open_dispatch
from armarius.dispatch.desk import Options
from armarius.errors import NoAnswer
from armarius.memory.asked import SCHEMA, believed, question
from armarius.memory.distill import distill
from armarius.memory.store import Draft
from armarius.sessions.index import default_places
from armarius.sessions.names import find_named
from armarius.sessions.reading import read_session, refuse_others
from armarius.thread import Thread


class Distilled(msgspec.Struct, frozen=True):
    """Notes that a session proposes (`armarius.memory_distilled.v1`).

    `dropped` counts what a model proposed and the session does not bear out; `kept` is whether they were added.
    """

    session: str
    notes: tuple[Draft, ...]
    dropped: int
    kept: bool
    schema: str = "armarius.memory_distilled.v1"


@click.command()
@click.argument("session")
@SCOPE
@click.option("--ask", is_flag=True, help="Ask a model, too, in a run that may only read; it costs something.")
@click.option("--keep", is_flag=True, help="Add what is proposed.")
@click.option("--expires", metavar="TIME", help="With --keep: how long it holds: 12h, 30d, 8w.")
@AS_JSON
def command(*, session: str, scope: str | None, ask: bool, keep: bool, expires: str | None, as_json: bool) -> int:
    """Propose notes from what a session shows.

    SESSION is its id, the beginning of it, its name, or a file. Taken are sentences of the person that
    hold for longer than a turn, and checks that were seen to succeed; nothing that the agent said. What
    a model proposes with --ask counts only with a quote that stands in the session word for word.
    """
    settings = load()
    named = find_named(default_places(settings), session)
    refuse_others(named.path)
    thread = read_session(named)
    where = scope_of(scope, Path(thread.cwd) if scope is None and thread.cwd else None)
    drafts, dropped = distill(thread, where), 0
    if ask:
        more, dropped = believed(thread, where, _asked(thread))
        drafts += more
    until = expiry_us(expires)
    drafts = [msgspec.structs.replace(draft, expires_at_us=until) for draft in drafts]
    if keep:
        with memory_of(settings) as memory:
            memory.add(drafts)
    if as_json:
        print_json(Distilled(thread.id, tuple(drafts), dropped, keep))
        return 0
    print_table(("KIND", "KEY", "VALUE", "FROM"), [(one.kind, one.key, one.value, one.source) for one in drafts])
    say(f"{len(drafts)} notes " + ("added" if keep else "proposed; add them with --keep"), err=True)
    return 0


def _asked(thread: Thread) -> Any:
    with open_dispatch() as dispatch:
        result = dispatch.run(question(thread), Options(schema=SCHEMA, ephemeral=True))
    if result.problem is not None or result.parsed is None:
        reason = result.problem.message if result.problem else "there was no answer"
        raise NoAnswer("distill-asked", f"{result.id}: {reason}", "leave out --ask")
    return result.parsed

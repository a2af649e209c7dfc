"""`armarius run`: one worker run on real Codex."""

from pathlib import Path
from typing import Any

import click

from armarius.audit.packet import deliver, read_packet, request_of
from armarius.cli.database import load
from armarius.cli.memory.place import memory_of, scopes_here
from armarius.cli.running import Flags, do, flags, folder_of, read_prompt, words_of
from armarius.dispatch.api import Dispatch
from armarius.dispatch.desk import Desk
from armarius.dispatch.workbench import workbench
from armarius.errors import UsageError
from armarius.memory.slices import with_notes

_MOST_NOTES = 12
_BESIDE_A_PACKET = frozenset({"as_json", "folder", "last_message", "events", "wait"})


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "--packet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A JSON file that says the whole run (`armarius schema packet`), below this folder or -C.",
)
@flags(ephemeral=True, lane=True)
@click.option("--with-memory", "query", metavar="QUERY", help="Put what the memory knows of this before the prompt.")
def command(*, prompt: str | None, packet: Path | None, query: str | None, **typed: Any) -> int:
    """Do one piece of work with Codex and say what came of it.

    PROMPT is the instruction; `-` reads it from standard input, and what is piped in beside a PROMPT
    goes with it as a <stdin> block. Commands may only read, unless --sandbox says more. The answer goes
    to standard output. The exit code is 0 only when Codex completed the turn within the sandbox that
    was asked for, and every --require CMD has succeeded.
    """
    words = words_of(typed)
    if packet is not None:
        if query is not None:
            raise UsageError("packet", "a packet says the whole run, and --with-memory would change it", "leave it out")
        return _by_packet(packet, prompt, words)
    text = read_prompt(prompt)
    options = words.options()
    folder = folder_of(options.cwd)
    settings = load(folder)
    if query is not None:
        with memory_of(settings) as memory:
            text = with_notes(text, memory.search(query, scopes_here(folder), most=_MOST_NOTES))
    with workbench(settings, options.lane) as bench:
        desk = Desk(settings, bench)
        return do(desk, desk.request(text, options), words)


def _by_packet(path: Path, prompt: str | None, words: Flags) -> int:
    said = [name for name in Flags.__struct_fields__ if getattr(words, name) != getattr(Flags(as_json=False), name)]
    also = [name for name in said if name not in _BESIDE_A_PACKET]
    if prompt is not None or also:
        what = "a PROMPT" if prompt is not None else f"--{also[0].replace('_', '-')}"
        raise UsageError("packet", f"a packet says the whole run, and {what} would change it", "put it into the packet")
    packet, packet_hash = read_packet(path)
    root = folder_of(words.folder)
    settings = load(root)
    with workbench(settings, packet.auth.lane) as bench:
        dispatch = Dispatch(settings, bench)
        request = request_of(dispatch, packet, packet_hash, root)
        return do(dispatch, request, words, ended=lambda result: deliver(packet, root, result))

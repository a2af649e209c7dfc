"""`armarius sessions show`."""

from pathlib import Path

import click
import msgspec

from armarius import settings as configuration
from armarius.cli.output import clean, print_json, say
from armarius.cli.sessions.options import AS_JSON, HOME
from armarius.sessions.overview import Session, find_thread
from armarius.thread import AgentMessage, Command, FileChange, Item, Notice, Thread, ToolCall, Turn, UserMessage

_OUTPUT_LINES = 6


class Shown(msgspec.Struct, frozen=True):
    """One session whole (`armarius.session.v1`)."""

    session: Session
    thread: Thread
    schema: str = "armarius.session.v1"


@click.command()
@click.argument("session")
@HOME
@AS_JSON
def command(*, session: str, codex_home: Path | None, as_json: bool) -> int:
    """Show one session.

    SESSION is its id, the beginning of it, or a file.
    """
    summary, thread = find_thread(codex_home or configuration.load().codex_home, session)
    if as_json:
        print_json(Shown(summary, thread))
    else:
        _say_thread(summary, thread)
    return 0


def _say_thread(session: Session, thread: Thread) -> None:
    say(f"{session.id}  {session.state.value} (by {session.evidence})")
    say(f"{session.cwd or '?'} · {session.model or '?'} · codex {session.cli_version or '?'} · {session.source or '?'}")
    usage = session.usage
    spent = f"{usage.input:,} tokens in ({usage.cached_input:,} cached)"
    say(f"{spent}, {usage.output:,} out ({usage.reasoning:,} reasoning)")
    for number, turn in enumerate(thread.turns, start=1):
        say(f"\n── turn {number} · {turn.state.value}{_took(turn)}")
        for item in turn.items:
            text = _text(item)
            if text:
                click.echo(clean(text))
        if turn.error:
            say(f"failed: {turn.error}")
    for bad in thread.bad_lines:
        say(f"skipped {bad.file}:{bad.line} (byte {bad.byte}): {bad.reason}", err=True)


def _took(turn: Turn) -> str:
    if turn.started_at_us is None or turn.ended_at_us is None:
        return ""
    return f" · {(turn.ended_at_us - turn.started_at_us) / 1_000_000:.1f} s"


def _text(item: Item) -> str:
    match item:
        case UserMessage():
            return f"> {item.text}"
        case AgentMessage():
            return item.text
        case Command():
            status = item.status.value if item.exit_code is None else f"exit {item.exit_code}"
            return f"$ {item.command}\n{_folded(item.output)}[{status}]"
        case FileChange():
            return "\n".join(f"{change.kind} {change.path}" for change in item.changes)
        case ToolCall():
            return f"{item.name} {item.arguments[:200]}"
        case Notice():
            return f"! {item.message}"
        case _:
            return ""


def _folded(output: str) -> str:
    lines = output.splitlines()
    shown = "".join(f"  {line}\n" for line in lines[:_OUTPUT_LINES])
    hidden = len(lines) - _OUTPUT_LINES
    return shown + (f"  … {hidden} more lines\n" if hidden > 0 else "")

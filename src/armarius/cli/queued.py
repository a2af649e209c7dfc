"""What is printed when words were left for a session that is open elsewhere."""

import msgspec

from armarius.cli.output import print_json, say
from armarius.codex.processes import Holder

__all__ = ["QueuedMessage", "print_queued"]


class QueuedMessage(msgspec.Struct, frozen=True):
    """Words in a thread's queue (`armarius.queued_message.v1`); `holder` is who has the thread open."""

    thread_id: str
    holder: Holder | None
    schema: str = "armarius.queued_message.v1"


def print_queued(thread_id: str, holder: Holder | None, *, as_json: bool) -> int:
    """One line, or `armarius.queued_message.v1`; always 0."""
    if as_json:
        print_json(QueuedMessage(thread_id, holder))
    else:
        who = "whoever has it open" if holder is None else f"{holder.front_end} (process {holder.pid})"
        say(f"queued for {thread_id}: {who} runs it next, by its own permissions")
    return 0

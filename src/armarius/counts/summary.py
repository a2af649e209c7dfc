"""What one session file says, in short.

Owns the value that lists, statistics and states are made of: it is what the index keeps of a file.
Does not own how it is found out (`scan`), nor what a thread is doing now (`state`).
Invariant: a Summary says what stands in the file and nothing else; whoever reads the file whole
(`rollouts`) comes to the same numbers.
"""

import msgspec

from armarius.thread import ResponseUsage, TurnState, Usage

__all__ = ["Earlier", "Ending", "Summary", "Text", "TurnNote"]


class TurnNote(msgspec.Struct, frozen=True):
    """A turn without its contents."""

    id: str
    state: TurnState
    started_at_us: int | None
    ended_at_us: int | None
    model: str | None


class Earlier(msgspec.Struct, frozen=True):
    """Turns and responses that were handed over before, and when the last of those turns ended."""

    turns: int = 0
    responses: int = 0
    ended_at_us: int | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How the record stands at its end: what the state of its thread is worked out from.

    `open_call` is the tool or command of the last call that has no answer yet, which a thread that
    waits for an approval and one that works have alike; `asks_escalation` and `asks_input` are what
    that call itself says. `retry_at_us` is known only when the provider told it.
    """

    turn_id: str | None = None
    turn: TurnState | None = None
    at_us: int | None = None
    error: str | None = None
    is_rate_limited: bool = False
    retry_at_us: int | None = None
    open_call: str | None = None
    asks_escalation: bool = False
    asks_input: bool = False
    approval: str | None = None
    last_message: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One session file. `exits` counts the commands by exit code; None is a code nobody wrote down.

    `title` is the first thing the user said, one line of at most 200 characters. `offset` is the
    byte up to which whole lines were taken in. Where reading went on, `turns` and `responses` follow
    those that are `earlier`; all other numbers are of the whole file.
    """

    path: str
    thread_id: str
    offset: int
    session_id: str | None = None
    title: str = ""
    cwd: str | None = None
    source: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    model: str | None = None
    model_provider: str | None = None
    history_mode: str | None = None
    parent_id: str | None = None
    forked_from_id: str | None = None
    git_commit: str | None = None
    git_branch: str | None = None
    started_at_us: int | None = None
    last_at_us: int | None = None
    earlier: Earlier = Earlier()
    turns: tuple[TurnNote, ...] = ()
    user_messages: int = 0
    agent_messages: int = 0
    exits: dict[int | None, int] = {}
    responses: tuple[ResponseUsage, ...] = ()
    unknown: dict[str, int] = {}
    bad_lines: int = 0
    goal: str | None = None
    goal_status: str | None = None
    ending: Ending = Ending()

    @property
    def commands(self) -> int:
        return sum(self.exits.values())

    @property
    def usage(self) -> Usage:
        """All tokens of these responses."""
        total = Usage()
        for response in self.responses:
            total = total + response.usage
        return total


class Text(msgspec.Struct, frozen=True):
    """Words to be found again: what somebody said or ran, and the line of the file where it stands.

    `kind` is `user`, `agent` or `command`.
    """

    kind: str
    byte: int
    size: int
    text: str
    at_us: int | None = None

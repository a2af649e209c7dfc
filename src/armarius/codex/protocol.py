"""What a client and `codex app-server` say to each other, as values.

Owns the methods, notifications and requests of the server that Armarius uses. Does not own the frames
they travel in (`connection.py`).
Invariant: every field stands in the JSON Schema that Codex prints of itself; fields that are not ours
are passed over, so that a newer server is still understood.
"""

from typing import Any, Generic, Literal, TypeVar

import msgspec

__all__ = [
    "INITIALIZE",
    "NOTIFICATIONS",
    "SERVER_REQUESTS",
    "THREAD_FORK",
    "THREAD_RESUME",
    "THREAD_START",
    "TURN_INTERRUPT",
    "TURN_START",
    "TURN_STEER",
    "ApprovalAsked",
    "ClientInfo",
    "Initialize",
    "InputAsked",
    "ItemChanged",
    "LocalImage",
    "Method",
    "RequestResolved",
    "TextInput",
    "ThreadFork",
    "ThreadOpened",
    "ThreadResume",
    "ThreadStart",
    "Tokens",
    "TokensUpdated",
    "Trouble",
    "TurnChanged",
    "TurnError",
    "TurnInterrupt",
    "TurnStart",
    "TurnSteer",
    "Warned",
    "Wire",
]

P = TypeVar("P")
R = TypeVar("R")


class Wire(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A value as it stands on the wire; fields that are not ours are passed over."""


# ------------------------------------------------------------------ what we ask


class ClientInfo(Wire, frozen=True):
    """Who we say we are; it stands in the rollouts as their originator."""

    name: str
    version: str
    title: str | None = None


class Initialize(Wire, frozen=True):
    """The first request."""

    client_info: ClientInfo
    capabilities: dict[str, bool] = {}


class Initialized(Wire, frozen=True):
    user_agent: str
    codex_home: str


class ThreadStart(Wire, frozen=True):
    """What is left out is the owner's configuration, so a caller that must not widen states it all."""

    cwd: str
    sandbox: Literal["read-only", "workspace-write", "danger-full-access"]
    approval_policy: Literal["untrusted", "on-request", "never"]
    model: str | None = None
    ephemeral: bool | None = None
    thread_source: str | None = None
    config: dict[str, Any] | None = None
    approvals_reviewer: Literal["user"] | None = None


class ThreadResume(Wire, frozen=True):
    """As for a start: nothing of the earlier turns is inherited but their history."""

    thread_id: str
    cwd: str
    sandbox: Literal["read-only", "workspace-write", "danger-full-access"]
    approval_policy: Literal["untrusted", "on-request", "never"]
    model: str | None = None
    config: dict[str, Any] | None = None
    approvals_reviewer: Literal["user"] | None = None
    exclude_turns: bool | None = None


class ThreadFork(Wire, frozen=True):
    """A new thread with the history of another; nothing else of that one is inherited."""

    thread_id: str
    cwd: str
    sandbox: Literal["read-only", "workspace-write", "danger-full-access"]
    approval_policy: Literal["untrusted", "on-request", "never"]
    model: str | None = None
    thread_source: str | None = None
    approvals_reviewer: Literal["user"] | None = None
    exclude_turns: bool | None = None


class ThreadStatus(Wire, frozen=True):
    """`notLoaded`, `idle`, `systemError`, or `active` with what it waits for."""

    type: str
    active_flags: tuple[str, ...] = ()


class ThreadHead(Wire, frozen=True):
    id: str
    session_id: str
    cwd: str
    status: ThreadStatus
    path: str | None = None


class ThreadOpened(Wire, frozen=True):
    """`sandbox` and `approval_policy` as they now hold: to be read back, not assumed."""

    thread: ThreadHead
    model: str
    cwd: str
    sandbox: dict[str, Any]
    approval_policy: str | dict[str, Any]


class TextInput(msgspec.Struct, frozen=True, tag="text"):
    """What a person would have typed."""

    text: str


class LocalImage(msgspec.Struct, frozen=True, tag="localImage"):
    """An image that goes with the words."""

    path: str


class TurnStart(Wire, frozen=True):
    """During an active turn Codex takes it for a steer."""

    thread_id: str
    input: tuple[TextInput | LocalImage, ...]
    model: str | None = None
    effort: str | None = None
    output_schema: dict[str, Any] | None = None
    cwd: str | None = None
    approval_policy: Literal["untrusted", "on-request", "never"] | None = None
    approvals_reviewer: Literal["user"] | None = None
    sandbox_policy: dict[str, Any] | None = None


class TurnError(Wire, frozen=True):
    """Why a turn failed, or was about to."""

    message: str
    codex_error_info: str | dict[str, Any] | None = None
    additional_details: str | None = None


class TurnHead(Wire, frozen=True):
    """`status` is `completed`, `interrupted`, `failed` or `inProgress`."""

    id: str
    status: str
    error: TurnError | None = None
    duration_ms: int | None = None


class TurnOpened(Wire, frozen=True):
    turn: TurnHead


class TurnSteer(Wire, frozen=True):
    """Words for the turn that runs; refused when that is another one."""

    thread_id: str
    expected_turn_id: str
    input: tuple[TextInput, ...]


class TurnSteered(Wire, frozen=True):
    turn_id: str


class TurnInterrupt(Wire, frozen=True):
    """It is answered at once; a command may go on until it is terminated."""

    thread_id: str
    turn_id: str


class Done(Wire, frozen=True):
    """An answer without content."""


class Method(msgspec.Struct, Generic[P, R], frozen=True):
    """A request: its name, what it takes and what it is answered with."""

    name: str
    params: type[P]
    answer: type[R]


INITIALIZE = Method("initialize", Initialize, Initialized)
THREAD_START = Method("thread/start", ThreadStart, ThreadOpened)
THREAD_FORK = Method("thread/fork", ThreadFork, ThreadOpened)
THREAD_RESUME = Method("thread/resume", ThreadResume, ThreadOpened)
TURN_START = Method("turn/start", TurnStart, TurnOpened)
TURN_STEER = Method("turn/steer", TurnSteer, TurnSteered)
TURN_INTERRUPT = Method("turn/interrupt", TurnInterrupt, Done)


# ---------------------------------------------------------- what the server says


class ThreadStarted(Wire, frozen=True):
    thread: ThreadHead


class StatusChanged(Wire, frozen=True):
    thread_id: str
    status: ThreadStatus


class TurnChanged(Wire, frozen=True):
    """A turn began or ended."""

    thread_id: str
    turn: TurnHead


class ItemChanged(Wire, frozen=True):
    """`item` is one of some twenty shapes that differ by version; it is kept as it came."""

    thread_id: str
    turn_id: str
    item: dict[str, Any]


class Trouble(Wire, frozen=True):
    """An error of a turn; not its end while `will_retry`."""

    thread_id: str
    turn_id: str
    error: TurnError
    will_retry: bool


class Warned(Wire, frozen=True):
    """Something that ends nothing."""

    message: str
    thread_id: str | None = None


class RequestResolved(Wire, frozen=True):
    """A request of the server was answered, by whoever it was."""

    thread_id: str
    request_id: int | str


class Tokens(Wire, frozen=True):
    """Tokens, summed up."""

    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_output_tokens: int
    total_tokens: int
    cache_write_input_tokens: int = 0


class TokenCount(Wire, frozen=True):
    total: Tokens
    last: Tokens


class TokensUpdated(Wire, frozen=True):
    """What a thread has used so far."""

    thread_id: str
    turn_id: str
    token_usage: TokenCount


class ApprovalAsked(Wire, frozen=True):
    """A person is asked whether a command may run, or a change be made."""

    thread_id: str
    turn_id: str
    item_id: str
    reason: str | None = None
    command: str | None = None
    cwd: str | None = None
    grant_root: str | None = None
    network_approval_context: dict[str, Any] | None = None


class InputAsked(Wire, frozen=True):
    """The agent asks a person something."""

    thread_id: str
    turn_id: str
    item_id: str
    questions: tuple[dict[str, Any], ...]


NOTIFICATIONS: dict[str, type[Wire]] = {
    "thread/started": ThreadStarted,
    "thread/status/changed": StatusChanged,
    "turn/started": TurnChanged,
    "turn/completed": TurnChanged,
    "item/started": ItemChanged,
    "item/completed": ItemChanged,
    "error": Trouble,
    "serverRequest/resolved": RequestResolved,
    "thread/tokenUsage/updated": TokensUpdated,
    "warning": Warned,
}

SERVER_REQUESTS: dict[str, type[Wire]] = {
    "item/commandExecution/requestApproval": ApprovalAsked,
    "item/fileChange/requestApproval": ApprovalAsked,
    "item/tool/requestUserInput": InputAsked,
}

"""What Codex calls a thread, a turn and an item, as typed values.

Owns the shapes that every part to the right speaks of, however they were learnt: from a rollout
file, a live stream or a recorded exchange. Does not own reading or writing anything.
Invariant: values are frozen and equal by content; each item says where it was seen. Times are
microseconds UTC, durations microseconds, tokens as Codex counts them.
"""

import enum
from typing import Final, TypeAlias

import msgspec

__all__ = [
    "RATE_LIMITED",
    "AgentMessage",
    "BadLine",
    "Command",
    "Compaction",
    "FileChange",
    "FileSpot",
    "Format",
    "Goal",
    "Item",
    "ItemStatus",
    "Notice",
    "Other",
    "PathChange",
    "Reasoning",
    "ResponseUsage",
    "Sandbox",
    "Spot",
    "State",
    "StreamSpot",
    "Thread",
    "ToolCall",
    "Turn",
    "TurnState",
    "Usage",
    "UserMessage",
]


class FileSpot(msgspec.Struct, frozen=True, tag="file"):
    """A line of a rollout: its file, the byte where it starts, and Codex's own ordinal if it has one."""

    file: str
    byte: int
    ordinal: int | None = None


class StreamSpot(msgspec.Struct, frozen=True, tag="stream"):
    """A line of a live stream: the stream's name (a file or a connection) and the line, from 1."""

    stream: str
    line: int


Spot: TypeAlias = FileSpot | StreamSpot


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as Codex reports them. `cached_input` is part of `input`, `reasoning` of `output`."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.reasoning + other.reasoning,
        )


class ResponseUsage(msgspec.Struct, frozen=True):
    """The usage of one response of the model; totals are derived from these and never stored."""

    response_id: str
    turn_id: str
    usage: Usage
    spot: Spot
    at_us: int | None = None


class ItemStatus(enum.Enum):
    """How an item ended. `declined` was not run at all.

    `in_progress` is a call without an answer in the turn that runs as far as the record goes; in any
    other turn it is `unknown`.
    """

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    DECLINED = "declined"
    UNKNOWN = "unknown"


class UserMessage(msgspec.Struct, frozen=True, tag="user_message"):
    """What the user said in a turn; never the context that Codex adds."""

    id: str
    text: str
    spot: Spot
    at_us: int | None = None


class AgentMessage(msgspec.Struct, frozen=True, tag="agent_message"):
    """What the agent said. `phase` is `commentary`, `final_answer` or unsaid."""

    id: str
    text: str
    spot: Spot
    at_us: int | None = None
    phase: str | None = None


class Reasoning(msgspec.Struct, frozen=True, tag="reasoning"):
    """The summary of the agent's thinking that the provider lets us see."""

    id: str
    text: str
    spot: Spot
    at_us: int | None = None


class Command(msgspec.Struct, frozen=True, tag="command"):
    """A command that was run. `command` is the script or line as written, `argv` the whole call.

    `exit_code` is None while it runs and when the format does not say. `escalation` is the reason that
    was given for running it outside the sandbox, maybe an empty one; None when nobody asked for that.
    """

    id: str
    command: str
    spot: Spot
    argv: tuple[str, ...] = ()
    cwd: str | None = None
    status: ItemStatus = ItemStatus.UNKNOWN
    exit_code: int | None = None
    output: str = ""
    duration_us: int | None = None
    at_us: int | None = None
    escalation: str | None = None


class PathChange(msgspec.Struct, frozen=True):
    """One file of a patch; `kind` is `add`, `update` or `delete`.

    `diff` is its changed lines, each with its sign, in hunks where the record has them; None where it
    names the file and no more.
    """

    path: str
    kind: str
    diff: str | None = None


class FileChange(msgspec.Struct, frozen=True, tag="file_change"):
    """A patch that was applied or refused."""

    id: str
    changes: tuple[PathChange, ...]
    spot: Spot
    status: ItemStatus = ItemStatus.UNKNOWN
    at_us: int | None = None


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A call of a tool that is neither a command nor a patch. `output` is None until answered."""

    id: str
    name: str
    arguments: str
    spot: Spot
    output: str | None = None
    at_us: int | None = None

    @property
    def asks_input(self) -> bool:
        """Whether it puts a question to the person; as long as it has no output, it waits for the answer."""
        return self.name in {"request_user_input", "AskUserQuestion"}


class Compaction(msgspec.Struct, frozen=True, tag="compaction"):
    """The history was summarised to make room."""

    id: str
    spot: Spot
    at_us: int | None = None


class Notice(msgspec.Struct, frozen=True, tag="notice"):
    """Something Codex reported in the shape of an error without ending the turn: a retry, a warning."""

    id: str
    message: str
    spot: Spot
    at_us: int | None = None


class Other(msgspec.Struct, frozen=True, tag="other"):
    """An item without a shape of its own here, kept as it came.

    A kind that its reader does not even know is counted there as well.
    """

    id: str
    kind: str
    raw: bytes
    spot: Spot
    at_us: int | None = None


Item: TypeAlias = UserMessage | AgentMessage | Reasoning | Command | FileChange | ToolCall | Compaction | Notice | Other


class TurnState(enum.Enum):
    """How a turn ended, from its own markers. A kill leaves no end marker: the turn stays `open`.

    `unknown` is a turn that never had a start marker, as Codex wrote them before it marked turns.
    """

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


class Format(enum.Enum):
    """How a session was written down, by what it shows first and which version wrote it."""

    BARE = "bare"
    WRAPPED = "wrapped"
    TURN_MARKED = "turn_marked"
    WORLD_STATE = "world_state"
    PAGINATED = "paginated"
    USAGE_RECORDED = "usage_recorded"
    EXEC_OLD = "exec_old"
    EXEC = "exec"
    CLAUDE = "claude"
    UNKNOWN = "unknown"


class State(enum.Enum):
    """What a thread is doing, as a person would say it."""

    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    WAITING_INPUT = "waiting_input"
    IDLE = "idle"
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    RATE_LIMITED = "rate_limited"
    CRASHED = "crashed"
    QUEUED = "queued"
    ARCHIVED = "archived"
    UNKNOWN = "unknown"


class Sandbox(enum.IntEnum):
    """Codex's sandbox modes, ordered by what they allow, so that `seen > asked` means wider."""

    READ_ONLY = 0
    WORKSPACE_WRITE = 1
    DANGER_FULL_ACCESS = 2

    @property
    def flag(self) -> str:
        """The mode as Codex spells it."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def from_flag(cls, text: str) -> "Sandbox":
        """The mode of Codex's own spelling; ValueError for anything else."""
        for mode in cls:
            if mode.flag == text:
                return mode
        raise ValueError(text)


RATE_LIMITED: Final = frozenset({"usage_limit_exceeded", "too_many_requests"})
"""The words for a failure that passes when less is asked of the provider, or time goes by."""


class Turn(msgspec.Struct, frozen=True):
    """One user turn: what was asked, everything that happened, how it ended.

    `error` is set when and only when the state is FAILED; `error_kind` is Codex's word for it, and
    `retry_at_us` when the provider will listen again, as far as it is known. What the turn was allowed is what Codex
    itself recorded, at its widest; None where it recorded nothing. `writable_roots` are the paths it
    could write besides `cwd` and the temporary folders.
    """

    id: str
    state: TurnState
    items: tuple[Item, ...] = ()
    started_at_us: int | None = None
    ended_at_us: int | None = None
    error: str | None = None
    model: str | None = None
    effort: str | None = None
    cwd: str | None = None
    sandbox: Sandbox | None = None
    network: bool | None = None
    writable_roots: tuple[str, ...] = ()
    approval: str | None = None
    final_message: str | None = None
    error_kind: str | None = None
    retry_at_us: int | None = None

    @property
    def is_rate_limited(self) -> bool:
        """Whether it failed because too much was asked of the provider."""
        return self.error_kind in RATE_LIMITED


class Goal(msgspec.Struct, frozen=True):
    """What a thread pursues over many turns. `status` is Codex's word: `active`, `complete`, …"""

    objective: str
    status: str
    token_budget: int | None = None
    tokens_used: int | None = None
    at_us: int | None = None


class BadLine(msgspec.Struct, frozen=True):
    """A line that could not be used: where it is and why. `line` counts from 1, `byte` from 0."""

    file: str
    line: int
    byte: int
    reason: str


class Thread(msgspec.Struct, frozen=True):
    """One conversation with Codex.

    `source` is Codex's word for where it was started (`exec`, `cli`, `vscode`, `subagent`, …).
    `responses` holds each model response once. `unknown` counts record kinds this version does not
    know, `bad_lines` says what was skipped; neither hides anything else.
    """

    id: str
    path: str
    turns: tuple[Turn, ...] = ()
    responses: tuple[ResponseUsage, ...] = ()
    started_at_us: int | None = None
    last_at_us: int | None = None
    cwd: str | None = None
    source: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    model_provider: str | None = None
    history_mode: str | None = None
    parent_id: str | None = None
    forked_from_id: str | None = None
    git_commit: str | None = None
    git_branch: str | None = None
    goal: Goal | None = None
    format: Format = Format.UNKNOWN
    unknown: dict[str, int] = {}
    bad_lines: tuple[BadLine, ...] = ()

    @property
    def usage(self) -> Usage:
        """All tokens of this thread's own responses."""
        total = Usage()
        for response in self.responses:
            total = total + response.usage
        return total

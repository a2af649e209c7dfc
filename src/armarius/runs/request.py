"""What is asked of a run, and what came of it.

Owns the two values and their JSON form. Does not own how either is stored.
Invariant: a request names everything the run may do; a result says only what Armarius observed.
"""

from typing import Any, Literal

import msgspec

from armarius.budget import NO_BUDGET, Budget
from armarius.checkout.collect import Collected
from armarius.codex.command import Approval, ConfigValue, Origin
from armarius.proof.required import Required, RequiredRun
from armarius.thread import Usage

__all__ = [
    "DEADLINE_S",
    "Authorisation",
    "FilesEvidence",
    "Pot",
    "Problem",
    "RunEvent",
    "RunRequest",
    "RunResult",
    "RunState",
]

DEADLINE_S = 3600.0

FilesEvidence = Literal["stat", "sandbox", "unknown"]
"""How it is known which files changed: we compared them, the sandbox forbids any change, or not."""

Role = Literal["worker", "replay", "reflection", "reviewer", "validator"]
RunState = Literal["succeeded", "failed", "interrupted", "cancelled", "crashed", "timed_out"]


class Pot(msgspec.Struct, frozen=True):
    """A budget that all runs share that name it."""

    name: str
    budget: Budget


class Authorisation(msgspec.Struct, frozen=True):
    """Somebody's word that a run may have full access: who, to what, why, and until when."""

    who: str
    scope: str
    reason: str
    until_us: int


class RunRequest(msgspec.Struct, frozen=True):
    """One piece of work.

    Paths are absolute. `tools_path` is the PATH of the agent's commands. `origin` is None for a new
    thread; `prompt` is empty for a fork that asks nothing yet and for a review of named changes.
    `add_dirs` may be written to besides `cwd`. An `ephemeral` run leaves no session file, so what it
    was allowed cannot be read back: it is read-only. `paid_key` names the paid
    unit: two requests with one key are one run. `replicate` tells repetitions apart, also for the
    model's provider. `witness` is a FIFO on which tools report.
    `environ` holds names and values that the owner's provider needs; it is never stored.
    `budget` is for this run, all its attempts and sub-agents together, `pot` for all runs that share it.
    `checkout` gives it a tree of its own, which begins at `base` (None: what is checked out; `with_uncommitted`: as the
    working tree is) and whose repository it may write to only with `allow_commit`. `scope` are patterns of the paths
    it may change, from the repository's top. `needs` is what it holds while it runs. It begins when the session
    `after`, of the CODEX_HOME `after_home`, has done what it was at; `reviewed` says who has looked at that.
    With `approval` "on-request" a person is asked for what the sandbox forbids; nobody answers in their place.
    `may_move`: another lane of the same kind may do it when this one's limit is reached.
    `required` are commands that have to succeed afterwards, in the tree that the agent left. `packet` is the hash
    of the file that the whole was read from, with its `stop_condition`, harmless variables for its commands
    (`environment`) and files below its folder that have to be there afterwards (`evidence`). With `network` its
    commands may reach other machines; full access has an `authorisation`.
    """

    role: Role
    prompt: str
    cwd: str
    sandbox: str
    home: str
    codex_home: str
    tools_path: str
    deadline_s: float = DEADLINE_S
    model: str | None = None
    effort: str | None = None
    schema: dict[str, Any] | None = None
    lean: bool = False
    paid_key: str | None = None
    replicate: int = 0
    witness: str | None = None
    environ: dict[str, str] = {}
    origin: Origin | None = None
    service_tier: str | None = None
    profile: str | None = None
    images: tuple[str, ...] = ()
    add_dirs: tuple[str, ...] = ()
    config: dict[str, ConfigValue] = {}
    ephemeral: bool = False
    budget: Budget = NO_BUDGET
    pot: Pot | None = None
    may_move: bool = False
    approval: Approval = "never"
    checkout: bool = False
    base: str | None = None
    with_uncommitted: bool = False
    allow_commit: bool = False
    scope: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    after: str | None = None
    after_home: str | None = None
    reviewed: str | None = None
    required: tuple[Required, ...] = ()
    packet: str | None = None
    stop_condition: str | None = None
    environment: dict[str, str] = {}
    evidence: tuple[str, ...] = ()
    network: bool = False
    authorisation: Authorisation | None = None


class Problem(msgspec.Struct, frozen=True):
    """Why a run did not succeed: a stable word, what happened, the way out, and an exit code.

    `retry_at_us` is when the provider will listen again, as far as it said so.
    """

    code: str
    message: str
    hint: str = ""
    exit_code: int = 1
    retry_at_us: int | None = None


class RunEvent(msgspec.Struct, frozen=True):
    """A line that Codex printed in an attempt of a run (`armarius.run_event.v1`); `event` is Codex's own."""

    run: str
    attempt: int
    line: int
    event: dict[str, Any]
    schema: str = "armarius.run_event.v1"


class RunResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a run (`armarius.run.v1`).

    `answer` is the agent's last message, set when and only when the turn was completed; `parsed`
    is its JSON when a schema was given. `usage` counts this run alone, with its `agents` (sub-agents).
    `failed_commands` are those that failed or were declined, which a completed turn may well have;
    `failed_changes` are such patches.
    `sandbox_seen` is what Codex recorded. `files_changed` comes from the file system,
    `files_evidence` says how it is known. `work` is what came of its checkout, if it had one; `outside` are
    changes outside of its scope. `required` is what came of the commands that had to succeed.
    """

    id: str
    state: RunState
    role: Role
    folder: str
    thread_id: str | None = None
    rollout: str | None = None
    answer: str | None = None
    parsed: Any = None
    problem: Problem | None = None
    usage: Usage = Usage()
    responses: int = 0
    turns: int = 0
    agents: int = 0
    commands: int = 0
    failed_commands: int = 0
    failed_changes: int = 0
    retries: int = 0
    sandbox: str = ""
    sandbox_seen: str | None = None
    files_changed: tuple[str, ...] = ()
    files_evidence: FilesEvidence = "unknown"
    codex_version: str = ""
    model: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    stragglers: int = 0
    started_at_us: int | None = None
    ended_at_us: int | None = None
    duration_us: int | None = None
    origin: Origin | None = None
    work: Collected | None = None
    outside: tuple[str, ...] = ()
    required: tuple[RequiredRun, ...] = ()
    schema: str = "armarius.run.v1"

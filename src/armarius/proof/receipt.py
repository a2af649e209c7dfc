"""A receipt: what Armarius itself saw of a run, from what was asked to what it left.

Owns the value, its one spelling and its hash. Does not own collecting it (dispatch/receipts.py) nor checking it
(audit/verify.py).
Invariant: a receipt holds no secret that is recognised as one, no value of a variable and no prompt, but the hash of
everything that was asked, printed and made. Unknown fields are refused, so that nothing can be slipped in.
"""

from typing import Any, Literal

import msgspec

from armarius.budget import Budget
from armarius.codex.command import Origin
from armarius.identity import canonical_json, hash_bytes
from armarius.proof.required import RequiredRun
from armarius.thread import Usage

__all__ = [
    "Allowed",
    "Artefact",
    "Asked",
    "Failure",
    "Files",
    "Granted",
    "Leased",
    "ProcessEnd",
    "Receipt",
    "ReceiptWork",
    "SeenCommand",
    "Stdin",
    "Tokens",
    "Tried",
    "encode",
    "sha256_of",
]


class _Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whatever is not a field is refused."""


class Artefact(_Closed, frozen=True):
    """A file that belongs to the run. `path` is below the attempt's folder, or absolute for a session file of Codex.

    A session file may grow when its thread goes on: the hash is that of its first `size` bytes.
    """

    path: str
    kind: Literal[
        "prompt",
        "launch",
        "events",
        "stderr",
        "exit",
        "schema",
        "last-message",
        "before",
        "diff",
        "evidence",
        "past",
        "pins",
        "command-output",
        "rollout",
    ]
    sha256: str
    size: int


class Granted(_Closed, frozen=True):
    """Somebody's word that the run may have full access."""

    who: str
    scope: str
    reason: str
    until_us: int


class Asked(_Closed, frozen=True):
    """What was asked for, as far as it is not secret: the whole is `request_sha256`, over the ledger's own text."""

    request_sha256: str
    prompt_sha256: str
    sandbox: str
    approval: str
    deadline_s: float
    budget: Budget
    model: str | None
    effort: str | None
    profile: str | None
    scope: tuple[str, ...]
    add_dirs: tuple[str, ...]
    allow_commit: bool
    checkout: bool
    base: str | None
    needs: tuple[str, ...]
    origin: Origin | None
    network: bool = False
    authorisation: Granted | None = None
    packet: str | None = None
    stop_condition: str | None = None


class Stdin(_Closed, frozen=True):
    """How the prompt reached Codex: through a pipe or file that ends."""

    mode: Literal["closed-after-prompt"]
    bytes: int


class Failure(_Closed, frozen=True):
    """Why a run did not succeed."""

    code: str
    message: str
    exit_code: int


class ProcessEnd(_Closed, frozen=True):
    """How Codex's process ended, as its guard saw it."""

    outcome: str
    exit_code: int | None
    signal: str | None
    stragglers: int
    timed_out: bool


class Tokens(_Closed, frozen=True):
    """What one response cost."""

    response_id: str
    turn_id: str
    usage: Usage


class SeenCommand(_Closed, frozen=True):
    """A command of the agent's, as Codex's own record has it."""

    command: str
    status: str
    exit_code: int | None
    output_excerpt: str


class Files(_Closed, frozen=True):
    """Which files the agent changed, ignored and committed ones too, and how that is known."""

    changed: tuple[str, ...]
    evidence: str
    outside: tuple[str, ...]
    head_before: str | None
    head_after: str | None


class ReceiptWork(_Closed, frozen=True):
    """What came of a checkout."""

    base: str
    tree_before: str
    tree_after: str
    commit: str | None
    ref: str | None
    left_out: tuple[str, ...]


class Leased(_Closed, frozen=True):
    """What the run held when it ended, with the fencing token."""

    resource: str
    unit: str
    amount: int
    token: int


class Tried(_Closed, frozen=True):
    """An attempt, as the ledger has it."""

    number: int
    host: str
    claimed_at_us: int
    ended_at_us: int | None
    outcome: str | None


class Allowed(_Closed, frozen=True):
    """A question of the agent's to a person, or what a person said: the ledger's own event."""

    at_us: int
    kind: str
    body: dict[str, Any]


class Receipt(_Closed, frozen=True, kw_only=True):
    """A run at its end (`armarius.receipt.v1`). Times are microseconds since 1970, UTC.

    `recovered`: whoever started it was gone, and somebody else wrote this from what was left. `result_sha256` is over
    the ledger's own text. `auth_mode` is what the login was when this was written, `argv` what was started, `environ`
    the names of its variables.
    """

    run: str
    attempt: int
    role: str
    state: str
    problem: Failure | None
    recovered: bool
    cwd: str
    tree: str
    asked: Asked
    result_sha256: str
    auth_mode: str
    codex_home: str
    codex_version: str
    argv: tuple[str, ...]
    environ: tuple[str, ...]
    stdin: Stdin | None
    end: ProcessEnd
    thread_id: str | None
    model: str | None
    sandbox_seen: str | None
    retries: int
    turns: int
    agents: tuple[str, ...]
    usage: Usage
    responses: tuple[Tokens, ...]
    files: Files
    work: ReceiptWork | None
    commands: tuple[SeenCommand, ...]
    commands_total: int
    required: tuple[RequiredRun, ...]
    leases: tuple[Leased, ...]
    attempts: tuple[Tried, ...]
    approvals: tuple[Allowed, ...]
    artefacts: tuple[Artefact, ...]
    started_at_us: int | None
    ended_at_us: int | None
    duration_us: int | None
    written_at_us: int
    written_by: str
    schema: Literal["armarius.receipt.v1"] = "armarius.receipt.v1"


def encode(value: msgspec.Struct) -> bytes:
    """The one spelling of a receipt: canonical JSON, and a line feed."""
    return canonical_json(msgspec.to_builtins(value)) + b"\n"


def sha256_of(data: bytes) -> str:
    """The hash by which the ledger knows a receipt."""
    return hash_bytes(data)

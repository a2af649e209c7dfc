"""The receipt of a run, made in the moment in which its end is recorded.

Owns collecting it, and writing it with the row that seals it. Does not own its form (proof/) nor checking it (audit/).
Invariant: a run is over when and only when its receipt is sealed: both are one transaction, so that no kill leaves
one without the other. The file is there before that is committed, and whoever records the end again writes it again.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from armarius.codex import guard
from armarius.codex.guard import Identity, identity_of
from armarius.codex.home import read_login
from armarius.codex.process import Exit
from armarius.errors import ArmariusError
from armarius.files import private_folder, write_atomic
from armarius.identity import hash_bytes, hash_file
from armarius.proof import chain
from armarius.proof.receipt import (
    Allowed,
    Artefact,
    Asked,
    Failure,
    Files,
    Granted,
    Leased,
    ProcessEnd,
    Receipt,
    ReceiptWork,
    SeenCommand,
    Stdin,
    Tokens,
    Tried,
    encode,
)
from armarius.proof.required import MOST_EXCERPT, Pins, pin
from armarius.proof.trees import head_of
from armarius.redact import redact
from armarius.resources.leases import Lease
from armarius.runs import approvals
from armarius.runs.records import QUERIES, AttemptRow, RunRow
from armarius.runs.request import RunRequest, RunResult
from armarius.store.database import Database
from armarius.store.ledger import events_of
from armarius.thread import Command, Usage

__all__ = [
    "ANSWER",
    "DIFF",
    "EVIDENCE",
    "PINS",
    "RECEIPT",
    "Paper",
    "mark",
    "note_pins",
    "pins_of",
    "prepare",
    "seal",
    "seal_unclaimed",
    "tokens_of",
    "tried_of",
]

RECEIPT = "receipt.json"
ANSWER = "answer.txt"
"""The agent's last message, in the folder of its attempt."""
PINS = "pins.json"
"""What there was before the agent began (`proof.required.Pins`)."""
EVIDENCE = "evidence"
"""What a packet asked to be there afterwards, by its place in the packet."""
DIFF = "changes.diff"
"""What a checkout's work changes."""

_KINDS: dict[str, Any] = {
    guard.PROMPT: "prompt",
    guard.LAUNCH: "launch",
    guard.EVENTS: "events",
    guard.STDERR: "stderr",
    guard.EXIT: "exit",
    "schema.json": "schema",
    "before.json": "before",
    "past.json": "past",
    PINS: "pins",
    ANSWER: "last-message",
    DIFF: "diff",
}
_MOST_COMMANDS = 500
_LONGEST_COMMAND = 2_000
_SPOKEN = (approvals.ASKED, approvals.ANSWERED, approvals.STEERED)


class Paper(msgspec.Struct, frozen=True):
    """What of a receipt is read from files, before the ledger is locked."""

    artefacts: tuple[Artefact, ...]
    argv: tuple[str, ...]
    environ: tuple[str, ...]
    stdin: Stdin | None
    head_before: str | None
    head_after: str | None
    auth_mode: str
    tree: str
    is_recovered: bool


class _UsageRow(Usage, frozen=True, kw_only=True):
    response_id: str
    turn_id: str

    @property
    def usage(self) -> Usage:
        return Usage(self.input, self.cached_input, self.cache_write, self.output, self.reasoning)


class _Launched(msgspec.Struct, frozen=True):
    argv: tuple[str, ...] = ()
    environ: tuple[str, ...] = ()


def prepare(request: RunRequest, folder: Path, result: RunResult, *, is_recovered: bool) -> Paper:
    """Read and hash what an attempt left; its last message becomes a file. `request` is as the attempt saw it."""
    private_folder(folder)
    if result.answer is not None:
        write_atomic(folder / ANSWER, result.answer.encode(errors="backslashreplace"))
    launched, pins = _launched(folder), pins_of(folder)
    prompt = folder / guard.PROMPT
    return Paper(
        artefacts=tuple(_artefacts(folder, result)),
        argv=launched.argv,
        environ=tuple(sorted(launched.environ)),
        stdin=Stdin("closed-after-prompt", prompt.stat().st_size) if prompt.exists() else None,
        head_before=pins.head if pins else None,
        head_after=head_of(Path(request.cwd), request.tools_path, Path(request.home)) if pins else None,
        auth_mode=_auth_mode(request),
        tree=request.cwd,
        is_recovered=is_recovered,
    )


def seal(
    ledger: Database,
    now_us: int,
    me: Identity,
    *,
    number: int,
    result: RunResult,
    end: Exit,
    commands: tuple[Command, ...],
    agents: tuple[str, ...],
    leases: Iterable[Lease],
    paper: Paper,
) -> chain.Row | None:
    """Write the receipt of a run that was closed in the caller's transaction; None when it is not over after all."""
    run = ledger.fetch_one(QUERIES.run_by_id, RunRow, id=result.id)
    if run is None or run.ended_at_us is None:
        return None
    receipt = _base(ledger, me, run, result, number)
    receipt = msgspec.structs.replace(
        receipt,
        recovered=paper.is_recovered,
        tree=paper.tree,
        auth_mode=paper.auth_mode,
        argv=paper.argv,
        environ=paper.environ,
        stdin=paper.stdin,
        end=ProcessEnd(end.outcome, end.exit_code, end.signal, end.stragglers, end.outcome == "deadline"),
        agents=agents,
        files=msgspec.structs.replace(receipt.files, head_before=paper.head_before, head_after=paper.head_after),
        commands=tuple(map(_seen, commands[:_MOST_COMMANDS])),
        commands_total=len(commands),
        leases=tuple(Leased(one.resource, one.unit, one.amount, one.token) for one in leases),
        artefacts=paper.artefacts,
    )
    return _write(ledger, now_us, receipt, Path(result.folder))


def seal_unclaimed(ledger: Database, now_us: int, result: RunResult) -> chain.Row | None:
    """The receipt of a run of which no process was seen to end; None where its folder is another host's.

    Nobody claimed it, whoever did is gone with its host, or somebody other than Codex answered it.
    """
    folder = Path(result.folder)
    run = ledger.fetch_one(QUERIES.run_by_id, RunRow, id=result.id)
    if run is None or run.ended_at_us is None or not folder.parent.is_dir():
        return None
    return _write(ledger, now_us, _base(ledger, identity_of(os.getpid()) or {}, run, result, 0), private_folder(folder))


def mark(ledger: Database, folder: str, row: chain.Row) -> None:
    """Note the head outside of the ledger, once it is committed; `folder` is the run's."""
    chain.mark(ledger, Path(folder).parent.parent, row)


def note_pins(folder: Path, request: RunRequest) -> None:
    """Keep beside an attempt what there is before its agent begins: HEAD, and the programs of required commands."""
    cwd = Path(request.cwd)
    head = head_of(cwd, request.tools_path, Path(request.home))
    write_atomic(folder / PINS, msgspec.json.encode(Pins(head, pin(request.required, cwd))))


def pins_of(folder: Path) -> Pins | None:
    """What there was before the agent of the attempt in `folder` began; None when nobody looked."""
    try:
        return msgspec.json.decode((folder / PINS).read_bytes(), type=Pins)
    except FileNotFoundError:
        return None


def _write(ledger: Database, now_us: int, receipt: Receipt, folder: Path) -> chain.Row:
    data, path = encode(receipt), folder / RECEIPT
    write_atomic(path, data)
    return chain.add_row(ledger, now_us, kind="run", run_id=receipt.run, number=receipt.attempt, path=path, data=data)


def _base(ledger: Database, me: Identity, run: RunRow, result: RunResult, number: int) -> Receipt:
    """What the ledger and the result alone say."""
    work, problem = result.work, result.problem
    request = run.asked
    return Receipt(
        run=run.id,
        attempt=number,
        role=run.role,
        state=run.state,
        problem=Failure(problem.code, redact(problem.message), problem.exit_code) if problem else None,
        recovered=False,
        cwd=run.cwd,
        tree=run.cwd,
        asked=_asked(run, request),
        result_sha256=hash_bytes((run.result or "").encode()),
        auth_mode="unknown",
        codex_home=request.codex_home,
        codex_version=run.codex_version or "",
        argv=(),
        environ=(),
        stdin=None,
        end=ProcessEnd("not_started", None, None, 0, timed_out=False),
        thread_id=result.thread_id,
        model=result.model,
        sandbox_seen=result.sandbox_seen,
        retries=result.retries,
        turns=result.turns,
        agents=(),
        usage=result.usage,
        responses=tokens_of(ledger, run.id),
        files=Files(result.files_changed, result.files_evidence, result.outside, None, None),
        work=None
        if work is None
        else ReceiptWork(
            work.base,
            work.tree_before,
            work.tree_after,
            work.commit,
            work.ref,
            tuple(str(left.path) for left in work.left_out),
        ),
        commands=(),
        commands_total=0,
        required=result.required,
        leases=(),
        attempts=tried_of(ledger, run.id),
        approvals=_spoken(ledger, run.id),
        artefacts=(),
        started_at_us=result.started_at_us,
        ended_at_us=result.ended_at_us,
        duration_us=result.duration_us,
        written_at_us=run.ended_at_us or 0,
        written_by=f"{me.get('host', '')}:{me.get('pid', '')}",
    )


def _asked(run: RunRow, request: RunRequest) -> Asked:
    said = request.authorisation
    return Asked(
        request_sha256=hash_bytes(run.request.encode()),
        prompt_sha256=hash_bytes(request.prompt.encode()),
        sandbox=request.sandbox,
        approval=request.approval,
        deadline_s=request.deadline_s,
        budget=request.budget,
        model=request.model,
        effort=request.effort,
        profile=request.profile,
        scope=request.scope,
        add_dirs=request.add_dirs,
        allow_commit=request.allow_commit,
        checkout=request.checkout,
        base=request.base,
        needs=request.needs,
        origin=request.origin,
        network=request.network,
        authorisation=None
        if said is None
        else Granted(said.who, redact(said.scope), redact(said.reason), said.until_us),
        packet=request.packet,
        stop_condition=request.stop_condition,
    )


def tokens_of(ledger: Database, run_id: str) -> tuple[Tokens, ...]:
    """What each response of a run cost, as the ledger has it."""
    rows = ledger.fetch(chain.QUERIES.usage_rows, _UsageRow, run_id=run_id)
    return tuple(Tokens(row.response_id, row.turn_id, row.usage) for row in rows)


def tried_of(ledger: Database, run_id: str) -> tuple[Tried, ...]:
    """Every attempt of a run, as the ledger has it."""
    rows = ledger.fetch(chain.QUERIES.attempts_of_run, AttemptRow, run_id=run_id)
    return tuple(Tried(row.number, row.host, row.claimed_at_us, row.ended_at_us, row.outcome) for row in rows)


def _spoken(ledger: Database, run_id: str) -> tuple[Allowed, ...]:
    events = (event for event in events_of(ledger, run_id) if event.kind in _SPOKEN)
    return tuple(Allowed(event.at_us, event.kind, msgspec.json.decode(event.body)) for event in events)


def _seen(command: Command) -> SeenCommand:
    output = redact(command.output)
    return SeenCommand(
        redact(command.command)[:_LONGEST_COMMAND], command.status.value, command.exit_code, output[-MOST_EXCERPT:]
    )


def _artefacts(folder: Path, result: RunResult) -> Iterable[Artefact]:
    for name, kind in _KINDS.items():
        path = folder / name
        if path.is_file():
            yield Artefact(name, kind, hash_file(path), path.stat().st_size)
    for path in sorted((folder / EVIDENCE).glob("[1-9]*")):
        yield Artefact(f"{EVIDENCE}/{path.name}", "evidence", hash_file(path), path.stat().st_size)
    for number, _ in enumerate(result.required, 1):
        for name in (guard.EVENTS, guard.STDERR):
            path = folder / "required" / str(number) / name
            if path.is_file():
                below = f"required/{number}/{name}"
                yield Artefact(below, "command-output", hash_file(path), path.stat().st_size)
    if result.rollout is not None and Path(result.rollout).is_file():
        yield Artefact(result.rollout, "rollout", hash_file(Path(result.rollout)), Path(result.rollout).stat().st_size)


def _launched(folder: Path) -> _Launched:
    try:
        return msgspec.json.decode((folder / guard.LAUNCH).read_bytes(), type=_Launched)
    except FileNotFoundError:
        return _Launched()


def _auth_mode(request: RunRequest) -> str:
    try:
        return read_login(Path(request.codex_home)).mode
    except (ArmariusError, OSError):
        return "unknown"

"""How a run is driven: two programs that the guard may start, behind one Protocol.

Owns the choice and what each is told. Does not own argv (`command.py`) nor driving (`driver_program.py`).
Invariant: both pin the same permissions by the same keys, and print the same kind of lines; only the one that
speaks to an app-server can ask, be steered and be interrupted in the middle of a turn.
"""

import sys
from pathlib import Path
from typing import Any, Protocol

import msgspec

from armarius.codex.binary import Binary
from armarius.codex.command import ExecRequest, Fork, Resume, argv_of, overrides_of, toml_value
from armarius.codex.protocol import LocalImage, ThreadFork, ThreadResume, ThreadStart, TurnStart
from armarius.errors import UsageError
from armarius.files import read_bounded, write_atomic
from armarius.thread import Sandbox

__all__ = ["PLAN", "AppServer", "Driver", "Exec", "Plan", "driver_of"]

PLAN = "plan.json"
_LARGEST_PLAN = 64 << 20


class Driver(Protocol):
    """What the guard starts in an attempt's folder so that a request is carried out; the prompt comes by stdin."""

    def argv(self, request: ExecRequest, binary: Binary, folder: Path) -> tuple[str, ...]: ...


class Exec:
    """`codex exec`: nobody is asked, and nobody can say anything before the end."""

    def argv(self, request: ExecRequest, binary: Binary, folder: Path) -> tuple[str, ...]:
        del folder
        return argv_of(request, binary)


class Plan(msgspec.Struct, frozen=True):
    """What `driver_program.py` is told: the server's command line, how the thread is opened, and its turn.

    Exactly one of `start`, `resume` and `fork` is there. The turn lacks its thread and its words.
    """

    program: str
    arguments: tuple[str, ...]
    turn: TurnStart
    sandbox: str
    codex_home: str
    add_dirs: tuple[str, ...] = ()
    start: ThreadStart | None = None
    resume: ThreadResume | None = None
    fork: ThreadFork | None = None

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        return msgspec.json.decode(read_bounded(folder / PLAN, _LARGEST_PLAN), type=cls)


class AppServer:
    """`codex app-server` behind a small program of ours: a person is asked, and may steer and interrupt."""

    def argv(self, request: ExecRequest, binary: Binary, folder: Path) -> tuple[str, ...]:
        write_atomic(folder / PLAN, msgspec.json.encode(_plan(request, binary)))
        return (sys.executable, "-I", "-m", "armarius.codex.driver_program", str(folder))


def driver_of(request: ExecRequest) -> Driver:
    """The one that can do what is asked for."""
    return Exec() if request.approval == "never" else AppServer()


def _plan(request: ExecRequest, binary: Binary) -> Plan:
    if request.profile is not None:
        raise UsageError("approval-profile", "codex app-server knows no profiles", "leave out --profile or --approval")
    sandbox: Any = request.sandbox.flag
    start: ThreadStart | None = None
    resume: ThreadResume | None = None
    fork: ThreadFork | None = None
    match request.origin:
        case Resume(thread_id):
            resume = ThreadResume(
                *(thread_id, request.cwd, sandbox, request.approval, request.model),
                approvals_reviewer="user",
                exclude_turns=True,
            )
        case Fork(thread_id):
            fork = ThreadFork(
                *(thread_id, request.cwd, sandbox, request.approval, request.model, request.thread_source),
                approvals_reviewer="user",
                exclude_turns=True,
            )
        case None:
            start = ThreadStart(
                *(request.cwd, sandbox, request.approval, request.model),
                thread_source=request.thread_source,
                approvals_reviewer="user",
            )
        case _:
            raise UsageError("approval-review", "a review only reads, and asks nobody", "leave out --approval")
    return Plan(
        program=binary.path,
        arguments=tuple(f"--config={key}={toml_value(value)}" for key, value in overrides_of(request).items()),
        turn=_turn(request),
        sandbox=sandbox,
        codex_home=request.extra_environ["CODEX_HOME"],
        add_dirs=request.add_dirs,
        start=start,
        resume=resume,
        fork=fork,
    )


def _turn(request: ExecRequest) -> TurnStart:
    schema = msgspec.json.decode(Path(request.schema_file).read_bytes()) if request.schema_file else None
    return TurnStart(
        thread_id="",
        input=tuple(map(LocalImage, request.images)),
        model=request.model,
        effort=request.effort,
        output_schema=schema,
        cwd=request.cwd,
        approval_policy=request.approval,
        approvals_reviewer="user",
        sandbox_policy=_policy(request),
    )


def _policy(request: ExecRequest) -> dict[str, Any]:
    if request.sandbox is Sandbox.READ_ONLY:
        return {"type": "readOnly", "networkAccess": False}
    if request.sandbox is Sandbox.WORKSPACE_WRITE:
        return {
            "type": "workspaceWrite",
            "writableRoots": list(request.add_dirs),
            "networkAccess": False,
            "excludeTmpdirEnvVar": False,
            "excludeSlashTmp": True,
        }
    return {"type": "dangerFullAccess"}

"""Everything an attempt left behind -> what came of the run.

Owns the judgement whether a run succeeded, and the reason when it did not. Pure: it is handed the
guard's report, the event stream, the rollout and the snapshots. Does not own where they come from.
Invariant: SUCCEEDED means that codex ended by itself with 0, that it closed the turn as completed in
its stream and in its rollout, that what it recorded as allowed is not wider than what was asked for,
and that the answer fits the schema if there is one. A run that was allowed more is reported as that,
however it ended. Nothing is concluded from the agent's prose.
"""

import re

import msgspec

from armarius.codex.events import Stream
from armarius.codex.process import Exit
from armarius.dispatch.answer import check_answer
from armarius.dispatch.request import FilesEvidence, Problem, RunRequest, RunResult, RunState
from armarius.redact import redact
from armarius.thread import (
    Command,
    ItemStatus,
    ResponseUsage,
    Sandbox,
    StreamSpot,
    Thread,
    Turn,
    TurnState,
    Usage,
)

__all__ = ["Remains", "responses_of", "settle"]

_STATUS = re.compile(r"(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b")
_USAGE_LIMIT = re.compile(r"You.ve hit your usage limit")
_SAID = re.compile(r"^(?:Error\b|error:).*(?:\n.*\S.*)*", re.MULTILINE)
_AUTH_STATUS = frozenset({401, 403})
_RATE_STATUS = 429
_LOGIN_HINT = "run `codex login`, or set the key your provider names in config.toml"


class Remains(msgspec.Struct, frozen=True):
    """What an attempt left behind. `thread` is its rollout; `files` is None when nobody looked."""

    exit: Exit
    stream: Stream
    stderr: str = ""
    thread: Thread | None = None
    files: tuple[str, ...] | None = None


def settle(run_id: str, folder: str, request: RunRequest, codex_version: str, remains: Remains) -> RunResult:
    """The result of a run whose last attempt is over."""
    end, stream = remains.exit, remains.stream
    state, problem = _judge(request, remains)
    done = state == "succeeded" or (problem is not None and problem.code.startswith("answer-"))
    answer = stream.final_message if done else None
    turn = _last_turn(remains.thread)
    seen = _widest(remains.thread)
    commands = _commands(remains)
    responses = responses_of(remains)
    return RunResult(
        id=run_id,
        state=state,
        role=request.role,
        folder=folder,
        thread_id=stream.thread_id,
        rollout=remains.thread.path if remains.thread else None,
        answer=answer,
        parsed=check_answer(answer, request.schema)[0] if answer is not None and request.schema else None,
        problem=problem,
        usage=sum((response.usage for response in responses), Usage()),
        responses=len(responses),
        commands=len(commands),
        failed_commands=sum(command.status is ItemStatus.FAILED for command in commands),
        retries=sum(notice.message.startswith("Reconnecting") for notice in stream.notices),
        sandbox=request.sandbox,
        sandbox_seen=seen.flag if seen is not None else None,
        files_changed=remains.files or (),
        files_evidence=_evidence(request, seen, remains.files),
        codex_version=codex_version,
        model=turn.model if turn else request.model,
        exit_code=end.exit_code,
        signal=end.signal,
        stragglers=end.stragglers,
        started_at_us=end.started_at_us,
        ended_at_us=end.ended_at_us,
        duration_us=end.duration_us,
    )


def responses_of(remains: Remains) -> tuple[ResponseUsage, ...]:
    """The usage of each response: from the rollout, else the stream's total as one.

    The stream's total is the thread's, which is this run's own because the thread is fresh.
    """
    if remains.thread is not None and remains.thread.responses:
        return remains.thread.responses
    stream = remains.stream
    if stream.usage is None:
        return ()
    return (ResponseUsage("stream-total", "", stream.usage, StreamSpot("exec", 0)),)


def _judge(request: RunRequest, remains: Remains) -> tuple[RunState, Problem | None]:
    wider = _wider(request, remains.thread)
    if wider:
        return "failed", Problem(
            "sandbox-wider",
            f"the run was asked for {request.sandbox} and Codex recorded {wider}",
            "look for a profile or rule that widens it, and do not trust what it changed",
            5,
        )
    unfinished = _unfinished(remains)
    if unfinished is not None:
        return unfinished
    turn = _last_turn(remains.thread)
    if turn is None or turn.sandbox is None:
        return "failed", Problem(
            "sandbox-unverified",
            "Codex recorded no sandbox for this run, so nothing proves that it kept to it",
            "see the run's folder; keep history on in CODEX_HOME",
            5,
        )
    if turn.state is not TurnState.COMPLETED:
        return "failed", Problem("turn-disagrees", f"the stream says completed, the rollout {turn.state.value}")
    answer = remains.stream.final_message
    if answer is None:
        return "failed", Problem("answer-missing", "the turn was completed without an answer")
    if request.schema is not None:
        _, misfit = check_answer(answer, request.schema)
        if misfit is not None:
            return "failed", Problem(
                "answer-schema", redact(misfit), "the answer is in the result; ask again or relax the schema"
            )
    return "succeeded", None


def _unfinished(remains: Remains) -> tuple[RunState, Problem] | None:
    """The state of a run whose turn was not completed by a codex that ended well; None when it was."""
    end, stream = remains.exit, remains.stream
    match end.outcome:
        case "cancelled":
            return "cancelled", Problem("cancelled", "the run was cancelled", "", 130)
        case "deadline":
            return "timed_out", Problem("deadline", "the run reached its deadline", "raise --timeout")
        case "output_cap":
            return "failed", Problem("output-cap", f"codex printed {end.output_bytes} bytes", "see the run's folder")
        case "not_started":
            return "failed", Problem("not-started", f"codex could not be started: {end.error}", "", 4)
        case "lost":
            return "crashed", Problem("guard-lost", "the run's guard was killed", "run it again with `armarius run`")
        case "exited":
            pass
    if stream.state is TurnState.FAILED:
        return "failed", _provider_problem(stream.error or "")
    if end.signal is not None:
        return "interrupted", Problem("killed", f"codex was killed by {end.signal}", "find out who sends signals")
    if stream.state is TurnState.OPEN and stream.thread_id is not None:
        return "interrupted", Problem("turn-open", f"codex ended ({end.exit_code}) before its turn did")
    if stream.state is TurnState.OPEN:
        said = _said(remains.stderr) or "it said nothing"
        return "failed", Problem("codex-refused", f"codex did not start a turn: {said}", "", 4)
    if end.exit_code != 0:
        return "failed", Problem("exit-code", f"the turn was completed but codex ended with {end.exit_code}")
    return None


def _provider_problem(message: str) -> Problem:
    """A failed turn's reason. Only what codex itself puts at the beginning of the text is interpreted."""
    found = _STATUS.match(message)
    status = int(found.group(1)) if found else 0
    text = redact(message)
    if status in _AUTH_STATUS or message.startswith("Missing environment variable"):
        return Problem("login", text, _LOGIN_HINT, 4)
    if status == _RATE_STATUS or _USAGE_LIMIT.match(message):
        return Problem("rate-limited", text, "wait for the limit to reset")
    return Problem("turn-failed", text)


def _wider(request: RunRequest, thread: Thread | None) -> str:
    """What Codex recorded as allowed beyond what was asked for; every turn of the run counts."""
    asked = Sandbox.from_flag(request.sandbox)
    turns = thread.turns if thread and asked is not Sandbox.DANGER_FULL_ACCESS else ()
    found = {turn.sandbox.flag for turn in turns if turn.sandbox is not None and turn.sandbox > asked}
    found |= {"network access" for turn in turns if turn.network}
    found |= {f"write access to {root}" for turn in turns for root in turn.writable_roots}
    found |= {f"approval {turn.approval}" for turn in turns if turn.approval not in (None, "never")}
    return ", ".join(sorted(found))


def _widest(thread: Thread | None) -> Sandbox | None:
    recorded = [turn.sandbox for turn in thread.turns if turn.sandbox is not None] if thread else []
    return max(recorded, default=None)


def _last_turn(thread: Thread | None) -> Turn | None:
    return thread.turns[-1] if thread and thread.turns else None


def _commands(remains: Remains) -> tuple[Command, ...]:
    """From the rollout when there is one: the stream can miss a command."""
    if _last_turn(remains.thread) is None or remains.thread is None:
        return remains.stream.commands
    return tuple(item for turn in remains.thread.turns for item in turn.items if isinstance(item, Command))


def _evidence(request: RunRequest, seen: Sandbox | None, files: tuple[str, ...] | None) -> FilesEvidence:
    if files is not None:
        return "stat"
    held = seen is Sandbox.READ_ONLY and request.sandbox == Sandbox.READ_ONLY.flag
    return "sandbox" if held else "unknown"


def _said(stderr: str) -> str:
    """Why codex did not start: the error it printed (a backtrace may follow), else its last line."""
    found = _SAID.search(stderr)
    if found:
        return redact(" ".join(found.group().split()))
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("Reading ")]
    return redact(lines[-1]) if lines else ""

"""Everything an attempt left behind -> what came of the run.

Owns the judgement whether a run succeeded, and the reason when it did not. Pure: it is handed the
guard's report, the event stream, the rollout and the snapshots. Does not own where they come from.
Invariant: SUCCEEDED means that codex ended by itself with 0, that it closed the turn as completed in
its stream and in its rollout, that it did so in the thread that was asked for, that what it recorded
as allowed is not wider than what was asked for, and that the answer fits the schema if there is one.
An ephemeral run has no rollout to be held against, a fork without a prompt no turn. A run that was
allowed more is reported as that, however it ended. Nothing is concluded from the agent's prose.
"""

import re

import msgspec

from armarius.budget import Passed
from armarius.clock import rfc3339
from armarius.codex.command import Fork, Resume, Review
from armarius.codex.events import LOGIN_REFUSED, Stream
from armarius.codex.guard import FENCED
from armarius.codex.process import Exit
from armarius.redact import redact
from armarius.runs.answer import check_answer
from armarius.runs.request import FilesEvidence, Problem, RunRequest, RunResult, RunState
from armarius.thread import (
    Command,
    FileChange,
    Item,
    ItemStatus,
    ResponseUsage,
    Sandbox,
    StreamSpot,
    Thread,
    Turn,
    TurnState,
    Usage,
)

__all__ = ["Remains", "commands_of", "responses_of", "settle"]

_STATUS = re.compile(r"(?:unexpected status|exceeded retry limit, last status:) (\d{3})\b")
_USAGE_LIMIT = re.compile(r"You.ve hit your usage limit")
_IS_LIVE = "already has an active writer"
_SAID = re.compile(r"^(?:Error\b|error:).*(?:\n.*\S.*)*", re.MULTILINE)
_RETRY = re.compile(r"Reconnecting\.\.\. \d+/\d+ \((?P<why>.*)\)", re.DOTALL)
_AUTH_STATUS = frozenset({401, 403})
_RATE_STATUS = 429
_FAILED = frozenset({ItemStatus.FAILED, ItemStatus.DECLINED})
_BUDGET_HINT = "go on in its thread with `armarius resume` and a budget of its own"
_LEASE_HINT = "see `armarius resources list`, then run it again"
_STAYS = "a thread stays with its login, so that no other lane can go on with it"
_AGAIN_HINT = "see what went before with `armarius runs logs`, and ask again with `armarius runs retry`"
_LIVE_HINT = "wait until its turn is over, or interrupt it"
_LOGIN_HINT = "run `codex login`, or set the key your provider names in config.toml"


class Remains(msgspec.Struct, frozen=True):
    """What an attempt left behind. `files` is None when nobody looked.

    `thread` is its rollout, as far as this attempt wrote it; `children` are the threads in which Codex
    did what was asked for (a review), `agents` those of its sub-agents. `is_fresh`: the stream's total
    counts nothing but this run. `passed` is the limit for which it was ended.
    """

    exit: Exit
    stream: Stream
    stderr: str = ""
    thread: Thread | None = None
    files: tuple[str, ...] | None = None
    children: tuple[Thread, ...] = ()
    is_fresh: bool = True
    agents: tuple[Thread, ...] = ()
    passed: Passed | None = None

    @property
    def turns(self) -> tuple[Turn, ...]:
        """Every turn on record, those of the children last."""
        threads = (*filter(None, [self.thread]), *self.children)
        return tuple(turn for thread in threads for turn in thread.turns)


def settle(run_id: str, folder: str, request: RunRequest, codex_version: str, remains: Remains) -> RunResult:
    """The result of a run whose last attempt is over."""
    end, stream = remains.exit, remains.stream
    state, problem = _judge(request, remains)
    done = state == "succeeded" or (problem is not None and problem.code.startswith("answer-"))
    answer = stream.final_message if done else None
    turns = remains.turns
    seen = _widest(turns)
    commands = commands_of(remains)
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
        turns=len(turns) + sum(len(agent.turns) for agent in remains.agents),
        agents=len(remains.agents),
        commands=len(commands),
        failed_commands=sum(command.status in _FAILED for command in commands),
        failed_changes=sum(isinstance(item, FileChange) and item.status in _FAILED for item in _items(remains)),
        retries=sum(notice.message.startswith("Reconnecting") for notice in stream.notices),
        sandbox=request.sandbox,
        sandbox_seen=seen.flag if seen is not None else None,
        files_changed=remains.files or (),
        files_evidence=_evidence(request, seen, remains.files),
        codex_version=codex_version,
        model=next((turn.model for turn in reversed(turns) if turn.model), request.model),
        exit_code=end.exit_code,
        signal=end.signal,
        stragglers=end.stragglers,
        started_at_us=end.started_at_us,
        ended_at_us=end.ended_at_us,
        duration_us=end.duration_us,
        origin=request.origin,
    )


def responses_of(remains: Remains) -> tuple[ResponseUsage, ...]:
    """The usage of each response: from the rollouts, else the stream's total as one.

    The stream's total is the thread's, which is this run's own only when the thread is fresh.
    """
    threads = (*filter(None, [remains.thread]), *remains.children, *remains.agents)
    found = tuple(response for thread in threads for response in thread.responses)
    if found:
        return found
    stream = remains.stream
    if stream.usage is None or not remains.is_fresh:
        return ()
    return (ResponseUsage("stream-total", "", stream.usage, StreamSpot("exec", 0)),)


def _judge(request: RunRequest, remains: Remains) -> tuple[RunState, Problem | None]:
    other = _other_thread(request, remains.stream.thread_id)
    if other is not None:
        return "failed", other
    wider = _wider(request, (*remains.turns, *(turn for agent in remains.agents for turn in agent.turns)))
    if wider:
        return "failed", _is_wider(request, wider)
    if _is_bare_fork(request) and remains.exit.outcome == "exited" and remains.exit.exit_code == 0:
        return "succeeded", None
    if remains.stream.wider:
        return "failed", _is_wider(request, remains.stream.wider)
    unfinished = _unfinished(request, remains)
    if unfinished is not None:
        return unfinished
    if not (request.ephemeral and remains.thread is None):
        disagrees = _unproven(request, remains)
        if disagrees is not None:
            return "failed", disagrees
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


def _is_wider(request: RunRequest, wider: str) -> Problem:
    return Problem(
        "sandbox-wider",
        f"the run was asked for {request.sandbox} and Codex recorded {wider}",
        "look for a profile or rule that widens it, and do not trust what it changed",
        5,
    )


def _is_bare_fork(request: RunRequest) -> bool:
    """Nothing was asked: there is a thread, and no turn to judge."""
    return isinstance(request.origin, Fork) and not request.prompt


def _other_thread(request: RunRequest, thread_id: str | None) -> Problem | None:
    """Codex went on in a thread that was not meant: it does so, silently, for a name that does not exist."""
    match request.origin:
        case Resume(asked) if thread_id is not None and thread_id != asked:
            said = f"codex was to resume {asked} and started the new thread {thread_id}"
        case Fork(asked) if thread_id == asked:
            said = f"codex was to fork {asked} and went on in that thread itself"
        case _:
            return None
    return Problem("thread-other", said, "see `armarius sessions list` for the threads that there are")


def _unproven(request: RunRequest, remains: Remains) -> Problem | None:
    """What the record lacks of a proof, or says against the stream."""
    turn = _last_turn(remains.thread)
    is_review = isinstance(request.origin, Review)
    seen = _widest(remains.turns) if is_review else turn.sandbox if turn else None
    if turn is None or seen is None:
        return Problem(
            "sandbox-unverified",
            "Codex recorded no sandbox for this run, so nothing proves that it kept to it",
            "see the run's folder; keep history on in CODEX_HOME",
            5,
        )
    if turn.state is not TurnState.COMPLETED:
        return Problem("turn-disagrees", f"the stream says completed, the rollout {turn.state.value}")
    return None


def _unfinished(request: RunRequest, remains: Remains) -> tuple[RunState, Problem] | None:
    """The state of a run whose turn was not completed by a codex that ended well; None when it was."""
    end, stream = remains.exit, remains.stream
    match end.outcome:
        case "cancelled" if remains.passed is not None:
            return "failed", Problem(f"budget-{remains.passed.measure}", str(remains.passed), _BUDGET_HINT)
        case "cancelled":
            return "cancelled", Problem("cancelled", "the run was cancelled", "", 130)
        case "deadline" if stream.state is TurnState.OPEN:
            return "timed_out", _too_late(request)
        case "output_cap":
            return "failed", Problem("output-cap", f"codex printed {end.output_bytes} bytes", "see the run's folder")
        case "not_started":
            return "failed", Problem("not-started", f"codex could not be started: {end.error}", "", 4)
        case "lost" if stream.state is not TurnState.COMPLETED:
            return _crashed(remains)
        case "stopped" if end.stopped_by == LOGIN_REFUSED and stream.state is not TurnState.COMPLETED:
            return "failed", Problem("login", redact(stream.error or _last_notice(stream)), _LOGIN_HINT, 4)
        case "stopped" if end.stopped_by == FENCED:
            return "interrupted", Problem("lease-lost", "the run lost what it held, and was ended", _LEASE_HINT, 6)
        case "lost" | "deadline" | "stopped" | "exited":
            pass
    if stream.state is TurnState.FAILED:
        last = _last_turn(remains.thread)
        problem = _provider_problem(stream.error or "", last.retry_at_us if last else None)
        if problem.code == "rate-limited" and isinstance(request.origin, Resume | Fork):
            problem = msgspec.structs.replace(problem, hint=f"{problem.hint}; {_STAYS}")
        return "failed", problem
    if end.outcome != "exited" and stream.state is TurnState.COMPLETED:
        return None  # what Codex had finished by then is not asked for again
    if end.signal is not None and stream.state is TurnState.COMPLETED:
        return "failed", Problem("exit-code", f"the turn was completed but codex was killed by {end.signal}")
    if end.signal is not None:
        return "interrupted", Problem("killed", f"codex was killed by {end.signal}", "find out who sends signals")
    if stream.state is TurnState.OPEN and stream.thread_id is not None:
        return "interrupted", Problem("turn-open", f"codex ended ({end.exit_code}) before its turn did")
    if stream.state is TurnState.OPEN:
        said = _said(remains.stderr) or "it said nothing"
        if _IS_LIVE in said:
            return "failed", Problem("thread-live", f"codex did not start a turn: {said}", _LIVE_HINT, 5)
        return "failed", Problem("codex-refused", f"codex did not start a turn: {said}", "", 4)
    if end.exit_code != 0:
        return "failed", Problem("exit-code", f"the turn was completed but codex ended with {end.exit_code}")
    return None


def _too_late(request: RunRequest) -> Problem:
    minutes = request.budget.minutes
    if minutes is not None and 60 * minutes <= request.deadline_s:
        used = f"the {minutes:g} minutes of the budget of the run are used up"
        return Problem("budget-minutes", used, _BUDGET_HINT)
    return Problem("deadline", "the run reached its deadline", "raise --timeout")


def _crashed(remains: Remains) -> tuple[RunState, Problem]:
    """A run without its guard. One whose turn is complete by Codex's record is over, though nobody saw its answer."""
    turn = _last_turn(remains.thread)
    if turn is not None and turn.state is TurnState.COMPLETED:
        said = "the run's guard was killed after the turn was completed, and its answer is only in Codex's record"
        return "failed", Problem("guard-lost", said, "see `armarius sessions show` of its thread, or resume it")
    return "crashed", Problem("guard-lost", "the run's guard was killed", "run it again with `armarius run`")


def _last_notice(stream: Stream) -> str:
    """Why codex was about to try again; the same words as in the error that would have followed."""
    if not stream.notices:
        return "the provider refused the login"
    message = stream.notices[-1].message
    reason = _RETRY.fullmatch(message)
    return reason["why"] if reason else message


def _provider_problem(message: str, retry_at_us: int | None) -> Problem:
    """A failed turn's reason. Only what codex itself puts at the beginning of the text is interpreted."""
    found = _STATUS.match(message)
    status = int(found.group(1)) if found else 0
    text = redact(message)
    if status in _AUTH_STATUS or message.startswith("Missing environment variable"):
        return Problem("login", text, _LOGIN_HINT, 4)
    if status == _RATE_STATUS or _USAGE_LIMIT.match(message):
        hint = "wait for the limit to reset" if retry_at_us is None else f"try again at {rfc3339(retry_at_us)}"
        return Problem("rate-limited", text, hint, retry_at_us=retry_at_us)
    return Problem("turn-failed", text, _AGAIN_HINT)


def _wider(request: RunRequest, recorded: tuple[Turn, ...]) -> str:
    """What Codex recorded as allowed beyond what was asked for; every turn of the run counts."""
    asked = Sandbox.from_flag(request.sandbox)
    turns = recorded if asked is not Sandbox.DANGER_FULL_ACCESS else ()
    found = {turn.sandbox.flag for turn in turns if turn.sandbox is not None and turn.sandbox > asked}
    found |= {"network access" for turn in turns if turn.network and not request.network}
    roots = {root for turn in turns for root in turn.writable_roots}
    found |= {f"write access to {root}" for root in roots.difference(request.add_dirs)}
    found |= {f"approval {turn.approval}" for turn in turns if turn.approval not in (None, "never", request.approval)}
    return ", ".join(sorted(found))


def _widest(turns: tuple[Turn, ...]) -> Sandbox | None:
    return max((turn.sandbox for turn in turns if turn.sandbox is not None), default=None)


def _last_turn(thread: Thread | None) -> Turn | None:
    return thread.turns[-1] if thread and thread.turns else None


def commands_of(remains: Remains) -> tuple[Command, ...]:
    """What the agent ran, as Codex's own record has it."""
    return tuple(item for item in _items(remains) if isinstance(item, Command))


def _items(remains: Remains) -> tuple[Item, ...]:
    """From the rollout when there is one: the stream can miss a command."""
    turns = remains.turns
    return tuple(item for turn in turns for item in turn.items) if turns else remains.stream.items


def _evidence(request: RunRequest, seen: Sandbox | None, files: tuple[str, ...] | None) -> FilesEvidence:
    if files is not None:
        return "stat"
    is_asked = request.approval != "never"  # what a person accepted may have changed anything
    held = seen is Sandbox.READ_ONLY and request.sandbox == Sandbox.READ_ONLY.flag and not is_asked
    return "sandbox" if held else "unknown"


def _said(stderr: str) -> str:
    """Why codex did not start: the error it printed (a backtrace may follow), else its last line."""
    found = _SAID.search(stderr)
    if found:
        return redact(" ".join(found.group().split()))
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("Reading ")]
    return redact(lines[-1]) if lines else ""

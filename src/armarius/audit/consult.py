"""A finding about a run's work, put to its author and to somebody who knows nothing of it.

Owns the order of the two, what each is told and has to answer, what of the answer is evidence, and the outcome. Does
not own how a run is done, nor what follows from the outcome.
Invariant: a position counts only with evidence that was seen: a command that Codex reported in that run, or lines that
stand in the judged commit. There is one loop: whoever is asked first, and, where that settles nothing, the other one.
Then it is decided, and the same finding on the same run is not asked again.

    consulted         on the run: one party's answer
    consult_decided   on the run: the outcome, with its root cause and resolution
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from armarius.audit.spiral import Sign, signs_of
from armarius.audit.subject import Subject, subject_of
from armarius.audit.workroom import checkout_in, workroom
from armarius.codex.command import Review
from armarius.codex.events import read_stream
from armarius.codex.process import Attempt
from armarius.dispatch.api import Dispatch, Options
from armarius.errors import DataError, Interrupted, Refused, UsageError
from armarius.fence import fenced
from armarius.identity import hash_value, new_id
from armarius.redact import redact
from armarius.rollouts.reader import read_rollout
from armarius.runs.answer import check_answer
from armarius.runs.request import RunResult
from armarius.store.ledger import append_event, events_of
from armarius.thread import Command, Sandbox

__all__ = ["SCHEMA", "Asked", "Consultation", "Evidence", "Party", "Question", "consult"]

Party = Literal["author", "fresh"]
Position = Literal["confirm", "refute", "unsure"]
Outcome = Literal["consensus", "orchestrator_decision", "user_action_required"]

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["position", "evidence", "root_cause", "resolution", "risk", "needs_user"],
    "properties": {
        "position": {"type": "string", "enum": ["confirm", "refute", "unsure"]},
        "evidence": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["command", "path", "line", "text"],
                "properties": {
                    "command": {"type": ["string", "null"]},
                    "path": {"type": ["string", "null"]},
                    "line": {"type": ["integer", "null"]},
                    "text": {"type": "string"},
                },
            },
        },
        "root_cause": {"type": "string"},
        "resolution": {"type": "string"},
        "risk": {"type": "string", "enum": ["none", "low", "medium", "high"]},
        "needs_user": {"type": "boolean"},
    },
}
"""What each party has to answer."""

_TO_AUTHOR: Final = "Somebody who reviewed the work that you did in this thread has a finding."
_TO_FRESH: Final = "Somebody who reviewed a piece of work has a finding. You have not seen either before."
_TASK: Final = """ Say whether it holds.
Do not agree out of politeness, and do not defend what is wrong: look, run what shows it, and change nothing.
Stay with this finding; it is no review of everything else."""
_FORM: Final = """\
Answer with one JSON object and nothing else:

{"position": "confirm" | "refute" | "unsure",
 "evidence": [{"command": null, "path": null, "line": null, "text": ""}],
 "root_cause": "", "resolution": "", "risk": "none" | "low" | "medium" | "high", "needs_user": false}

Each piece of evidence is either a command that you ran here, letter for letter, with a line of its output as
`text` (`path` and `line` are null), or a `path` and `line` of this commit with that line as `text` (`command`
is null). A position without evidence does not count. `resolution` is the smallest change that settles it.
`needs_user` says that only a person can decide, because what is wanted is not clear."""
_LONGEST = 64 << 10
_LONGEST_DIFF = 192 << 10
_HOLDS = {"confirm": "the finding holds", "refute": "the finding does not hold"}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked about which run. `first` is who is asked first; with `diff` the work is part of the question."""

    run: str
    finding: str
    first: Party = "author"
    diff: bool = False
    options: Options = Options()


class Evidence(msgspec.Struct, frozen=True):
    """A command that was run, or a line of a file, and what it says. `seen`: Armarius has seen the same."""

    text: str
    command: str | None = None
    path: str | None = None
    line: int | None = None
    seen: bool = False


class _Said(msgspec.Struct, frozen=True):
    position: Position
    evidence: tuple[Evidence, ...]
    root_cause: str
    resolution: str
    risk: Literal["none", "low", "medium", "high"]
    needs_user: bool


class Asked(msgspec.Struct, frozen=True):
    """What a party said. `position` is what counts: `unsure` where nothing that it cites was seen."""

    party: Party
    run: str
    position: Position
    claimed: Position
    evidence: tuple[Evidence, ...]
    root_cause: str
    resolution: str
    risk: str
    needs_user: bool
    problem: str = ""


class Consultation(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it (`armarius.consultation.v1`). `holds` says whether the finding does, where that is agreed."""

    id: str
    run: str
    finding: str
    outcome: Outcome
    holds: bool | None
    reason: str
    root_cause: str
    resolution: str
    asked: tuple[Asked, ...]
    signs: tuple[Sign, ...] = ()
    schema: str = "armarius.consultation.v1"


def consult(dispatch: Dispatch, question: Question, tell: Callable[[str], object] = lambda _: None) -> Consultation:
    """Put the finding to both, as far as it takes; Refused when that was done before."""
    finding = question.finding.strip()
    if not finding:
        raise UsageError("finding", "the finding is empty", "say what is wrong, and where")
    if len(finding.encode()) > _LONGEST:
        raise DataError("finding", f"the finding is longer than {_LONGEST:,} bytes", "say it shorter")
    clock, ledger = dispatch.bench.clock, dispatch.bench.ledger
    run = dispatch.find(question.run).id
    key = hash_value({"run": run, "finding": " ".join(finding.split())})
    done = _earlier(dispatch, run, key)
    name = new_id("con", clock)
    with ExitStack() as stack:
        folder = stack.enter_context(workroom(dispatch.settings, "consultations", name))
        subject = subject_of(dispatch.settings, ledger, clock, run, folder, repo=None, base=None)
        made = stack.enter_context(checkout_in(folder, 1, subject.repo, subject.commit, clock))
        other: Party = "fresh" if question.first == "author" else "author"
        for party in (question.first, other)[len(done) :]:
            tell(f"asking the {party if party == 'author' else 'fresh reviewer'}")
            done.append(_ask(dispatch, question, subject, Path(made.cwd), party=party, before=done))
            body = {"finding": key, "asked": msgspec.to_builtins(done[-1])}
            append_event(ledger, at_us=clock.now_us(), subject=run, kind="consulted", body=body)
            if _is_settled(done):
                break
    decided = _decided(name, run, finding, tuple(done), signs_of(subject.diff()))
    body = {"finding": key, "consultation": name, "outcome": decided.outcome, "holds": decided.holds}
    body |= {"reason": decided.reason, "root_cause": decided.root_cause, "resolution": decided.resolution}
    append_event(ledger, at_us=clock.now_us(), subject=run, kind="consult_decided", body=body)
    return decided


def _earlier(dispatch: Dispatch, run: str, key: str) -> list[Asked]:
    """What was said of this finding by somebody whose loop was cut off; Refused when it is decided."""
    said = list[Asked]()
    for event in events_of(dispatch.bench.ledger, run):
        if event.kind not in ("consulted", "consult_decided"):
            continue
        body: dict[str, Any] = json.loads(event.body)
        if body["finding"] != key:
            continue
        if event.kind == "consult_decided":
            raise Refused(
                "consult-decided",
                f"{body['consultation']} has decided this: {body['outcome']}, {body['reason']}",
                f"resolution: {body['resolution'] or 'none was named'}; a new finding needs new words",
            )
        said.append(msgspec.convert(body["asked"], Asked))
    return said


def _ask(  # who, about what, where
    dispatch: Dispatch, question: Question, subject: Subject, tree: Path, *, party: Party, before: list[Asked]
) -> Asked:
    """One party's answer, in a run that may only read."""
    prompt = _prompt(question, subject, party, before)
    wanted = msgspec.structs.replace(question.options, cwd=tree, sandbox=Sandbox.READ_ONLY.flag)
    if party == "author":
        if subject.author.run is None or subject.author.thread_id is None:
            raise DataError("run-threadless", f"{subject.name} never had a session", "ask with --fresh")
        # It goes on with the login of its thread, whatever was said for the reviewer.
        schema = msgspec.structs.replace(wanted, schema=SCHEMA, lane=None)
        request = dispatch.resume_request(subject.author.run, prompt, schema)
    else:
        request = dispatch.review_request(Review(), prompt, wanted)
    result = dispatch.do(request)
    if result.state == "cancelled":
        raise Interrupted("interrupted", f"{result.id} was cancelled")
    return _weighed(party, result, subject)


def _prompt(question: Question, subject: Subject, party: Party, before: list[Asked]) -> str:
    where = f"`git diff {subject.base} {subject.commit}` shows it"
    parts = [
        (_TO_AUTHOR if party == "author" else _TO_FRESH) + _TASK,
        f"The work is the commit {subject.commit}, which this folder has; it began at {subject.base}: {where}.",
        f"The finding:\n\n{fenced(question.finding)}",
    ]
    if question.diff:
        diff = subject.diff()
        cut = f"\n(the first {_LONGEST_DIFF:,} of {len(diff):,} characters)" if len(diff) > _LONGEST_DIFF else ""
        parts.append(f"The work:\n\n{fenced(diff[:_LONGEST_DIFF], 'diff')}{cut}")
        if signs := signs_of(diff):
            listed = "\n".join(f"{one.kind} at {one.path}:{one.line}: {one.text}" for one in signs[:20])
            parts.append(f"Places where a check may have been made easier:\n\n{fenced(listed)}")
    if before:
        said = msgspec.to_builtins(before[-1])
        told = {name: said[name] for name in ("position", "evidence", "root_cause", "resolution")}
        parts.append(
            f"The {'author' if before[-1].party == 'author' else 'reviewer'} said of it, which you may find wrong:\n\n"
            + fenced(json.dumps(told, ensure_ascii=False, indent=1), "json")
        )
    parts.append(_FORM)
    return "\n\n".join(parts) + "\n"


def _weighed(party: Party, result: RunResult, subject: Subject) -> Asked:
    """What of an answer counts."""
    nothing = Asked(party, result.id, "unsure", "unsure", (), "", "", "none", needs_user=False)
    if result.problem is not None or result.answer is None:
        why = result.problem.message if result.problem else "it gave no answer"
        return msgspec.structs.replace(nothing, problem=redact(why))
    parsed, misfit = check_answer(result.answer.strip(), SCHEMA)
    if misfit is not None:
        return msgspec.structs.replace(nothing, problem=redact(f"the answer is not in the form asked for: {misfit}"))
    said = msgspec.convert(parsed, _Said)
    commands = _commands(result)
    evidence = tuple(_checked(one, commands, subject) for one in said.evidence)
    counts = any(one.seen for one in evidence)
    return Asked(
        party=party,
        run=result.id,
        position=said.position if counts else "unsure",
        claimed=said.position,
        evidence=evidence,
        root_cause=redact(said.root_cause),
        resolution=redact(said.resolution),
        risk=said.risk,
        needs_user=said.needs_user,
        problem="" if counts or said.position == "unsure" else "nothing that it cites was seen",
    )


def _commands(result: RunResult) -> tuple[Command, ...]:
    """What was run in the thread, and where Codex does a review in a thread below it, there."""
    streamed = read_stream(Attempt(Path(result.folder)).events).commands
    if result.rollout is None:
        return streamed
    path = Path(result.rollout)
    found = [path, *_children(path, result.thread_id)]
    items = (item for one in found for turn in read_rollout(one).turns for item in turn.items)
    return (*streamed, *(item for item in items if isinstance(item, Command)))


def _children(path: Path, thread_id: str | None) -> list[Path]:
    return [one for one in sorted(path.parent.glob("rollout-*")) if one > path and _parent(one) == thread_id]


def _parent(path: Path) -> str | None:
    return read_rollout(path).parent_id


def _checked(evidence: Evidence, commands: tuple[Command, ...], subject: Subject) -> Evidence:
    """The evidence, with whether we saw the same."""
    text = evidence.text.strip()
    if evidence.command is not None:
        line = evidence.command.strip()
        ran = [one for one in commands if line in (one.command.strip(), *one.argv[2:]) and one.exit_code is not None]
        seen = any(text in one.output for one in ran) if text else bool(ran)
    elif evidence.path is not None and evidence.line is not None and text:
        seen = text == _line_of(subject, evidence.path, evidence.line)
    else:
        seen = False
    return msgspec.structs.replace(evidence, text=redact(evidence.text), seen=seen)


def _line_of(subject: Subject, path: str, line: int) -> str | None:
    if "\0" in path or not path.isprintable():
        return None
    code, data = subject.repo.git.answer("cat-file", "blob", f"{subject.commit}:{path}", codes=(0, 128))
    lines = data.decode(errors="replace").splitlines()
    return lines[line - 1].strip() if code == 0 and 0 < line <= len(lines) else None


def _is_settled(done: list[Asked]) -> bool:
    """Whether nobody else need be asked: whoever was asked first agrees with the finding, or a person has to decide."""
    return done[-1].position == "confirm" or done[-1].needs_user


def _decided(name: str, run: str, finding: str, asked: tuple[Asked, ...], signs: tuple[Sign, ...]) -> Consultation:
    last = asked[-1]
    positions = [one.position for one in asked]
    holds: bool | None = None
    outcome: Outcome = "orchestrator_decision"
    if any(one.needs_user for one in asked):
        outcome, reason = "user_action_required", "what is wanted is not clear to who was asked"
    elif positions in (["confirm"], ["unsure", "confirm"]):
        outcome, holds, reason = "consensus", True, _HOLDS["confirm"]
    elif positions == ["refute", "refute"]:
        outcome, holds, reason = "consensus", False, _HOLDS["refute"]
    elif "unsure" in positions:
        reason = next(one.problem for one in asked if one.position == "unsure") or "one who was asked is not sure"
    else:
        reason = (
            f"the {asked[0].party} says that {_HOLDS[positions[0]]}, and the {last.party} that {_HOLDS[last.position]}"
        )
    return Consultation(
        id=name,
        run=run,
        finding=redact(finding),
        outcome=outcome,
        holds=holds,
        reason=reason,
        root_cause=last.root_cause,
        resolution=last.resolution,
        asked=asked,
        signs=signs,
    )

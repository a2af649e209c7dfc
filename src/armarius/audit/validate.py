"""An independent judge's verdict on work, from a fresh checkout to the record.

Owns the order: what is judged, the commit with the base's tests, a judge's run and its weighing, a second judge where
the first gave no verdict, more network where the sandbox was in the way and that is allowed, the record. Does not own
the weighing (judging.py), what is judged (subject.py) nor whose tests count (oracle.py).
Invariant: no outcome is mended: NO_VERDICT and INFRASTRUCTURE stay what they are. Each judge has a thread and a
checkout of its own, made from git's objects and thrown away afterwards; nobody's working tree is written. What was
found is in the ledger, on the run it is about and on the judge's.

    validated   on the run or commit: the outcome, and the file that has all of it by its hash
    judged      on each judge's run: what it was about, and what came of it
    authorised  on the validation: who allowed full access, to what, why and until when
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from armarius.audit.judging import Finding, Seen, prompt_for, weigh
from armarius.audit.oracle import Oracle, Restored, counts_when_new, files_of, of_acceptance, restore
from armarius.audit.spiral import signs_of
from armarius.audit.subject import Subject, lane_of, subject_of
from armarius.audit.validation import Judge, Order, Validation
from armarius.audit.verdict import JSON_SCHEMA
from armarius.audit.workroom import checkout_in, workroom
from armarius.checkout import scopes
from armarius.checkout.git import shown
from armarius.checkout.prepare import Checkout
from armarius.clock import rfc3339
from armarius.codex.app_server import environ_for
from armarius.codex.effective import settings_of
from armarius.codex.events import read_stream
from armarius.codex.process import Attempt
from armarius.dispatch.desk import Desk
from armarius.errors import DataError, HostError, Interrupted, Refused, UsageError
from armarius.files import write_atomic
from armarius.identity import hash_bytes, new_id
from armarius.programs import run
from armarius.proof.required import path_outside, read_required
from armarius.proof.required import shown as words_of
from armarius.redact import redact
from armarius.rollouts.reader import read_rollout
from armarius.runs.request import Authorisation, RunRequest, RunResult
from armarius.store.ledger import append_event
from armarius.thread import Item, Sandbox

__all__ = ["validate"]

FILE = "validation.json"
_TRIES = 2
_FETCH_S = 1_800.0
_EXCERPT = 500


class _Rung(msgspec.Struct, frozen=True):
    """What a judge may do."""

    sandbox: Sandbox
    network: bool


class _Bench(msgspec.Struct, frozen=True):
    """Everything that the judges of one validation share."""

    id: str
    folder: Path
    desk: Desk
    order: Order
    subject: Subject
    judged: str
    restored: tuple[Restored, ...]
    tell: Callable[[str], object]


def validate(desk: Desk, order: Order, tell: Callable[[str], object] = lambda _: None) -> Validation:
    """Have the work judged; `tell` hears what goes on."""
    _check(order, desk.bench.clock.now_us())
    # A program of the tree (`./check`) can be looked for only where that is.
    named = [line for line in (*order.commands, *order.fetch) if "/" not in line.partition(" ")[0]]
    read_required(named, desk.settings.search_path, Path.cwd())
    oracle = Oracle(
        (*Oracle().paths, *of_acceptance(order.acceptance), *scopes.check(order.oracle)), scopes.check(order.of_worker)
    )
    clock, ledger = desk.bench.clock, desk.bench.ledger
    name = new_id("val", clock)
    with workroom(desk.settings, "validations", name) as folder:
        subject = subject_of(desk.settings, ledger, clock, order.name, folder, repo=order.repo, base=order.base)
        _check_subject(desk, order, subject)
        judged, restored = restore(subject.repo, folder, subject.commit, subject.base, oracle, run_id=name, clock=clock)
        if (word := order.authorisation) is not None:
            append_event(ledger, at_us=clock.now_us(), subject=name, kind="authorised", body=_body(word))
        bench = _Bench(name, folder, desk, order, subject, judged, restored, tell)
        judges, finding = _judges(bench)
        return _recorded(bench, judges, finding)


def _check_subject(desk: Desk, order: Order, subject: Subject) -> None:
    if order.acceptance_file is not None and os.path.realpath(order.acceptance_file) in subject.touched:
        said = f"the run that is to be judged has changed {order.acceptance_file}"
        raise Refused("acceptance-changed", said, "take the text from where the work began, or write it down elsewhere")
    if "lane" in order.other and subject.author.lane == _lane_asked(desk, order):
        said = f"the judge's lane is the author's, {subject.author.lane}"
        raise Refused("judge-lane", said, "name another one with --lane")


def _check(order: Order, now_us: int) -> None:
    if not order.acceptance.strip():
        raise DataError("acceptance", "the acceptance text is empty", "write down what has to hold")
    if order.network == "fetch" and not order.fetch:
        raise UsageError(
            "fetch", "--network fetch runs commands beforehand, and there are none", "name one with --fetch"
        )
    allowed = order.authorisation
    if order.network != "full" and allowed is not None:
        raise UsageError("authorisation", "only full access is authorised", "add --network full")
    if order.network != "full":
        return
    if allowed is None or not (allowed.who.strip() and allowed.reason.strip()):
        raise Refused(
            "sandbox-danger",
            "full access needs a recorded authorisation: who allows it, why, and until when",
            "add --authorised-by, --reason and --until, or use --network sandbox",
        )
    if allowed.until_us <= now_us:
        raise Refused("authorisation-over", f"the authorisation ended at {rfc3339(allowed.until_us)}", "get a new one")


def _lane_asked(desk: Desk, order: Order) -> str:
    request = desk.request("x", msgspec.structs.replace(order.options, cwd=Path.cwd(), sandbox="read-only"))
    return lane_of(desk.settings, request.codex_home)


def _body(allowed: Authorisation) -> dict[str, str]:
    return {"who": allowed.who, "scope": allowed.scope, "reason": allowed.reason, "until": rfc3339(allowed.until_us)}


def _rungs(order: Order) -> list[_Rung]:
    """What a judge may do, least first; the next is tried only when the sandbox was in the way."""
    first = Sandbox.WORKSPACE_WRITE if order.scratch else Sandbox.READ_ONLY
    rungs = [_Rung(first, network=False)]
    if order.network in ("sandbox", "full"):
        rungs.append(_Rung(Sandbox.WORKSPACE_WRITE, network=True))
    if order.network == "full":
        rungs.append(_Rung(Sandbox.DANGER_FULL_ACCESS, network=True))
    return rungs


def _judges(bench: _Bench) -> tuple[tuple[Judge, ...], Finding]:
    """Every judge that was asked, and what the last one's run is worth."""
    judges = list[Judge]()
    model = bench.order.options.model
    finding = Finding("NO_VERDICT")
    for rung in _rungs(bench.order):
        for _ in range(_TRIES):
            number = len(judges) + 1
            bench.tell(f"judge {number}: {rung.sandbox.flag}{', with network' if rung.network else ''}")
            judge, finding = _judge(bench, rung, number, model)
            judges.append(judge)
            bench.tell(f"judge {number}: {finding.outcome}" + (f", {finding.reason}" if finding.reason else ""))
            if finding.outcome != "NO_VERDICT":
                break
            model = model or (judge.models[0] if len(judge.models) == 1 else None)
        if not finding.is_denied:
            break
    return tuple(judges), finding


def _judge(bench: _Bench, rung: _Rung, number: int, model: str | None) -> tuple[Judge, Finding]:
    """One judge, in a checkout of its own."""
    desk, order = bench.desk, bench.order
    with checkout_in(bench.folder, number, bench.subject.repo, bench.judged, desk.bench.clock) as made:
        tree = Path(made.cwd)
        path = path_outside(desk.settings.search_path, [*bench.subject.writable, made.tree])
        _fetch(bench, tree, path)
        wanted = msgspec.structs.replace(
            order.options, cwd=tree, sandbox="read-only", schema=JSON_SCHEMA if order.as_json else None
        )
        request = desk.request(_prompt(bench, rung, model), wanted)
        model = request.model or model or _configured(desk, request)
        request = msgspec.structs.replace(
            request,
            role="validator",
            prompt=_prompt(bench, rung, model),
            sandbox=rung.sandbox.flag,
            network=rung.network,
            authorisation=order.authorisation if rung.sandbox is Sandbox.DANGER_FULL_ACCESS else None,
            tools_path=path,
            required=read_required(order.commands, path, tree),
        )
        if "lane" in order.other:
            request = msgspec.structs.replace(request, may_move=False)
        result = desk.do(request)
        if result.state == "cancelled":
            raise Interrupted("interrupted", f"the judge {result.id} was cancelled")
        seen = _seen(bench, result, rung, made)
        finding = weigh(seen, order.commands, as_json=order.as_json, author_thread=bench.subject.author.thread_id)
        finding = _independent(finding, seen, bench)
    row = desk.bench.runner.row(result.id)
    judge = Judge(
        run=result.id,
        thread_id=result.thread_id,
        lane=lane_of(desk.settings, row.asked.codex_home),
        models=seen.models,
        sandbox=rung.sandbox.flag,
        network=rung.network,
        outcome=finding.outcome,
        code=finding.code,
        reason=redact(finding.reason),
        source=finding.verdict.judge_source if finding.verdict else None,
        ours=seen.ours,
    )
    body = {"validation": bench.id, "subject": bench.subject.name, "outcome": finding.outcome, "code": finding.code}
    now_us = desk.bench.clock.now_us()
    append_event(desk.bench.ledger, at_us=now_us, subject=result.id, kind="judged", body=body)
    return judge, finding


def _configured(desk: Desk, request: RunRequest) -> str | None:
    """The model that Codex is set to: a judge that is not told seldom knows what it is."""
    environ = environ_for(Path(request.codex_home), desk.settings.environ)
    found = settings_of(Path(desk.bench.binary.path), environ, Path(request.cwd))
    return next((json.loads(one.value) for one in found if one.key == "model"), None)


def _prompt(bench: _Bench, rung: _Rung, model: str | None) -> str:
    return prompt_for(
        bench.order.acceptance,
        bench.order.commands,
        base=bench.subject.base,
        work=bench.subject.commit,
        judged=bench.judged,
        restored=bench.restored,
        model=model,
        as_json=bench.order.as_json,
        may_write=rung.sandbox is not Sandbox.READ_ONLY,
    )


def _fetch(bench: _Bench, tree: Path, path: str) -> None:
    """Run what is to be run beforehand, by us and outside of the sandbox, as the person has said."""
    settings = bench.desk.settings
    environ = {"HOME": str(settings.user_home), "PATH": path, "LANG": settings.environ.get("LANG", "C.UTF-8")}
    for required in read_required(bench.order.fetch, path, tree):
        bench.tell(f"beforehand: {words_of(required)}")
        program = str(tree / required.program)
        done = run((program, *required.argv[1:]), cwd=tree, environ=environ, timeout=_FETCH_S)
        if done.code != 0:
            said = redact((done.stdout + done.stderr).decode(errors="replace")).strip()[-_EXCERPT:]
            how = "did not end in time" if done.code is None else f"ended with {done.code}"
            raise HostError("fetch", f"{words_of(required)!r} {how}: {said}", "see that it works by itself")


def _seen(bench: _Bench, result: RunResult, rung: _Rung, made: Checkout) -> Seen:
    """What was observed of a judge's run: from its rollout, else from its stream."""
    items: tuple[Item, ...] = ()
    models = set[str]()
    if result.rollout is not None:
        turns = read_rollout(Path(result.rollout)).turns
        items = tuple(item for turn in turns for item in turn.items)
        models = {turn.model for turn in turns if turn.model}
    elif (events := Attempt(Path(result.folder)).events).exists():
        items = read_stream(events).items
    problem = result.problem
    return Seen(
        thread_id=result.thread_id,
        models=tuple(sorted(models)),
        items=items,
        trees=(str(made.tree), os.path.realpath(made.tree)),
        answer=result.answer,
        sandbox=rung.sandbox.flag,
        network=rung.network,
        changed=_changed(bench, result, made),
        ours=result.required,
        problem=None if problem is None else problem.message,
        problem_code=None if problem is None else problem.code,
    )


def _changed(bench: _Bench, result: RunResult, made: Checkout) -> tuple[str, ...]:
    """Files of the judged commit that were written to, and new ones that a suite would heed."""
    if not result.files_changed:
        return ()
    prefix = Path(made.cwd).relative_to(made.tree).as_posix()
    names = [path if prefix == "." else f"{prefix}/{path}" for path in result.files_changed]
    known = files_of(bench.subject.repo, bench.judged)
    return tuple(name for name in names if name in known or counts_when_new(name))


def _independent(finding: Finding, seen: Seen, bench: _Bench) -> Finding:
    """The finding, unless the judge's model had to be another one than the author's, and is not seen to be."""
    author = bench.subject.author.model
    if "model" not in bench.order.other or finding.outcome not in ("PASS", "FAIL"):
        return finding
    if author is not None and author not in seen.models:
        return finding
    who = author or "a model that is not known"
    return Finding("NO_VERDICT", "judge-model", f"no verdict: the author was {who}, and the judge is to be another")


def _recorded(bench: _Bench, judges: Sequence[Judge], finding: Finding) -> Validation:
    clock, ledger, author = bench.desk.bench.clock, bench.desk.bench.ledger, bench.subject.author
    last = judges[-1]
    same = [("lane", author.lane == last.lane), ("model", author.model in last.models)]
    now_us = clock.now_us()
    file = bench.folder / FILE
    done = Validation(
        id=bench.id,
        subject=bench.subject.name,
        outcome=finding.outcome,
        code=finding.code,
        reason=redact(finding.reason),
        commit=bench.subject.commit,
        base=bench.subject.base,
        judged=bench.judged,
        author=author,
        acceptance_sha256=hash_bytes(bench.order.acceptance.encode()),
        commands=bench.order.commands,
        restored=bench.restored,
        judges=tuple(judges),
        verdict=finding.verdict,
        same=tuple(what for what, is_same in same if is_same),
        signs=signs_of(bench.subject.diff()),
        file=str(file),
        at=rfc3339(now_us),
    )
    data = msgspec.json.encode(done)
    write_atomic(bench.folder / "acceptance.txt", bench.order.acceptance.encode())
    write_atomic(file, data)
    body = {
        "validation": done.id,
        "outcome": done.outcome,
        "code": done.code,
        "judge": last.run,
        "commit": done.commit,
        "acceptance": done.acceptance_sha256,
        "sha256": hash_bytes(data),
    }
    append_event(ledger, at_us=now_us, subject=shown(done.subject), kind="validated", body=body)
    return done

"""Runs for programs: what every command of the command line calls.

Owns opening everything that runs need and the verbs: start, run, resume, fork, review, retry. Does not
own the checks (`desk.py`), the runs themselves (`runner.py`) nor what is done with runs that there are
already (`afterwards.py`).
Invariant: whatever is started here is recorded, also when the caller is interrupted or gives up.

    with open_dispatch() as dispatch:
        result = dispatch.run("Say what this repository is for.")
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from armarius import programs
from armarius import settings as configuration
from armarius.codex.app_server import environ_for
from armarius.codex.command import Fork, Origin, Resume, Review
from armarius.codex.follow import Follower
from armarius.codex.overrides import check_profile
from armarius.codex.processes import Holder
from armarius.codex.queue import queue_message
from armarius.dispatch.afterwards import event_of_run
from armarius.dispatch.carrying import carry
from armarius.dispatch.desk import Desk, Options
from armarius.dispatch.detached import detach
from armarius.dispatch.earlier import Earlier, find_earlier, last_thread, queue_holder, refuse_live
from armarius.dispatch.floor import Floor
from armarius.dispatch.interrupts import Interrupts
from armarius.dispatch.keeper import Begun
from armarius.dispatch.meter import look_of
from armarius.dispatch.options import checked_text
from armarius.dispatch.pool import undisturbed
from armarius.dispatch.workbench import Workbench, workbench
from armarius.errors import DataError, Refused, UsageError, nearest
from armarius.lanes.lanes import Lanes
from armarius.runs.records import RunRow, find_run
from armarius.runs.request import RunEvent, RunRequest, RunResult
from armarius.settings import Settings
from armarius.sharing.checkouts import work_of
from armarius.sharing.site import WAIT, Waiting
from armarius.sharing.wish import Sharing
from armarius.thread import Sandbox

__all__ = ["Dispatch", "Live", "Options", "Review", "RunEvent", "RunResult", "open_dispatch", "schema"]

_SHAPES = {"run": RunResult, "run_event": RunEvent, "run_request": RunRequest}
_OWN_ROLES = ("worker", "reviewer")


@contextmanager
def open_dispatch(
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    lane: str | None = None,
    database: str | None = None,
) -> Generator["Dispatch"]:
    """Everything for runs, by the settings of the user and of the project that `folder` lies in.

    `lane` is the login that new runs are going to name. `environ` takes the place of the caller's
    environment, `database` (postgresql://…) that of the settings. Only the thread that opened it may use it. What was
    started and not waited for goes on; whoever opens the ledger after its end records it.
    """
    settings = configuration.load(None if folder is None else Path(folder), environ)
    if database is not None:
        settings = msgspec.structs.replace(settings, database=configuration.check_database(database))
    with workbench(settings, lane) as bench:
        dispatch = Dispatch(settings, bench)
        try:
            yield dispatch
        finally:
            dispatch.close()


class Live:
    """A run that was started: to be watched, waited for or ended."""

    def __init__(self, desk: Desk, begun: Begun) -> None:
        self._desk = desk
        self._begun = begun
        self._follower = Follower(begun.attempt)
        self._result = begun.done

    @property
    def id(self) -> str:
        return self._begun.run_id

    def stream(self) -> Iterator[RunEvent]:
        """What Codex prints, as it comes, to the end of the attempt that was started; each event once."""
        for line in self._follower.lines(meanwhile=look_of(self._desk.bench.runner, self._begun)):
            yield event_of_run(self.id, self._begun.number, self._follower.number, line)

    def wait(self) -> RunResult:
        """The result. An interrupt ends the run, which is the result then, and raises nothing."""
        if self._result is None:
            with Interrupts() as interrupts:
                self._result = carry(self._desk.bench.runner, self._begun, interrupts=interrupts)
        return self._result

    def cancel(self) -> RunResult:
        """End the run; what came of it."""
        self._begun.attempt.cancel()
        return self.wait()

    @property
    def is_recorded(self) -> bool:
        """Whether somebody waited for it here."""
        return self._result is not None

    def let_go(self) -> None:
        """Answer for it no longer, unless it was waited for."""
        if not self.is_recorded:
            self._desk.bench.runner.let_go(self._begun)


class Dispatch(Desk):
    """A desk that knows earlier work, too. It belongs to the thread that opened it."""

    def __init__(self, settings: Settings, bench: Workbench) -> None:
        super().__init__(settings, bench)
        self._lives = list[Live]()

    def close(self) -> None:
        """Let go of every run that was not waited for: this process may live on for long, and record none of them."""
        for live in self._lives:
            live.let_go()
        self._lives.clear()
        self._bench = None

    def start(self, request: RunRequest, waiting: Waiting = WAIT) -> Live:
        """Claim and start a request, once what it is to hold is free."""
        live: Live | None = None
        runner = self.bench.runner
        held = runner.obtain(request, waiting)
        try:
            with runner.given_back_unless_used(held), undisturbed():
                live = Live(self, runner.begin(request, held))
                self._lives = [*(known for known in self._lives if not known.is_recorded), live]
        except KeyboardInterrupt:
            if live is not None:
                live.cancel()
            raise
        return live

    def detach(self, request: RunRequest, *, any_host: bool = False) -> RunRow:
        """Leave a request to a worker, which is started if none lives; the run as it waits."""
        return detach(self.settings, self.bench.runner, request, any_host=any_host)

    def run(
        self, prompt: str, options: Options | None = None, *, each: Callable[[bytes], object] | None = None
    ) -> RunResult:
        """A new thread, to the end of its turn; `each` is handed every line of Codex's events."""
        return self.do(self.request(prompt, options or Options()), each=each)

    def resume(
        self,
        name: str,
        prompt: str,
        options: Options | None = None,
        *,
        each: Callable[[bytes], object] | None = None,
    ) -> RunResult:
        """A further turn of the thread of a run or a session, to its end."""
        return self.do(self.resume_request(name, prompt, options), each=each)

    def resume_request(self, name: str, prompt: str, options: Options | None = None) -> RunRequest:
        """A further turn of the thread of a run or a session."""
        earlier = self.earlier(name)
        refuse_live(earlier, self.bench.clock)
        if not checked_text(prompt, "the prompt").strip():
            raise UsageError("prompt-empty", "the prompt is empty", "say what is to be done next")
        return self._going_on(earlier, prompt, options or Options(), Resume(earlier.thread_id))

    def queue(self, name: str, prompt: str) -> tuple[str, Holder | None]:
        """Leave words for a session that somebody else has open: they run next there, by its permissions.

        The thread, and who has it.
        """
        earlier = self.earlier(name)
        if not checked_text(prompt, "the prompt").strip():
            raise UsageError("prompt-empty", "the prompt is empty", "say what is to be done next")
        who = queue_holder(earlier, self.bench.clock)
        environ = environ_for(earlier.codex_home, self.settings.environ)
        queue_message(Path(self.bench.binary.path), environ, earlier.thread_id, prompt)
        return earlier.thread_id, who

    def floor(self, name: str) -> Floor:
        """Where to answer, or steer, a run that lives."""
        return Floor(self.bench.runner, find_run(self.bench.ledger, name))

    def fork_request(self, name: str, prompt: str = "", options: Options | None = None) -> RunRequest:
        """A new thread with the history of another; without a prompt it only comes to be."""
        earlier = self.earlier(name)
        return self._going_on(earlier, prompt, options or Options(), Fork(earlier.thread_id))

    def review_request(self, target: Review, prompt: str = "", options: Options | None = None) -> RunRequest:
        """Codex's review of changes; it reads and changes nothing."""
        named = [target.uncommitted, target.base is not None, target.commit is not None, bool(prompt.strip())]
        if named.count(True) != 1:
            raise UsageError(
                "review-target",
                "a review is of exactly one thing",
                "name --uncommitted, --base REF, --commit SHA or instructions of your own",
            )
        wanted = options or Options()
        if wanted.schema is not None:
            raise UsageError("review-schema", "Codex gives a review its own form", "leave out the schema")
        request = self.request(
            prompt, msgspec.structs.replace(wanted, sandbox=Sandbox.READ_ONLY.flag, ephemeral=False), origin=target
        )
        self._check_target(Path(request.cwd), target)
        return request

    def retry_request(self, name: str, *, force: bool = False) -> RunRequest:
        """What an earlier run was asked, to be asked once more; Refused for one that runs or has succeeded."""
        row = find_run(self.bench.ledger, name)
        request = row.asked
        if row.role == "validator":
            raise Refused("run-of-a-judge", f"{row.id} is a judge's", "have the work judged again: `armarius validate`")
        if row.role not in _OWN_ROLES:
            raise Refused("run-of-a-night", f"{row.id} is a {row.role} of a night", "run the night again")
        if row.ended_at_us is None:
            raise Refused("run-live", f"{row.id} is {row.state}", f"`armarius runs cancel {row.id}` first")
        if row.state == "succeeded" and row.paid_key is not None:
            raise Refused("run-paid", f"{row.id} has succeeded, and its paid unit is done once", "start another run")
        if row.state == "succeeded" and not force:
            raise Refused("run-succeeded", f"{row.id} has succeeded", "add --force to do it once more all the same")
        if isinstance(request.origin, Resume):
            refuse_live(Earlier(request.origin.thread_id, Path(request.codex_home)), self.bench.clock)
        if not Path(request.cwd).is_dir():
            raise DataError("folder-missing", f"{row.id} worked in {request.cwd}, which is gone", "start a new run")
        return self.refill(request)

    def earlier(self, name: str) -> Earlier:
        """The thread of the run or session that `name` means."""
        return find_earlier(self.bench.ledger, Lanes(self.settings).homes(), checked_text(name, "the name"))

    def last(self, folder: Path | None) -> str:
        """The session that was written to last, in `folder` if one is named."""
        return last_thread(Lanes(self.settings).homes(), folder)

    def find(self, name: str) -> RunRow:
        """A run by its id or the beginning of it."""
        return find_run(self.bench.ledger, name)

    def _going_on(self, earlier: Earlier, prompt: str, options: Options, origin: Origin) -> RunRequest:
        """What the earlier turn was, where the caller does not say otherwise."""
        before = earlier.run
        cwd = options.cwd or (Path(earlier.cwd) if earlier.cwd else None)
        if options.sandbox is None and earlier.sandbox is Sandbox.DANGER_FULL_ACCESS:
            raise Refused(
                "sandbox-danger",
                f"the last turn of {earlier.thread_id} had danger-full-access, which a run does not take over",
                "say --sandbox read-only or --sandbox workspace-write",
            )
        sandbox = options.sandbox or earlier.sandbox.flag
        writes = sandbox == Sandbox.WORKSPACE_WRITE.flag
        dirs = tuple(map(Path, before.add_dirs)) if before and writes and not options.add_dirs else options.add_dirs
        said = check_profile(earlier.codex_home, options.profile) if options.profile else frozenset[str]()
        profile = options.profile or (before.profile if before else None)
        return self.request(
            prompt,
            msgspec.structs.replace(
                options,
                cwd=cwd,
                sandbox=sandbox,
                model=options.model or (None if "model" in said else earlier.model),
                effort=options.effort or (None if "model_reasoning_effort" in said else earlier.effort),
                service_tier=options.service_tier or (before.service_tier if before else None),
                profile=profile,
                add_dirs=dirs,
                config=(before.config if before else {}) | options.config,
                sharing=_going_on_in(earlier, options.sharing, writes=writes),
                skip_git_check=options.skip_git_check or (before is not None and str(cwd) == before.cwd),
            ),
            origin=origin,
            codex_home=earlier.codex_home,
        )

    def _check_target(self, cwd: Path, target: Review) -> None:
        """Codex would review nothing, at the price of a turn, for a name that git does not know."""
        wanted = target.base or target.commit or "HEAD"
        is_named = target.base is not None or target.commit is not None
        if target == Review():
            return
        question = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{wanted}^{{commit}}"]
        told = programs.run(question, cwd=cwd, environ={"PATH": self.settings.search_path})
        if told.code != 0 and (is_named or not configuration.is_repository(configuration.project_root(cwd))):
            what = f"no commit {wanted!r}" if is_named else "no git repository"
            raise DataError("ref-unknown", f"there is {what} at {cwd}", "see `git log --oneline`")


def _going_on_in(earlier: Earlier, said: Sharing, *, writes: bool) -> Sharing:
    """Trees, scope and needs of the earlier run; a checkout of its own begins with its work. No right is taken over."""
    before = earlier.run
    if before is None:
        return said
    goes_on = said.checkout or (before.checkout and writes)
    work = work_of(earlier.run_id, before) if goes_on and earlier.run_id and before.checkout else None
    return msgspec.structs.replace(
        said,
        checkout=goes_on,
        base=said.base or (None if said.with_uncommitted else work),
        scope=said.scope or (before.scope if writes else ()),
        needs=said.needs or before.needs,
    )


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of `run`, `run_event` or `run_request`."""
    if name not in _SHAPES:
        raise UsageError("schema-unknown", f"no schema called {name!r}", nearest(name, tuple(_SHAPES)))
    return msgspec.json.schema(_SHAPES[name])

"""What a person or a program asks for, as a request that may be run, and its run.

Owns the checks that a wish passes before anything is claimed, and running it in the foreground.
Does not own a run's life (`runner.py`) nor what an earlier thread allows (`earlier.py`).
Invariant: a request that leaves here asks for nothing that its owner did not say; what is refused is
refused before the claim. An interrupt ends a run well and is recorded, however often it comes.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from armarius import settings as configuration
from armarius.budget import Budget
from armarius.codex.app_server import environ_for
from armarius.codex.billing import Kind
from armarius.codex.command import Origin, Review
from armarius.codex.login import refresh_login
from armarius.codex.overrides import check_override, check_profile
from armarius.codex.rules import find_rules
from armarius.dispatch.carrying import carry
from armarius.dispatch.interrupts import Interrupts
from armarius.dispatch.options import Options, checked_options, checked_text
from armarius.dispatch.workbench import Workbench, keys_of
from armarius.errors import DataError, Refused, UsageError
from armarius.lanes.lanes import Lanes
from armarius.proof.required import read_required
from armarius.runs.request import RunRequest, RunResult
from armarius.settings import Settings
from armarius.sharing.site import WAIT, Waiting
from armarius.sharing.wish import with_sharing
from armarius.thread import Sandbox

__all__ = ["Desk", "Options", "check_length"]

_MOST_IMAGES = 64
_LONGEST_PROMPT = 1 << 20
"""Characters; a turn that begins with more ends before it has begun."""


class Desk:
    """Where work is handed in. It belongs to the thread that opened it, until it is closed."""

    def __init__(self, settings: Settings, bench: Workbench) -> None:
        self.settings = settings
        self._bench: Workbench | None = bench
        self._whose = _here()

    @property
    def bench(self) -> Workbench:
        """What the work is done with; UsageError in another thread, in a forked process, and once it was closed."""
        if self._bench is None:
            raise UsageError("dispatch-closed", "the dispatch was closed", "do it within `with open_dispatch()`")
        if self._whose != _here():
            what = "a dispatch belongs to the thread that opened it"
            raise UsageError("dispatch-thread", what, "call open_dispatch() in this thread, too")
        return self._bench

    def request(
        self,
        prompt: str,
        options: Options,
        *,
        origin: Origin | None = None,
        codex_home: Path | None = None,
    ) -> RunRequest:
        """The wish as a request; UsageError, DataError or Refused when it may not be one."""
        options = checked_options(options)
        _check_wish(prompt, options, origin)
        cwd = _folder(options.cwd or _current(), "-C")
        limits = configuration.load(cwd, self.settings.environ)
        sandbox = _sandbox(options.sandbox or Sandbox.READ_ONLY.flag)
        home, kind = self._seat(options.lane, codex_home)
        if options.profile is not None:
            check_profile(home, options.profile)
        for key, value in options.config.items():
            check_override(key, value)
        _check_writing(sandbox, cwd, options)
        if sandbox is not Sandbox.READ_ONLY and not options.sharing.checkout:
            _check_kept("folder-kept", cwd, self.settings, home, "or in a tree of the run's own: --checkout")
        _check_asking(home, cwd, options)
        _check_home(home, cwd, self.settings)
        request = RunRequest(
            role="reviewer" if isinstance(origin, Review) else "worker",
            prompt=prompt,
            cwd=str(cwd),
            sandbox=sandbox.flag,
            home=str(self.settings.user_home),
            codex_home=str(home),
            tools_path=self.settings.search_path,
            deadline_s=_deadline(options.timeout, limits),
            model=options.model or (None if options.profile else limits.model),
            effort=options.effort or (None if options.profile else limits.effort),
            schema=options.schema,
            origin=origin,
            service_tier=options.service_tier,
            profile=options.profile,
            images=_images(options.images),
            add_dirs=tuple(str(_outer(_folder(path, "--add-dir"), self.settings, home)) for path in options.add_dirs),
            config=options.config,
            ephemeral=options.ephemeral,
            approval=options.approval,
            required=read_required(options.require, self.settings.search_path, cwd),
            budget=_budget(options.budget, limits),
            may_move=codex_home is None and not _stays(options),
        )
        # Last, because Codex itself may be asked, in a home that was found to be the user's.
        keys = self.keys(home, cwd, options.profile, kind)
        return with_sharing(
            msgspec.structs.replace(request, environ=keys),
            options.sharing,
            ledger=self.bench.ledger,
            clock=self.bench.clock,
            homes=Lanes(self.settings).homes(),
            resources=self.settings.resources,
        )

    def keys(self, codex_home: Path, cwd: Path, profile: str | None, kind: Kind | None) -> dict[str, str]:
        """What the provider of a CODEX_HOME needs from the environment, once it is fit to be billed."""
        program = Path(self.bench.binary.path)
        return keys_of(self.settings, codex_home, kind=kind, program=program, cwd=cwd, profile=profile)[1]

    def _seat(self, lane: str | None, codex_home: Path | None) -> tuple[Path, Kind | None]:
        """The CODEX_HOME of a run and the kind of its lane, None for the caller's own; a thread stays in its home."""
        lanes = Lanes(self.settings)
        if codex_home is None:
            name = lane or lanes.default()
            found = lanes.find(name)
            return lanes.home(name), found.kind if found else None
        if lane is not None and lanes.home(lane) != codex_home:
            raise UsageError("lane", f"a thread of {codex_home} goes on with the login there", "leave out --lane")
        return codex_home, lanes.kind_of(codex_home)

    def do(
        self,
        request: RunRequest,
        *,
        each: Callable[[bytes], object] | None = None,
        interrupts: Interrupts | None = None,
        waiting: Waiting = WAIT,
        closing: Callable[[RunResult], RunResult] | None = None,
    ) -> RunResult:
        """Run to the end; `each` is handed every line of Codex's events as it comes.

        `closing` is handed the result while the run still holds its tree and what it needs; its answer is recorded.
        SIGINT ends the run; whoever reports it as well brings `interrupts` of their own, already in force.
        """
        if interrupts is None:
            with Interrupts() as own:
                return self.do(request, each=each, interrupts=own, waiting=waiting, closing=closing)
        runner = self.bench.runner
        held = runner.obtain(request, msgspec.structs.replace(waiting, pause=interrupts.pause))
        with runner.given_back_unless_used(held):
            self.refresh(request)
            begun = runner.begin(request, held)
        return carry(runner, begun, each=each, interrupts=interrupts, closing=closing)

    def refill(self, request: RunRequest) -> RunRequest:
        """A request from the ledger, with what is never stored."""
        home, cwd = Path(request.codex_home), _folder(Path(request.cwd), "-C")
        if request.profile is not None:
            check_profile(home, request.profile)
        keys = self.keys(home, cwd, request.profile, Lanes(self.settings).kind_of(home))
        return msgspec.structs.replace(request, environ=keys)

    def refresh(self, request: RunRequest) -> None:
        """Have the login of a lane renewed if it would end within the run: by one process, before it starts."""
        home = Path(request.codex_home)
        if Lanes(self.settings).kind_of(home) == "chatgpt":
            until_us = self.bench.clock.now_us() + int(request.deadline_s * 1_000_000)
            environ = environ_for(home, self.settings.environ)
            refresh_login(Path(self.bench.binary.path), home, environ, self.settings.locks, until_us)


def _stays(options: Options) -> bool:
    """Whether a run is bound to its login; which MCP servers there are is the home's affair."""
    needs_server = any(need.startswith("mcp:") for need in options.sharing.needs)
    return bool(options.lane or options.profile or options.approval != "never" or needs_server)


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def _check_wish(prompt: str, options: Options, origin: Origin | None) -> None:
    if not checked_text(prompt, "the prompt").strip() and origin is None:
        raise UsageError("prompt-empty", "the prompt is empty", "say what is to be done")
    check_length(prompt)
    if options.ephemeral and origin is not None:
        raise UsageError("ephemeral", "only a new thread can be ephemeral", "leave it out")
    for name in ("model", "effort", "service_tier"):
        word: str | None = getattr(options, name)
        if word is not None and not word.isprintable():
            raise UsageError(
                "options-word", f"{name} {word!r} has characters that no name has", "write it as Codex does"
            )


def _current() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise DataError("folder-missing", "the current folder is gone", "name an existing one with -C") from None


def _folder(path: Path, flag: str) -> Path:
    absolute = path.absolute()  # keeps the name of a link
    if not absolute.is_dir():
        raise DataError("folder-missing", f"no folder at {absolute}", f"name an existing one with {flag}")
    return absolute


def _sandbox(flag: str) -> Sandbox:
    try:
        sandbox = Sandbox.from_flag(flag)
    except ValueError:
        known = ", ".join(mode.flag for mode in Sandbox)
        raise UsageError("sandbox", f"no sandbox is called {flag!r}", f"use one of {known}") from None
    if sandbox is Sandbox.DANGER_FULL_ACCESS:
        raise Refused(
            "sandbox-danger",
            "danger-full-access needs a recorded authorisation, which this version cannot record",
            "use workspace-write",
        )
    return sandbox


def _check_writing(sandbox: Sandbox, cwd: Path, options: Options) -> None:
    """What only a run that may write can ask for, and what it must bring along."""
    if sandbox is Sandbox.READ_ONLY:
        if options.add_dirs:
            raise UsageError("add-dir", "--add-dir means nothing to a read-only run", "add --sandbox workspace-write")
        return
    if options.ephemeral:
        raise Refused(
            "ephemeral-writes",
            "an ephemeral run leaves no record of what it was allowed, so it may not write",
            "leave out --ephemeral or the sandbox",
        )
    if not options.skip_git_check and not configuration.is_repository(configuration.project_root(cwd)):
        raise Refused(
            "no-repository",
            f"{cwd} lies in no git repository, so nothing there could be undone",
            "run `git init`, or add --skip-git-check",
        )


def _check_asking(codex_home: Path, cwd: Path, options: Options) -> None:
    """What a run cannot have that may ask a person."""
    if options.approval == "never":
        return
    if options.profile is not None:
        raise UsageError("approval-profile", "codex app-server knows no profiles", "leave out --profile or --approval")
    if options.ephemeral:
        raise Refused(
            "approval-ephemeral",
            "an ephemeral run leaves no record of what it was allowed, so nothing more can be allowed to it",
            "leave out --ephemeral or --approval",
        )
    rules = find_rules(codex_home, cwd)
    if rules is not None:
        raise Refused(
            "approval-rules",
            f"{rules} may let commands out of the sandbox without a question, and codex app-server heeds it always",
            "put the rules aside for the run, or leave out --approval, which ignores them",
        )


def _check_home(codex_home: Path, cwd: Path, settings: Settings) -> None:
    """A repository could bring its own CODEX_HOME along, and have it named by a file that a shell loads by itself."""
    real, top = codex_home.resolve(), configuration.project_root(cwd).resolve()
    if codex_home != settings.user_home / ".codex" and real.is_relative_to(top):
        raise Refused(
            "home-in-project",
            f"CODEX_HOME {codex_home} lies in the project {top}, which would say who pays and which programs run",
            "set CODEX_HOME to a folder of your own outside of it",
        )


def _outer(path: Path, settings: Settings, codex_home: Path) -> Path:
    """A further writable folder."""
    _check_kept("add-dir", path, settings, codex_home)
    return path


def _check_kept(code: str, path: Path, settings: Settings, codex_home: Path, else_: str = "") -> None:
    """Refuse a folder from which a run could change its own evidence, login or rules."""
    real = path.resolve()
    for what, kept in (
        ("Armarius keeps its evidence", settings.home),
        ("it is said which programs Armarius starts", settings.config),
        ("Codex keeps its login", codex_home),
        ("Codex keeps its login", settings.codex_home),
    ):
        kept_real = kept.resolve()
        if real.is_relative_to(kept_real) or kept_real.is_relative_to(real):
            way_out = ", ".join(filter(None, ("let it write to another folder", else_)))
            raise Refused(code, f"{path} holds or lies in {kept}, where {what}", way_out)


def _budget(wanted: Budget, limits: Settings) -> Budget:
    """The standing budget of a run, made smaller by what this one says."""
    wider = wanted.wider(limits.run_budget)
    if wider is not None:
        most = getattr(limits.run_budget, wider)
        said = f"--budget {wider}={getattr(wanted, wider):g} is more than the {most:g} that each run may use up"
        raise UsageError("budget", said, "lower it, or raise [budget.run] in your config.toml or the project's limit")
    return limits.run_budget.joined(wanted)


def _images(paths: tuple[Path, ...]) -> tuple[str, ...]:
    if len(paths) > _MOST_IMAGES:
        raise UsageError("image", f"{len(paths)} images are too many", f"at most {_MOST_IMAGES}")
    for path in paths:
        if not path.is_file():
            raise DataError("image-missing", f"no image at {path.absolute()}", "name an existing file")
    return tuple(str(path.absolute()) for path in paths)


def check_length(prompt: str) -> None:
    """Refuse what Codex would not take."""
    if len(prompt) > _LONGEST_PROMPT:
        raise DataError(
            "prompt-size",
            f"the prompt has {len(prompt):,} characters, and Codex takes {_LONGEST_PROMPT:,}",
            "write it to a file and ask for that to be read",
        )


def _deadline(timeout: float | None, limits: Settings) -> float:
    deadline = limits.timeout if timeout is None else timeout
    if not 0 < deadline <= limits.timeout:
        raise UsageError(
            "timeout",
            f"--timeout {deadline:g} is not within 0 and {limits.timeout:g} seconds",
            "for more, set `timeout` in your config.toml or ARMARIUS_TIMEOUT",
        )
    return deadline

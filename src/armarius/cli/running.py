"""What `run`, `resume`, `fork` and `review` have in common on the command line.

Owns their flags, the prompt with what is piped in, and what is printed. Does not own what a flag may say
(`dispatch.desk`) nor the files they write for the caller (files.py).
Invariant: what is piped in is never dropped, and never waited for without end.
"""

import os
import select
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from armarius.budget import NO_BUDGET, parse_budget
from armarius.cli.database import DATABASE
from armarius.cli.files import Outputs
from armarius.cli.output import print_json, say
from armarius.cli.runs.asking import tell_of_questions
from armarius.cli.runs.lines import print_runs
from armarius.cli.sharing import NEEDING, SHARING, waiting_of
from armarius.codex.command import Approval
from armarius.codex.overrides import parse_override
from armarius.dispatch.desk import Desk, Options
from armarius.dispatch.detached import detach
from armarius.dispatch.interrupts import Interrupts
from armarius.errors import ArmariusError, DataError, UsageError
from armarius.runs.answer import read_schema
from armarius.runs.queued import line
from armarius.runs.request import RunRequest, RunResult
from armarius.sharing.wish import Sharing
from armarius.thread import Sandbox

__all__ = ["AS_JSON", "Flags", "do", "flags", "folder_of", "read_prompt", "report", "words_of"]

_F = TypeVar("_F", bound=Callable[..., Any])

_PATIENCE_S = 3.0
_LARGEST_INPUT = 16 << 20
_PATH = click.Path(path_type=Path)

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")

_SANDBOX = click.option("--sandbox", type=click.Choice([mode.flag for mode in Sandbox]), help="What commands may do.")
_APPROVAL = click.option(
    "--approval",
    type=click.Choice(["never", "on-request"]),
    default="never",
    help="Whether a person is asked for what the sandbox forbids: see `armarius runs approve`.",
)
_SCHEMA = click.option("--schema", "schema_file", type=_PATH, help="JSON Schema the answer must fit.")
_COMMON = (
    click.option("-C", "--cd", "folder", type=_PATH, help="Work in this folder."),
    click.option("--model", help="The model; default: what your Codex is set to."),
    click.option("--effort", help="Reasoning effort, e.g. low, medium, high."),
    click.option("--service-tier", help="The provider's service tier, e.g. flex, priority."),
    click.option("--profile", help="A profile of yours: NAME.config.toml in CODEX_HOME."),
    click.option("--config", "config", multiple=True, metavar="KEY=VALUE", help="A harmless key of Codex's."),
    click.option("--timeout", type=float, help="Seconds until the run is ended."),
    click.option(
        "--budget", metavar="MEASURE=N,…", help="What it may use up: tokens, requests, turns, minutes, agents."
    ),
    click.option("-o", "--last-message", type=_PATH, help="Write the answer of a completed turn to this file."),
    click.option("--events", type=_PATH, help="Write Codex's events to this file, as they come."),
    AS_JSON,
)
_WRITING = (
    click.option("--add-dir", "add_dirs", type=_PATH, multiple=True, help="A further folder that may be written to."),
    click.option("--skip-git-check", is_flag=True, help="Let a run write where there is no git repository."),
)
_QUEUE = (
    click.option("--detach", is_flag=True, help="Return at once; a worker does the run."),
    click.option("--any-host", is_flag=True, help="With --detach: any host may do it that has its folder and lane."),
    DATABASE,
)
_LANE = click.option("--lane", help="The login to use: one of `armarius lanes`, or `own`.")
_IMAGE = click.option("--image", "images", type=_PATH, multiple=True, help="An image that goes with the prompt.")
_REQUIRE = click.option(
    "--require",
    metavar="CMD",
    multiple=True,
    help="A command that has to succeed afterwards; Armarius runs it, without a shell.",
)
_EPHEMERAL = click.option("--ephemeral", is_flag=True, help="Leave no session file; only for a read-only run.")


def flags(
    *, writes: bool = True, images: bool = True, ephemeral: bool = False, lane: bool = False
) -> Callable[[_F], _F]:
    """The flags of a Codex user, as far as a command has a use for them."""
    chosen = [
        *((_SANDBOX, _APPROVAL, _SCHEMA) if writes else ()),
        *_COMMON[:5],
        *((_IMAGE,) if images else ()),
        *((*_WRITING, *SHARING) if writes else ()),
        *NEEDING,
        _REQUIRE,
        *((_EPHEMERAL,) if ephemeral else ()),
        *((_LANE,) if lane else ()),
        *_QUEUE,
        *_COMMON[5:],
    ]

    def decorate(function: _F) -> _F:
        for option in reversed(chosen):
            function = option(function)
        return function

    return decorate


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed, by the names of the flags."""

    as_json: bool
    folder: Path | None = None
    sandbox: str | None = None
    approval: Approval = "never"
    schema_file: Path | None = None
    model: str | None = None
    effort: str | None = None
    service_tier: str | None = None
    profile: str | None = None
    images: tuple[Path, ...] = ()
    add_dirs: tuple[Path, ...] = ()
    config: tuple[str, ...] = ()
    lane: str | None = None
    timeout: float | None = None
    budget: str | None = None
    ephemeral: bool = False
    skip_git_check: bool = False
    checkout: bool = False
    base: str | None = None
    with_uncommitted: bool = False
    allow_commit: bool = False
    scope: tuple[str, ...] = ()
    after: str | None = None
    reviewed: str | None = None
    needs: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    wait: float | None = None
    last_message: Path | None = None
    events: Path | None = None
    detach: bool = False
    any_host: bool = False

    def options(self) -> Options:
        """The same as a wish."""
        return Options(
            cwd=self.folder,
            sandbox=self.sandbox,
            model=self.model,
            effort=self.effort,
            service_tier=self.service_tier,
            profile=self.profile,
            images=self.images,
            add_dirs=self.add_dirs,
            config=dict(map(parse_override, self.config)),
            lane=self.lane,
            schema=read_schema(self.schema_file) if self.schema_file else None,
            timeout=self.timeout,
            budget=NO_BUDGET if self.budget is None else parse_budget(self.budget),
            ephemeral=self.ephemeral,
            skip_git_check=self.skip_git_check,
            approval=self.approval,
            sharing=self._sharing(),
            require=self.require,
        )

    def _sharing(self) -> Sharing:
        names = Sharing.__struct_fields__
        return Sharing(**{name: getattr(self, name) for name in names})


def words_of(typed: dict[str, Any]) -> Flags:
    """The flags of a command, as click hands them over."""
    return Flags(**typed)


def folder_of(folder: Path | None) -> Path:
    """The folder that is meant; DataError when it is not there."""
    path = Path(os.getcwd()) if folder is None else folder.absolute()  # noqa: PTH109  # keeps the name of a link
    if not path.is_dir():
        raise DataError("folder-missing", f"no folder at {path}", "name an existing one with -C")
    return path


def do(desk: Desk, request: RunRequest, typed: Flags, *, ended: Callable[[RunResult], object] | None = None) -> int:
    """Run a request to its end, write the files that were asked for, and print what came of it; `ended` hears of it."""
    if typed.detach or typed.any_host:
        return hand_in(desk, request, typed)
    with Interrupts(is_last=True) as interrupts, Outputs(typed.last_message, typed.events, desk.settings) as outputs:
        each = outputs.event if typed.events else None
        if request.approval != "never":
            each = tell_of_questions(each)
        result = desk.do(request, each=each, interrupts=interrupts, waiting=waiting_of(typed.wait))
        try:
            outputs.end(result.answer)
        except ArmariusError:
            report(result, as_json=typed.as_json)  # it was paid for
            raise
        if ended is not None:
            ended(result)
        return report(result, as_json=typed.as_json)


def hand_in(desk: Desk, request: RunRequest, typed: Flags) -> int:
    """Leave a request to a worker, and print which run it is."""
    if not typed.detach:
        raise UsageError("any-host", "--any-host goes with --detach", "add --detach")
    if typed.last_message is not None or typed.events is not None or typed.wait is not None:
        raise UsageError(
            "detach-files", "nobody is there to write files or to wait", "leave out -o, --events and --wait"
        )
    run = detach(desk.settings, desk.bench.runner, request, any_host=typed.any_host)
    if typed.as_json:
        print_runs([run], as_json=True, line=line(desk.bench.ledger))
    else:
        say(run.id)
    return 0


def read_prompt(prompt: str | None, *, is_optional: bool = False, way_out: str | None = None) -> str:
    """What is asked: the argument, standard input for `-`, or what is piped in; both go together as Codex puts them.

    An argument with data piped in becomes the argument and a `<stdin>` block. `way_out` is what to do without one.
    """
    if prompt is None and is_optional:
        return ""
    if prompt == "-":
        text = _decoded(_read_all(), "standard input")
    elif prompt is None:
        piped = _piped()
        if piped is None:
            raise UsageError("prompt-missing", "there is no prompt", way_out or "give it as an argument, or pipe it in")
        text = piped
    else:
        said = _decoded(os.fsencode(prompt), "PROMPT")
        piped = _piped()
        block = f"\n\n<stdin>\n{piped}" + ("" if piped.endswith("\n") else "\n") + "</stdin>" if piped else ""
        text = said + block
    if not text.strip():
        raise UsageError("prompt-empty", "the prompt is empty", way_out or "say what is to be done")
    return text


def _piped() -> str | None:
    """What is piped in or redirected from a file; None for a terminal and for nothing at all."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return None
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        ready, _, _ = select.select([0], [], [], _PATIENCE_S)
        if not ready:
            raise UsageError(
                "stdin-open",
                f"standard input is open, and nothing came from it for {_PATIENCE_S:g} seconds",
                "add `< /dev/null`, or give `-` to wait for it",
            )
    elif not stat.S_ISREG(mode):
        return None
    return _decoded(_read_all(), "standard input")


def _read_all() -> bytes:
    data = sys.stdin.buffer.read(_LARGEST_INPUT + 1)
    if len(data) > _LARGEST_INPUT:
        raise DataError("prompt-size", f"standard input has more than {_LARGEST_INPUT:,} bytes", "name a file instead")
    return data


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            "prompt-encoding", f"{where}: byte {error.start} is not UTF-8", "write the prompt in UTF-8"
        ) from error


def report(result: RunResult, *, as_json: bool) -> int:
    """Print what came of a run; its exit code."""
    problem = result.problem
    if as_json:
        print_json(result)
    else:
        if result.answer is not None:
            say(result.answer)
        say(_summary(result), err=True)
        if problem is not None:
            say(f"armarius: {problem.message}" + (f"; {problem.hint}" if problem.hint else ""), err=True)
    return 0 if problem is None else problem.exit_code


def _summary(result: RunResult) -> str:
    usage = result.usage
    seconds = (result.duration_us or 0) / 1_000_000
    parts = [
        f"{result.id} {result.state} in {seconds:.1f} s",
        f"{usage.input:,} tokens in ({usage.cached_input:,} cached), {usage.output:,} out",
        ("1 command" if result.commands == 1 else f"{result.commands} commands")
        + (f" ({result.failed_commands} failed)" if result.failed_commands else ""),
    ]
    if result.failed_changes:
        parts.append(f"{result.failed_changes} patches failed")
    if result.files_changed:
        parts.append("changed " + ", ".join(result.files_changed))
    if result.work is not None and result.work.ref is not None:
        parts.append(f"work at {result.work.ref}")
    if result.work is not None and result.work.left_out:
        parts.append("left out " + ", ".join(left.path for left in result.work.left_out))
    return " · ".join(parts)

"""What a tool may be asked, typed; and the words of the command that it means.

Owns the inputs and their translation. Does not own what a command makes of them.
Invariant: a value is never read as a flag, whatever it begins with; no input names a program, a login of
somebody else, a wider sandbox or a flag of its own.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from armarius.errors import UsageError
from armarius.identity import canonical_json

__all__ = [
    "AuditReport",
    "BatchCheck",
    "Folder",
    "Limit",
    "Nothing",
    "PlanCheck",
    "PlanList",
    "Probe",
    "Prompt",
    "Proposal",
    "Resume",
    "ResumeWriting",
    "Review",
    "Run",
    "RunName",
    "RunWriting",
    "Runs",
    "RunsWait",
    "SessionName",
    "Sessions",
    "SessionsSearch",
    "Text",
    "WatchWish",
    "Wish",
    "each_flag",
    "one_flag",
]

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Prompt = Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 20, description="What is to be done.")]
Folder = Annotated[Text, msgspec.Meta(description="Folder to work in; default: where this server was started.")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]
_Since = Annotated[Text, msgspec.Meta(description="Active since then: 3h, 2d, 1w, or a date (UTC).")]


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is asked of a tool."""

    def words(self) -> list[str]:
        """What stands behind the command's own words."""
        return []

    @property
    def data(self) -> bytes:
        """What the command reads from its standard input."""
        return b""

    @property
    def folder(self) -> str | None:
        """Where it works, if it says so."""
        return None

    @property
    def texts(self) -> dict[str, bytes]:
        """What the command reads from a file, by the flag that names it."""
        return {}


class Nothing(Wish, frozen=True, kw_only=True):
    """There is nothing to say."""


class Sessions(Wish, frozen=True, kw_only=True):
    """Which sessions."""

    since: _Since | None = None
    repo: Text | None = None
    model: Text | None = None
    source: Text | None = None
    limit: Limit = 20

    def words(self) -> list[str]:
        return [*_filters(self.since, self.repo, self.model, self.source), f"--limit={self.limit}"]


class SessionName(Wish, frozen=True, kw_only=True):
    """One session: its id, the beginning of it, its name, or its file."""

    session: Text

    def words(self) -> list[str]:
        return ["--brief", "--", self.session]


class SessionsSearch(Wish, frozen=True, kw_only=True):
    """Words that all occur; "several words" in quotes follow each other; begin* finds words that begin so."""

    query: Text
    since: _Since | None = None
    repo: Text | None = None
    model: Text | None = None
    source: Text | None = None
    limit: Limit = 20

    def words(self) -> list[str]:
        filters = _filters(self.since, self.repo, self.model, self.source)
        return [*filters, f"--limit={self.limit}", "--", self.query]


class WatchWish(Wish, frozen=True, kw_only=True):
    """What to wait for. With the `cursor` of the last answer nothing is missed and nothing is told twice."""

    threads: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64, description="Sessions; none: all.")] = ()
    repos: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16, description="Say when HEAD moves.")] = ()
    cursor: Annotated[str, msgspec.Meta(pattern=r"^cur_[0-9a-f-]{36}\Z")] | None = None
    timeout_s: Annotated[_Seconds, msgspec.Meta(description="Seconds to wait at most for a signal.")] = 50.0
    stall_s: Annotated[float, msgspec.Meta(gt=0, le=1_000_000, description="Silence in an open turn.")] = 600.0
    most: Annotated[int, msgspec.Meta(ge=1, le=100, description="Signals at a time.")] = 20

    def words(self) -> list[str]:
        return [
            f"--timeout={max(self.timeout_s, 0.05)}",
            f"--stall={self.stall_s}",
            f"--max-events={self.most}",
            *each_flag("--repo", self.repos),
            *(("--", *self.threads) if self.threads else ("--all",)),
        ]


class Runs(Wish, frozen=True, kw_only=True):
    """Which runs."""

    limit: Limit = 20
    role: Literal["worker", "replay", "reflection", "reviewer"] | None = None

    def words(self) -> list[str]:
        return [f"--limit={self.limit}", *one_flag("--role", self.role)]


class RunName(Wish, frozen=True, kw_only=True):
    """One run: its id or the beginning of it."""

    run: Text

    def words(self) -> list[str]:
        return ["--", self.run]


class RunsWait(Wish, frozen=True, kw_only=True):
    """Runs to wait for, and how long at most."""

    runs: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=64)]
    timeout_s: _Seconds = 50.0

    def words(self) -> list[str]:
        return [f"--timeout={self.timeout_s}", "--", *self.runs]


class _Work(Wish, frozen=True, kw_only=True):
    """What every run has."""

    cwd: Folder | None = None
    model: Text | None = None
    effort: Text | None = None
    lane: Text | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None
    budget: Annotated[Text, msgspec.Meta(description="e.g. tokens=200000,minutes=30")] | None = None
    needs: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16, description="e.g. gpu:1, port:8080")] = ()
    detach: Annotated[bool, msgspec.Meta(description="Return at once; then ask `runs_wait`.")] = False

    @property
    def folder(self) -> str | None:
        return self.cwd

    def _common(self) -> list[str]:
        return [
            *one_flag("--cd", self.cwd),
            *one_flag("--model", self.model),
            *one_flag("--effort", self.effort),
            *one_flag("--lane", self.lane),
            *one_flag("--timeout", self.timeout_s),
            *one_flag("--budget", self.budget),
            *each_flag("--needs", self.needs),
            *(("--detach",) if self.detach else ()),
        ]


class Run(_Work, frozen=True, kw_only=True):
    """A piece of work in a thread of its own, whose commands may only read."""

    prompt: Prompt
    schema: Annotated[dict[str, Any], msgspec.Meta(description="JSON Schema the answer must fit.")] | None = None

    def words(self) -> list[str]:
        return [*self._common(), "--sandbox=read-only", "--", "-"]

    @property
    def data(self) -> bytes:
        return self.prompt.encode()

    @property
    def texts(self) -> dict[str, bytes]:
        return {} if self.schema is None else {"--schema": canonical_json(self.schema)}


class RunWriting(Run, frozen=True, kw_only=True):
    """A piece of work that may change files: in a checkout of its own, unless `in_place`."""

    in_place: Annotated[bool, msgspec.Meta(description="Work in the folder itself.")] = False
    scope: Annotated[tuple[Text, ...], msgspec.Meta(max_length=64, description="Paths that may change.")] = ()

    def words(self) -> list[str]:
        place = () if self.in_place else ("--checkout",)
        return [*self._common(), "--sandbox=workspace-write", *place, *each_flag("--scope", self.scope), "--", "-"]


class Resume(_Work, frozen=True, kw_only=True):
    """A further turn of the thread of a run or a session, whose commands may only read."""

    name: Annotated[Text, msgspec.Meta(description="A run or a session.")]
    prompt: Prompt

    def words(self) -> list[str]:
        return [*self._resume(), "--sandbox=read-only", "--", self.name, "-"]

    @property
    def data(self) -> bytes:
        return self.prompt.encode()

    def _resume(self) -> list[str]:
        if self.lane is not None:
            raise UsageError("lane", "a thread stays with the login it has", "leave out `lane`")
        return self._common()


class ResumeWriting(Resume, frozen=True, kw_only=True):
    """A further turn that may change files: in a checkout that begins with its work, unless `in_place`."""

    in_place: bool = False

    def words(self) -> list[str]:
        place = () if self.in_place else ("--checkout",)
        return [*self._resume(), "--sandbox=workspace-write", *place, "--", self.name, "-"]


class Review(_Work, frozen=True, kw_only=True):
    """Codex's review of exactly one thing; it reads and changes nothing."""

    uncommitted: bool = False
    base: Annotated[Text, msgspec.Meta(description="Changes since this branch or commit.")] | None = None
    commit: Text | None = None
    instructions: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 20)] | None = None

    def words(self) -> list[str]:
        flag = ("--uncommitted",) if self.uncommitted else ()
        what = [*flag, *one_flag("--base", self.base), *one_flag("--commit", self.commit)]
        return [*self._common(), *what, *(("--", "-") if self.instructions else ())]

    @property
    def data(self) -> bytes:
        return (self.instructions or "").encode()


class BatchCheck(Wish, frozen=True, kw_only=True):
    """The text of a batch file: TOML, or one JSON object a line."""

    plan: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 20)]

    def words(self) -> list[str]:
        return ["--", "-"]

    @property
    def data(self) -> bytes:
        return self.plan.encode()


class Probe(Wish, frozen=True, kw_only=True):
    """What is to be looked at; nothing: the GPUs and all that is declared."""

    needs: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16)] = ()

    def words(self) -> list[str]:
        return ["--", *self.needs] if self.needs else []


class PlanList(Wish, frozen=True, kw_only=True):
    """The repository of a folder."""

    cwd: Folder | None = None

    def words(self) -> list[str]:
        return one_flag("--cd", self.cwd)


class PlanCheck(Wish, frozen=True, kw_only=True):
    """Plans to be held to their rules; none: all of the repository."""

    cwd: Folder | None = None
    files: Annotated[tuple[Text, ...], msgspec.Meta(max_length=256)] = ()
    strict_evidence: bool = False

    def words(self) -> list[str]:
        strict = ("--strict-evidence",) if self.strict_evidence else ()
        return [*one_flag("--cd", self.cwd), *strict, *(("--", *self.files) if self.files else ())]


class AuditReport(Wish, frozen=True, kw_only=True):
    """A recorded stream by its thread, hash or label; without one, the last that came."""

    run: Text | None = None

    def words(self) -> list[str]:
        return one_flag("--run", self.run)


class Proposal(Wish, frozen=True, kw_only=True):
    """A staged proposal; it has to be named, so that nobody adopts what came meanwhile."""

    proposal: Text

    def words(self) -> list[str]:
        return ["--", self.proposal]


def _filters(since: str | None, repo: str | None, model: str | None, source: str | None) -> list[str]:
    where = None if repo is None else str(Path(repo).absolute())
    return [
        *one_flag("--since", since),
        *one_flag("--repo", where),
        *one_flag("--model", model),
        *one_flag("--source", source),
    ]


def one_flag(flag: str, value: object) -> list[str]:
    """A flag with its value in one word, so that the value is none itself."""
    return [] if value is None else [f"{flag}={value}"]


def each_flag(flag: str, values: Iterable[str]) -> list[str]:
    return [f"{flag}={value}" for value in values]

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
    "CacheGet",
    "Consult",
    "MemoryAdd",
    "MemoryForget",
    "MemorySearch",
    "Nothing",
    "PlanCheck",
    "PlanList",
    "Probe",
    "Proposal",
    "Resume",
    "ResumeWriting",
    "Review",
    "Run",
    "RunName",
    "RunNames",
    "RunWriting",
    "Runs",
    "RunsWait",
    "SessionName",
    "Sessions",
    "SessionsSearch",
    "Validate",
    "WatchWish",
    "Wish",
    "Workflow",
]

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
_Prompt = Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 20, description="What is to be done.")]
_Folder = Annotated[_Text, msgspec.Meta(description="Folder to work in; default: where this server was started.")]
_Limit = Annotated[int, msgspec.Meta(ge=1, le=200)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600)]
_Since = Annotated[_Text, msgspec.Meta(description="Active since then: 3h, 2d, 1w, or a date (UTC).")]


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
    repo: _Text | None = None
    model: _Text | None = None
    source: _Text | None = None
    limit: _Limit = 20

    def words(self) -> list[str]:
        return [*_filters(self.since, self.repo, self.model, self.source), f"--limit={self.limit}"]


class SessionName(Wish, frozen=True, kw_only=True):
    """One session: its id, the beginning of it, its name, or its file."""

    session: _Text

    def words(self) -> list[str]:
        return ["--brief", "--", self.session]


class SessionsSearch(Wish, frozen=True, kw_only=True):
    """Words that all occur; "several words" in quotes follow each other; begin* finds words that begin so."""

    query: _Text
    since: _Since | None = None
    repo: _Text | None = None
    model: _Text | None = None
    source: _Text | None = None
    limit: _Limit = 20

    def words(self) -> list[str]:
        filters = _filters(self.since, self.repo, self.model, self.source)
        return [*filters, f"--limit={self.limit}", "--", self.query]


class WatchWish(Wish, frozen=True, kw_only=True):
    """What to wait for. With the `cursor` of the last answer nothing is missed and nothing is told twice."""

    threads: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=64, description="Sessions; none: all.")] = ()
    repos: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=16, description="Say when HEAD moves.")] = ()
    cursor: Annotated[str, msgspec.Meta(pattern=r"^cur_[0-9a-f-]{36}\Z")] | None = None
    timeout_s: Annotated[_Seconds, msgspec.Meta(description="Seconds to wait at most for a signal.")] = 50.0
    stall_s: Annotated[float, msgspec.Meta(gt=0, le=1_000_000, description="Silence in an open turn.")] = 600.0
    most: Annotated[int, msgspec.Meta(ge=1, le=100, description="Signals at a time.")] = 20

    def words(self) -> list[str]:
        return [
            f"--timeout={max(self.timeout_s, 0.05)}",
            f"--stall={self.stall_s}",
            f"--max-events={self.most}",
            *_each("--repo", self.repos),
            *(("--", *self.threads) if self.threads else ("--all",)),
        ]


class Runs(Wish, frozen=True, kw_only=True):
    """Which runs."""

    limit: _Limit = 20
    role: Literal["worker", "replay", "reflection", "reviewer"] | None = None

    def words(self) -> list[str]:
        return [f"--limit={self.limit}", *_one("--role", self.role)]


class RunName(Wish, frozen=True, kw_only=True):
    """One run: its id or the beginning of it."""

    run: _Text

    def words(self) -> list[str]:
        return ["--", self.run]


class RunsWait(Wish, frozen=True, kw_only=True):
    """Runs to wait for, and how long at most."""

    runs: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1, max_length=64)]
    timeout_s: _Seconds = 50.0

    def words(self) -> list[str]:
        return [f"--timeout={self.timeout_s}", "--", *self.runs]


class _Work(Wish, frozen=True, kw_only=True):
    """What every run has."""

    cwd: _Folder | None = None
    model: _Text | None = None
    effort: _Text | None = None
    lane: _Text | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None
    budget: Annotated[_Text, msgspec.Meta(description="e.g. tokens=200000,minutes=30")] | None = None
    needs: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=16, description="e.g. gpu:1, port:8080")] = ()
    detach: Annotated[bool, msgspec.Meta(description="Return at once; then ask `runs_wait`.")] = False

    @property
    def folder(self) -> str | None:
        return self.cwd

    def _common(self) -> list[str]:
        return [
            *_one("--cd", self.cwd),
            *_one("--model", self.model),
            *_one("--effort", self.effort),
            *_one("--lane", self.lane),
            *_one("--timeout", self.timeout_s),
            *_one("--budget", self.budget),
            *_each("--needs", self.needs),
            *(("--detach",) if self.detach else ()),
        ]


class Run(_Work, frozen=True, kw_only=True):
    """A piece of work in a thread of its own, whose commands may only read."""

    prompt: _Prompt
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
    scope: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=64, description="Paths that may change.")] = ()

    def words(self) -> list[str]:
        place = () if self.in_place else ("--checkout",)
        return [*self._common(), "--sandbox=workspace-write", *place, *_each("--scope", self.scope), "--", "-"]


class Resume(_Work, frozen=True, kw_only=True):
    """A further turn of the thread of a run or a session, whose commands may only read."""

    name: Annotated[_Text, msgspec.Meta(description="A run or a session.")]
    prompt: _Prompt

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
    base: Annotated[_Text, msgspec.Meta(description="Changes since this branch or commit.")] | None = None
    commit: _Text | None = None
    instructions: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 20)] | None = None

    def words(self) -> list[str]:
        flag = ("--uncommitted",) if self.uncommitted else ()
        what = [*flag, *_one("--base", self.base), *_one("--commit", self.commit)]
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

    needs: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=16)] = ()

    def words(self) -> list[str]:
        return ["--", *self.needs] if self.needs else []


class PlanList(Wish, frozen=True, kw_only=True):
    """The repository of a folder."""

    cwd: _Folder | None = None

    def words(self) -> list[str]:
        return _one("--cd", self.cwd)


class PlanCheck(Wish, frozen=True, kw_only=True):
    """Plans to be held to their rules; none: all of the repository."""

    cwd: _Folder | None = None
    files: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=256)] = ()
    strict_evidence: bool = False

    def words(self) -> list[str]:
        strict = ("--strict-evidence",) if self.strict_evidence else ()
        return [*_one("--cd", self.cwd), *strict, *(("--", *self.files) if self.files else ())]


class AuditReport(Wish, frozen=True, kw_only=True):
    """A recorded stream by its thread, hash or label; without one, the last that came."""

    run: _Text | None = None

    def words(self) -> list[str]:
        return _one("--run", self.run)


class Proposal(Wish, frozen=True, kw_only=True):
    """A staged proposal; it has to be named, so that nobody adopts what came meanwhile."""

    proposal: _Text

    def words(self) -> list[str]:
        return ["--", self.proposal]


class Validate(Wish, frozen=True, kw_only=True):
    """A run's work, or a commit, and what has to hold; another Codex judges it, and may only read."""

    work: Annotated[_Text, msgspec.Meta(description="A run or a commit.")]
    acceptance: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 18)]
    repo: _Folder | None = None
    base: _Text | None = None
    model: _Text | None = None
    lane: _Text | None = None
    budget: _Text | None = None

    def words(self) -> list[str]:
        words = [*_one("--repo", self.repo), *_one("--base", self.base), *_one("--model", self.model)]
        return [*words, *_one("--lane", self.lane), *_one("--budget", self.budget), "--", self.work]

    @property
    def texts(self) -> dict[str, bytes]:
        return {"--acceptance": self.acceptance.encode()}


class Consult(Wish, frozen=True, kw_only=True):
    """A finding about a run's work; its author and a fresh reviewer say with evidence whether it holds."""

    run: _Text
    finding: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 16)]
    diff: bool = False
    fresh: bool = False
    budget: _Text | None = None

    def words(self) -> list[str]:
        flags = [*(("--diff",) if self.diff else ()), *(("--fresh",) if self.fresh else ())]
        return ["--finding=-", *flags, *_one("--budget", self.budget), "--", self.run]

    @property
    def data(self) -> bytes:
        return self.finding.encode()


class RunNames(Wish, frozen=True, kw_only=True):
    """Some runs."""

    runs: Annotated[tuple[_Text, ...], msgspec.Meta(min_length=1, max_length=64)]

    def words(self) -> list[str]:
        return ["--", *self.runs]


class MemorySearch(Wish, frozen=True, kw_only=True):
    """Words, any of which may occur."""

    query: _Text
    scopes: Annotated[tuple[_Text, ...], msgspec.Meta(max_length=16, description="user, repo or session:ID")] = ()
    limit: _Limit = 10

    def words(self) -> list[str]:
        return [*_each("--scope", self.scopes), f"--limit={self.limit}", "--", self.query]


class MemoryAdd(Wish, frozen=True, kw_only=True):
    """A note; a later one of the same type, key and scope takes its place."""

    key: _Text
    value: _Text
    type: Literal["preference", "constraint", "fact"] = "fact"
    scope: _Text | None = None
    expires: Annotated[_Text, msgspec.Meta(description="12h, 30d, 8w")] | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5

    def words(self) -> list[str]:
        flags = [f"--type={self.type}", f"--confidence={self.confidence}", "--source=mcp"]
        return [*flags, *_one("--scope", self.scope), *_one("--expires", self.expires), "--", self.key, self.value]


class MemoryForget(Wish, frozen=True, kw_only=True):
    """A note by its id."""

    note: Annotated[str, msgspec.Meta(pattern=r"^note_[0-9a-f-]{36}\Z")]

    def words(self) -> list[str]:
        return ["--", self.note]


class CacheGet(Wish, frozen=True, kw_only=True):
    """What made an analysis, and what it was told."""

    tool: _Text
    parameters: Annotated[dict[str, str], msgspec.Meta(max_length=32)] = {}
    cwd: _Folder | None = None

    def words(self) -> list[str]:
        pairs = [f"{name}={value}" for name, value in self.parameters.items()]
        return [*_one("--cd", self.cwd), *_each("--param", pairs), f"--tool={self.tool}"]


class Workflow(Wish, frozen=True, kw_only=True):
    """A workflow that only reads: its name, and what it is for. With the `id` of an earlier one it goes on."""

    workflow: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,47}\Z")]
    goal: _Prompt
    cwd: _Folder | None = None
    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,23}\Z")] | None = None
    budget: _Text | None = None

    def words(self) -> list[str]:
        flags = [*_one("--cd", self.cwd), *_one("--id", self.id), *_one("--budget", self.budget)]
        return [*flags, "--", self.workflow, self.goal]


def _filters(since: str | None, repo: str | None, model: str | None, source: str | None) -> list[str]:
    where = None if repo is None else str(Path(repo).absolute())
    return [*_one("--since", since), *_one("--repo", where), *_one("--model", model), *_one("--source", source)]


def _one(flag: str, value: object) -> list[str]:
    """A flag with its value in one word, so that the value is none itself."""
    return [] if value is None else [f"{flag}={value}"]


def _each(flag: str, values: Iterable[str]) -> list[str]:
    return [f"{flag}={value}" for value in values]

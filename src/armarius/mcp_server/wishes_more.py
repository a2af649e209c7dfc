"""What may be asked of proof, memory, kept analyses and workflows, typed; and the words that it means.

Owns these inputs. Does not own those of sessions and runs (`wishes.py`).
Invariant: that of `wishes.py`.
"""

from typing import Annotated, Literal

import msgspec

from armarius.mcp_server.wishes import Folder, Limit, Prompt, Text, Wish, each_flag, one_flag

__all__ = ["CacheGet", "Consult", "MemoryAdd", "MemoryForget", "MemorySearch", "RunNames", "Validate", "Workflow"]


class Validate(Wish, frozen=True, kw_only=True):
    """A run's work, or a commit, and what has to hold; another Codex judges it, and may only read."""

    work: Annotated[Text, msgspec.Meta(description="A run or a commit.")]
    acceptance: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 18)]
    repo: Folder | None = None
    base: Text | None = None
    model: Text | None = None
    lane: Text | None = None
    budget: Text | None = None

    def words(self) -> list[str]:
        words = [*one_flag("--repo", self.repo), *one_flag("--base", self.base), *one_flag("--model", self.model)]
        return [*words, *one_flag("--lane", self.lane), *one_flag("--budget", self.budget), "--", self.work]

    @property
    def texts(self) -> dict[str, bytes]:
        return {"--acceptance": self.acceptance.encode()}


class Consult(Wish, frozen=True, kw_only=True):
    """A finding about a run's work; its author and a fresh reviewer say with evidence whether it holds."""

    run: Text
    finding: Annotated[str, msgspec.Meta(min_length=1, max_length=1 << 16)]
    diff: bool = False
    fresh: bool = False
    budget: Text | None = None

    def words(self) -> list[str]:
        flags = [*(("--diff",) if self.diff else ()), *(("--fresh",) if self.fresh else ())]
        return ["--finding=-", *flags, *one_flag("--budget", self.budget), "--", self.run]

    @property
    def data(self) -> bytes:
        return self.finding.encode()


class RunNames(Wish, frozen=True, kw_only=True):
    """Some runs."""

    runs: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=64)]

    def words(self) -> list[str]:
        return ["--", *self.runs]


class MemorySearch(Wish, frozen=True, kw_only=True):
    """Words, any of which may occur."""

    query: Text
    scopes: Annotated[tuple[Text, ...], msgspec.Meta(max_length=16, description="user, repo or session:ID")] = ()
    limit: Limit = 10

    def words(self) -> list[str]:
        return [*each_flag("--scope", self.scopes), f"--limit={self.limit}", "--", self.query]


class MemoryAdd(Wish, frozen=True, kw_only=True):
    """A note; a later one of the same type, key and scope takes its place."""

    key: Text
    value: Text
    type: Literal["preference", "constraint", "fact"] = "fact"
    scope: Text | None = None
    expires: Annotated[Text, msgspec.Meta(description="12h, 30d, 8w")] | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5

    def words(self) -> list[str]:
        flags = [f"--type={self.type}", f"--confidence={self.confidence}", "--source=mcp"]
        return [
            *flags,
            *one_flag("--scope", self.scope),
            *one_flag("--expires", self.expires),
            "--",
            self.key,
            self.value,
        ]


class MemoryForget(Wish, frozen=True, kw_only=True):
    """A note by its id."""

    note: Annotated[str, msgspec.Meta(pattern=r"^note_[0-9a-f-]{36}\Z")]

    def words(self) -> list[str]:
        return ["--", self.note]


class CacheGet(Wish, frozen=True, kw_only=True):
    """What made an analysis, and what it was told."""

    tool: Text
    parameters: Annotated[dict[str, str], msgspec.Meta(max_length=32)] = msgspec.field(default_factory=dict[str, str])
    cwd: Folder | None = None

    def words(self) -> list[str]:
        pairs = [f"{name}={value}" for name, value in self.parameters.items()]
        return [*one_flag("--cd", self.cwd), *each_flag("--param", pairs), f"--tool={self.tool}"]


class Workflow(Wish, frozen=True, kw_only=True):
    """A workflow that only reads: its name, and what it is for. With the `id` of an earlier one it goes on."""

    workflow: Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,47}\Z")]
    goal: Prompt
    cwd: Folder | None = None
    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,23}\Z")] | None = None
    budget: Text | None = None

    def words(self) -> list[str]:
        flags = [*one_flag("--cd", self.cwd), *one_flag("--id", self.id), *one_flag("--budget", self.budget)]
        return [*flags, "--", self.workflow, self.goal]

"""Where the HEAD of a repository stands.

Owns asking git, which is the authority, and the folders whose change says that it is time to ask.
Does not own waiting for the change.
Invariant: nothing that the repository configures is run, nothing is written or fetched; a worktree
and packed refs are git's own business, because git is asked.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from armarius.errors import DataError, HostError
from armarius.programs import run
from armarius.watch.signals import Kind, Signal, one_line, signal_id

__all__ = ["Head", "Repository", "find_repository", "head_of", "moved"]

_QUIET = {
    "LC_ALL": "C.UTF-8",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
}
_SAFE = ("-c", "core.fsmonitor=false", "-c", "log.showSignature=false", "-c", "core.hooksPath=/dev/null")
_SHORT = 10
_LONGEST_REF = 4096


class Repository(msgspec.Struct, frozen=True):
    """A working tree. `own` holds its HEAD, `common` the refs it shares with its other worktrees."""

    root: Path
    own: Path
    common: Path
    environ: dict[str, str]

    @property
    def flat(self) -> tuple[Path, ...]:
        """Folders whose own entries may say that HEAD moved."""
        return tuple(dict.fromkeys((self.own, self.common)))

    @property
    def deep(self) -> tuple[Path, ...]:
        """Folders in which anything below may say so."""
        return tuple(folder for folder in (self.common / "refs", self.common / "reftable") if folder.is_dir())

    def evidence(self) -> tuple[Path, ...]:
        """Files of which one changes whenever HEAD moves."""
        head = self.own / "HEAD"
        try:
            name = head.read_bytes()[:_LONGEST_REF].decode(errors="replace").removeprefix("ref: ").strip()
        except OSError:
            name = ""
        refs = (self.own / name, self.common / name) if name.startswith("refs/") else ()
        logs = (self.own / "logs" / "HEAD", self.common / "packed-refs", self.common / "reftable" / "tables.list")
        return (head, *refs, *logs)


class Head(msgspec.Struct, frozen=True):
    """A commit and the first line of its message."""

    commit: str
    subject: str


def find_repository(path: Path, *, search_path: str, user_home: Path) -> Repository:
    """The repository that `path` lies in; DataError when it lies in none."""
    environ = {"PATH": search_path, "HOME": str(user_home), **_QUIET}
    where = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir", "--git-common-dir")
    code, out, err = _git(path, environ, *where)
    lines = out.splitlines()
    if code != 0 or len(lines) != 3:  # noqa: PLR2004  # what was asked for above
        said = one_line(err, 200) or "it said nothing"
        raise DataError("repository", f"git finds no working tree at {path}: {said}", "name a folder of a repository")
    root, own, common = (Path(line) for line in lines)
    return Repository(root, own, common, environ)


def head_of(repository: Repository) -> Head | None:
    """Where HEAD stands; None before the first commit."""
    code, out, _ = _git(repository.root, repository.environ, "rev-parse", "--verify", "--quiet", "HEAD")
    commit = out.strip()
    if code != 0 or not commit:
        return None
    _, subject, _ = _git(
        repository.root, repository.environ, "log", "-1", "--no-color", "--no-show-signature", "--format=%s", commit
    )
    return Head(commit, one_line(subject, 300))


def moved(repository: Repository, old: Head | None, new: Head | None, at_us: int) -> Signal:
    """The signal of a HEAD that stands elsewhere now."""
    text = f"HEAD {_short(old)} → {_short(new)}" + (f" {new.subject}" if new else "")
    return Signal(
        kind=Kind.HEAD_MOVED,
        id=signal_id(repository.root, old and old.commit, new and new.commit, at_us),
        at_us=at_us,
        text=f"{repository.root.name}: {text}",
        source="git",
        subject=str(repository.root),
        old=old.commit if old else None,
        new=new.commit if new else None,
    )


def _short(head: Head | None) -> str:
    return head.commit[:_SHORT] if head else "(none)"


def _git(path: Path, environ: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    done = run(["git", "--no-pager", *_SAFE, *words], cwd=path, environ=environ)
    if done.code is None:
        raise HostError("git-slow", f"git did not answer in {path}", "see what holds it up")
    return done.code, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")

"""What a judgement rests on, taken from where the work began.

Owns which paths those are, and the commit that has the work with these paths as the base has them. Does not own
the checkout of it.
Invariant: nothing that matches is the worker's: what was changed or deleted is the base's again, what was added is
gone. The commit is made from git's objects; no file of a working tree is written, so that no link can lead away.
"""

import os
import re
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from armarius.checkout import scopes
from armarius.checkout.base import identity
from armarius.checkout.git import Repository, bring, own_store, shown
from armarius.clock import Clock
from armarius.errors import DataError

__all__ = ["DEFAULT", "Oracle", "Restored", "counts_when_new", "files_of", "of_acceptance", "restore"]

DEFAULT: Final = (
    *("**/test/**", "**/tests/**", "**/__tests__/**", "**/spec/**", "**/specs/**", "**/testdata/**", "**/fixtures/**"),
    *("**/__snapshots__/**", "**/goldens/**", "**/test_*.py", "**/*_test.py", "**/tests.py", "**/conftest.py"),
    *("**/*_test.go", "**/*.test.*", "**/*.spec.*", "**/*_spec.rb", "**/*Test.java", "**/*Tests.java", "**/*Test.kt"),
    *("**/*Tests.cs", "**/*Test.php", "**/*_test.exs", "**/*_test.dart"),
    # How a suite is run, and what stands in its way.
    *("**/pytest.ini", "**/.pytest.ini", "**/tox.ini", "**/setup.cfg", "**/noxfile.py", "**/.coveragerc"),
    *("**/pyproject.toml", "**/package.json", "**/Makefile", "**/GNUmakefile", "**/makefile", "**/justfile"),
    *("**/jest.config.*", "**/vitest.config.*", "**/karma.conf.*", "**/.mocharc*", "**/phpunit.xml*", "**/.rspec"),
    *("**/CMakeLists.txt", "**/build.gradle*", "**/pom.xml", "**/Rakefile", "**/.github/**", "**/.gitlab-ci.yml"),
    # Names under which a tool would be found in place of the real one.
    *("**/sitecustomize.py", "**/usercustomize.py", "**/*.pth", "pytest.py", "pytest/**", "_pytest/**", "unittest.py"),
    *("unittest/**", "coverage.py", "coverage/**", "**/node_modules/**", "**/.venv/**", "**/venv/**", "**/.envrc"),
    *("**/.bin/**", "**/.npmrc", "**/.python-version", "**/.tool-versions", "**/.gitattributes"),
    # What speaks to an agent that works in the folder.
    *("**/AGENTS.md", "**/AGENTS.override.md", "**/CLAUDE.md", "**/.codex/**", "**/.agents/**", ".armarius.toml"),
)
"""Paths that are the base's unless somebody says otherwise."""

_LINE = re.compile(r"^\s*(?:[-*]\s+)?oracle:\s*`?(?P<glob>[^`\n]+?)`?\s*$", re.IGNORECASE | re.MULTILINE)


class Restored(msgspec.Struct, frozen=True):
    """A path that is not as the worker left it: as in the base again, or taken away because the worker added it."""

    path: str
    what: Literal["restored", "removed"]


class Oracle(msgspec.Struct, frozen=True):
    """What is the base's: `paths` matching these, but for those that are the worker's to change."""

    paths: tuple[str, ...] = DEFAULT
    of_worker: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        return scopes.covers(self.paths, path) and not scopes.covers(self.of_worker, path)


class _Entry(NamedTuple):
    mode: str
    name: str


_STEERING = frozenset(
    {
        *("conftest.py", "sitecustomize.py", "usercustomize.py", "pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg"),
        *("pyproject.toml", "package.json", "Makefile", "GNUmakefile", "makefile", "justfile", ".coveragerc"),
        *("noxfile.py", "pytest.py", "unittest.py", "coverage.py", ".npmrc", ".envrc", ".rspec", "AGENTS.md"),
    }
)


def counts_when_new(path: str) -> bool:
    """Whether a file that a judge made would change what its commands do, and is not mere litter of a build."""
    return path.rpartition("/")[2] in _STEERING and "node_modules/" not in path


def files_of(repo: Repository, commit: str) -> frozenset[str]:
    """The files of a commit, as they are shown."""
    return frozenset(map(shown, _listing(repo, commit)))


def of_acceptance(text: str) -> tuple[str, ...]:
    """The paths that an acceptance text names, by lines `oracle: GLOB`; DataError for one without meaning."""
    return scopes.check(found["glob"] for found in _LINE.finditer(text))


def restore(
    repo: Repository, folder: Path, commit: str, base: str, oracle: Oracle, *, run_id: str, clock: Clock
) -> tuple[str, tuple[Restored, ...]]:
    """The commit to judge, and what is not the worker's in it. `folder` is a private one of ours."""
    ours, theirs = _listing(repo, base), _listing(repo, commit)
    differ = [path for path in sorted(ours.keys() | theirs.keys()) if ours.get(path) != theirs.get(path)]
    wanted = [path for path in differ if oracle.covers(path)]
    if not wanted:
        return commit, ()
    store = own_store(folder / "oracle.git", repo, head=commit)
    store("read-tree", commit)
    none = "0" * len(commit)
    # What is taken away goes first, so that a link or file in the place of a folder is gone by the time that is filled.
    changes = [f"0 {none}\t{path}" for path in wanted if path not in ours]
    changes += [f"{ours[path].mode} {ours[path].name}\t{path}" for path in wanted if path in ours]
    store("update-index", "-z", "--index-info", data=b"".join(os.fsencode(line) + b"\0" for line in changes))
    tree = store.line("write-tree")
    made = store.plus(identity(run_id, clock)).line("commit-tree", tree, "-p", commit, "-m", f"To be judged: {run_id}")
    bring(repo, store, made)
    kept = (Restored(shown(path), "restored" if path in ours else "removed") for path in wanted)
    return made, tuple(kept)


def _listing(repo: Repository, commit: str) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for line in repo.git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        if not line:
            continue
        head, _, path = line.partition(b"\t")
        words = head.decode().split()
        if len(words) < 3:  # noqa: PLR2004  # mode, kind, name
            raise DataError("tree", f"git lists {line!r} in {commit}", "see `git fsck`")
        found[os.fsdecode(path)] = _Entry(words[0], words[2])
    return found

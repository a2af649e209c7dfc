"""A real repository, a run's folder, and the calls of a checkout's life.

Owns making them for tests. Does not own what a test does to them.
Invariant: the repository's owner is set up as people are: by configuration of his own, in his own home.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

from armarius.checkout import prepare as checkout
from armarius.checkout.collect import Collected, collect
from armarius.checkout.git import Repository, find, user_environ
from armarius.checkout.merge import Merged, merge
from armarius.checkout.prepare import Checkout
from armarius.testing.clock import FakeClock

__all__ = ["GitWorld", "git"]

RUN = "run_0193"
_OWNER = {f"GIT_{role}_{what}": f"owner@{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(cwd: Path, *words: str, data: bytes | None = None) -> str:
    """What git says to the repository's owner."""
    words = ("-c", "protocol.file.allow=always", *words)
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **_OWNER}
    done = subprocess.run(["git", *words], cwd=cwd, env=environ, input=data, capture_output=True, check=False)
    assert done.returncode == 0, os.fsdecode(done.stderr)
    return os.fsdecode(done.stdout).removesuffix("\n")


class GitWorld:
    """One parent repository at `top` and one run."""

    def __init__(self, folder: Path, top: Path | None = None) -> None:
        self.folder = folder / "runs" / RUN
        self.top = top or folder / "project"
        self.clock = FakeClock()
        self.search_path = os.environ["PATH"]
        self.home = folder / "own-home"

    def build(self, *options: str) -> "GitWorld":
        """A repository with one commit of ordinary files."""
        self.top.mkdir(parents=True)
        git(self.top, "init", "-q", "-b", "main", *options)
        self.write({"a.txt": "one\n", "src/code.py": "print(1)\n", "src/deep/other.py": "2\n", ".gitignore": "*.log\n"})
        (self.top / "src" / "code.py").chmod(0o755)
        (self.top / "link").symlink_to("a.txt")
        self.commit()
        return self

    def write(self, files: dict[str, str], *, below: Path | None = None) -> None:
        for name, text in files.items():
            path = (below or self.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, message: str = "work", *, cwd: Path | None = None) -> str:
        git(cwd or self.top, "add", "-A")
        git(cwd or self.top, "commit", "-q", "-m", message)
        return git(cwd or self.top, "rev-parse", "HEAD")

    def repo(self, path: Path | None = None, **more: Any) -> Repository:
        return find(path or self.top, user_environ(self.search_path, self.home), **more)

    def prepare(self, run_id: str = RUN, **more: Any) -> Checkout:
        folder = self.folder.with_name(run_id)
        return checkout.prepare(self.repo(), folder, run_id, self.clock, **more)

    def collect(self, made: Checkout, **more: Any) -> Collected:
        return collect(self.repo(), made, self.clock, "What it was for", **more)

    def merge(self, run_id: str = RUN, **more: Any) -> Merged:
        return merge(self.repo(), run_id, self.clock, **more)

    def keep(self, run_id: str = RUN) -> str | None:
        return checkout.keep(self.repo(), run_id, self.folder.with_name(run_id))

    def drop(self, run_id: str = RUN) -> None:
        checkout.drop(self.repo(), run_id, self.folder.with_name(run_id))

    def work(self, files: dict[str, str], run_id: str = RUN, **more: Any) -> Collected:
        """A whole run that writes these files."""
        made = self.prepare(run_id, **more)
        self.write(files, below=made.tree)
        return self.collect(made)

    def state(self, *, refs: bool = True) -> dict[str, str]:
        """Everything of the parent that its owner could see change."""
        files = {str(path.relative_to(self.top)): os.fsdecode(_content(path)) for path in sorted(self.top.rglob("*"))
                 if ".git" not in path.relative_to(self.top).parts and not path.is_dir()}  # fmt: skip
        listed = git(self.top, "for-each-ref", "--format=%(refname) %(objectname)") if refs else ""
        more = {name: git(self.top, *words) for name, words in {
            "HEAD": ("rev-parse", "HEAD"), "branch": ("symbolic-ref", "-q", "HEAD"), "index": ("ls-files", "-s"),
            "status": ("status", "--porcelain"), "config": ("config", "--local", "--list"),
        }.items()}  # fmt: skip
        locks = {"locks": " ".join(sorted(str(path) for path in (self.top / ".git").rglob("*.lock")))}
        return files | more | {"refs": listed} | locks


def _content(path: Path) -> bytes:
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()

"""Kills whoever asks git, at a chosen question, and what has to be true after that.

Owns the killing and the four stories: of a prepare, a collect, a merge and a drop that are killed again and again.
Does not own which steps a test takes: `every` is 1 for each of them.
Invariant: when a story goes on, the killed process is gone and so is the git that it had started.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from armarius.checkout.prepare import base_ref, run_ref
from support.checkout_world import RUN, GitWorld, git

__all__ = ["Assassin", "collects", "drops", "merges", "prepares"]

WRAPPER = """#!/bin/sh
echo x >> {folder}/calls
if [ $(wc -l < {folder}/calls) -eq $(cat {folder}/fatal) ] || expr "$*" : "$(cat {folder}/words)" > /dev/null; then
    kill -9 $PPID
    [ -e {folder}/goes-on ] && {git} "$@"
    echo over > {folder}/over
    exit 1
fi
exec {git} "$@"
"""
"""Kills whoever asks git the nth time; the call itself is made or not, as with a process that outlives us."""

CALL = """
import sys
from pathlib import Path
from support.checkout_world import GitWorld
world = GitWorld(Path(sys.argv[1]))
world.search_path = sys.argv[2] + ":" + world.search_path
if sys.argv[3] == "collect":
    world.collect(world.prepare(dirty="capture"))
elif sys.argv[3] == "prepare":
    world.prepare(dirty="capture")
else:
    getattr(world, sys.argv[3])()
"""


class Assassin:
    """Starts a call in a process of its own, which dies at its nth question to git."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "killer"
        self.world = folder
        self.folder.mkdir()
        path = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
        (self.folder / "git").write_text(WRAPPER.format(folder=self.folder, git=path))
        (self.folder / "git").chmod(0o755)
        os.mkfifo(self.folder / "over")

    def call(self, name: str, fatal: int, *, goes_on: bool, words: str = "[|]") -> bool:
        """Whether it was killed: at question number `fatal`, or at one with these words (a pattern of `expr`)."""
        (self.folder / "words").write_text(words)
        (self.folder / "calls").write_text("")
        (self.folder / "fatal").write_text(str(fatal))
        (self.folder / "goes-on").touch() if goes_on else (self.folder / "goes-on").unlink(missing_ok=True)
        environ = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        done = subprocess.run(
            [sys.executable, "-c", CALL, str(self.world), str(self.folder), name],
            env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        if done.returncode:
            assert (self.folder / "over").read_text() == "over\n"  # a pipe: waits for the git that went on
        return done.returncode != 0

    def each_step(self, name: str, every: int, *, goes_on: bool) -> Iterator[int]:
        """Every so many steps at which it can be killed; after each, the caller looks, and makes things as before."""
        fatal = 1 + every // 2
        while self.call(name, fatal, goes_on=goes_on):
            yield fatal
            fatal += every


def prepares(world: GitWorld, assassin: Assassin, every: int, *, goes_on: bool) -> None:
    world.write({"a.txt": "two"})
    before = world.state(refs=False)
    steps = 0
    for _ in assassin.each_step("prepare", every, goes_on=goes_on):
        steps += 1
        assert world.state(refs=False) == before
        made = world.prepare(dirty="capture")
        assert (made.tree / "a.txt").read_text() == "two"
        assert git(made.tree, "status", "--porcelain") == ""
        assert git(world.top, "rev-parse", base_ref(RUN)) == made.base
        world.drop()
        assert git(world.top, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert steps * every > 15
    git(world.top, "fsck", "--strict")


def collects(world: GitWorld, assassin: Assassin, every: int, *, goes_on: bool) -> None:
    made = world.prepare()
    world.write({"new.txt": "n"}, below=made.tree)
    before = world.state(refs=False)
    steps = 0
    for _ in assassin.each_step("collect", every, goes_on=goes_on):
        steps += 1
        assert world.state(refs=False) == before
        if git(world.top, "for-each-ref", run_ref(RUN)):
            assert git(world.top, "show", f"{run_ref(RUN)}:new.txt") == "n"
        done = world.collect(made)
        assert [change.path for change in done.changes] == ["new.txt"]
        assert git(world.top, "rev-parse", run_ref(RUN)) == done.commit
        git(world.top, "update-ref", "-d", run_ref(RUN))
    assert steps * every > 15
    git(world.top, "fsck", "--strict")


def merges(world: GitWorld, assassin: Assassin, every: int, *, goes_on: bool, diverged: bool) -> None:
    made = world.prepare()
    (made.tree / "src" / "code.py").unlink()
    world.write({"new.txt": "n", "a.txt": "two\n"}, below=made.tree)
    world.collect(made)
    if diverged:
        world.write({"ours.txt": "ours"})
        world.commit()
    head = git(world.top, "rev-parse", "HEAD")
    before = {key: value for key, value in world.state(refs=False).items() if key != "locks"}
    steps = 0
    for _ in assassin.each_step("merge", every, goes_on=goes_on):
        steps += 1
        unfinished = (world.top / ".git" / "armarius" / "merge.json").exists()
        if not unfinished and git(world.top, "rev-parse", "HEAD") == head:
            assert {key: value for key, value in world.state(refs=False).items() if key != "locks"} == before
        world.merge()
        assert (world.top / "new.txt").read_text() == "n"
        assert (world.top / "a.txt").read_text() == "two\n"
        assert not (world.top / "src" / "code.py").exists()
        assert git(world.top, "status", "--porcelain") == ""
        assert world.state()["locks"] == ""
        git(world.top, "reset", "-q", "--hard", head)
    assert steps * every > 10


def drops(world: GitWorld, assassin: Assassin, every: int, *, goes_on: bool) -> None:
    def whole() -> None:
        world.work({"new.txt": "n"})

    whole()
    steps = 0
    for _ in assassin.each_step("drop", every, goes_on=goes_on):
        steps += 1
        world.drop()
        assert git(world.top, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
        assert not any(world.folder.parent.iterdir())
        whole()
    assert steps * every > 5

"""What an answer left behind, and who is asked about it.

Owns running a check's command in the workspace, looking at its files, and asking a rater. Does not own
the checks (`checks`), nor what a rater is (`rubric`).
Invariant: a failure of the machine is Unjudged and never a verdict; what the agent left is one, also when it cannot
be read or started. A file is read inside the workspace, whatever links the agent made.
"""

import errno
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from armarius.codex.binary import Binary
from armarius.codex.sandbox import NOT_STARTED, run_sandboxed
from armarius.errors import HostError
from armarius.evolve.bench import Bench
from armarius.evolve.checks import WantedCommand, WantedFile, WantedQuality
from armarius.evolve.judge import Unjudged, World
from armarius.evolve.reading import reading_request
from armarius.evolve.replay import Lab, Look
from armarius.evolve.rubric import SCHEMA, prompt_for_rating, read_rating
from armarius.evolve.tasks import Task
from armarius.files import private_folder
from armarius.runs.request import RunResult

__all__ = ["Rate", "Workspace", "look_from"]

Rate = Callable[[WantedQuality, str], tuple[float, str]]
"""(rubric, answer) -> rating and reason; raises Unjudged. It knows the task."""

_MOST = 16 << 20

_OF_THE_AGENT = frozenset(
    {
        *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG),
        *(errno.EACCES, errno.EPERM),
    }
)
"""What cannot be read for these reasons was left so by the agent; the machine fails for others."""


class Workspace(msgspec.Struct, frozen=True):
    """The folder that an agent worked in; `home` is one of ours beside it, where it could not write."""

    folder: Path
    home: Path
    binary: Binary
    environ: Mapping[str, str]
    rate: Rate | None = None

    def command(self, wanted: WantedCommand) -> tuple[bool, str]:
        """Whether the command ends as it should; a time-out is an end that it should not have."""
        home = private_folder(self.home)
        try:
            done = run_sandboxed(
                self.binary,
                wanted.argv,
                cwd=self.folder,
                codex_home=private_folder(home / "codex"),
                environ={"HOME": str(home), **self.environ},
                timeout=wanted.timeout_s,
            )
        except HostError as error:
            if error.code == NOT_STARTED and self._is_work(wanted.argv[0]):
                return False, f"{wanted.argv[0]!r} cannot be started"
            raise Unjudged(error.message) from error
        name = wanted.argv[0]
        if done.code is None:
            return False, f"{name!r} did not end within {wanted.timeout_s:g} s"
        return done.code == wanted.exit_code, f"{name!r} ended with {done.code}, should be {wanted.exit_code}"

    def file(self, wanted: WantedFile) -> tuple[bool, str]:
        """Whether the file is as it should be."""
        try:
            if wanted.absent:
                there = self._is_there(wanted.path)
                return not there, f"{wanted.path} is {'' if there else 'not '}there"
            data = self._read(wanted.path)
        except OSError as error:
            raise Unjudged(f"cannot read {wanted.path}: {error.strerror}") from error
        if data is None:
            return False, f"{wanted.path} is missing or no file"
        if wanted.contains is None:
            return True, f"{wanted.path} is there"
        holds = wanted.contains.encode() in data
        return holds, f"{wanted.path} {'holds' if holds else 'does not hold'} {wanted.contains[:60]!r}"

    def rating(self, wanted: WantedQuality, answer: str) -> tuple[float, str]:
        """How good the answer is."""
        if self.rate is None:
            raise Unjudged("no model was given to rate with")
        return self.rate(wanted, answer)

    def _is_work(self, program: str) -> bool:
        """Whether a program is one that the agent left, and not one of the machine's."""
        place = os.path.normpath(self.folder / program)
        return "/" in program and Path(place).is_relative_to(self.folder)

    def _is_there(self, path: str) -> bool:
        """Whether anything has this name in the workspace: a link or a folder is something, too."""
        name = self.folder / path
        if not Path(os.path.realpath(name.parent)).is_relative_to(os.path.realpath(self.folder)):
            return False
        try:
            name.lstat()
        except OSError as error:
            if error.errno in _OF_THE_AGENT:
                return False
            raise
        return True

    def _read(self, path: str) -> bytes | None:
        """The beginning of a regular file inside the workspace, None when there is none."""
        real = Path(os.path.realpath(self.folder / path))
        if not real.is_relative_to(os.path.realpath(self.folder)):
            return None
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in _OF_THE_AGENT:
                return None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(_MOST)
        finally:
            os.close(descriptor)


def look_from(bench: Bench, lab: Lab, binary: Binary) -> Look:
    """How the checks of an experiment see what its replays left; ratings are runs of the same bench."""

    def look(task: Task, result: RunResult, folder: Path) -> World:
        def rate(wanted: WantedQuality, answer: str) -> tuple[float, str]:
            prompt = prompt_for_rating(task.task, wanted.text, answer)
            [rated] = bench.all([reading_request(lab, "rating", prompt, SCHEMA, of=result.id)], "rate")
            if rated.state != "succeeded":
                raise Unjudged(f"the rating failed: {rated.problem.message if rated.problem else rated.state}")
            return read_rating(rated.parsed)

        environ = {"PATH": lab.search_path, "LANG": "C.UTF-8"}
        depth = len(PurePosixPath(task.start.folder).parts) if task.start else 0
        return Workspace(folder, folder.parents[depth] / "check", binary, environ, rate)

    return look

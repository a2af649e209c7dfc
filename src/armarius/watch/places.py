"""Repositories and files with values, under watch.

Owns when git is asked and a file is read again: when something that they hang on has changed, seen
from outside. Does not own what HEAD or a value is.
Invariant: what is the same as before is no news, however often it was written; a value that vanishes
for a moment, as while a file is being replaced, is no news either.
"""

from collections.abc import Iterable
from pathlib import Path

from armarius.clock import Clock
from armarius.watch.repositories import Head, Repository, head_of, moved
from armarius.watch.signals import Signal
from armarius.watch.values import WatchedValue, changed

__all__ = ["Places"]

_Stamp = tuple[tuple[int, ...], ...]


class Places:
    """What stood there last is in `heads`, by root, and in `values`, by specification."""

    def __init__(
        self,
        repositories: tuple[Repository, ...],
        values: tuple[WatchedValue, ...],
        clock: Clock,
        *,
        heads: dict[str, Head | None],
        known: dict[str, str | None],
    ) -> None:
        self._repositories = repositories
        self._watched = values
        self._clock = clock
        self.heads = dict(heads)
        self.values = dict(known)
        self._stamps = dict[str, _Stamp]()
        self._missing = set[str]()

    @property
    def deep(self) -> tuple[Path, ...]:
        return tuple(folder for one in self._repositories for folder in one.deep)

    @property
    def flat(self) -> tuple[Path, ...]:
        git = [folder for one in self._repositories for folder in one.flat]
        return (*git, *(value.path.parent for value in self._watched if value.path.parent.is_dir()))

    def changed(self, paths: Iterable[str]) -> list[Signal]:
        """What the kernel says has changed."""
        folders = {Path(path).parent for path in paths}
        if not folders:
            return []
        signals = list[Signal]()
        for repository in self._repositories:
            if any(folder.is_relative_to(top) for folder in folders for top in repository.flat):
                signals += self._look_at_head(repository)
        for value in self._watched:
            if value.path.parent in folders:
                signals += self._look_at_value(value)
        return signals

    def sweep(self) -> list[Signal]:
        """Look at everything from outside."""
        signals = [signal for one in self._repositories for signal in self._look_at_head(one)]
        for value in self._watched:
            if value.spec in self._missing:
                self._stamps.pop(value.spec, None)
            signals += self._look_at_value(value, is_sweep=True)
        return signals

    def _look_at_head(self, repository: Repository) -> list[Signal]:
        name, stamp = str(repository.root), _stamp(repository.evidence())
        if self._stamps.get(name) == stamp:
            return []
        head = head_of(repository)
        self._stamps[name] = stamp
        is_known, old = name in self.heads, self.heads.get(name)
        self.heads[name] = head
        if not is_known or (old and old.commit) == (head and head.commit):
            return []
        return [moved(repository, old, head, self._clock.now_us())]

    def _look_at_value(self, value: WatchedValue, *, is_sweep: bool = False) -> list[Signal]:
        stamp = _stamp((value.path,))
        if self._stamps.get(value.spec) == stamp:
            return []
        new = value.read()
        self._stamps[value.spec] = stamp
        is_known, old = value.spec in self.values, self.values.get(value.spec)
        if new is None and old is not None and not (is_sweep and value.spec in self._missing):
            self._missing.add(value.spec)
            return []
        self._missing.discard(value.spec)
        self.values[value.spec] = new
        if not is_known or new == old:
            return []
        return [changed(value, old, new, self._clock.now_us())]


def _stamp(files: Iterable[Path]) -> _Stamp:
    return tuple(_of(file) for file in files)


def _of(file: Path) -> tuple[int, ...]:
    try:
        seen = file.stat()
    except (OSError, ValueError):
        return ()
    return seen.st_ino, seen.st_size, seen.st_mtime_ns

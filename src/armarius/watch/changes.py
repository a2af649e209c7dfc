"""When something in a folder changed, from the kernel.

Owns the notifiers and their threads. Does not own what a change means: a path that is named here may
have changed in any way, or not at all.
Invariant: nobody is kept from ending; where the kernel does not tell (a network file system, no watches
left), `trouble` says so, and whoever sweeps from time to time misses nothing.
"""

import queue
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import watchfiles

__all__ = ["Changes"]

_DEEP_STEP_MS = 17
"""A change is told after two steps at most; each step wakes the process, and is what an idle watch costs."""
_FLAT_STEP_MS = 50
_PATIENCE_MS = 60_000


class Changes:
    """Changes below the `deep` folders, and of the entries of the `flat` ones."""

    def __init__(self, deep: Iterable[Path], flat: Iterable[Path]) -> None:
        self.deep, self.flat = frozenset(deep), frozenset(flat)
        self.trouble = list[str]()
        self._found = queue.SimpleQueue[frozenset[str]]()
        self._stop = threading.Event()
        groups = [(self.deep, True, _DEEP_STEP_MS), (self.flat, False, _FLAT_STEP_MS)]
        self._threads = [
            threading.Thread(target=self._listen, args=(sorted(folders), recursive, step), daemon=True)
            for folders, recursive, step in groups
            if folders
        ]

    @property
    def folders(self) -> tuple[frozenset[Path], frozenset[Path]]:
        """What is listened to."""
        return self.deep, self.flat

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def take(self, timeout_s: float) -> frozenset[str]:
        """The paths that changed since the last call; waits for the first of them, `timeout_s` at most."""
        found = frozenset[str]()
        try:
            found |= self._found.get(timeout=max(0.0, timeout_s))
            while True:
                found |= self._found.get_nowait()
        except queue.Empty:
            return found

    def _listen(self, folders: Sequence[Path], recursive: bool, step: int) -> None:  # noqa: FBT001
        try:
            for changes in watchfiles.watch(
                *folders,
                watch_filter=None,
                debounce=step,
                step=step,
                stop_event=self._stop,
                rust_timeout=_PATIENCE_MS,
                debug=False,
                raise_interrupt=False,
                recursive=recursive,
                ignore_permission_denied=True,
            ):
                self._found.put(frozenset(path for _, path in changes))
        except (OSError, RuntimeError, UnicodeEncodeError) as error:  # the last: a folder whose name is no text
            self.trouble.append(str(error))
            self._found.put(frozenset())

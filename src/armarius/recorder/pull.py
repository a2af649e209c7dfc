"""The team's skills, as they are now: got, kept beside the user's, and told to whoever puts them into requests.

Owns when they are got. Does not own getting them (skills/managed.py) or where they are put in (injection.py).
Invariant: one pull at a time; what is offered is there to be read, and is what the folder has.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from armarius.clock import Clock
from armarius.errors import ArmariusError
from armarius.recorder.injection import Offered
from armarius.skills.document import read_document
from armarius.skills.hub import Source
from armarius.skills.managed import Managed

__all__ = ["Skills", "SkillsState", "synced_skills"]

_LONGEST_WAIT_S = 600.0
_MOST_SAID = 50


def synced_skills(codex_home: Path, folder: Path) -> Managed:
    """The team's skills among those of a CODEX_HOME; `folder` is the recorder's own."""
    return Managed(codex_home / "skills", folder / "skills" / "synced")


class SkillsState(msgspec.Struct):
    """How it went. `kept` says what of the team's was left out, and why."""

    source: str
    folder: str
    skills: int = 0
    pulls: int = 0
    changed_us: int | None = None
    kept: tuple[str, ...] = ()
    trouble: str | None = None


class Skills:
    """Keeps the skills in `managed` as `source` has them; used by one thread, but for `offered`."""

    def __init__(
        self, source: Source, shown: str, managed: Managed, clock: Clock, *, every_s: float | None, text: bool
    ) -> None:
        self._source, self._managed, self._clock, self._every_s, self._text = source, managed, clock, every_s, text
        self._etag: str | None = None
        self._failed = 0
        self._offered: Sequence[Offered] = ()
        self.state = SkillsState(shown, str(managed.folder))

    def offered(self) -> Sequence[Offered]:
        """The skills, as they are now."""
        return self._offered

    def step(self, _told: list[str]) -> float | None:
        """Pull; in how many seconds to do so again, though nobody says that there is something new."""
        self.state.pulls += 1
        try:
            synced = self._managed.sync(self._source, self._etag)
            if synced is not None:
                self._etag = synced.etag
                more = len(synced.kept) - _MOST_SAID
                self.state.kept = synced.kept[:_MOST_SAID] + ((f"and {more:,} more",) if more > 0 else ())
                if synced.changed:
                    self.state.changed_us = self._clock.now_us()
            self.state.trouble, self._failed = None, 0
        except ArmariusError as error:
            self._failed += 1
            self.state.trouble, synced = error.message, None
        if (synced is not None and synced.changed) or self.state.pulls == 1:
            self._offered = self._read()
            self.state.skills = len(self._offered)
        return self._wait()

    def _wait(self) -> float | None:
        """With jitter: a team's recorders are not to ask in step; longer after failures."""
        if self._every_s is None:
            return None if not self._failed else _LONGEST_WAIT_S
        backed_off = min(self._every_s * 2 ** min(self._failed, 10), max(_LONGEST_WAIT_S, self._every_s))
        return backed_off * (1 + self._clock.entropy(1)[0] / 2560)

    def _read(self) -> Sequence[Offered]:
        found = list[Offered]()
        for name in self._managed.names():
            path = self._managed.path(name)
            try:
                document = read_document(path)
            except ArmariusError:
                continue  # edited here, into something that Codex would not read either
            text = document.text if self._text else ""
            found.append(Offered(document.name, document.description, str(path), text))
        return tuple(found)

"""The skill by which Codex knows what Armarius can do.

Owns the file at its place, the prompt of an older tool that is moved out of its way, and undoing both. Does not own
what the skill says (`skill/SKILL.md`).
Invariant: nothing of a person's is overwritten or lost. What stands in our place and is not ours is refused; what is
moved aside is put back. The record is on disk before anything is changed, so that a kill leaves nothing unknown.
"""

import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from armarius.clock import Clock
from armarius.errors import DataError, Refused
from armarius.files import file_kind, private_folder, read_bounded, write_atomic
from armarius.install.record import digest

__all__ = ["CodexSkill", "SkillReport"]

_TEXT = Path(__file__).with_name("skill") / "SKILL.md"
_LARGEST = 1 << 20
_MODE = 0o644


class SkillReport(msgspec.Struct, frozen=True):
    """What was done, or would be (`armarius.codex_skill.v1`). `moved` is the older prompt's new place."""

    action: Literal["install", "uninstall"]
    path: str
    changed: bool
    dry_run: bool
    moved: str | None = None
    schema: str = "armarius.codex_skill.v1"


class _Record(msgspec.Struct, frozen=True):
    """What was written, and what was moved from where to where."""

    written: str
    moved_from: str | None = None
    moved_to: str | None = None


class CodexSkill:
    """The skill below a person's home; `state` is Armarius's own folder."""

    def __init__(self, user_home: Path, codex_home: Path, state: Path, clock: Clock) -> None:
        self.path = user_home / ".agents" / "skills" / "armarius" / "SKILL.md"
        self._prompt = codex_home / "prompts" / "sleep.md"
        self._state = state
        self._record = state / "codex-skill.json"
        self._clock = clock

    def install(self, *, dry_run: bool = False) -> SkillReport:
        """Put the skill in its place, and an older prompt for the same word out of the way."""
        text = read_bounded(_TEXT, _LARGEST)
        record, found = self._known(), self._found()
        if found not in (None, text) and (record is None or digest(found or b"") != record.written):
            raise Refused("not-ours", f"{self.path} is there and not ours", "move it away, then install again")
        moves = os.path.lexists(self._prompt)
        moved = self._free_place() if moves else None
        if found == text and not moves:
            return SkillReport("install", str(self.path), changed=False, dry_run=dry_run)
        if not dry_run:
            before = record or _Record("")
            away = (str(self._prompt), str(moved)) if moved else (before.moved_from, before.moved_to)
            private_folder(self._state)
            write_atomic(self._record, msgspec.json.encode(_Record(digest(text), *away)))
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self.path, text, mode=_MODE)
            if moved:
                self._prompt.rename(moved)
        return SkillReport("install", str(self.path), True, dry_run, str(moved) if moved else None)

    def uninstall(self, *, dry_run: bool = False) -> SkillReport:
        """Take the skill away, and put the older prompt back if its place is free."""
        record, found = self._known(), self._found()
        if found is not None and digest(found) != (record.written if record else digest(read_bounded(_TEXT, _LARGEST))):
            raise Refused("not-ours", f"{self.path} was changed since it was installed", "remove it by hand")
        back = self._back(record)
        changed = found is not None or back is not None
        if changed and not dry_run:
            if found is not None:
                self.path.unlink()
                if not any(self.path.parent.iterdir()):
                    self.path.parent.rmdir()
            if back is not None:
                back.rename(self._prompt)
        if not dry_run:
            self._record.unlink(missing_ok=True)
        return SkillReport("uninstall", str(self.path), changed, dry_run, str(self._prompt) if back else None)

    def _found(self) -> bytes | None:
        """What stands in our place; Refused when that is no file of its own."""
        try:
            mode = self.path.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(mode):
            raise Refused("not-ours", f"{self.path} is a {file_kind(mode)}", "move it away, then try again")
        return read_bounded(self.path, _LARGEST)

    def _known(self) -> _Record | None:
        if not self._record.exists():
            return None
        try:
            return msgspec.json.decode(read_bounded(self._record, _LARGEST), type=_Record)
        except msgspec.DecodeError as error:
            raise DataError("record-broken", f"{self._record}: {error}", "remove it, then install again") from error

    def _back(self, record: _Record | None) -> Path | None:
        """What was moved aside, when it is still there and nothing took its place."""
        if record is None or record.moved_to is None or os.path.lexists(self._prompt):
            return None
        moved = Path(record.moved_to)
        return moved if record.moved_from == str(self._prompt) and os.path.lexists(moved) else None

    def _free_place(self) -> Path:
        """Where the older prompt goes; with a time in its name when that place is taken."""
        plain = self._prompt.with_name("sleep.md.skillopt-legacy.bak")
        if not os.path.lexists(plain):
            return plain
        second = self._clock.now_us() // 1_000_000
        while True:
            stamp = datetime.fromtimestamp(second, tz=UTC).strftime("%Y%m%d%H%M%S")
            place = self._prompt.with_name(f"sleep.md.skillopt-legacy.{stamp}.bak")
            if not os.path.lexists(place):
                return place
            second += 1

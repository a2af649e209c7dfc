"""Skills of the team in a folder of skills, beside the user's own.

Owns putting them there, changing and removing them. Does not own where they come from (`hub`).
Invariant: a skill is there whole, in its old state or its new one, at every moment: its name is a link, which is
replaced in one step, to a version that never changes. Only links of ours are replaced or removed; whatever else has
the name of a skill stays, and so does a version of ours that somebody has edited.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path

import msgspec

from armarius.errors import ArmariusError, DataError, HostError
from armarius.files import locked, private_folder
from armarius.skills.bundle import ENTRY, Bundle, check_name, read_bundle
from armarius.skills.hub import Source

__all__ = ["Managed", "Synced"]


class Synced(msgspec.Struct, frozen=True):
    """What became of the skills. `kept` says what was left alone or could not be taken, and why."""

    added: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    etag: str | None = None

    @property
    def changed(self) -> bool:
        return bool(self.added or self.updated or self.removed)


class Managed:
    """Skills that are kept in `folder`; their versions are in `store`, which is ours alone."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder = folder
        self._store = store

    def sync(self, source: Source, etag: str | None = None) -> Synced | None:
        """Make the folder have what `source` has; None when nothing changed there since `etag`.

        The answer has no `etag` when something is left to be tried again.
        """
        listing = source.listing(etag)
        if listing is None:
            return None
        added, updated, removed = list[str](), list[str](), list[str]()
        kept, again = list(listing.refused), False
        with self._locked():
            for bundle in listing.skills:
                try:
                    before = self._version(bundle.name)
                    if before is not None and before.name == _version_name(bundle) and before.is_dir():
                        continue
                    self._may_change(bundle.name, before)
                    self._link(bundle, self._written(bundle, source))
                    (updated if before else added).append(bundle.name)
                except ArmariusError as error:
                    kept.append(error.message)
                    again = True
            surplus = sorted(set(self.names()) - {bundle.name for bundle in listing.skills})
            if surplus and not listing.is_there:
                kept.append("the source lists no skills at all; those that it had stay")
            # What cannot be read may be one of ours: nothing is removed on its word.
            for name in surplus if listing.is_there and not listing.refused else ():
                try:
                    self._may_change(name, self._version(name))
                    (self.folder / name).unlink()
                    removed.append(name)
                except ArmariusError as error:
                    kept.append(error.message)
            self._tidy()
        mark = None if again else listing.etag
        return Synced(tuple(added), tuple(updated), tuple(removed), tuple(kept), mark)

    def withdraw(self, *, dry_run: bool = False) -> Synced:
        """Take all skills of ours out of the folder, and nothing else; versions that were edited stay, and are said."""
        removed, kept = list[str](), list[str]()
        if not self._store.is_dir():
            return Synced()
        with self._locked():
            for name in self.names():
                try:
                    self._may_change(name, self._version(name))
                except ArmariusError as error:
                    kept.append(error.message)
                    continue
                if not dry_run:
                    (self.folder / name).unlink()
                removed.append(name)
            if not dry_run and self._made.exists():
                self._made.unlink()
                with contextlib.suppress(OSError):  # there is something of somebody else's in it
                    self.folder.rmdir()
        return Synced(removed=tuple(removed), kept=tuple(kept))

    def names(self) -> list[str]:
        """The skills that are ours."""
        if not self.folder.is_dir():
            return []
        return sorted(entry.name for entry in os.scandir(self.folder) if self._version(entry.name) is not None)

    def path(self, name: str) -> Path:
        """The SKILL.md of a skill, by a path that stays when the skill changes."""
        return self.folder / name / ENTRY

    # ---------------------------------------------------------------- versions

    @property
    def _versions(self) -> Path:
        return self._store / "versions"

    @property
    def _made(self) -> Path:
        """Is there when the folder was not there before us."""
        return self._store / f"made-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]}"

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        try:
            with locked(private_folder(self._store) / "lock"):
                private_folder(self._versions)
                if not self.folder.exists():
                    self.folder.mkdir(parents=True)
                    self._made.touch()
                yield
        except OSError as error:
            raise HostError("skills", f"cannot write below {self.folder}: {error.strerror}", "check it") from error

    def _version(self, name: str) -> Path | None:
        """The version that a link of ours leads to; None when there is nothing of ours by that name."""
        try:
            target = (self.folder / name).readlink()
        except OSError:
            return None
        return target if target.parent == self._versions else None

    def _may_change(self, name: str, before: Path | None) -> None:
        """DataError when what has the name is not ours, or was edited."""
        place = self.folder / name
        if before is None:
            if os.path.lexists(place):
                raise DataError("skill-foreign", f"{place} is not ours; it stays", "rename it to get the team's")
            return
        if before.is_dir() and _version_name(_as_is(name, before)) != before.name:
            raise DataError("skill-edited", f"{place} was edited here; it stays", "move the edited one away")

    def _written(self, bundle: Bundle, source: Source) -> Path:
        """A version, which is on the disk before anything leads to it."""
        final = self._versions / _version_name(bundle)
        if final.is_dir():
            if _as_is(bundle.name, final).tree == bundle.tree:
                return final
            final.rename(final.with_name(f"{final.name}.edited.{secrets.token_hex(4)}"))
        contents = source.fetch(bundle)
        new = self._versions / f".new-{secrets.token_hex(6)}"
        try:
            for path, data in contents.items():
                place = new / path
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with os.fdopen(os.open(place, flags, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            new.rename(final)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return final

    def _link(self, bundle: Bundle, version: Path) -> None:
        place = self.folder / check_name(bundle.name)
        if self._version(bundle.name) is None:
            try:
                place.symlink_to(version)  # fails where anything is
            except FileExistsError as error:
                raise DataError("skill-foreign", f"{place} is not ours; it stays", "rename it") from error
            return
        new = self.folder / f".{bundle.name}.{secrets.token_hex(6)}.new"
        new.symlink_to(version)
        try:
            new.replace(place)
        except OSError:  # a folder took its place in between
            new.unlink()
            raise

    def _tidy(self) -> None:
        """Remove versions that nothing leads to, but for the newest few: somebody may be reading in them."""
        linked = {self._version(name) for name in self.names()}
        others = [entry for entry in self._versions.iterdir() if entry not in linked and ".edited." not in entry.name]
        others.sort(key=lambda entry: entry.lstat().st_mtime_ns)
        for entry in others[:-_SPARE]:
            shutil.rmtree(entry, ignore_errors=True)


_SPARE = 8


def _version_name(bundle: Bundle) -> str:
    return f"{bundle.name}-{bundle.tree[:24]}"


def _as_is(name: str, version: Path) -> Bundle:
    """What is in a version now; of an edited one that is no bundle any more, a bundle without files."""
    try:
        return read_bundle(version, name)[0]
    except DataError:
        return Bundle(name, "", ())

"""The lanes of this machine: isolated logins, each in a CODEX_HOME of its own.

Owns the record of lanes, their folders, and which one is the default. Does not own logging in
(`armarius.codex.login`), who is billed (billing.py) nor how full one is (allowance.py).
Invariant: the record is a file of this machine and not a row of the ledger, because a login lies on
one machine, and hosts that share a ledger do not share it. A lane is in the record before its folder
is made and as long as it is there, so that no login is ever left where nobody would look for it.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Annotated

import msgspec

from armarius.codex.billing import Kind
from armarius.codex.daemon import control_socket
from armarius.errors import DataError, Refused, UsageError, nearest
from armarius.files import locked, private_folder, read_bounded, write_atomic
from armarius.settings import Settings

__all__ = ["OWN", "Lane", "Lanes"]

OWN = "own"
"""The caller's CODEX_HOME, as it is called where a lane is asked for."""

LONGEST_SOCKET = 99
"""What the address of a Unix socket may have in bytes on every system, with its final NUL."""

_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}\Z"
_LARGEST = 1 << 20
_CONFIG = (
    b'# Written by `armarius lanes add`: the login of a lane lies in the lane.\ncli_auth_credentials_store = "file"\n'
)


class Lane(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One lane. `tokens_per_day` is the budget that a lane of kind `api` has to have."""

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    kind: Kind
    created_at_us: int
    tokens_per_day: int | None = None


class _Book(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="armarius.lane_book.v1"):
    lanes: tuple[Lane, ...] = ()
    default: str | None = None


class Lanes:
    """The lanes below `settings.lanes`."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.lanes
        self._said = settings.lane
        self._own = settings.codex_home
        self._record = settings.home / "lanes.json"

    def home(self, name: str) -> Path:
        """The CODEX_HOME of a lane, or of the caller for `own`."""
        return self._own if name == OWN else self._folder / name

    def all(self) -> tuple[Lane, ...]:
        """Every lane, by name."""
        return tuple(sorted(self._read().lanes, key=lambda lane: lane.name))

    def find(self, name: str) -> Lane | None:
        """The lane of that name, None for `own`; UsageError when there is none."""
        lanes = self.all()
        found = next((lane for lane in lanes if lane.name == name), None)
        if found is None and name != OWN:
            names = [OWN, *(lane.name for lane in lanes)]
            raise UsageError("lane-unknown", f"there is no lane {name!r}", nearest(name, names))
        return found

    def homes(self) -> list[Path]:
        """Every CODEX_HOME in which a thread may lie: the caller's own first."""
        return [self._own, *(self.home(lane.name) for lane in self.all())]

    def kind_of(self, home: Path) -> Kind | None:
        """The kind of the lane with that CODEX_HOME; None when it is no lane's."""
        return next((lane.kind for lane in self.all() if self.home(lane.name) == home), None)

    def default(self) -> str:
        """The lane of a run that names none: a setting, else what `use` chose, else `own`."""
        name = self._said or self._read().default or OWN
        self.find(name)
        return name

    def add(self, name: str, kind: Kind, now_us: int, tokens_per_day: int | None = None) -> Lane:
        """Make a lane without a login. UsageError for a bad name, Refused for a key without a budget."""
        if not re.match(_NAME, name) or name == OWN:
            hint = "use up to 32 of a-z, 0-9, - and _, and not `own`"
            raise UsageError("lane-name", f"{name!r} cannot be the name of a lane", hint)
        if kind == "api" and tokens_per_day is None:
            raise Refused(
                "lane-budget",
                f"a lane of kind api pays for each token, and {name!r} has no budget",
                "give --tokens-per-day",
            )
        if kind == "chatgpt" and tokens_per_day is not None:
            raise UsageError("lane-budget", "a plan is not paid by the token", "give --tokens-per-day with --kind api")
        home = self.home(name)
        longest = len(os.fsencode(control_socket(home)))
        if longest > LONGEST_SOCKET:
            raise UsageError(
                "lane-path",
                f"the sockets of a Codex in {home} would have {longest} bytes, and {LONGEST_SOCKET} are possible",
                "choose a shorter name, or set ARMARIUS_HOME to a shorter path",
            )
        lane = Lane(name, kind, now_us, tokens_per_day)
        with self._changing() as book:
            if any(known.name == name for known in book.lanes):
                raise UsageError("lane-taken", f"there is a lane {name!r} already", "choose another name")
            if os.path.lexists(home):
                raise DataError("lane-folder", f"{home} is there and no lane of the record", "move it away")
            self._write(msgspec.structs.replace(book, lanes=(*book.lanes, lane)))
            private_folder(home)
            write_atomic(home / "config.toml", _CONFIG)
        return lane

    def use(self, name: str) -> str | None:
        """Make a lane the default of later runs; the name of the one that a setting prefers to it, if any."""
        self.find(name)
        with self._changing() as book:
            self._write(msgspec.structs.replace(book, default=None if name == OWN else name))
        return self._said if self._said not in (None, name) else None

    def remove(self, name: str, *, with_login: bool) -> None:
        """Forget a lane and delete its folder, sessions included.

        Refused while a login is in it, unless `with_login` says that it may be lost.
        """
        if name == OWN:
            raise UsageError("lane-name", "`own` is your CODEX_HOME and no lane", "name a lane")
        self.find(name)
        home = self.home(name)
        if not with_login and os.path.lexists(home / "auth.json"):
            raise Refused("lane-login", f"a login lies in {home}, and would be lost", "say --yes to lose it")
        with self._changing() as book:
            if os.path.lexists(home):
                shutil.rmtree(home)
            left = tuple(lane for lane in book.lanes if lane.name != name)
            self._write(_Book(left, None if book.default == name else book.default))

    def _read(self) -> _Book:
        if not os.path.lexists(self._record):
            return _Book()
        try:
            return msgspec.json.decode(read_bounded(self._record, _LARGEST), type=_Book)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError("lane-book", f"{self._record}: {error}", "restore it, or move it away") from error

    def _write(self, book: _Book) -> None:
        write_atomic(self._record, msgspec.json.encode(book))

    @contextlib.contextmanager
    def _changing(self) -> Generator[_Book]:
        """The record, for the only one who changes it."""
        private_folder(self._record.parent)
        private_folder(self._folder)
        with locked(self._record.with_suffix(".lock")):
            yield self._read()

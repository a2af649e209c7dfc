"""Putting a night on the clock of this machine, and taking it off.

Owns which clock there is, writing its files, having them loaded, and the note of when a night last began. Does not
own the text of the files (`nightly`).
Invariant: files are written whole before anybody is told to load them; taking off works after any half of putting on.
A note exists from the moment of scheduling, so that the first night waits for its time.
"""

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Literal

import msgspec

from armarius import programs
from armarius.clock import Clock
from armarius.errors import HostError
from armarius.files import private_folder, read_bounded, write_atomic
from armarius.identity import hash_value
from armarius.install.due import is_due
from armarius.install.nightly import Job, Method, cron_with, cron_without, files_for, name_of

__all__ = ["Notes", "ScheduleReport", "Scheduler", "clocks_with", "method_here"]

_LARGEST = 1 << 20
_ENDINGS: dict[Method, tuple[str, ...]] = {
    "systemd": (".timer", ".service"),
    "launchd": (".plist",),
    "cron": (".sh",),
}
_PATIENCE_S = 30.0


class ScheduleReport(msgspec.Struct, frozen=True):
    """What was put on the clock, or taken off (`armarius.sleep_schedule.v1`). `command` is what it runs."""

    action: Literal["schedule", "unschedule"]
    method: Method
    project: str
    name: str
    changed: bool
    files: tuple[str, ...]
    command: tuple[str, ...] = ()
    at: str = ""
    dry_run: bool = False
    schema: str = "armarius.sleep_schedule.v1"


def method_here(search_path: str, platform: str = sys.platform) -> Method:
    """The clock of this machine; HostError when it has none that we know."""
    if platform == "darwin":
        return "launchd"
    if shutil.which("systemctl", path=search_path) and Path("/run/systemd/system").is_dir():
        return "systemd"
    if shutil.which("crontab", path=search_path):
        return "cron"
    raise HostError("no-clock", "neither systemd nor cron is here", "have `armarius sleep run` started some other way")


class Scheduler:
    """The clock `method` of a user with this home and environment; `state` is Armarius's own folder."""

    def __init__(self, method: Method, user_home: Path, state: Path, environ: Mapping[str, str]) -> None:
        self._method: Method = method
        self._home = user_home
        self._state = state
        self._environ = environ

    @property
    def folder(self) -> Path:
        """Where the files belong."""
        if self._method == "cron":
            return self._state / "scheduled"
        if self._method == "launchd":
            return self._home / "Library" / "LaunchAgents"
        config = Path(self._environ.get("XDG_CONFIG_HOME") or self._home / ".config")
        return config / "systemd" / "user"

    def has(self, project: str) -> bool:
        """Whether a night of the project was put on this clock."""
        return any((self.folder / f"{name_of(project)}{ending}").exists() for ending in _ENDINGS[self._method])

    def put_on(self, job: Job, *, dry_run: bool = False) -> ScheduleReport:
        """Every day from now on."""
        name, files = name_of(job.project), files_for(self._method, job)
        paths = {self.folder / file: data for file, data in files.items()}
        changed = any(not path.exists() or read_bounded(path, _LARGEST) != data for path, data in paths.items())
        if self._method == "cron":
            [script] = paths
            table = self._crontab()
            lines = cron_with(table, job, script)
            if not dry_run:
                write_atomic(private_folder(self.folder) / script.name, paths[script])
                if lines != table:
                    self._tell_cron(lines)
            changed = changed or lines != table
        elif changed and not dry_run:
            self.folder.mkdir(parents=True, exist_ok=True)
            for path, data in paths.items():
                write_atomic(path, data, mode=0o644)
            self._load(name)
        at = f"{job.hour:02d}:{job.minute:02d}"
        shown = tuple(map(str, paths))
        return ScheduleReport("schedule", self._method, job.project, name, changed, shown, job.argv, at, dry_run)

    def take_off(self, project: str) -> ScheduleReport:
        """No more of it."""
        name = name_of(project)
        if self._method == "cron":
            table = self._crontab()
            rest = cron_without(table, project)
            if rest != table:
                self._tell_cron(rest)
            (self.folder / f"{name}.sh").unlink(missing_ok=True)
            return ScheduleReport("unschedule", "cron", project, name, rest != table, ())
        paths = [path for ending in _ENDINGS[self._method] if (path := self.folder / f"{name}{ending}").exists()]
        if paths:
            self._unload(name)
            for path in paths:
                path.unlink()
            if self._method == "systemd":
                self._run("systemctl", "--user", "daemon-reload")
        shown = tuple(map(str, paths))
        return ScheduleReport("unschedule", self._method, project, name, bool(paths), shown)

    def _load(self, name: str) -> None:
        if self._method == "systemd":
            self._run("systemctl", "--user", "daemon-reload")
            self._run("systemctl", "--user", "enable", "--now", f"{name}.timer")
        else:
            self._run("launchctl", "unload", str(self.folder / f"{name}.plist"), fails=True)
            self._run("launchctl", "load", "-w", str(self.folder / f"{name}.plist"))

    def _unload(self, name: str) -> None:
        if self._method == "systemd":
            self._run("systemctl", "--user", "disable", "--now", f"{name}.timer", fails=True)
        else:
            self._run("launchctl", "unload", "-w", str(self.folder / f"{name}.plist"), fails=True)

    def _crontab(self) -> str:
        """The user's table; empty when there is none yet."""
        done = programs.run(["crontab", "-l"], cwd=self._home, environ=self._environ, timeout=_PATIENCE_S)
        if done.code == 0:
            return done.stdout.decode("utf-8", "surrogateescape")
        if b"no crontab" in done.stderr.lower():
            return ""
        raise _failed("crontab -l", done)

    def _tell_cron(self, table: str) -> None:
        self._run("crontab", "-", data=table.encode("utf-8", "surrogateescape"))

    def _run(self, *argv: str, data: bytes = b"", fails: bool = False) -> None:
        done = programs.run(argv, cwd=self._home, environ=self._environ, timeout=_PATIENCE_S, data=data)
        if done.code != 0 and not fails:
            raise _failed(" ".join(argv), done)


def clocks_with(project: str, user_home: Path, state: Path, environ: Mapping[str, str]) -> tuple[Method, ...]:
    """The clocks on which a night of the project was put; more than one only where somebody changed their mind."""
    return tuple(method for method in _ENDINGS if Scheduler(method, user_home, state, environ).has(project))


class _Note(msgspec.Struct, frozen=True):
    begun_at_us: int


class Notes:
    """When the night of each project last began on the clock."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._folder = home / "scheduled"
        self._clock = clock

    def begin(self, project: str) -> None:
        """Note that its night begins now, or that its first one waits for its time."""
        note = msgspec.json.encode(_Note(self._clock.now_us()))
        write_atomic(private_folder(self._folder) / f"{_key(project)}.json", note)

    def forget(self, project: str) -> None:
        (self._folder / f"{_key(project)}.json").unlink(missing_ok=True)

    def is_due(self, project: str, hour: int, minute: int, zone: tzinfo) -> bool:
        """Whether a night is due now; the first question of all only begins the waiting."""
        now_us = self._clock.now_us()
        path = self._folder / f"{_key(project)}.json"
        if not path.exists():
            self.begin(project)
            return False
        try:
            begun_us = msgspec.json.decode(read_bounded(path, _LARGEST), type=_Note).begun_at_us
        except msgspec.DecodeError:
            begun_us = 0  # a broken note may cost one night too many, and never all of them
        if begun_us > now_us:  # the clock was set back: wait for the next time from here
            self.begin(project)
            return False
        return is_due(_utc(now_us), _utc(begun_us), hour, minute, zone)


def _utc(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def _key(project: str) -> str:
    return hash_value(project)[7:23]


def _failed(what: str, done: programs.Finished) -> HostError:
    said = done.stderr.decode(errors="replace").strip()[:300]
    return HostError("schedule", f"`{what}` failed: {said or done.code}", "mend it, or name another --method")

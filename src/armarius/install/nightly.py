"""A night by the clock: systemd's timer, launchd's agent, or cron.

Owns the files that each of them reads, to the byte, and the places they belong to. Does not own when a night is due
(`due`), starting the programs that load these files, nor the night.
Invariant: pure. What was typed stands in the file word for word, quoted by the rules of its reader, so that no word
can become two, a variable or a second line; no value of a secret's stands in any of them.
"""

import plistlib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from armarius.errors import UsageError
from armarius.identity import hash_value

__all__ = ["Job", "Method", "cron_with", "cron_without", "files_for", "kept_variables", "name_of"]

Method: TypeAlias = Literal["systemd", "launchd", "cron"]

_BEGIN, _END = "# armarius night {name} begin", "# armarius night {name} end"
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_KEPT = frozenset({"CODEX_HOME", "PATH", "LANG", "SSL_CERT_FILE", "XDG_DATA_HOME", "XDG_CONFIG_HOME"})


class Job(msgspec.Struct, frozen=True):
    """A night that comes every day at a time of the local clock. `argv` is the whole command, `log` where it speaks."""

    project: str
    folder: str
    argv: tuple[str, ...]
    hour: int
    minute: int
    environ: dict[str, str]
    log: str
    on_battery: bool = False

    def __post_init__(self) -> None:
        for text in (self.project, self.folder, self.log, *self.argv, *self.environ.values()):
            if any(ord(character) < ord(" ") or character == "\x7f" for character in text):
                raise UsageError("schedule-control", f"{text!r} holds a control character", "leave it out")
            if any("\ud800" <= character <= "\udfff" for character in text):
                raise UsageError("schedule-text", f"{text!r} is not UTF-8", "name a file or folder that is")


def name_of(project: str) -> str:
    """The name of a project's night: a word from its folder, and enough of a hash to be its own."""
    word = re.sub(r"[^a-z0-9]+", "-", Path(project).name.casefold()).strip("-")[:30] or "project"
    return f"armarius-night-{word}-{hash_value(project)[7:15]}"


def kept_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the caller's environment the night needs again; never what may be a secret."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if (name in _KEPT or name.startswith("ARMARIUS_")) and not _SECRET.search(name) and "://" not in value
    }


def files_for(method: Method, job: Job) -> dict[str, bytes]:
    """The files of a job by name; that of cron is a script, and lines in a table start it."""
    name = name_of(job.project)
    if method == "systemd":
        return {f"{name}.service": _service(job).encode(), f"{name}.timer": _timer(job).encode()}
    if method == "launchd":
        return {f"{name}.plist": _agent(name, job)}
    return {f"{name}.sh": _script(job).encode()}


def cron_with(table: str, job: Job, script: Path) -> str:
    """A crontab with the lines that start the job's script, in the place of those that it had.

    The words themselves stand in the script: a line of cron may have a thousand characters, and what a backslash in
    one means is a matter of which cron it is.
    """
    name = name_of(job.project)
    if "\\" in str(script):
        raise UsageError("schedule-text", f"{script} has a backslash, which crons read differently", "move it")
    rest = cron_without(table, job.project)
    gap = "" if not rest or rest.endswith("\n") else "\n"
    # Every hour: whether a night is due is asked by the command itself, so that one that was slept through is made up
    # for once, and a day on which the clock is changed has one, too.
    entry = f"{job.minute} * * * * /bin/sh {shlex.quote(str(script)).replace('%', chr(92) + '%')}"
    return f"{rest}{gap}{_BEGIN.format(name=name)}\n{entry}\n{_END.format(name=name)}\n"


def cron_without(table: str, project: str) -> str:
    """A crontab without the lines of a project's job; every other byte is as it was, also where a mark is missing."""
    name = name_of(project)
    begin, end = re.escape(_BEGIN.format(name=name)), re.escape(_END.format(name=name))
    return re.sub(rf"^{begin}\n.*\n{end}(?:\n|\Z)", "", table, flags=re.MULTILINE)


def _script(job: Job) -> str:
    words = [f"{key}={shlex.quote(value)}" for key, value in job.environ.items()]
    words += [shlex.quote(word) for word in job.argv]
    return (
        f"#!/bin/sh\n# Armarius night for {job.project}\ncd {shlex.quote(job.folder)} || exit\n"
        f"{' '.join(words)} >> {shlex.quote(job.log)} 2>&1\n"
    )


def _service(job: Job) -> str:
    lines = [
        "[Unit]",
        f"Description=Armarius night for {_to_end(job.project)}",
        *([] if job.on_battery else ["ConditionACPower=true"]),
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={_to_end(job.folder)}",
        *(f"Environment={_systemd(f'{key}={value}')}" for key, value in job.environ.items()),
        f"ExecStart={' '.join(_systemd(word, is_command=True) for word in job.argv)}",
        f"StandardOutput=append:{_percent(job.log)}",
        f"StandardError=append:{_percent(job.log)}",
        "Nice=10",
        "",
    ]
    return "\n".join(lines)


def _timer(job: Job) -> str:
    return (
        f"[Unit]\nDescription=When Armarius has a night for {_to_end(job.project)}\n\n[Timer]\n"
        f"OnCalendar=*-*-* {job.hour:02d}:{job.minute:02d}:00\nPersistent=true\nAccuracySec=1min\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _agent(name: str, job: Job) -> bytes:
    return plistlib.dumps(
        {
            "Label": name,
            "ProgramArguments": list(job.argv),
            "WorkingDirectory": job.folder,
            "EnvironmentVariables": job.environ,
            "StartCalendarInterval": {"Hour": job.hour, "Minute": job.minute},
            "StandardOutPath": job.log,
            "StandardErrorPath": job.log,
            "ProcessType": "Background",
            "RunAtLoad": False,
        },
        sort_keys=True,
    )


def _to_end(folder: str) -> str:
    """A folder for the end of a line, where a blank is dropped and a backslash takes the next line in."""
    return _percent(folder) + ("/" if folder.endswith((" ", "\\")) else "")


def _percent(text: str) -> str:
    return text.replace("%", "%%")


def _systemd(word: str, *, is_command: bool = False) -> str:
    """A word for `ExecStart=` or `Environment=`; only in a command does a dollar begin a variable."""
    escaped = _percent(word).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + (escaped.replace("$", "$$") if is_command else escaped) + '"'

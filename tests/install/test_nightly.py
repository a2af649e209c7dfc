"""A night by the clock: files to the byte, quoted for their readers, and due exactly once a day."""

import plistlib
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from armarius.errors import UsageError
from armarius.install.due import is_due, last_moment, on_battery
from armarius.install.nightly import Job, cron_with, cron_without, files_for, kept_variables, name_of
from armarius.install.scheduling import Notes, Scheduler, clocks_with
from armarius.testing.clock import FakeClock

JOB = Job(
    project="/home/a/My Project",
    folder="/home/a/My Project",
    argv=(
        "/usr/bin/python3",
        "-m",
        "armarius",
        "sleep",
        "run",
        "--preferences",
        '50% "short" $HOME \\ it\'s',
        "--allow",
        "url",
    ),
    hour=3,
    minute=7,
    environ={"CODEX_HOME": "/home/a/100%/$x", "PATH": "/usr/bin:/bin"},
    log="/home/a/state/log",
)
NAME = name_of(JOB.project)
SCRIPT = Path("/home/a/state/scheduled/night.sh")


def test_the_files_of_systemd_to_the_byte() -> None:
    assert "armarius-night-my-project-" + NAME[-8:] == NAME
    files = files_for("systemd", JOB)
    assert files[f"{NAME}.service"].decode() == (
        "[Unit]\n"
        "Description=Armarius night for /home/a/My Project\n"
        "ConditionACPower=true\n"
        "\n"
        "[Service]\n"
        "Type=oneshot\n"
        "WorkingDirectory=/home/a/My Project\n"
        'Environment="CODEX_HOME=/home/a/100%%/$x"\n'
        'Environment="PATH=/usr/bin:/bin"\n'
        'ExecStart="/usr/bin/python3" "-m" "armarius" "sleep" "run" "--preferences" '
        '"50%% \\"short\\" $$HOME \\\\ it\'s" "--allow" "url"\n'
        "StandardOutput=append:/home/a/state/log\n"
        "StandardError=append:/home/a/state/log\n"
        "Nice=10\n"
    )
    assert files[f"{NAME}.timer"].decode() == (
        "[Unit]\n"
        "Description=When Armarius has a night for /home/a/My Project\n"
        "\n"
        "[Timer]\n"
        "OnCalendar=*-*-* 03:07:00\n"
        "Persistent=true\n"
        "AccuracySec=1min\n"
        "\n"
        "[Install]\n"
        "WantedBy=timers.target\n"
    )


def test_on_battery_is_allowed_where_it_was_said() -> None:
    service = files_for("systemd", msgspec.structs.replace(JOB, on_battery=True))[f"{NAME}.service"]
    assert b"ConditionACPower" not in service


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("place", ["plain", "it's 100% ödd ", "back\\"])
def test_systemd_finds_nothing_to_complain_of(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir()
    argv = (shutil.which("true") or "/bin/true", *JOB.argv[1:])
    job = msgspec.structs.replace(JOB, project=str(folder), argv=argv, folder=str(folder), log=str(folder / "log"))
    service = files_for("systemd", job)[f"{name_of(job.project)}.service"].decode().splitlines()
    assert not any(line.endswith(("\\", " ")) for line in service)
    for name, data in files_for("systemd", job).items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run(
        [
            "systemd-analyze",
            "--user",
            "verify",
            "--man=no",
            *(str(tmp_path / name) for name in files_for("systemd", job)),
        ],
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        timeout=60,
        check=False,
    )
    ours = [line for line in done.stderr.decode().splitlines() if name_of(job.project) in line]
    assert (done.returncode, ours) == (0, [])


def test_the_file_of_launchd_keeps_every_word() -> None:
    data = files_for("launchd", JOB)[f"{NAME}.plist"]
    assert plistlib.loads(data) == {
        "Label": NAME,
        "ProgramArguments": list(JOB.argv),
        "WorkingDirectory": JOB.folder,
        "EnvironmentVariables": JOB.environ,
        "StartCalendarInterval": {"Hour": 3, "Minute": 7},
        "StandardOutPath": JOB.log,
        "StandardErrorPath": JOB.log,
        "ProcessType": "Background",
        "RunAtLoad": False,
    }
    assert data.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')


@pytest.mark.parametrize("table", ["", "0 1 * * * mine\n", "no line end", "# a\n\n5 5 * * * x%y\n"])
def test_lines_of_cron_come_and_go_and_leave_the_others(table: str) -> None:
    once = cron_with(table, JOB, SCRIPT)
    assert once.startswith(table)
    assert cron_with(once, JOB, SCRIPT) == once
    assert cron_without(once, JOB.project) == (table if table.endswith("\n") or not table else table + "\n")
    other = msgspec.structs.replace(JOB, project="/other")
    both = cron_with(once, other, SCRIPT)
    assert cron_without(both, other.project) == once


def test_lines_of_others_stay_when_somebody_took_a_mark_away() -> None:
    torn = cron_with("", JOB, SCRIPT).rsplit("# ", 1)[0] + "5 5 * * * mine\n"
    again = cron_with(torn, JOB, SCRIPT)
    assert again.startswith(torn)
    assert cron_with(again, JOB, SCRIPT) == again
    assert cron_without(again, JOB.project) == torn


WORDS = ('50% "short" $HOME \\ it\'s', "a b", "", "`id`", "*", "ü" * 2_000)
ODD = "it's 100% odd $HOME `id` ü"


def vixie(line: str) -> str:
    """What cron hands to the shell of a line's command: up to its first bare percent sign, escapes undone."""
    [*_, command] = line.split(" ", 5)
    return re.sub(r"(?<!\\)%.*", "", command).replace("\\%", "%")


def test_a_line_of_cron_runs_the_words_as_they_were_typed(tmp_path: Path) -> None:
    place = tmp_path / ODD
    place.mkdir()
    program = 'import sys, os; open(os.environ["OUT"], "w").write("|".join(sys.argv[1:]))'
    job = Job(
        project="/p",
        folder=str(place),
        argv=("/usr/bin/env", "python3", "-c", program, *WORDS),
        hour=0,
        minute=0,
        environ={"OUT": str(place / "out")},
        log=str(place / "log"),
    )
    [(name, data)] = files_for("cron", job).items()
    (place / name).write_bytes(data)
    [line] = [line for line in cron_with("", job, place / name).splitlines() if not line.startswith("#")]
    assert (line.split(" ", 1)[0], len(line) < 1_000) == ("0", True)
    subprocess.run(["/bin/sh", "-c", vixie(line)], check=True, timeout=30)
    assert (place / "out").read_text() == "|".join(WORDS)


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x00b", "\x1b[0m", "a\udce9b"])
def test_what_could_become_a_second_line_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        msgspec.structs.replace(JOB, argv=(*JOB.argv, text))


def test_secrets_of_the_environment_stay_out() -> None:
    known = {"PATH": "/bin", "OPENAI_API_KEY": "sk-x", "ARMARIUS_TOKEN": "t", "ARMARIUS_HOME": "/h", "EDITOR": "vi"}
    assert kept_variables(known | {"ARMARIUS_DATABASE": "postgresql://a:b@c/d"}) == {
        "PATH": "/bin",
        "ARMARIUS_HOME": "/h",
    }


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("zone", "first_day", "hour", "minute"),
    [
        ("Europe/Berlin", "2026-03-27", 2, 30),  # comes not at all on the 29th
        ("Europe/Berlin", "2026-10-23", 2, 30),  # comes twice on the 25th
        ("America/New_York", "2026-03-06", 2, 0),
        ("America/New_York", "2026-10-30", 1, 30),
        ("Australia/Lord_Howe", "2026-04-03", 1, 45),  # half an hour
        ("UTC", "2026-06-01", 0, 0),
        ("Pacific/Apia", "2011-12-28", 23, 59),  # a day that was left out
    ],
)
def test_a_clock_that_keeps_asking_gets_one_night_a_day(zone: str, first_day: str, hour: int, minute: int) -> None:
    here = ZoneInfo(zone)
    now = datetime.fromisoformat(f"{first_day}T12:00:00").replace(tzinfo=here).astimezone(UTC)
    begun, nights = now, list[datetime]()
    for _ in range(5 * 24 * 4):
        now += timedelta(minutes=15)
        if is_due(now, begun, hour, minute, here):
            begun = now
            nights.append(now.astimezone(here))
    days = [night.date() for night in nights]
    assert len(set(days)) == len(days)
    assert len(days) in ({4, 5} if zone == "Pacific/Apia" else {5})


def test_nights_that_were_slept_through_are_made_up_for_by_one() -> None:
    begun = datetime(2026, 5, 1, 3, 17, tzinfo=BERLIN)
    woken = datetime(2026, 5, 9, 8, 0, tzinfo=BERLIN)
    assert is_due(woken, begun, 3, 17, BERLIN)
    assert not is_due(woken + timedelta(hours=1), woken, 3, 17, BERLIN)
    assert last_moment(woken, 3, 17, BERLIN) == datetime(2026, 5, 9, 3, 17, tzinfo=BERLIN)


def test_the_first_night_waits_for_its_time_and_a_clock_set_back_gives_no_second_one(tmp_path: Path) -> None:
    clock = FakeClock()  # 12:09 UTC
    notes = Notes(tmp_path, clock)
    assert not notes.is_due("/p", 12, 30, UTC)
    clock.advance(30 * 60 * 1_000_000)
    assert notes.is_due("/p", 12, 30, UTC)
    notes.begin("/p")
    assert not notes.is_due("/p", 12, 30, UTC)
    clock.set_wall(clock.now_us() - 3 * 3_600_000_000)
    assert not notes.is_due("/p", 12, 30, UTC)


@pytest.mark.parametrize(
    ("supplies", "answer"),
    [
        ({}, False),
        ({"BAT0": ("Battery", None)}, False),
        ({"AC": ("Mains", "1"), "BAT0": ("Battery", None)}, False),
        ({"AC": ("Mains", "0"), "BAT0": ("Battery", None)}, True),
        ({"AC": ("Mains", "0"), "usb": ("USB", "1")}, False),
    ],
)
def test_whether_it_runs_on_battery(
    tmp_path: Path, supplies: dict[str, tuple[str, str | None]], *, answer: bool
) -> None:
    for name, (kind, online) in supplies.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(kind + "\n")
        if online is not None:
            (tmp_path / name / "online").write_text(online + "\n")
    assert on_battery(tmp_path) is answer


@pytest.fixture
def cron(tmp_path: Path) -> Scheduler:
    """A machine whose crontab keeps its table in a file."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "crontab").write_text(
        f'#!/bin/sh\ncd "{tmp_path}"\n'
        '[ "$1" = - ] && exec cat > table\n[ -f table ] && exec cat table\necho "no crontab for me" >&2; exit 1\n'
    )
    (programs / "crontab").chmod(0o755)
    return Scheduler("cron", tmp_path, tmp_path / "state", {"PATH": f"{programs}:/usr/bin:/bin"})


def test_cron_is_told_and_told_no_more(cron: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert not cron.take_off(JOB.project).changed
    assert cron.put_on(JOB, dry_run=True).changed
    assert not (tmp_path / "table").exists()
    assert not (tmp_path / "state").exists()
    others = b"# caf\xe9\n0 1 * * * mine\n"
    (tmp_path / "table").write_bytes(others)
    put_on = cron.put_on(JOB)
    assert put_on.changed
    assert not cron.put_on(JOB).changed
    [script] = map(Path, put_on.files)
    assert (tmp_path / "table").read_bytes() == others + cron_with("", JOB, script).encode()
    assert {script.name: script.read_bytes()} == files_for("cron", JOB)
    assert clocks_with(JOB.project, tmp_path, tmp_path / "state", {}) == ("cron",)
    assert cron.put_on(msgspec.structs.replace(JOB, argv=("/bin/true",))).changed
    assert cron.take_off(JOB.project).changed
    assert (tmp_path / "table").read_bytes() == others
    assert not script.exists()
    assert clocks_with(JOB.project, tmp_path, tmp_path / "state", {}) == ()

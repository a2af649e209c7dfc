"""`armarius sessions` on a CODEX_HOME as machines have them: with files that nobody can use."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.terminal import UNPRIVILEGED, Terminal

DATA = Path(__file__).parents[1] / "data" / "rollouts"
GOOD = {
    "01a1f8dc-b678-76e0-8319-c9bb383e41bc": "0.169-tools.jsonl",
    "01a1fbbf-82bf-7170-ac5e-4db1903be431": "0.163-denied.jsonl",
}
CLOSED = "00000009-0000-7000-8000-000000000000"


def place(terminal: Terminal, thread_id: str, *, suffix: str = ".jsonl") -> Path:
    folder = terminal.codex_home / "sessions" / "2026" / "11" / "20"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"rollout-2026-11-20T10-00-00-{thread_id}{suffix}"


@pytest.fixture
def attic(terminal: Terminal) -> Terminal:
    """Two good sessions among everything else that may lie there."""
    for thread_id, name in GOOD.items():
        place(terminal, thread_id).write_bytes((DATA / name).read_bytes())
    odd = [f"0000000{n}-0000-7000-8000-000000000000" for n in range(9)]
    place(terminal, odd[0]).touch()
    place(terminal, odd[1]).write_text("\n")
    place(terminal, odd[2]).write_text('{"broken')
    place(terminal, odd[3]).write_text("this is no JSON\nneither is this\n")
    place(terminal, odd[4]).write_bytes(bytes(range(256)) * 20)
    place(terminal, odd[5]).symlink_to("/no/such/file")
    place(terminal, odd[6]).mkdir()
    os.mkfifo(place(terminal, odd[7]))
    place(terminal, odd[8], suffix=".jsonl.zst").write_bytes(b"(\xb5/\xfd")
    place(terminal, CLOSED).write_bytes((DATA / "0.169-goal.jsonl").read_bytes())
    for path in place(terminal, CLOSED).parent.iterdir():
        os.utime(path, (1_790_000_000, 1_790_000_000), follow_symlinks=False)  # nobody is writing to them
    place(terminal, CLOSED).chmod(0)
    return terminal


def good_ones(sessions: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    return {one["id"]: (one["turns"], one["commands"]) for one in sessions if one["turns"]}


def test_files_that_cannot_be_used_hide_no_others(attic: Terminal) -> None:
    done = attic.type("sessions", "list", "--json", through=UNPRIVILEGED)
    assert (done.code, done.err) == (0, "")
    assert good_ones(done.answer["sessions"]) == dict.fromkeys(GOOD, (1, 2))
    assert {one["state"] for one in done.answer["sessions"] if not one["turns"]} == {"unknown"}
    assert (done.answer["total"], len(done.answer["sessions"])) == (8, 8)
    trouble = done.answer["trouble"]
    assert (trouble["unreadable"], trouble["with_bad_lines"], trouble["unknown"]) == (1, 3, 0)

    text = attic.type("sessions", "list", through=UNPRIVILEGED)
    assert (text.code, all(thread_id in text.out for thread_id in GOOD)) == (0, True)
    assert "1 file could not be opened" in text.err

    doctor = attic.type("doctor", "--json", through=UNPRIVILEGED).answer
    [finding] = [finding for finding in doctor["findings"] if finding["check"] == "sessions"]
    assert finding["verdict"] == "warn"
    assert f"1 cannot be opened; {trouble['bad_lines']} bad lines in 3 files skipped" in finding["found"]


def test_a_limit_counts_sessions_and_not_files_that_cannot_be_opened(attic: Terminal) -> None:
    os.utime(place(attic, CLOSED), (4e9, 4e9))  # the newest of all
    done = attic.type("sessions", "list", "--json", "--limit", "3", through=UNPRIVILEGED)
    assert (len(done.answer["sessions"]), done.answer["trouble"]["unreadable"]) == (3, 1)


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("01a1f8dc", 0, "completed (by rollout)"),
        ("codex://threads/01a1f8dc-b678-76e0-8319-c9bb383e41bc", 0, "completed (by rollout)"),
        ("00000000", 0, "unknown (by none)"),
        ("00000003", 0, ":1 (byte 0): JSON is malformed"),
        ("00000004", 0, "skipped"),
        ("0000000", 3, "'0000000' begins 7 sessions: 00000000-"),
        ("00000006", 3, "no session '00000006'"),
        ("00000008", 0, "the compressed file ends in the middle"),
        ("00000009", 4, "no permission: "),
        ("/etc/passwd", 3, "/etc/passwd is no session"),
        ("/dev/zero", 3, "no session '/dev/zero'"),
    ],
)
def test_showing_any_of_them_says_what_it_is(attic: Terminal, name: str, code: int, text: str) -> None:
    done = attic.type("sessions", "show", name, through=UNPRIVILEGED)
    assert (done.code, text in done.out + done.err) == (code, True), done
    assert "Traceback" not in done.err
    as_json = attic.type("sessions", "show", name, "--json", through=UNPRIVILEGED)
    assert as_json.code == code
    assert json.loads(as_json.err if code else as_json.out)["schema"] == f"armarius.{'error' if code else 'session'}.v1"


def test_a_machine_without_sessions_is_no_error(terminal: Terminal) -> None:
    done = terminal.type("sessions", "list")
    assert (done.code, done.out, done.err) == (0, f"No sessions under {terminal.codex_home}.\n", "")


def test_another_codex_home_can_be_looked_into(attic: Terminal, tmp_path: Path) -> None:
    environ = {"CODEX_HOME": str(tmp_path)}
    words = ["sessions", "list", "--json", "--codex-home", str(attic.codex_home)]
    assert good_ones(attic.type(*words, environ=environ).answer["sessions"]).keys() >= GOOD.keys()
    assert attic.type("sessions", "list", environ=environ).out.startswith("No sessions under")

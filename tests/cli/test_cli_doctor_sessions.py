"""`armarius doctor sessions` on a made-up CODEX_HOME with everything in it that it is there to find."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
import zstandard

from armarius.testing.model_server import ModelServer
from support.codex_world import CodexWorld
from support.terminal import UNPRIVILEGED, Terminal

DATA = Path(__file__).parents[1] / "data" / "rollouts"
DAY_S = 86_400
DONE, CUT, ECHO, OLD, ODD, PACKED, AWAY = (f"0000000{n}-0000-7000-8000-000000000000" for n in range(7))


def place(home: Path, thread_id: str, data: bytes, *, suffix: str = "", folder: str = "sessions/2026/11/20") -> Path:
    path = home / folder / f"rollout-2026-11-20T10-00-00-{thread_id}.jsonl{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def database(path: Path, sql: str) -> None:
    connection: Any = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


@pytest.fixture
def attic(terminal: Terminal) -> Terminal:
    home = terminal.codex_home
    tools = (DATA / "0.169-tools.jsonl").read_bytes()
    done = place(home, DONE, tools)
    place(home, CUT, (DATA / "0.169-killed.jsonl").read_bytes())
    place(home, ECHO, tools.replace(b"echo hello; ls -la", b"cat .codex/sessions/*/*/*/rollout-*.jsonl; ls"))
    old = place(home, OLD, tools + tools)
    aged = old.stat().st_mtime - 40 * DAY_S
    os.utime(old, (aged, aged))
    odd = place(home, ODD, b"no json\n" + tools + b'{"timestamp":')
    aged = odd.stat().st_mtime - 600
    os.utime(odd, (aged, aged))  # nobody writes the rest of the line any more
    place(home, PACKED, zstandard.compress(tools), suffix=".zst")
    place(home, AWAY, tools, folder="archived_sessions")
    (home / "thread-writer-locks").mkdir()
    (home / "thread-writer-locks" / f"{CUT}.lock").touch()
    rows = ", ".join(f"('{name}', '{done}', 0)" for name in (DONE, CUT, ECHO, OLD, PACKED, AWAY))
    lost = "('99999999-0000-7000-8000-000000000000', '/nowhere/rollout.jsonl', 0)"
    columns = "id TEXT, rollout_path TEXT, archived INTEGER"
    database(home / "state_5.sqlite", f"CREATE TABLE threads ({columns}); INSERT INTO threads VALUES {rows}, {lost}")
    turns = f"('{CUT}', 'a', 1, 'inProgress', 1, NULL), ('{DONE}', 'b', 1, 'completed', 1, 2)"
    columns = "thread_id TEXT, turn_id TEXT, rollout_ordinal INTEGER, status TEXT, started_at, completed_at"
    history = f"CREATE TABLE thread_turns ({columns}); INSERT INTO thread_turns VALUES {turns}"
    database(home / "thread_history_1.sqlite", history)
    (home / "logs_2.sqlite").write_bytes(b"")
    os.truncate(home / "logs_2.sqlite", 300_000_000)
    (home / "queue_1.sqlite").write_bytes(b"garbage")
    return terminal


def findings(terminal: Terminal, *words: str) -> dict[str, dict[str, Any]]:
    done = terminal.type("doctor", "sessions", "--json", *words)
    assert (done.code, done.err) == (0, "")
    [home] = done.answer["homes"]
    return {finding["kind"]: finding for finding in home["findings"]}


def named(finding: dict[str, Any]) -> set[str]:
    """The threads that a finding names."""
    found = " ".join(f"{subject['name']} {subject['detail']}" for subject in finding["subjects"])
    return {thread_id for thread_id in (DONE, CUT, ECHO, OLD, ODD, PACKED, AWAY) if thread_id in found}


def test_each_kind_of_trouble_is_found_and_named(attic: Terminal, check: Callable[[Any], None]) -> None:
    found = findings(attic)
    assert found["size"]["found"] == "7 session files, 1 archived, 1 compressed"
    assert found["size"]["size"] == sum(path.stat().st_size for path in attic.codex_home.rglob("rollout-*"))
    assert found["largest"]["subjects"][0]["detail"] == OLD
    assert named(found["self_ingestion"]) == {ECHO}
    assert named(found["stale_locks"]) == named(found["open_turns"]) == {CUT}
    assert found["open_turns"]["subjects"][0]["detail"] == "in its record and the history database"
    assert (found["rows_without_file"]["count"], named(found["files_without_row"])) == (1, {ODD})
    assert named(found["unread"]) == {ODD}
    expected = "1 line skipped, 1 file ending in half a line, 0 records of unknown kind, 0 unreadable"
    assert found["unread"]["found"] == expected
    assert found["unread"]["subjects"][0]["detail"].endswith("half a line of 13 bytes at the end")
    assert found["trouble"]["subjects"][0]["name"].startswith("queue_1.sqlite: ")
    assert found["databases"]["saves"] == 300_000_000
    check(attic.type("doctor", "sessions", "--json").answer)


def test_what_compression_would_save_is_measured(attic: Terminal) -> None:
    finding = findings(attic)["compression"]
    data = next(attic.codex_home.rglob(f"*{OLD}.jsonl")).read_bytes()
    assert (finding["count"], finding["size"]) == (1, len(data))
    saved = len(data) - len(zstandard.compress(data))
    assert abs(finding["saves"] - saved) <= 0.02 * len(data)
    assert (findings(attic)["archiving"]["count"], findings(attic)["archiving"]["size"]) == (1, len(data))


def test_it_reads_as_advice_and_changes_nothing(attic: Terminal) -> None:
    def trace() -> dict[str, tuple[int, int]]:
        files = [path for path in attic.codex_home.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    before = trace()
    done = attic.type("doctor", "sessions")
    assert (done.code, done.err) == (0, "")
    assert "stale locks: 1 writer lock that nobody holds\n" in done.out
    assert f"    {CUT}\n    → harmless: a kill left them" in done.out
    assert "(frees about 300.0 MB)" in done.out
    assert trace() == before


def test_a_thread_that_somebody_has_is_not_left_behind(attic: Terminal) -> None:
    with (attic.codex_home / "thread-writer-locks" / f"{CUT}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = findings(attic)
    assert (found["stale_locks"]["count"], found["open_turns"]["count"]) == (0, 0)


def test_files_that_nobody_can_read_are_counted_and_hide_no_others(attic: Terminal) -> None:
    place(attic.codex_home, ODD, b"").chmod(0)
    place(attic.codex_home, PACKED, b"(\xb5/\xfd broken", suffix=".zst")
    place(attic.codex_home, DONE, bytes(range(256)) * 20)
    next(attic.codex_home.rglob(f"*{AWAY}.jsonl")).unlink()
    (attic.codex_home / "sessions" / "2026" / "link").symlink_to("/nowhere")
    done = attic.type("doctor", "sessions", "--json", through=UNPRIVILEGED)
    assert (done.code, done.err) == (0, "")
    found = {finding["kind"]: finding for finding in done.answer["homes"][0]["findings"]}
    assert named(found["unread"]) == {ODD, PACKED, DONE}
    assert "1 unreadable" in found["unread"]["found"]
    assert named(found["self_ingestion"]) == {ECHO}
    assert "Traceback" not in attic.type("doctor", "sessions", through=UNPRIVILEGED).err


def test_homes_may_be_named_and_an_empty_one_is_well(attic: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = attic.type("doctor", "sessions", "--json", "--codex-home", str(tmp_path / "empty"))
    [home] = done.answer["homes"]
    assert all((finding["count"], finding["advice"]) == (0, "") for finding in home["findings"])
    both = attic.type(
        *("doctor", "sessions", "--json", "--codex-home", str(tmp_path / "empty")),
        *("--codex-home", str(attic.codex_home)),
    )
    assert [home["findings"][0]["count"] for home in both.answer["homes"]] == [0, 7]
    assert attic.type("doctor", "sessions", "--codex-home", str(tmp_path / "missing")).code == 2


@pytest.fixture
def outlived(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that a thread started, as its environment says."""
    environ = {"CODEX_THREAD_ID": DONE, "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(["sleep", "600"], env=environ, cwd=tmp_path) as process:
        yield process
        process.kill()


def test_a_command_that_outlived_its_session_is_found(attic: Terminal, outlived: subprocess.Popen[bytes]) -> None:
    [subject] = findings(attic)["orphan_commands"]["subjects"]
    assert subject == {"name": str(outlived.pid), "detail": f"sleep, of {DONE}", "size": None}
    (attic.codex_home / "thread-writer-locks" / f"{DONE}.lock").touch()
    with (attic.codex_home / "thread-writer-locks" / f"{DONE}.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert findings(attic)["orphan_commands"]["count"] == 0


def test_a_killed_codex_leaves_what_is_found(terminal: Terminal, tmp_path: Path, codex: Path) -> None:
    with ModelServer() as server, CodexWorld(tmp_path / "world", codex, server) as world:
        script = [{"sh": "touch began; exec sleep 600"}]
        process = world.exec(script, "--sandbox=danger-full-access")
        world.until_made("began")
        words = ("--codex-home", str(world.home))
        alive = findings(terminal, *words)
        assert {kind: finding["count"] for kind, finding in alive.items() if finding["advice"]} == {}
        process.kill()
        process.wait()
        left = findings(terminal, *words)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert {kind for kind, finding in left.items() if finding["advice"]} - {"orphan_commands"} == {
        *("stale_locks", "open_turns"),
    }
    [subject] = left["open_turns"]["subjects"]
    assert subject["detail"] == "in its record and the history database"
    assert json.dumps(left)


def test_a_codex_whose_starter_is_gone_is_found(terminal: Terminal, tmp_path: Path, codex_wheel: Path) -> None:
    with ModelServer() as server, CodexWorld(tmp_path / "world", codex_wheel, server) as world:
        words = ("--codex-home", str(world.home))
        script = [{"sh": "touch began; exec sleep 600"}]
        starter = world.exec(script, "--sandbox=danger-full-access", through=("/bin/sh", "-c", '"$@" &', "sh"))
        starter.wait()
        world.until_made("began")
        [subject] = findings(terminal, *words)["orphan_processes"]["subjects"]
        assert subject["detail"].startswith("rollout-")

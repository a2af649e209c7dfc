"""Which session files a CODEX_HOME holds."""

import os
from pathlib import Path

import pytest

from armarius.rollouts.discovery import RolloutFile, find_rollout, find_rollouts, thread_id_of

DAY = "sessions/2026/11/20"
ARCHIVE = "archived_sessions"
FIRST = "rollout-2026-11-20T12-00-00-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl"
SECOND = "rollout-2026-11-20T13-00-00-01a1f8e8-5664-7ec1-aacb-977c3b58dfb6.jsonl"
THIRD = "rollout-2026-11-20T14-00-00-01a1f8e9-5664-7ec1-aacb-977c3b58dfb6.jsonl"


def put(home: Path, name: str, changed_s: int, content: str = "x") -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (changed_s, changed_s))
    return path


def test_session_files_are_found_in_all_their_places_last_changed_first(tmp_path: Path) -> None:
    old = put(tmp_path, f"{DAY}/{SECOND}", 100)
    archived = put(tmp_path, f"{ARCHIVE}/{FIRST}", 300, "four")
    compressed = put(tmp_path, f"sessions/2025/01/02/{THIRD}.zst", 200)

    assert find_rollouts(tmp_path) == [
        RolloutFile(
            archived,
            "01a1f8e7-5664-7ec1-aacb-977c3b58dfb6",
            size=4,
            changed_us=300_000_000,
            is_archived=True,
            is_compressed=False,
        ),
        RolloutFile(
            compressed,
            "01a1f8e9-5664-7ec1-aacb-977c3b58dfb6",
            size=1,
            changed_us=200_000_000,
            is_archived=False,
            is_compressed=True,
        ),
        RolloutFile(
            old,
            "01a1f8e8-5664-7ec1-aacb-977c3b58dfb6",
            size=1,
            changed_us=100_000_000,
            is_archived=False,
            is_compressed=False,
        ),
    ]


def test_a_compressed_file_beside_its_plain_form_is_not_listed(tmp_path: Path) -> None:
    plain = put(tmp_path, f"{DAY}/{FIRST}", 100)
    put(tmp_path, f"{DAY}/{FIRST}.zst", 200)

    assert [file.path for file in find_rollouts(tmp_path)] == [plain]


@pytest.mark.parametrize(
    "name",
    [
        f"sessions/2026/11/{FIRST}",
        f"sessions/2026/11/20/deeper/{FIRST}",
        f"{ARCHIVE}/2026/{FIRST}",
        f"other/2026/11/20/{FIRST}",
        f"{DAY}/rollout-notes.jsonl",
        f"{DAY}/{FIRST}.tmp",
        f"{DAY}/.{FIRST}",
        f"{DAY}/{FIRST.removesuffix('.jsonl')}.json",
        f"{DAY}/{FIRST}/inside",
    ],
)
def test_other_files_are_not_session_files(tmp_path: Path, name: str) -> None:
    put(tmp_path, name, 100)

    assert find_rollouts(tmp_path) == []


def test_a_file_that_is_gone_when_it_is_looked_at_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / DAY).mkdir(parents=True)
    (tmp_path / DAY / FIRST).symlink_to(tmp_path / "gone")

    assert find_rollouts(tmp_path) == []


def test_a_link_to_itself_is_not_listed_and_hides_nothing(tmp_path: Path) -> None:
    name = "sessions/2026/11/20/rollout-2026-11-20T12-00-0{}-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl"
    file = put(tmp_path, name.format(1), 1)
    loop = tmp_path / name.format(2)
    loop.symlink_to(loop)
    assert [found.path for found in find_rollouts(tmp_path)] == [file]


def test_a_home_without_sessions_has_none(tmp_path: Path) -> None:
    assert find_rollouts(tmp_path) == []
    assert find_rollouts(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("name", "thread_id"),
    [
        (FIRST, "01a1f8e7-5664-7ec1-aacb-977c3b58dfb6"),
        (FIRST + ".zst", "01a1f8e7-5664-7ec1-aacb-977c3b58dfb6"),
        ("rollout.jsonl", ""),
        ("x" + FIRST, ""),
        (FIRST + "\n", ""),
    ],
)
def test_a_session_file_is_named_after_its_thread(name: str, thread_id: str) -> None:
    assert thread_id_of(name) == thread_id


def test_the_file_of_one_thread_is_its_newest_plain_one(tmp_path: Path) -> None:
    thread_id = "01a1f8e7-5664-7ec1-aacb-977c3b58dfb6"
    put(tmp_path, f"{DAY}/{SECOND}", 300)
    put(tmp_path, f"{DAY}/{FIRST}.zst", 300)
    archived = put(tmp_path, f"{ARCHIVE}/{FIRST}", 200)

    assert find_rollout(tmp_path, thread_id) == archived
    newer = put(tmp_path, f"{DAY}/{FIRST.replace('T12', 'T15')}", 100)
    assert find_rollout(tmp_path, thread_id) == newer


@pytest.mark.parametrize("thread_id", ["", "*", "[0-9a-f]*", "01a1f8e7", "../x"])
def test_what_is_no_thread_has_no_file(tmp_path: Path, thread_id: str) -> None:
    put(tmp_path, f"{DAY}/{FIRST}", 100)

    assert find_rollout(tmp_path, thread_id) is None


def test_a_folder_that_goes_away_while_others_are_listed_hides_none_of_them(tmp_path: Path) -> None:
    kept = put(tmp_path, f"{DAY}/{FIRST}", 100)
    (tmp_path / "sessions/2027").symlink_to(tmp_path / "sessions/2027")
    (tmp_path / "sessions/2028").mkdir()
    (tmp_path / "sessions/2028/01").symlink_to("/proc/self/task/0/fd")
    put(tmp_path, f"sessions/2026/11/\udcff/{SECOND}", 200)

    assert [file.path for file in find_rollouts(tmp_path)] == [kept]


def test_what_no_file_is_is_nobodys_session_file(tmp_path: Path) -> None:
    put(tmp_path, f"{DAY}/other", 100)
    os.mkfifo(tmp_path / DAY / FIRST)
    (tmp_path / DAY / SECOND).symlink_to("/dev/zero")

    assert find_rollouts(tmp_path) == []
    assert find_rollout(tmp_path, thread_id_of(FIRST)) is None
    assert find_rollout(tmp_path, thread_id_of(SECOND)) is None

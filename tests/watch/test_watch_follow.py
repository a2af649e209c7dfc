"""What the records of real sessions mean to a person, told once whatever way they arrive."""

import shutil
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.sessions.names import Named
from armarius.testing.clock import FakeClock
from armarius.watch.cursor import Cursor, load_cursor, save_cursor
from armarius.watch.files import WatchedFiles
from armarius.watch.signals import Signal

DATA = Path(__file__).parents[1] / "data" / "rollouts"
THREAD = "01a1f8dc-b678-76e0-8319-c9bb383e41bc"
NAME = f"rollout-2026-11-20T10-00-00-{THREAD}.jsonl"


LIMIT = (
    "You’ve hit your usage limit. Visit https://chatgpt.com/settings/usage to purchase more credits "  # noqa: RUF001
    "or try again at Sep 21st, 2026 2:13 PM."
)


class Replay:
    """A session that is written bit by bit below `folder`, and a watch over it that may be ended and begun again."""

    def __init__(self, folder: Path, *, named: bool = False) -> None:
        self.home = folder / "codex"
        self.file = self.home / "sessions" / "2026" / "11" / "20" / NAME
        self.file.parent.mkdir(parents=True)
        self._cursor = folder / "cursor.json"
        self._named = (Named(THREAD, self.file),) if named else None
        self.clock = FakeClock()
        self.signals = list[Signal]()
        self.begin(None)

    def begin(self, cursor: Cursor | None) -> None:
        self.watched = WatchedFiles((self.home,), self._named, self.clock, self.home / "none")
        self.signals += self.watched.start(cursor)

    def write(self, data: bytes) -> None:
        with self.file.open("ab") as stream:
            stream.write(data)
        self.signals += self.watched.changed([str(self.file)])

    def begin_again(self) -> None:
        save_cursor(self._cursor, Cursor(is_all=self._named is None, files=self.watched.marks()))
        self.begin(load_cursor(self._cursor))

    def told(self) -> list[tuple[str, str]]:
        return [(signal.kind.value, signal.text) for signal in self.signals]


def lines_of(name: str) -> list[bytes]:
    return (DATA / f"{name}.jsonl").read_bytes().splitlines(keepends=True)


def by_line(folder: Path, name: str) -> list[tuple[str, str]]:
    replay = Replay(folder)
    for line in lines_of(name):
        replay.write(line)
    return replay.told()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0.169-tools", [("turn_completed", "All done.")]),
        ("0.169-sigint", [("turn_interrupted", "interrupted · last words: working")]),
        ("0.169-killed", []),
        (
            "0.169-failed-then-completed",
            [
                ("turn_failed", "stream disconnected before completion: stream closed before response.completed"),
                ("resumed", "resumed after idle"),
                ("turn_completed", "after kill"),
            ],
        ),
        (
            "0.169-rate-limited",
            [
                (
                    "rate_limited",
                    LIMIT,
                )
            ],
        ),
        (
            "0.169-goal",
            [("goal_changed", "goal active: finish the thing"), ("turn_completed", "turn end, goal still active")],
        ),
        ("0.169-review-parent", [("turn_completed", "ok")]),
        ("0.98-two-turns", []),
    ],
)
def test_a_real_session_written_line_by_line(name: str, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    assert by_line(tmp_path, name) == expected


def test_a_limit_says_when_it_is_over(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    replay.write(b"".join(lines_of("0.169-rate-limited")))
    [signal] = replay.signals
    assert signal.retry_at_us is not None
    assert signal.source == "rollout"


SESSIONS = sorted(path.stem for path in DATA.glob("*.jsonl"))


@settings(max_examples=60)
@given(data=st.data(), name=st.sampled_from(SESSIONS), named=st.booleans())
def test_any_cuts_and_restarts_give_the_same_signals_once(
    *,
    data: st.DataObject,
    name: str,
    named: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    whole = b"".join(lines_of(name))
    once = Replay(tmp_path_factory.mktemp("once"))
    for line in lines_of(name):
        once.write(line)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    replay = Replay(tmp_path_factory.mktemp("cut"), named=named)
    for piece in pieces:
        replay.write(piece)
        if data.draw(st.booleans()):
            replay.begin_again()
    assert [signal.id for signal in replay.signals] == [signal.id for signal in once.signals]


@settings(max_examples=30)
@given(data=st.data(), name=st.sampled_from(["0.169-three-turns", "0.169-goal", "0.118-two-turns"]))
def test_what_was_there_before_is_no_news_and_what_follows_is(
    data: st.DataObject, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = lines_of(name)
    cut = data.draw(st.integers(0, len(lines)))
    once = Replay(tmp_path_factory.mktemp("once"))
    known = 0
    for number, line in enumerate(lines):
        known = len(once.signals) if number == cut else known
        once.write(line)
    known = len(once.signals) if cut == len(lines) else known
    late = Replay(tmp_path_factory.mktemp("late"))
    late.file.write_bytes(b"".join(lines[:cut]))
    late.begin(None)
    late.write(b"".join(lines[cut:]))
    assert [signal.id for signal in late.signals] == [signal.id for signal in once.signals[known:]]


def record(**payload: object) -> bytes:
    body = {"timestamp": "2026-11-20T12:00:00.000Z", "type": "event_msg", "payload": payload}
    return msgspec.json.encode(body) + b"\n"


def begun() -> bytes:
    meta = {"id": THREAD, "timestamp": "2026-11-20T12:00:00Z", "cwd": "/work", "history_mode": "paginated"}
    first = {"timestamp": "2026-11-20T12:00:00.000Z", "type": "session_meta", "payload": meta}
    return msgspec.json.encode(first) + b"\n" + record(type="task_started", turn_id="t1")


def item(kind: str, **fields: object) -> bytes:
    return record(type="item_completed", thread_id=THREAD, turn_id="t1", item={"type": kind, "id": "i1"} | fields)


FAILED = "==== 1 failed in 0.10s ===="


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (item("CommandExecution", command=["bash", "-lc", "pytest"], aggregated_output=FAILED), [f"pytest: {FAILED}"]),
        (item("CommandExecution", command=["bash", "-lc", "cat old.log"], aggregated_output=FAILED), []),
        (item("UserMessage", content=[{"type": "text", "text": FAILED}]), []),
        (item("AgentMessage", content=[{"type": "Text", "text": FAILED}]), []),
        (item("Reasoning", summary_text=[FAILED]), []),
    ],
)
def test_a_failure_is_one_in_the_output_of_a_command_alone(line: bytes, expected: list[str], tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    replay.write(begun())
    replay.write(line)
    assert [signal.text for signal in replay.signals if signal.kind == "output_failure"] == expected


def test_however_many_commands_fail_each_is_told_once(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    replay.write(begun())
    for number in range(150):
        replay.write(item("CommandExecution", id=f"c{number}", command=["pytest"], aggregated_output=FAILED))
    replay.begin_again()
    replay.write(item("AgentMessage", id="m", content=[{"type": "Text", "text": "so it is"}]))
    assert [kind for kind, _ in replay.told()] == ["output_failure"] * 150


def test_secrets_and_lines_do_not_leave_in_a_signal(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    words = "done\nwith \x1b[31mkey sk-abcdefghijklmnopqrstuvwx"
    replay.write(begun() + record(type="task_complete", turn_id="t1", last_agent_message=words))
    [signal] = replay.signals
    assert "sk-abc" not in signal.text
    assert "\n" not in signal.text


def test_a_session_that_moves_to_the_archive_goes_on_where_it_was(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    replay.write(begun())
    archive = replay.home / "archived_sessions"
    archive.mkdir()
    before, replay.file = replay.file, archive / NAME
    shutil.move(before, replay.file)
    replay.begin_again()
    replay.write(record(type="task_complete", turn_id="t1", last_agent_message="done"))
    assert replay.told() == [("turn_completed", "done")]


def test_a_session_that_was_compressed_and_unpacked_goes_on_where_it_was(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    replay.write(begun())
    packed = replay.file.with_name(NAME + ".zst")
    packed.write_bytes(zstandard.compress(replay.file.read_bytes()))
    replay.file.unlink()
    replay.signals += replay.watched.changed([str(packed), str(replay.file)])
    replay.begin_again()
    replay.file.write_bytes(zstandard.decompress(packed.read_bytes()))
    packed.unlink()
    replay.write(record(type="task_complete", turn_id="t1", last_agent_message="done"))
    assert replay.told() == [("turn_completed", "done")]


def test_what_was_written_and_compressed_while_nobody_watched_is_told(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    replay.write(begun())
    marks = Cursor(is_all=True, files=replay.watched.marks())
    data = replay.file.read_bytes() + record(type="task_complete", turn_id="t1", last_agent_message="done")
    replay.file.with_name(NAME + ".zst").write_bytes(zstandard.compress(data))
    replay.file.unlink()
    replay.begin(marks)
    assert replay.told() == [("turn_completed", "done")]


def test_a_session_that_was_replaced_by_another_is_no_news(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    replay.write(begun() + record(type="task_complete", turn_id="t1", last_agent_message="first"))
    other = replay.file.with_name("other")
    other.write_bytes(b"".join(lines_of("0.169-three-turns")))
    other.replace(replay.file)
    replay.signals += replay.watched.changed([str(replay.file)])
    assert replay.told() == [("turn_completed", "first")]


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    replay = Replay(tmp_path)
    line = record(type="task_complete", turn_id="t1", last_agent_message="done")
    replay.write(begun() + line[:40])
    assert replay.told() == []
    replay.write(line[40:])
    assert replay.told() == [("turn_completed", "done")]


def test_a_quiet_turn_is_stalled_once_for_each_time_it_falls_silent(tmp_path: Path) -> None:
    replay = Replay(tmp_path)

    def stalls() -> int:
        replay.clock.advance(10_000_000)
        return len(replay.watched.stalls(15_000_000))

    replay.write(begun())
    assert [stalls(), stalls(), stalls()] == [0, 1, 0]
    replay.write(item("AgentMessage", content=[{"type": "Text", "text": "still here"}]))
    assert [stalls(), stalls(), stalls()] == [0, 1, 0]
    replay.write(record(type="task_complete", turn_id="t1", last_agent_message="done"))
    assert [stalls(), stalls(), stalls()] == [0, 0, 0]

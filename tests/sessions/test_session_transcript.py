"""Threads as lines of a terminal, whole and at a glance."""

import io
from pathlib import Path

import pytest

from armarius.counts.scan import Scan
from armarius.counts.whole import summary_of
from armarius.rollouts.claude import TranscriptReader, read_transcript
from armarius.rollouts.reader import RolloutReader, end_lines, read_rollout
from armarius.sessions.transcript import duration, lines_of
from armarius.thread import (
    AgentMessage,
    Command,
    Compaction,
    FileChange,
    FileSpot,
    Item,
    ItemStatus,
    Notice,
    PathChange,
    Reasoning,
    Thread,
    ToolCall,
    Turn,
    TurnState,
    UserMessage,
)

DATA = Path(__file__).parents[1] / "data"
SPOT = FileSpot("/r", 0)


def numbered(first: int, end: int) -> list[str]:
    return [f"  │ {number}" for number in range(first, end)]


@pytest.mark.parametrize(
    ("item", "lines"),
    [
        (UserMessage("u", "do\nit", SPOT), ["> do", "> it"]),
        (AgentMessage("a", "", SPOT), [""]),
        (Reasoning("r", "hm", SPOT), ["~ hm"]),
        (
            Command(
                "c", "make\nall", SPOT, status=ItemStatus.FAILED, exit_code=2, output="a\r\nb", duration_us=61_000_000
            ),
            ["$ make", "  all", "  │ a", "  │ b", "  [exit 2, 1 min 1 s]"],
        ),
        (Command("c", "w", SPOT, status=ItemStatus.IN_PROGRESS), ["$ w", "  [in progress]"]),
        (
            Command("c", "w", SPOT, status=ItemStatus.IN_PROGRESS, escalation="needs it"),
            ["$ w", "  [in progress, outside the sandbox]"],
        ),
        (
            FileChange("f", (PathChange("a", "add", "+x\n"), PathChange("b", "delete")), SPOT, ItemStatus.DECLINED),
            ["± add a [declined]", "  +x", "± delete b [declined]"],
        ),
        (ToolCall("t", "search", '{"q":"\\u00fc"}', SPOT, "found"), ['* search {"q": "ü"}', "  │ found"]),
        (ToolCall("t", "ask", "{", SPOT), ["* ask { [no answer]"]),
        (ToolCall("t", "ask", '{"a":"\\ud800"}', SPOT, ""), ['* ask {"a":"\\ud800"}']),
        (ToolCall("t", "x", "y" * 300, SPOT, ""), ["* x " + "y" * 198 + "…"]),
        (Notice("n", "again\nand again", SPOT), ["! again", "! and again"]),
        (Compaction("k", SPOT), ["! the history was summarised to make room"]),
        (
            Command("c", "seq 100", SPOT, exit_code=0, output="\n".join(map(str, range(100)))),
            ["$ seq 100", *numbered(0, 4), "  │ … 92 more lines", *numbered(96, 100), "  [exit 0]"],
        ),
        (
            Command("c", "seq 9", SPOT, exit_code=0, output="\n".join(map(str, range(9)))),
            ["$ seq 9", *numbered(0, 4), "  │ … 1 more line", *numbered(5, 9), "  [exit 0]"],
        ),
    ],
)
def test_an_item_is_shown_in_a_few_lines(item: Item, lines: list[str]) -> None:
    turn = Turn("t1", TurnState.COMPLETED, (item,))
    shown = list(lines_of(Thread("x", "/r", turns=(turn,))))
    assert shown[shown.index("── turn 1 · completed") + 1 :] == lines


def test_nothing_is_folded_when_all_is_asked_for() -> None:
    output = "\n".join(map(str, range(100)))
    items = (Command("c", "seq", SPOT, output=output), ToolCall("t", "x", "y" * 300, SPOT, output))
    shown = list(lines_of(Thread("x", "/r", turns=(Turn("t1", TurnState.OPEN, items),)), folded=False))
    assert [line for line in shown if "│" in line] == numbered(0, 100) * 2
    assert f"* x {'y' * 300}" in shown


def test_a_real_thread_has_its_timing_tokens_and_diffs() -> None:
    shown = list(lines_of(read_rollout(DATA / "rollouts" / "0.169-tools.jsonl")))
    assert shown[:5] == [
        "/srv/cxlab/ws · master · gpt-5.5 · codex 0.169.0 · exec",
        "2026-11-20 12:09:36 UTC · 1 turn · 941 ms from first to last",
        "5,000 tokens in (2,000 cached), 250 out (50 reasoning)",
        "",
        "── turn 1 · completed · 12:09:36 · 898 ms · 5,250 tokens",
    ]
    assert shown[-5:-1] == ["± update /srv/cxlab/ws/a.txt", "  @@ -1 +1 @@", "  -hi", "  +hi2"]


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (0, 0, "0 ms"),
        (0, 12_400_000, "12.4 s"),
        (0, 185_000_000, "3 min 5 s"),
        (0, 7_380_000_000, "2 h 3 min"),
        (0, 180_000_000_000, "2 d 2 h"),
        (5, 4, ""),
        (None, 4, ""),
        (4, None, ""),
    ],
)
def test_a_duration_is_said_as_people_say_it(start: int | None, end: int | None, text: str) -> None:
    assert duration(start, end) == text


class Counting(io.FileIO):
    """A file that knows how much of it was read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size) or b""
        self.taken += len(data)
        return data


@pytest.mark.parametrize("size", [100, 1_000, 70_000])
def test_of_a_long_file_only_the_ends_are_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "long"
    path.write_bytes(b"".join(b"%06d %s\n" % (number, b"x" * (number % 97)) for number in range(20_000)))
    whole = path.read_bytes().splitlines()

    with Counting(path) as stream:
        lines = list(end_lines(stream, size))
        assert stream.taken <= 2 * size + 1
    first, *last = lines
    assert first.data == whole[0]
    assert [line.data for line in last] == whole[-len(last) :]
    assert sum(len(line.data) + 1 for line in last) <= size < sum(len(line) + 1 for line in whole[-len(last) - 1 :])
    assert path.read_bytes()[last[0].byte : last[0].end] == last[0].data + b"\n"


@pytest.mark.parametrize(
    ("data", "size", "lines"),
    [
        (b"", 10, []),
        (b"a\nb\n", 10, [b"a", b"b"]),
        (b"a\nb\nhalf", 10, [b"a", b"b"]),
        (b"a\nbbbbbbbbb\ncc\n", 3, [b"a", b"cc"]),
        (b"a\nbbbbbbbbb\ncc\n", 4, [b"a", b"cc"]),
        (b"aaaaaaaaaaaaaaa\nb\n", 4, [b"b"]),
        (b"a\n" + b"b" * 50 + b"\n", 10, [b"a"]),
    ],
)
def test_an_end_begins_with_a_whole_line(tmp_path: Path, data: bytes, size: int, lines: list[bytes]) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb", buffering=0) as stream:
        assert [line.data for line in end_lines(stream, size)] == lines


@pytest.mark.parametrize("name", ["0.169-three-turns", "0.169-legacy", "0.118-two-turns"])
@pytest.mark.parametrize("claude", [False, True])
def test_a_reader_at_the_end_goes_on_as_one_that_read_all(tmp_path: Path, name: str, *, claude: bool) -> None:
    path = DATA / "rollouts" / f"{name}.jsonl"
    if claude:
        path = DATA / "claude" / "projects" / "-home-ada-project" / "ea80a452-537e-49af-8530-8e3704d3e3a3.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    growing = tmp_path / path.name
    growing.write_bytes(b"".join(lines[: len(lines) // 2]))
    kind, read = (TranscriptReader, read_transcript) if claude else (RolloutReader, read_rollout)

    reader = kind.at_end(growing, 4_000)
    before = reader.offset
    assert (before, reader.advance()) == (growing.stat().st_size, False)
    with growing.open("ab") as stream:
        stream.write(b"".join(lines[len(lines) // 2 :]))
    assert reader.advance()
    assert (reader.offset, reader.restarts) == (len(path.read_bytes()), 0)
    whole = {item.id: item for turn in read(growing).turns for item in turn.items}
    ended = {item.id: item for turn in reader.thread().turns for item in turn.items}
    assert set(ended) < set(whole) or ended == whole
    assert list(ended)[-3:] == list(whole)[-3:]


@pytest.mark.parametrize("path", sorted((DATA / "rollouts").glob("0.[13-9]*.jsonl")), ids=lambda path: path.stem)
def test_the_long_way_to_a_summary_comes_to_the_same_as_the_fast_one(path: Path) -> None:
    scan, reader = Scan(path), RolloutReader(path)
    scan.advance()
    reader.advance()
    fast, slow = scan.summary(), summary_of(reader.thread(), reader.offset)
    for name in ("thread_id", "offset", "title", "cwd", "source", "turns", "exits", "user_messages", "agent_messages"):
        assert getattr(slow, name) == getattr(fast, name), name
    for name in ("turn_id", "turn", "at_us", "error", "is_rate_limited", "open_call", "asks_input", "last_message"):
        assert getattr(slow.ending, name) == getattr(fast.ending, name), name
    assert slow.usage == fast.usage


@pytest.mark.parametrize(
    ("state", "items", "open_call", "asks"),
    [
        (TurnState.OPEN, (ToolCall("t", "request_user_input", "{}", SPOT),), "request_user_input", (False, True)),
        (TurnState.OPEN, (ToolCall("t", "request_user_input", "{}", SPOT, ""),), None, (False, False)),
        (TurnState.COMPLETED, (ToolCall("t", "request_user_input", "{}", SPOT),), None, (False, False)),
        (
            TurnState.OPEN,
            (
                Command("c", "make", SPOT, status=ItemStatus.IN_PROGRESS, escalation=""),
                ToolCall("t", "x", "", SPOT, ""),
            ),
            "make",
            (True, False),
        ),
        (TurnState.OPEN, (FileChange("f", (), SPOT, ItemStatus.IN_PROGRESS),), "apply_patch", (False, False)),
        (TurnState.OPEN, (ToolCall("t", "AskUserQuestion", "{}", SPOT),), "AskUserQuestion", (False, True)),
    ],
)
def test_a_call_without_an_answer_is_what_a_thread_waits_for(
    state: TurnState, items: tuple[Item, ...], open_call: str | None, asks: tuple[bool, bool]
) -> None:
    ending = summary_of(Thread("x", "/r", turns=(Turn("t1", state, items),))).ending
    assert (ending.open_call, (ending.asks_escalation, ending.asks_input)) == (open_call, asks)

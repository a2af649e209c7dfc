"""Counting a file by its short cuts comes to what decoding every line comes to."""

import json
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.counts.away import Room, name_of, parts_of
from armarius.counts.entries import Part
from armarius.counts.scan import Scan
from armarius.counts.slim import Meta, Unread, records_in
from armarius.counts.summary import Summary, Text, TurnNote
from armarius.rollouts.reader import LONGEST_LINE, RolloutReader, read_rollout
from armarius.rollouts.records import Stranger, decode
from armarius.thread import AgentMessage, Command, ResponseUsage, Thread, UserMessage

DATA = Path(__file__).parents[1] / "data" / "rollouts"
DEEPEST = 6
FILES = sorted(path for path in DATA.rglob("*.jsonl*") if path.name.startswith(("rollout", "0.")))


def told(thread: Thread) -> dict[str, Any]:
    """What the reader, which keeps everything, says of the things that a Summary counts."""
    items = [item for turn in thread.turns for item in turn.items]
    said = next((item.text for item in items if isinstance(item, UserMessage)), "")
    last = thread.turns[-1] if thread.turns else None
    return {
        "id": thread.id,
        "turns": [(turn.id, turn.state, turn.started_at_us, turn.ended_at_us, turn.model) for turn in thread.turns],
        "user": sum(isinstance(item, UserMessage) for item in items),
        "agent": sum(isinstance(item, AgentMessage) for item in items),
        "exits": dict(Counter(item.exit_code for item in items if isinstance(item, Command))),
        "responses": [(one.response_id, one.turn_id, one.usage, one.spot, one.at_us) for one in thread.responses],
        "unknown": thread.unknown,
        "bad": len(thread.bad_lines),
        "times": (thread.started_at_us, thread.last_at_us),
        "from": (thread.cwd, thread.source, thread.cli_version, thread.parent_id, thread.forked_from_id),
        "title": " ".join(said.split())[:200],
        "goal": (thread.goal.objective, thread.goal.status) if thread.goal else (None, None),
        "end": (last.state, last.error, last.is_rate_limited, last.retry_at_us) if last else (None, None, False, None),
    }


def counted(summary: Summary, thread: Thread) -> dict[str, Any]:
    """The same of a Summary; a line's ordinal, which it does not keep, is taken from the thread."""
    ordinals = {one.spot: one.spot for one in thread.responses}
    by_byte = {getattr(spot, "byte", None): spot for spot in ordinals}
    end = summary.ending
    return {
        "id": summary.thread_id,
        "turns": [(turn.id, turn.state, turn.started_at_us, turn.ended_at_us, turn.model) for turn in summary.turns],
        "user": summary.user_messages,
        "agent": summary.agent_messages,
        "exits": summary.exits,
        "responses": [
            (one.response_id, one.turn_id, one.usage, by_byte.get(getattr(one.spot, "byte", None)), one.at_us)
            for one in summary.responses
        ],
        "unknown": summary.unknown,
        "bad": summary.bad_lines,
        "times": (summary.started_at_us, summary.last_at_us),
        "from": (summary.cwd, summary.source, summary.cli_version, summary.parent_id, summary.forked_from_id),
        "title": summary.title,
        "goal": (summary.goal, summary.goal_status),
        "end": (end.turn, end.error, end.is_rate_limited, end.retry_at_us),
    }


class Shelf:
    """What scans of one file leave behind, in memory."""

    def __init__(self, path: Path, room: Room) -> None:
        self.path = path
        self.room = room
        self.saved = b""
        self.names: set[int] = set()
        self.kept = list[bytes]()
        self.turns = list[TurnNote]()
        self.responses = list[ResponseUsage]()
        self.last: Summary | None = None

    def put(self, scan: Scan) -> None:
        away, self.last = scan.saved(self.room), scan.summary()
        if away.replaces:
            self.kept, self.names = [], set()
        self.saved = away.saved
        self.kept += [away.part] if away.part else []
        self.names |= set(away.names)
        self.turns[self.last.earlier.turns :] = self.last.turns
        assert len(self.responses) == self.last.earlier.responses
        self.responses += self.last.responses

    def whole(self) -> Summary:
        """The last summary, with all that was handed over before."""
        assert self.last
        return msgspec.structs.replace(self.last, turns=tuple(self.turns), responses=tuple(self.responses))

    def holds(self, name: bytes) -> bool:
        return name_of(name) in self.names

    def paid(self, response_id: str) -> bool:
        return any(response_id == one.response_id for one in self.responses)

    def parts(self) -> list[Part]:
        return parts_of(self.path, self.kept)


def scan_of(path: Path) -> Scan:
    scan = Scan(path, with_texts=True)
    scan.advance()
    return scan


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DATA)))
def test_a_file_of_any_version_is_counted_as_it_is_read(path: Path) -> None:
    thread = read_rollout(path)
    plain = Scan(path)
    plain.advance()
    assert counted(plain.summary(), thread) == told(thread)
    assert counted(scan_of(path).summary(), thread) == told(thread)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DATA)))
def test_every_word_and_command_can_be_found_again(path: Path) -> None:
    thread = read_rollout(path)
    items = [item for turn in thread.turns for item in turn.items]
    expected = Counter(
        [("user", item.text) for item in items if isinstance(item, UserMessage)]
        + [("agent", item.text) for item in items if isinstance(item, AgentMessage)]
        + [("command", item.command) for item in items if isinstance(item, Command)]
    )
    texts = scan_of(path).take_texts()
    assert Counter((text.kind, text.text) for text in texts) == expected
    if path.suffix == ".jsonl":
        assert_each_stands_there(path.read_bytes(), texts)


def assert_each_stands_there(data: bytes, texts: list[Text]) -> None:
    for text in texts:
        line = data[text.byte : text.byte + text.size]
        assert data[text.byte + text.size : text.byte + text.size + 1] == b"\n"
        words = json.dumps(text.text.split("\n")[0], ensure_ascii=False)[1:-1]
        assert words[:40] in line.decode() or text.kind == "command"


NAMES = (
    "0.169-three-turns.jsonl",
    "0.169-tools.jsonl",
    "0.169-subagent-child.jsonl",
    "0.169-review-parent.jsonl",
    "0.169-rate-limited.jsonl",
    "0.163-background.jsonl",
    "0.163-legacy-resumed.jsonl",
    "0.118-two-turns.jsonl",
    "0.98-two-turns.jsonl",
    "0.58-command.jsonl",
    "0.20-bare.jsonl",
)
WHOLE = [(DATA / name).read_bytes().splitlines(keepends=True) for name in NAMES]
LINES = [line for lines in WHOLE for line in lines]


def harmed(line: bytes, harm: str) -> bytes:
    half = len(line) // 2
    return {
        "torn": line[:half],
        "torn and ended": line[:half] + b"\n",
        "joined": line.rstrip(b"\n"),
        "not UTF-8": line[:half] + b"\xff" + line[half:],
        "doubled": line * 2,
        "empty": b"\n",
        "no JSON": b"not a record\n",
        "no object": b'["timestamp"]\n',
        "other kind": line.replace(b'"type":"', b'"type":"other_', 2),
        "other order": b"{" + line.partition(b",")[2],
    }[harm]


HARMS = (
    *("torn", "torn and ended", "joined", "not UTF-8", "doubled"),
    *("empty", "no JSON", "no object", "other kind", "other order"),
)


class History(NamedTuple):
    """Lines of a file, some of them harmed, written in pieces; small enough to be shown."""

    lines: tuple[int, ...]
    harm: str
    harmed: set[int]
    cuts: list[int]
    room: Room

    @property
    def pieces(self) -> list[bytes]:
        lines = [LINES[number] for number in self.lines]
        for place in {number % len(lines) for number in self.harmed}:
            lines[place] = harmed(lines[place], self.harm)
        data = b"".join(lines)
        cuts = sorted(len(data) * cut // 1_000 for cut in self.cuts)
        return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@st.composite
def one_version(draw: st.DrawFn) -> tuple[int, ...]:
    """The whole of a real file, or what follows somewhere in it."""
    number = draw(st.integers(0, len(WHOLE) - 1))
    before = sum(map(len, WHOLE[:number]))
    return tuple(range(before + draw(st.integers(0, len(WHOLE[number]) - 1)), before + len(WHOLE[number])))


@st.composite
def once_more(draw: st.DrawFn) -> tuple[int, ...]:
    """A whole real file in which what is long past is named again, and again; no call is made twice."""
    number = draw(st.integers(0, len(WHOLE) - 1))
    before = sum(map(len, WHOLE[:number]))
    lines = range(before, before + len(WHOLE[number]))
    again = [line for line in lines if b'"call_id"' not in LINES[line]]
    return (*lines, *draw(st.lists(st.sampled_from(again), max_size=20)))


@st.composite
def any_versions(draw: st.DrawFn) -> tuple[int, ...]:
    """Runs of lines of several files, as no program ever wrote them."""
    runs = draw(st.lists(st.tuples(st.integers(0, len(LINES) - 1), st.integers(1, 40)), min_size=1, max_size=4))
    taken = {number for start, count in runs for number in range(start, start + count)}
    return tuple(number for number in sorted(taken) if number < len(LINES))


SHAPES = ("torn", "torn and ended", "joined", "doubled")
"""Harm that makes lines more or fewer: their ordinals tell, unless other lines make up for it."""
ROOMS = (Room(), Room(turns=0, staying=0, events=0), Room(turns=1, staying=1, events=2))
HISTORIES = st.one_of(
    st.builds(
        History,
        once_more(),
        st.just("empty"),
        st.just(set[int]()),
        st.lists(st.integers(0, 1_000), max_size=4),
        st.sampled_from(ROOMS),
    ),
    st.builds(
        History,
        one_version(),
        st.sampled_from(SHAPES),
        st.sets(st.integers(0, 200), max_size=3),
        st.lists(st.integers(0, 1_000), max_size=4),
        st.sampled_from(ROOMS),
    ),
    st.builds(
        History,
        any_versions(),
        st.sampled_from([harm for harm in HARMS if harm not in SHAPES]),
        st.sets(st.integers(0, 200), max_size=4),
        st.lists(st.integers(0, 1_000), max_size=4),
        st.sampled_from(ROOMS),
    ),
)


@settings(max_examples=200)
@given(history=HISTORIES)
def test_any_lines_in_any_steps_are_counted_as_they_are_read(
    history: History, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("scan") / "rollout-2026-11-20T12-00-00-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl"
    path.touch()
    reader, shelf, texts = RolloutReader(path), Shelf(path, history.room), list[Text]()
    shelf.put(Scan(path, with_texts=True))
    for piece in history.pieces:
        with path.open("ab") as file:
            file.write(piece)
        reader.advance()
        scan = Scan.restored(path, shelf.saved, shelf, with_texts=True)
        scan.advance()
        texts += scan.take_texts()
        shelf.put(scan)
        thread = reader.thread()
        assert counted(shelf.whole(), thread) == told(thread)
    if len(set(history.lines)) < len(history.lines):
        return  # where a call stands there twice, which of the two tells its words depends on the steps
    assert sorted(texts, key=msgspec.json.encode) == sorted(scan_of(path).take_texts(), key=msgspec.json.encode)


@pytest.mark.parametrize("content", [[], "", 5, [{"type": "Image"}]])
def test_messages_of_any_content_are_counted_as_they_are_read(tmp_path: Path, content: object) -> None:
    path = tmp_path / "rollout-2026-11-20T12-00-00-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl"
    lines = (DATA / "0.169-three-turns.jsonl").read_bytes().splitlines(keepends=True)
    for kind in (b"UserMessage", b"AgentMessage"):
        number = next(number for number, line in enumerate(lines) if b'"type":"' + kind in line)
        record = json.loads(lines[number])
        record["payload"]["item"]["content"] = content
        lines[number] = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    thread, plain = read_rollout(path), Scan(path)
    plain.advance()
    assert counted(plain.summary(), thread) == told(thread)
    assert counted(scan_of(path).summary(), thread) == told(thread)


@pytest.mark.parametrize(("size", "bad"), [(LONGEST_LINE, 0), (LONGEST_LINE + 1, 1), (50 << 20, 1)])
def test_a_line_that_is_too_long_is_passed_over_and_counted(tmp_path: Path, size: int, bad: int) -> None:
    path = tmp_path / "rollout-2026-11-20T12-00-00-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl"
    lines = (DATA / "0.169-tools.jsonl").read_bytes().splitlines(keepends=True)
    head = b'{"timestamp":"2026-11-20T12:00:00.000Z","ordinal":5,"type":"world_state","payload":{"x":"'
    path.write_bytes(b"".join([*lines[:5], head.ljust(size - 3, b"x") + b'"}}\n', *lines[5:]]))
    thread = read_rollout(path)
    assert counted(scan_of(path).summary(), thread) == told(thread)
    assert len(thread.bad_lines) == bad


@pytest.mark.parametrize("sizes", [(700_000, 700_000), (3_000_000, 300, 3_000_000)])
def test_lines_of_any_length_come_out_of_a_compressed_file(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    path = tmp_path / "rollout-2026-11-20T12-00-00-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl.zst"
    lines = (DATA / "0.169-tools.jsonl").read_bytes().splitlines(keepends=True)
    long = [b'{"timestamp":"","type":"world_state","payload":{"x":"%s"}}\n' % (b"x" * size) for size in sizes]
    path.write_bytes(zstandard.compress(b"".join([*lines[:5], *long, *lines[5:]])))
    thread = read_rollout(path)
    assert counted(scan_of(path).summary(), thread) == told(thread)
    assert thread.bad_lines == ()


@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_time_that_is_not_said_is_that_of_the_lines_around(tmp_path: Path, place: int) -> None:
    path = tmp_path / "rollout-2026-11-20T12-00-00-01a1f8e7-5664-7ec1-aacb-977c3b58dfb6.jsonl"
    lines = (DATA / "0.169-tools.jsonl").read_bytes().splitlines(keepends=True)
    lines[place] = b'{"timestamp":""' + lines[place][lines[place].index(b",") :]
    path.write_bytes(b"".join(lines))
    assert counted(scan_of(path).summary(), read_rollout(path))["times"] == told(read_rollout(path))["times"]


WRONG: tuple[Any, ...] = (7, 1 << 60, "x", None, [7], {"x": 7})


def places_in(value: Any, *path: Any) -> list[tuple[Any, ...]]:
    """The way to everything in a record; of a list the first entry stands for all."""
    within = list[tuple[Any, Any]]()
    if isinstance(value, dict):
        within += cast("dict[str, Any]", value).items()
    elif isinstance(value, list):
        within += enumerate(cast("list[Any]", value)[:1])
    return [way for key, one in within for way in ((*path, key), *places_in(one, *path, key))]


def with_wrong(record: Any, path: tuple[Any, ...], wrong: Any) -> Any:
    changed = deepcopy(record)
    within: Any = changed
    for key in path[:-1]:
        within = within[key]
    within[path[-1]] = wrong
    return changed


def is_counted_short(line: bytes) -> bool:
    found = records_in(line + b"\n")
    if found is None:
        return False
    payload = found[0].payload
    return not isinstance(payload, Unread | Meta) and not isinstance(getattr(payload, "item", None), Unread)


def one_record_of_each_kind() -> list[Any]:
    found = dict[str, Any]()
    for path in FILES:
        for line in path.read_bytes().splitlines() if path.suffix == ".jsonl" else ():
            if line.startswith(b'{"timestamp":') and line.isascii():
                record = json.loads(line)
                payload = record.get("payload", {})
                shape = [".".join(map(str, place)) for place in places_in(payload)] if payload.get("type") else []
                item = payload.get("item", {})
                found[json.dumps([record["type"], payload.get("type"), item and item["type"], shape])] = record
    return list(found.values())


def test_what_is_counted_by_its_short_shape_fits_the_whole_record() -> None:
    """A field of a wrong type throws a line out for `show`; then it is not in the totals of `stats` either."""
    tried = 0
    for record in one_record_of_each_kind():
        for path in places_in(record):
            for wrong in WRONG if len(path) < DEEPEST else ():
                line = json.dumps(with_wrong(record, path, wrong), separators=(",", ":")).encode()
                if is_counted_short(line):
                    tried += 1
                    whole = decode(line)
                    assert not (isinstance(whole, Stranger) and whole.problem), (path, wrong, whole.problem)
    assert tried > 1_000, tried

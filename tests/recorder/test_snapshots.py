"""Snapshots of sessions: nothing twice, nothing lost, readable as SkillClaw's sessions; in a folder and a bucket."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from armarius.clock import SystemClock
from armarius.errors import DataError
from armarius.recorder.exchange import Exchange, line_of
from armarius.recorder.identity import Identity
from armarius.recorder.journal import Place
from armarius.recorder.snapshots import NOTHING, Cadence, Noted, Snapshots, note, read_session
from armarius.recorder.team import TeamPlan, open_team
from armarius.store.objects import Found, Objects, open_objects
from armarius.testing.clock import FakeClock
from armarius.testing.model_server import ModelServer
from foundation.test_redact import SECRETS
from recorder.test_recorder_with_codex import Recorded
from support.codex_world import wait_for
from support.s3 import BUCKET, s3_running

WORDS = "What was said here is as long as what people say and models answer; some of it is code. " * 10


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_running() as environ:
        yield environ


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "s3":
        return open_objects(f"s3://{BUCKET}/{tmp_path.name}", request.getfixturevalue("s3"))
    return open_objects(str(tmp_path / "group"), {})


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def user(text: str, name: str) -> msgspec.Raw:
    content = [{"type": "input_text", "text": text}]
    return raw({"id": name, "type": "message", "role": "user", "content": content})


def said(text: str, name: str) -> msgspec.Raw:
    content = [{"type": "output_text", "text": text}]
    return raw({"id": name, "type": "message", "role": "assistant", "content": content})


def call(name: str, **arguments: Any) -> msgspec.Raw:
    fields = {"id": f"fc_{name}", "type": "function_call", "name": "exec_command", "call_id": name}
    return raw(fields | {"arguments": json.dumps(arguments)})


def result(name: str, text: str) -> msgspec.Raw:
    return raw({"id": f"fo_{name}", "type": "function_call_output", "call_id": name, "output": text})


class World:
    """Exchanges as the journal has them, and snapshots of them."""

    def __init__(self, objects: Objects, folder: Path, **options: Any) -> None:
        self.objects, self.folder, self.clock, self.options = objects, folder, FakeClock(), options
        self.number = 0
        self.lines = list[bytes]()
        self.keys = list[str]()
        self.snapshots = self.start()

    def start(self) -> Snapshots:
        """A recorder that begins, and knows nothing but what is on the disk."""
        self.snapshots = Snapshots(
            self.objects, self.folder / "state", self.clock, self.keys.append, alias="ann", **self.options
        )
        return self.snapshots

    def exchange(self, session: str, turn: str, new: list[msgspec.Raw], out: list[msgspec.Raw], **more: Any) -> Noted:
        self.number += 1
        self.clock.advance(1_000_000)
        identity = Identity(session=session, thread=session, turn=turn, **more.pop("identity", {}))
        fields: dict[str, Any] = {"base": f"exch_{self.number - 1}", "usage": {"input_tokens": 3, "output_tokens": 2}}
        one = Exchange(
            id=f"exch_{self.number}",
            at_us=self.clock.now_us(),
            identity=identity,
            path="/responses",
            status=200,
            end="completed",
            input=new,
            output=tuple(out),
            **fields | more,
        )
        self.lines.append(line_of(one))
        path = self.folder / "journal" / "journal_1.jsonl"
        path.parent.mkdir(exist_ok=True)
        place = Place(str(path), sum(map(len, self.lines[:-1])), len(self.lines[-1]))
        path.write_bytes(b"".join(self.lines))
        noted = note(one, place)
        assert noted
        return noted

    def take(self, *words: Any, **more: Any) -> None:
        self.snapshots.take(self.exchange(*words, **more))
        self.snapshots.write_due()

    def turn(self, session: str, number: int, text: str = "do") -> None:
        """A turn with one call of a tool."""
        turn = f"t{number}"
        self.take(session, turn, [user(f"{text} {number}", f"u{number}")], [call(f"c{number}", cmd=WORDS)])
        self.take(
            session, turn, [result(f"c{number}", f"{WORDS} exited with code 0")], [said(f"done {number}", f"a{number}")]
        )

    @property
    def stored(self) -> list[dict[str, Any]]:
        found = [self.objects.get(key, 1 << 30) for key in self.objects.keys("sessions")]
        return [json.loads(one.data) for one in found if one]


@pytest.fixture
def world(objects: Objects, tmp_path: Path) -> World:
    return World(objects, tmp_path)


def test_each_turn_of_a_user_is_a_part_and_a_session_of_skillclaw(world: World) -> None:
    for number in range(1, 4):
        world.turn("s", number)
    assert [part["num_turns"] for part in world.stored] == [1, 1, 1]
    second = world.stored[1]
    assert (second["session_id"], second["user_alias"]) == ("s", "ann")
    assert second["timestamp"].endswith("Z")
    [turn] = second["turns"]
    assert (turn["turn_num"], turn["user_turn_num"], turn["raw_turn_kind"]) == (2, 2, "final")
    assert (turn["prompt_text"], turn["response_text"], turn["prm_score"]) == ("do 2", "done 2", None)
    assert turn["tool_calls"] == [
        {"id": "c2", "type": "function", "function": {"name": "exec_command", "arguments": json.dumps({"cmd": WORDS})}}
    ]
    assert [(one["tool_name"], one["has_error"]) for one in turn["tool_results"]] == [("exec_command", False)]
    assert turn["usage"] == {"input_tokens": 6, "output_tokens": 4}
    whole = read_session(world.objects, "s")
    assert [one.prompt_text for one in whole.turns] == ["do 1", "do 2", "do 3"]
    assert whole.num_turns == 3


def test_two_hundred_turns_write_little_more_than_the_session_has(world: World) -> None:
    """R10: a whole snapshot each time would be a hundred times that."""
    for number in range(1, 201):
        world.turn("s", number)
    final = len(msgspec.json.encode(read_session(world.objects, "s")))
    log = sum(path.stat().st_size for path in (world.folder / "state").iterdir())
    assert len(world.stored) == 200
    assert world.snapshots.state.bytes + log <= 1.3 * final


def test_several_turns_make_a_part_where_that_was_asked_for(objects: Objects, tmp_path: Path) -> None:
    world = World(objects, tmp_path, cadence=Cadence(turns=3))
    for number in range(1, 8):
        world.turn("s", number)
    assert [part["num_turns"] for part in world.stored] == [3, 3]


def test_r3_a_round_of_tool_calls_is_no_turn(world: World) -> None:
    world.take("s", "t1", [user("do", "u1")], [call("c1", cmd="ls")])
    world.take("s", "t1", [result("c1", "exited with code 2")], [call("c2", cmd="ls")])
    assert world.stored == []
    world.take("s", "t1", [result("c2", "x")], [said("done", "a1")])
    [part] = world.stored
    assert [len(turn["tool_calls"]) for turn in part["turns"]] == [2]
    assert [one["error_type"] for one in part["turns"][0]["tool_results"]] == ["exit 2", None]


def test_r9_an_idle_session_is_closed_and_goes_on_when_it_is_opened_again(world: World) -> None:
    world.take("s", "t1", [user("do", "u1")], [call("c1", cmd="sleep 600")])
    world.snapshots.write_due()
    assert world.stored == []
    assert world.snapshots.next_s() == 180.0
    world.clock.advance(180_000_000)
    world.snapshots.write_due()
    assert [turn["tool_calls"][0]["id"] for turn in world.stored[0]["turns"]] == ["c1"]
    assert world.snapshots.next_s() is None
    world.take("s", "t1", [result("c1", "x")], [said("done", "a1")])
    world.turn("s", 2)
    whole = read_session(world.objects, "s")
    assert [(one.prompt_text, one.response_text) for one in whole.turns] == [("do", "done"), ("do 2", "done 2")]
    assert [one["content"] for one in whole.turns[0].tool_results] == ["x"]


@pytest.mark.parametrize("lost", ["nothing", "log", "last line of the log"])
def test_r11_a_recorder_that_was_killed_writes_the_rest_once(world: World, lost: str) -> None:
    world.turn("s", 1)
    world.turn("s", 2)
    world.exchange("s", "t3", [user("unsent", "u3")], [said("late", "a3")])  # in the journal, and in no part
    [log] = (world.folder / "state").iterdir()
    since, *parts = log.read_bytes().splitlines(keepends=True)
    if lost != "nothing":
        log.write_bytes(since + b"".join([] if lost == "log" else parts[:-1]))
    world.start().catch_up(world.folder / "journal")
    world.snapshots.write_due()
    whole = read_session(world.objects, "s")
    assert [one.prompt_text for one in whole.turns] == ["do 1", "do 2", "unsent"]
    assert [one.turn_num for one in whole.turns] == [1, 2, 3]
    assert len(world.stored) == 3
    world.start().catch_up(world.folder / "journal")
    world.snapshots.write_due(every=True)
    assert len(world.stored) == 3


def test_a_part_that_was_written_before_a_crash_is_told_of_after_it(world: World) -> None:
    world.turn("s", 1)
    [log] = (world.folder / "state").iterdir()
    log.write_bytes(log.read_bytes().splitlines(keepends=True)[0])
    key = world.keys.pop()  # nobody heard of it
    world.start().catch_up(world.folder / "journal")
    world.snapshots.write_due(every=True)
    assert world.keys == [key]


def test_a_log_that_cannot_be_written_is_trouble_and_loses_nothing(objects: Objects, tmp_path: Path) -> None:
    world = World(objects, tmp_path)
    world.turn("s", 1)
    [log] = (world.folder / "state").iterdir()
    kept = log.read_bytes()
    log.unlink()
    log.mkdir()
    world.turn("s", 2)
    assert str(log) in str(world.snapshots.state.trouble)
    assert len(world.keys) == 2
    log.rmdir()
    log.write_bytes(kept)
    world.turn("s", 3)
    world.snapshots.write_due(every=True)
    assert [one.prompt_text for one in read_session(objects, "s").turns] == ["do 1", "do 2", "do 3"]
    assert (len(world.keys), world.snapshots.state.trouble) == (3, None)


def test_the_log_of_a_long_session_is_as_short_as_its_sessions_are_many(objects: Objects, tmp_path: Path) -> None:
    world = World(objects, tmp_path, most_closed=100)
    world.turn("s", 1)
    world.turn("other", 1)
    world.turn("s", 2)
    [log] = (world.folder / "state").iterdir()
    since, *parts = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(since + b"".join(parts[:-1]) * 1_000 + parts[-1])
    world.start().catch_up(world.folder / "journal")
    assert log.read_bytes().splitlines(keepends=True) == [since, parts[1], parts[2]]
    world.turn("s", 3)
    world.turn("other", 2)
    world.start().catch_up(world.folder / "journal")
    assert [one.prompt_text for one in read_session(world.objects, "s").turns] == ["do 1", "do 2", "do 3"]
    assert [one.prompt_text for one in read_session(world.objects, "other").turns] == ["do 1", "do 2"]


@pytest.mark.parametrize("lines", [1, 100], ids=["log", "log that was made shorter"])
def test_sessions_that_were_forgotten_are_not_written_again(objects: Objects, tmp_path: Path, lines: int) -> None:
    """The journal still has them, and whoever begins reads it."""
    world = World(objects, tmp_path, most=2, most_closed=4)
    for number in range(12):
        world.turn(f"s{number}", 1)
        world.snapshots.write_due()
    world.exchange("s3", "t2", [user("of one that was forgotten", "u9")], [said("late", "a9")])
    world.exchange("new", "t1", [user("unsent", "u0")], [said("later", "a0")])
    [log] = (world.folder / "state").iterdir()
    since, *parts = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(since + b"".join(parts) + parts[-1] * lines)
    for _ in range(3):
        world.start().catch_up(world.folder / "journal")
        world.snapshots.write_due(every=True)
    told = Counter(turn["response_text"] for part in world.stored for turn in part["turns"])
    assert told == {"done 1": 12, "late": 1, "later": 1}


def test_a_history_that_is_recorded_whole_again_says_nothing_twice(world: World) -> None:
    world.turn("s", 1)
    world.start().catch_up(world.folder / "journal")
    again = [user("do 1", "u1"), call("c1", cmd="x"), result("c1", "y"), said("done 1", "a1"), user("next", "u2")]
    world.take("s", "t2", again, [said("ok", "a2")], base=None)
    whole = read_session(world.objects, "s")
    assert [one.prompt_text for one in whole.turns] == ["do 1", "next"]
    assert [len(one.tool_results) for one in whole.turns] == [1, 0]


@pytest.mark.parametrize(
    ("last", "prompt", "results"),
    [
        ([user("now", "u3")], "now", 0),
        ([user("now", "u3"), call("c2", cmd="x"), result("c2", "y")], "now", 1),
    ],
    ids=["at a turn's beginning", "in the middle of one"],
)
def test_a_session_that_began_without_the_recorder_has_the_words_of_the_turn_alone(
    world: World, last: list[msgspec.Raw], prompt: str, results: int
) -> None:
    before = [user("long ago", "u1"), call("c1", cmd="x"), result("c1", "y"), user("then", "u2"), said("done", "a2")]
    world.take("s", "t3", [*before, *last], [said("ok", "a3")], base=None)
    [turn] = read_session(world.objects, "s").turns
    assert (turn.prompt_text, turn.response_text, len(turn.tool_results)) == (prompt, "ok", results)


def test_the_output_of_a_call_that_only_a_compaction_was_told_is_a_result_of_its_turn(world: World) -> None:
    world.take("s", "t1", [user("go", "u1")], [call("c1", cmd="x")])
    compaction = {"identity": {"kind": "compaction"}}
    world.take("s", "t1", [result("c1", "exited with code 3"), user("summarize", "u9")], [], **compaction)
    world.take("s", "t1", [user("go", "u1"), said("summary", "a0")], [said("done", "a1")], base=None)
    world.take("s", "t9", [result("c9", "of nobody")], [], **compaction)
    world.snapshots.write_due(every=True)
    [turn] = read_session(world.objects, "s").turns
    assert (turn.prompt_text, turn.response_text, turn.end) == ("go", "done", "completed")
    assert [(one["tool_name"], one["error_type"]) for one in turn.tool_results] == [("exec_command", "exit 3")]


def test_what_was_recorded_before_snapshots_were_asked_for_stays_here(objects: Objects, tmp_path: Path) -> None:
    world = World(objects, tmp_path / "first")
    (tmp_path / "first" / "journal").mkdir(parents=True)
    old = world.exchange("s", "t1", [user("long ago", "u1")], [said("x", "a1")])
    assert old
    later = Snapshots(objects, tmp_path / "other", world.clock, world.keys.append)
    world.clock.advance(5_000_000)
    later = Snapshots(objects, tmp_path / "third", world.clock, world.keys.append)
    later.catch_up(tmp_path / "first" / "journal")
    later.write_due(every=True)
    assert world.stored == []


def test_a_place_that_cannot_be_written_to_loses_nothing(tmp_path: Path) -> None:
    world = World(open_objects(str(tmp_path / "group"), {}), tmp_path)
    in_the_way = tmp_path / "group" / "sessions"
    in_the_way.write_text("a file where a folder has to be")
    world.turn("s", 1)
    assert world.snapshots.state.failed == 1
    assert "cannot write" in str(world.snapshots.state.trouble)
    in_the_way.unlink()
    world.snapshots.write_due()
    assert world.stored == []  # not at once again
    assert world.snapshots.next_s() == 180.0
    world.clock.advance(31_000_000)
    world.snapshots.write_due()
    assert [part["num_turns"] for part in world.stored] == [1]
    assert world.snapshots.state.trouble is None


UNREADABLE = {
    "bytes": b'{"session_id": "\xff"}',
    "nested": b'{"x": ' + b"[" * 100_000,
    "types": b'{"session_id": 1}',
    "empty": b"",
}


@pytest.mark.parametrize("theirs", UNREADABLE.values(), ids=UNREADABLE)
def test_an_object_that_is_no_part_but_has_its_key_holds_up_no_session(world: World, theirs: bytes) -> None:
    world.turn("a", 1)
    [key] = world.keys
    world.objects.create(key.replace("000001", "000002"), theirs)
    world.turn("a", 2)
    world.turn("b", 1)
    assert [key.rpartition("-")[2] for key in world.keys] == ["000001.json", "000003.json", "000001.json"]
    assert world.snapshots.state.trouble is None
    with pytest.raises(DataError, match="no snapshot"):
        read_session(world.objects, "a")


@pytest.mark.parametrize("garbage", UNREADABLE.values(), ids=UNREADABLE)
def test_a_line_of_the_log_or_the_journal_that_cannot_be_read_stops_nothing(
    objects: Objects, tmp_path: Path, garbage: bytes
) -> None:
    world = World(objects, tmp_path)
    world.turn("s", 1)
    [log] = (tmp_path / "state").iterdir()
    log.write_bytes(garbage + b"\n" + log.read_bytes())
    world.start()
    spoilt = world.exchange("s", "t2", [user("lost", "u2")], [said("lost", "a2")])
    Path(spoilt.place.path).write_bytes(
        b"".join(world.lines[:-1]) + (garbage + b"\n").ljust(spoilt.place.size, b"\n")[: spoilt.place.size]
    )
    world.snapshots.take(spoilt)
    world.snapshots.write_due()
    world.lines[-1] = b"\n" * spoilt.place.size
    world.turn("s", 3)
    assert [turn.prompt_text for turn in read_session(objects, "s").turns] == ["do 1", "do 3"]


def test_two_recorders_of_one_session_write_over_nothing(world: World, tmp_path: Path) -> None:
    other = World(world.objects, tmp_path / "other")
    (tmp_path / "other").mkdir(exist_ok=True)
    other.number = 100
    world.turn("s", 1)
    other.turn("s", 9)
    world.turn("s", 2)
    prompts = [part["turns"][0]["prompt_text"] for part in world.stored]
    assert sorted(prompts) == ["do 1", "do 2", "do 9"]
    assert len({part["turns"][0]["turn_num"] for part in world.stored}) == 3
    assert read_session(world.objects, "s").num_turns == 3


def test_recorders_of_one_session_on_two_hosts_that_write_at_the_same_time_lose_nothing(
    objects: Objects, tmp_path: Path
) -> None:
    """Parts are created and never replaced, so that a condition on what was there before has nothing to protect."""
    gate = threading.Barrier(2)

    def work(host: int) -> None:
        (tmp_path / str(host)).mkdir()
        world = World(objects, tmp_path / str(host))
        world.number = 1_000 * host
        for number in range(1, 5):
            gate.wait()
            world.turn("s", 100 * host + number)

    threads = [threading.Thread(target=work, args=(host,)) for host in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    turns = read_session(objects, "s").turns
    assert sorted(turn.prompt_text for turn in turns) == sorted(
        f"do {host}0{n}" for host in (1, 2) for n in range(1, 5)
    )
    assert sorted(turn.turn_num for turn in turns) == list(range(1, 9))


def test_what_is_too_much_to_hold_is_read_in_the_journal_later(objects: Objects, tmp_path: Path) -> None:
    """A place that takes its time makes the recorder neither wait nor grow."""
    world = World(objects, tmp_path, most=8)
    told = [
        world.exchange("s", f"t{number}", [user("do", f"u{number}")], [said("ok", f"a{number}")])
        for number in range(14)
    ]
    accepted = [noted if world.snapshots.accepts() else NOTHING for noted in told]
    assert 8 <= len([one for one in accepted if one is not NOTHING]) < 11
    world.snapshots.step(accepted, world.folder / "journal")
    world.snapshots.step([], world.folder / "journal")
    assert read_session(world.objects, "s").num_turns == 14


def test_what_was_read_in_the_journal_and_is_told_as_well_is_written_once(objects: Objects, tmp_path: Path) -> None:
    world = World(objects, tmp_path, most=5)
    told = [
        world.exchange("s", f"t{number}", [user("do", f"u{number}")], [said("ok", f"a{number}")]) for number in range(9)
    ]
    for noted in told:
        world.snapshots.accepts()
        world.snapshots.step([noted], world.folder / "journal")
    assert sum(part["num_turns"] for part in world.stored) == 9


def test_a_part_has_a_few_megabytes_however_much_waits(objects: Objects, tmp_path: Path) -> None:
    world = World(objects, tmp_path, cadence=Cadence(turns=1000))
    for number in range(9):
        long = [user(f"{number} " + "x" * (1 << 20), f"u{number}")]
        world.snapshots.take(world.exchange("s", f"t{number}", long, [said("ok", f"a{number}")]))
    world.snapshots.write_due()
    assert [part["num_turns"] for part in world.stored] == [3, 3, 3]


def test_a_journal_that_was_taken_away_stops_no_later_snapshot(world: World) -> None:
    world.snapshots.take(world.exchange("s", "t1", [user("do", "u1")], [said("gone", "a1")]))
    (world.folder / "journal" / "journal_1.jsonl").unlink()
    world.snapshots.write_due()
    assert (world.stored, world.snapshots.state.failed) == ([], 1)
    assert "taken away" in str(world.snapshots.state.trouble)
    world.take("s", "t2", [user("again", "u2")], [said("there", "a2")])
    assert [turn["response_text"] for part in world.stored for turn in part["turns"]] == ["there"]
    assert world.snapshots.state.trouble is None


def test_sub_agents_are_beside_and_compactions_and_reviews_are_no_turns(world: World) -> None:
    world.take("s", "t1", [user("do", "u1")], [call("c1", cmd="x")])
    world.take(
        "s",
        "x1",
        [user("help", "x1")],
        [said("helped", "xa")],
        identity={"subagent": "thread_spawn", "parent_thread": "s"},
    )
    world.take("s", "t1", [], [said("summary", "m")], identity={"kind": "compaction"})
    world.take("s", "t1", [], [said("fine", "g")], identity={"kind": "review"})
    world.take("s", "t1", [result("c1", "y")], [said("done", "a1")])
    [part] = world.stored
    told = [(turn["raw_turn_kind"], turn["user_turn_num"], turn["response_text"]) for turn in part["turns"]]
    assert ("side", None, "helped") in told
    assert all("summary" not in text and "fine" not in text for _, _, text in told)


def test_skills_that_were_read_and_changed_are_told(world: World) -> None:
    patch = "*** Begin Patch\n*** Update File: /h/skills/tables/SKILL.md\n@@\n-a\n+b\n*** End Patch"
    world.take("s", "t1", [user("do", "u1")], [call("c1", cmd="cat /h/skills/deploy/SKILL.md")], injected=("style",))
    custom = {"id": "x", "type": "custom_tool_call", "name": "apply_patch", "call_id": "c2", "input": patch}
    world.take("s", "t1", [result("c1", "text")], [raw(custom), said("done", "a1")])
    world.take("s", "t1", [], [said("done", "a2")])
    turn = read_session(world.objects, "s").turns[0]
    assert [(one["skill_name"], one["path"]) for one in turn.read_skills] == [("deploy", "/h/skills/deploy/SKILL.md")]
    assert [(one["skill_name"], one["action"]) for one in turn.modified_skills] == [("tables", "update")]
    assert turn.injected_skills == ["style"]


def test_s3_no_session_id_becomes_a_path(world: World) -> None:
    world.turn("../../../pwned/owned", 1)
    [key] = world.objects.keys("sessions")
    assert ".." not in key
    assert key == world.keys[0]
    assert read_session(world.objects, "../../../pwned/owned").num_turns == 1


def test_threat_2_secrets_stay_here(world: World) -> None:
    """S7: what is written comes from lines of the journal, which have none."""
    for number, secret in enumerate(SECRETS.values()):
        world.turn("s", number, secret)
        world.take("s", f"x{number}", [user("do", f"v{number}")], [call(f"d{number}", cmd=f"echo {secret}")])
        world.take("s", f"x{number}", [result(f"d{number}", secret)], [said(secret, f"b{number}")])
    everything = json.dumps(world.stored)
    assert len(world.stored) >= len(SECRETS)
    assert [kind for kind, secret in SECRETS.items() if secret in everything] == []


@pytest.mark.parametrize(
    "item",
    [
        7,
        None,
        "x",
        {},
        {"type": 7},
        {"type": "function_call", "arguments": 7},
        {"type": "x_call_output", "output": [1]},
        {"type": "reasoning", "summary": [7, {"text": 7}, {"text": "why"}]},
        {"type": "local_shell_call", "action": {"a": 1}},
    ],
)
def test_strange_items_are_no_trouble(world: World, item: Any) -> None:
    world.take("s", "t1", [user("do", "u1"), raw(item)], [raw(item), said("done", "a1")], usage="strange")
    world.snapshots.write_due(every=True)
    assert read_session(world.objects, "s").turns[0].response_text == "done"


def test_one_text_without_measure_is_cut_in_the_middle(world: World) -> None:
    world.take("s", "t1", [user("do", "u1")], [call("c1", cmd="x")])
    world.take("s", "t1", [result("c1", "begin" + "x" * (1 << 20) + "end")], [said("done", "a1")])
    [told] = read_session(world.objects, "s").turns[0].tool_results
    assert len(told["content"]) < 20_000
    assert told["content"].startswith("begin")
    assert told["content"].endswith("end")


def test_a_session_of_real_codex_is_there_when_the_recorder_has_ended(tmp_path: Path, codex_wheel: Path) -> None:
    objects = open_objects(str(tmp_path / "group"), {})
    complaints = list[str]()
    plan = TeamPlan(
        tmp_path / "team",
        tmp_path / "codex",
        tmp_path / "journal",
        snapshots=str(tmp_path / "group"),
        cadence=Cadence(turns=2),
    )
    with (
        ModelServer() as model,
        open_team(plan, SystemClock(), complaints.append) as team,
        Recorded(tmp_path, codex_wheel, model, team=team) as world,
    ):
        script: list[dict[str, Any]] = [{"reason": "I look"}, {"sh": "echo héllo; exit 3"}, {"say": "first"}]
        name = world.exec(script=script)
        world.exec("resume", name, script=[{"say": "second"}])
        wait_for(lambda: bool(objects.keys("sessions")), "a part")
        world.exec("resume", name, script=[{"say": "third"}])
    whole = read_session(objects, name)
    assert [turn.response_text for turn in whole.turns] == ["first", "second", "third"]
    assert whole.turns[0].prompt_text == f"SCRIPT:{json.dumps(script)}"
    assert [one["has_error"] for one in whole.turns[0].tool_results] == [True]
    assert whole.turns[0].reasoning_content == "I look"
    assert len(objects.keys("sessions")) == 2
    assert complaints == []
    assert isinstance(objects.get(objects.keys("sessions")[0], 1 << 30), Found)

"""What sessions were, in sums: each response and each turn once, and what nobody knows beside them."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from armarius.rollouts.reader import read_rollout
from armarius.sessions.listing import Wish
from armarius.sessions.prices import PriceTable, load_prices
from armarius.sessions.stats import By, Group, Origin, Spent, Stats, Turns, count, stats_of
from armarius.thread import Usage
from support.session_world import World, thread_id
from support.terminal import Terminal

GENERATOR = Path(__file__).parents[2] / "benchmarks" / "sessions" / "generate.py"
PRICES = """
[[price]]
model = "m"
input = "1"
output = "10"
over = { tokens = 100, input = "2", output = "20" }
"""
ORIGINS = {
    1: Origin("t1", "/a", "cli", is_subagent=False),
    2: Origin("t1", "/a", "cli", is_subagent=False),
    3: Origin("t2", "/b", "subagent", is_subagent=True),
}
MILLION = 1_000_000
SPENT = (
    Spent(1, "2026-11-01", "m", 0, Usage(MILLION, 500_000, 0, 100_000, 40_000)),
    Spent(2, "2026-11-02", "m", 101, Usage(MILLION)),
    Spent(2, "2026-11-02", "x", 0, Usage(500, 0, 0, 5)),
    Spent(3, None, None, 0, Usage(70)),
)
TURNS = (
    Turns(1, "2026-11-01", "m", "completed", 3, 60_000_000),
    Turns(2, "2026-11-02", "m", "failed", 1, 5_000_000),
    Turns(2, "2026-11-02", "m", "open", 1, 0),
    Turns(3, None, None, "interrupted", 2, 9_000_000),
)


@pytest.fixture
def prices(tmp_path: Path) -> PriceTable:
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return load_prices(path)


def short(group: Group) -> tuple[Any, ...]:
    return (
        group.name,
        group.sessions,
        group.turns,
        group.usage.total,
        group.subagents.total,
        group.cost_micro_usd,
        group.unpriced_tokens,
        group.waited_us // MILLION,
    )


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        (
            "day",
            [
                ("2026-11-01", 1, 3, 1_100_000, 0, 2_000_000, 0, 60),
                ("2026-11-02", 1, 2, 1_000_505, 0, 2_000_000, 505, 5),
                ("unknown", 1, 2, 70, 70, None, 70, 0),
            ],
        ),
        ("repo", [("/a", 1, 5, 2_100_505, 0, 4_000_000, 505, 65), ("/b", 1, 2, 70, 70, None, 70, 0)]),
        ("source", [("cli", 1, 5, 2_100_505, 0, 4_000_000, 505, 65), ("subagent", 1, 2, 70, 70, None, 70, 0)]),
        (
            "model",
            [
                ("m", 1, 5, 2_100_000, 0, 4_000_000, 0, 65),
                ("x", 1, 0, 505, 0, None, 505, 0),
                ("unknown", 1, 2, 70, 70, None, 70, 0),
            ],
        ),
    ],
)
def test_everything_is_in_the_row_that_it_belongs_to(prices: PriceTable, by: By, groups: list[tuple[Any, ...]]) -> None:
    stats = count(ORIGINS, SPENT, TURNS, prices=prices, by=by)
    assert [short(group) for group in stats.groups] == groups
    assert short(stats.total) == ("total", 2, 7, 2_100_575, 70, 4_000_000, 575, 65)
    assert stats.unpriced == {"x": 505, "unknown": 70}


def test_shares_are_of_what_is_known(prices: PriceTable) -> None:
    total = count(ORIGINS, SPENT, TURNS, prices=prices, by="day").total
    assert (total.completed, total.failed, total.interrupted) == (3, 1, 2)
    assert total.success == 0.5  # the open turn has not ended
    assert total.cache_share == round(500_000 / 2_000_570, 4)
    nothing = count({}, (), (), prices=prices, by="day")
    assert nothing.groups == ()
    assert (nothing.total.success, nothing.total.cache_share, nothing.total.cost_micro_usd) == (None, None, 0)


def stats(world: World, by: By = "day", wish: Wish | None = None, prices: Path = Path("/nowhere/prices.toml")) -> Stats:
    with world.opened() as index:
        index.sync([world.place], world.clock)
        files = index.entries([world.place])
        return stats_of(index, files, wish or Wish(), load_prices(prices), by)


def test_a_thread_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("0.169-three-turns.jsonl", 1)
    once = stats(world).total
    world.put("0.169-three-turns.jsonl", 2)
    world.put("0.169-three-turns.jsonl", 1, folder="archived_sessions")
    assert stats(world).total == once
    assert once.turns == 3
    assert once.usage.total > 0


def test_turns_that_have_no_id_of_their_own_are_not_taken_for_each_other(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.put("0.98-two-turns.jsonl", 1)
    turns = stats(world).total.turns
    world.put("0.98-two-turns.jsonl", 2)
    assert stats(world).total.turns == 2 * turns > 0


def test_each_request_is_charged_by_its_own_length(tmp_path: Path) -> None:
    world = World(tmp_path)
    thread = read_rollout(world.put("0.169-three-turns.jsonl", 1))
    inputs = sorted(response.usage.input for response in thread.responses)
    rates = "input = '1'\noutput = '0'\n"
    over = f"over = {{ tokens = {inputs[2]}, input = '1000', output = '0' }}\n"
    table = tmp_path / "prices.toml"
    table.write_text(f"[[price]]\nmodel = '{thread.turns[0].model}'\n{rates}{over}")
    found = stats(world, prices=table).total.cost_micro_usd
    assert found == sum(used * 1_000 if used > inputs[2] else used for used in inputs)
    assert len(set(inputs)) == len(inputs) > 3


@pytest.mark.parametrize("year", ["0001-01-01", "9999-12-31"])
def test_a_clock_that_stood_anywhere_stops_nothing(tmp_path: Path, private_home: dict[str, str], year: str) -> None:
    terminal = Terminal(tmp_path, private_home)
    file = terminal.codex_home / "sessions/2026/11/20" / f"rollout-2026-11-20T10-00-00-{thread_id(1)}.jsonl"
    file.parent.mkdir(parents=True)
    data = (Path(__file__).parents[1] / "data/rollouts/0.169-three-turns.jsonl").read_text()
    file.write_text(data.replace("2026-11-20T", f"{year}T"))
    for zone in ("XXX-23", "XXX+23"):
        done = terminal.type("sessions", "stats", "--json", environ={"TZ": zone})
        assert (done.code, done.err) == (0, "")
        assert done.answer["total"]["turns"] == 3


def test_waiting_is_what_lies_between_the_turns(tmp_path: Path) -> None:
    world = World(tmp_path)
    thread = read_rollout(world.put("0.169-three-turns.jsonl", 1))
    gaps = [
        after.started_at_us - before.ended_at_us
        for before, after in zip(thread.turns, thread.turns[1:], strict=False)
        if after.started_at_us and before.ended_at_us
    ]
    assert len(gaps) == 2
    assert stats(world).total.waited_us == sum(gaps)


def test_only_what_happened_from_then_on_counts(tmp_path: Path) -> None:
    world = World(tmp_path)
    thread = read_rollout(world.put("0.169-three-turns.jsonl", 1))
    last = thread.turns[-1]
    found = stats(world, wish=Wish(since_us=last.started_at_us)).total
    spent = Usage()
    for response in thread.responses:
        if response.turn_id == last.id:
            spent += response.usage
    assert (found.turns, found.usage) == (1, spent)
    assert spent.total < thread.usage.total


def test_only_the_wanted_model_of_a_thread_counts(tmp_path: Path) -> None:
    world = World(tmp_path)
    model = read_rollout(world.put("0.169-three-turns.jsonl", 1)).turns[0].model
    assert model
    assert stats(world, wish=Wish(model=f"{model[:3]}*")).total == stats(world).total
    assert stats(world, wish=Wish(model="another")).total.turns == 0


@pytest.mark.parametrize(("zone", "day"), [("XXX-14", "2026-11-21"), ("UTC0", "2026-11-20"), ("XXX+23", "2026-11-19")])
def test_days_are_those_of_the_users_time_zone(
    tmp_path: Path, private_home: dict[str, str], zone: str, day: str
) -> None:
    terminal = Terminal(tmp_path, private_home)
    file = terminal.codex_home / "sessions/2026/11/20" / f"rollout-2026-11-20T10-00-00-{thread_id(1)}.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes((Path(__file__).parents[1] / "data/rollouts/0.169-three-turns.jsonl").read_bytes())
    done = terminal.type("sessions", "stats", "--json", environ={"TZ": zone})
    assert done.code == 0, done.err
    assert [group["name"] for group in done.answer["groups"]] == [day]


@pytest.fixture
def made(tmp_path: Path, private_home: dict[str, str]) -> tuple[Terminal, dict[str, Any]]:
    """A machine with generated sessions, and what is true of them."""
    terminal = Terminal(tmp_path, private_home)
    words = ("--seed", "5", "--files", "24", "--megabytes", "2")
    subprocess.run([sys.executable, str(GENERATOR), str(terminal.codex_home), *words], check=True, capture_output=True)
    return terminal, json.loads((terminal.codex_home / "truth.json").read_text())


def test_every_grouping_adds_up_to_what_is_true(made: tuple[Terminal, dict[str, Any]]) -> None:
    terminal, truth = made
    totals = truth["totals"]
    field = {"repo": "cwd", "source": "source", "model": "model"}
    for by in ("day", "repo", "source", "model"):
        said = terminal.type("sessions", "stats", "--by", by, "--json").answer
        assert said["schema"] == "armarius.stats.v1"
        assert said["total"]["usage"] == totals["tokens"]
        assert said["total"]["turns"] == sum(totals["turns"].values())
        assert said["total"]["completed"] == totals["turns"]["completed"]
        assert said["total"]["sessions"] == 24
        for name in ("turns", "cost_micro_usd", "waited_us", "unpriced_tokens"):
            assert abs(sum(group[name] for group in said["groups"]) - said["total"][name]) <= len(said["groups"])
        if by != "day":
            expected = Counter[str]()
            for thread in truth["threads"]:
                expected[thread[field[by]]] += thread["tokens"]["input"]
            assert {group["name"]: group["usage"]["input"] for group in said["groups"]} == expected
    children = sum(
        thread["tokens"]["input"] + thread["tokens"]["output"] for thread in truth["threads"] if thread["parent"]
    )
    subagents = terminal.type("sessions", "stats", "--json").answer["total"]["subagents"]
    assert subagents["input"] + subagents["output"] == children


def test_a_price_that_nobody_knows_is_said_and_is_not_nothing(made: tuple[Terminal, dict[str, Any]]) -> None:
    terminal, truth = made
    known = terminal.type("sessions", "stats")
    assert (known.code, "unknown" in known.out, known.err) == (0, False, "")
    model = truth["threads"][0]["model"]
    (terminal.state / "prices.toml").write_text(f"[[price]]\nmodel = '{model}'\ninput = '1'\noutput = '1'\n")
    one = terminal.type("sessions", "stats", "--by", "model")
    assert "≥ $" in one.out.splitlines()[-1]
    assert "unknown" in one.out
    assert "no price is known for tokens of" in one.err
    (terminal.state / "prices.toml").write_text("nonsense")
    bad = terminal.type("sessions", "stats", "--json")
    assert (bad.code, bad.error["code"]) == (3, "prices-bad")


@pytest.mark.parametrize("columns", ["40", "80", "200"])
@pytest.mark.parametrize("measure", ["tokens", "cost", "waited"])
def test_a_plot_is_as_wide_as_the_terminal(made: tuple[Terminal, dict[str, Any]], measure: str, columns: str) -> None:
    terminal, _ = made
    drawn = terminal.type("sessions", "stats", "--by", "source", f"--plot={measure}", environ={"COLUMNS": columns})
    assert drawn.code == 0, drawn.err
    *bars, foot = drawn.out.splitlines()
    assert {len(line) for line in bars} == {int(columns)}
    assert "█" in bars[0] or measure != "tokens"
    assert f"{measure} by source" in foot


def test_names_from_files_reach_no_terminal_raw(tmp_path: Path, private_home: dict[str, str]) -> None:
    terminal = Terminal(tmp_path, private_home)
    file = terminal.codex_home / "sessions/2026/11/20" / f"rollout-2026-11-20T10-00-00-{thread_id(1)}.jsonl"
    file.parent.mkdir(parents=True)
    data = (Path(__file__).parents[1] / "data/rollouts/0.169-three-turns.jsonl").read_text()
    cwd = json.loads(data.splitlines()[0])["payload"]["cwd"]
    file.write_text(data.replace(f'"{cwd}"', '"/tmp/\\u001b[31mred\\n\\u202e"'))
    for words in ((), ("--plot",)):
        said = terminal.type("sessions", "stats", "--by", "repo", *words)
        assert said.code == 0, said.err
        assert "red" in said.out
        assert not {"\x1b", "\u202e"} & set(said.out)

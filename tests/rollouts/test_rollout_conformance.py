"""What Codex really wrote, 0.36 to 0.169, and what it says.

The numbers were taken from the files by other means than the reader: by eye and by counting kinds of
records in their JSON. `0.163-*` and `0.169-*` are runs of the real program against a scripted model.
"""

from pathlib import Path

import msgspec
import pytest

from armarius.rollouts.reader import read_rollout
from armarius.thread import (
    AgentMessage,
    Command,
    FileChange,
    FileSpot,
    Item,
    ResponseUsage,
    Thread,
    ToolCall,
    TurnState,
    UserMessage,
)

DATA = Path(__file__).parents[1] / "data" / "rollouts"

OPEN, DONE, FAILED, STOPPED, UNKNOWN = (
    TurnState.OPEN,
    TurnState.COMPLETED,
    TurnState.FAILED,
    TurnState.INTERRUPTED,
    TurnState.UNKNOWN,
)


class Expected(msgspec.Struct, frozen=True):
    name: str
    version: str
    source: str | None
    turns: list[TurnState]
    user: int
    agent: int
    exit_codes: list[int | None]
    responses: int
    tokens: tuple[int, int]
    patches: int = 0
    tools: list[str] = []


ROLLOUTS = [
    Expected("0.36-command", "0.36.0", None, [UNKNOWN], 1, 1, [0], 2, (2019, 40)),
    Expected("0.58-command", "0.58.0", "exec", [UNKNOWN], 1, 1, [0], 2, (2031, 40)),
    Expected("0.77-command", "0.77.0", "exec", [UNKNOWN], 1, 1, [0], 2, (2037, 40)),
    Expected("0.98-two-turns", "0.98.0", "exec", [UNKNOWN, UNKNOWN], 2, 2, [0, 1], 4, (4092, 80)),
    Expected("0.118-two-turns", "0.118.0", "exec", [DONE, DONE], 2, 2, [0, 1], 4, (4132, 80)),
    Expected("0.144-two-turns", "0.144.4", "exec", [DONE, DONE], 2, 2, [0, 1], 4, (4192, 80)),
    Expected("0.150-two-turns", "0.150.0", "exec", [DONE, DONE], 2, 2, [0, 1], 4, (4212, 80)),
    Expected(
        "0.163-background",
        "0.163.0",
        "exec",
        [DONE],
        1,
        1,
        [7],
        3,
        (3012, 150),
        tools=["write_stdin"],
    ),
    Expected("0.163-denied", "0.163.0", "exec", [DONE], 1, 1, [1, 1], 5, (5040, 250), patches=2),
    Expected("0.163-full-access", "0.163.0", "exec", [DONE], 1, 1, [0], 2, (2003, 100)),
    Expected(
        "0.163-legacy-resumed",
        "0.90.0",
        "exec",
        [UNKNOWN, DONE, FAILED],
        3,
        2,
        [0, 7, 1, None],
        5,
        (5135, 250),
        tools=["write_stdin"],
    ),
    Expected("0.165-two-turns", "0.165.0", "exec", [DONE, DONE], 2, 2, [0, 1], 4, (4288, 80)),
    Expected(
        "0.169-codemode",
        "0.169.0",
        "exec",
        [DONE],
        1,
        2,
        [0, 0, 0],
        3,
        (3000, 150),
        patches=1,
        tools=["exec", "exec"],
    ),
    Expected("0.169-compaction", "0.169.0", "vscode", [DONE, DONE, DONE], 2, 2, [0], 4, (4250, 80)),
    Expected("0.169-failed-then-completed", "0.169.0", "exec", [FAILED, DONE], 2, 1, [], 1, (1003, 20)),
    Expected("0.169-fork", "0.169.0", "exec", [DONE], 1, 1, [], 1, (1000, 50)),
    Expected("0.169-goal", "0.169.0", "exec", [DONE, STOPPED], 1, 1, [], 2, (2000, 100), tools=["create_goal"]),
    Expected("0.169-killed", "0.169.0", "exec", [OPEN], 1, 1, [None], 1, (1000, 50)),
    Expected("0.169-killed-and-resumed", "0.169.0", "exec", [OPEN, DONE], 2, 2, [None], 2, (2000, 100)),
    Expected("0.169-legacy", "0.169.0", "vscode", [DONE], 1, 1, [0], 3, (3000, 150), patches=1),
    Expected("0.169-legacy-resumed", "0.90.0", "exec", [UNKNOWN, DONE], 2, 2, [0, 0], 2, (2000, 100)),
    Expected("0.169-migrated", "0.90.0", "exec", [DONE], 1, 1, [0], 0, (0, 0)),
    Expected("0.169-rate-limited", "0.169.0", "exec", [FAILED], 1, 0, [], 0, (0, 0)),
    Expected("0.169-review-parent", "0.169.0", "exec", [DONE], 0, 1, [], 0, (0, 0)),
    Expected("0.169-sigint", "0.169.0", "exec", [STOPPED], 1, 1, [137], 1, (1000, 50)),
    Expected("0.169-skill", "0.169.0", "exec", [DONE], 1, 1, [], 1, (1000, 50)),
    Expected(
        "0.169-subagent-child",
        "0.169.0",
        "subagent",
        [DONE],
        0,
        1,
        [],
        2,
        (2000, 100),
        tools=["wait_agent"],
    ),
    Expected(
        "0.169-subagent-parent",
        "0.169.0",
        "exec",
        [DONE],
        1,
        1,
        [],
        3,
        (3000, 150),
        tools=["spawn_agent", "wait_agent"],
    ),
    Expected("0.169-three-turns", "0.169.0", "exec", [DONE, DONE, DONE], 3, 3, [1, 1, 1], 6, (6045, 120)),
    Expected(
        "0.169-tools",
        "0.169.0",
        "exec",
        [DONE],
        1,
        2,
        [3, 0],
        5,
        (5000, 250),
        patches=1,
        tools=["update_plan"],
    ),
]


def items_of(thread: Thread) -> list[Item]:
    return [item for turn in thread.turns for item in turn.items]


@pytest.mark.parametrize("expected", ROLLOUTS, ids=lambda expected: expected.name)
def test_a_real_rollout_says_what_happened(expected: Expected) -> None:
    thread = read_rollout(DATA / f"{expected.name}.jsonl")

    items = items_of(thread)
    assert (thread.cli_version, thread.source) == (expected.version, expected.source)
    assert [turn.state for turn in thread.turns] == expected.turns
    assert sum(isinstance(item, UserMessage) for item in items) == expected.user
    assert sum(isinstance(item, AgentMessage) for item in items) == expected.agent
    assert [item.exit_code for item in items if isinstance(item, Command)] == expected.exit_codes
    assert sum(isinstance(item, FileChange) for item in items) == expected.patches
    assert [item.name for item in items if isinstance(item, ToolCall)] == expected.tools
    assert len(thread.responses) == expected.responses
    assert (thread.usage.input, thread.usage.output) == expected.tokens
    assert thread.unknown == {}
    assert thread.bad_lines == ()


def test_every_file_of_the_table_is_there_and_none_besides_the_bare_one() -> None:
    assert {path.stem for path in DATA.iterdir()} == {row.name for row in ROLLOUTS} | {"0.20-bare"}


@pytest.mark.parametrize("expected", ROLLOUTS, ids=lambda expected: expected.name)
def test_an_item_leads_back_to_the_line_it_was_read_from(expected: Expected) -> None:
    path = DATA / f"{expected.name}.jsonl"
    thread = read_rollout(path)
    starts = {0} | {index + 1 for index, byte in enumerate(path.read_bytes()) if byte == 0x0A}

    seen: list[Item | ResponseUsage] = [*items_of(thread), *thread.responses]
    for spot in (thing.spot for thing in seen):
        assert isinstance(spot, FileSpot)
        assert spot.file == str(path)
        assert spot.byte in starts


@pytest.mark.parametrize("expected", ROLLOUTS, ids=lambda expected: expected.name)
def test_a_line_that_stands_twice_costs_nothing_twice(expected: Expected, tmp_path: Path) -> None:
    path = DATA / f"{expected.name}.jsonl"

    assert read_rollout(doubled(path, tmp_path)).usage == read_rollout(path).usage


@pytest.mark.parametrize(
    "name", ["0.150-two-turns", "0.163-background", "0.163-denied", "0.169-codemode", "0.169-tools"]
)
def test_an_item_that_stands_twice_is_one_item(name: str, tmp_path: Path) -> None:
    once = read_rollout(DATA / f"{name}.jsonl")

    again = read_rollout(doubled(DATA / f"{name}.jsonl", tmp_path))

    assert [turn.state for turn in again.turns] == [turn.state for turn in once.turns]
    assert [item.id for item in items_of(again)] == [item.id for item in items_of(once)]


def doubled(path: Path, folder: Path) -> Path:
    """A copy in which every line stands twice."""
    twice = folder / path.name
    twice.write_bytes(b"".join(line * 2 for line in path.read_bytes().splitlines(keepends=True)))
    return twice

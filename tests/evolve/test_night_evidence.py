"""Evidence over several nights: kept, added to, and void when what it rests on changes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.testing.model_server import ModelServer
from support.night_world import World


def roles(world: World) -> dict[str, int]:
    runs, _ = world.rows()
    names = [run.role for run in runs]
    return {role: names.count(role) for role in sorted(set(names))}


def pairs(report: dict[str, Any]) -> list[tuple[int, str]]:
    return [(pair["night"], pair["task"]) for pair in report["pairs"]]


def test_two_held_out_tasks_certify_in_the_second_night_on_the_evidence_of_both(
    tmp_path: Path, private_home: dict[str, str]
) -> None:
    with ModelServer() as server:
        world = World(tmp_path, private_home, server, train=1, held_out=2)
        first = world.night()
        assert (first["number"], first["state"], first["decision"], first["pairs_used"]) == (1, "nothing", "trial", 4)
        assert roles(world) == {"reflection": 1, "replay": 1 + 8}
        second = world.night()
        assert (second["number"], second["state"], second["decision"]) == (2, "staged", "adopt")
        assert second["experiment"] == first["experiment"]
        assert second["candidate_hash"] == first["candidate_hash"]
        assert pairs(second)[:4] == pairs(first)
        assert second["pairs_used"] == 6
        assert [night for night, _ in pairs(second)] == [1, 1, 1, 1, 2, 2]
        [one] = second["candidates"]
        assert (one["id"], one["round"], one["is_new"]) == (first["candidates"][0]["id"], 2, False)
        assert roles(world)["reflection"] == 2, "each night asks for another one"


def reword(skill: Path) -> None:
    skill.write_bytes(skill.read_bytes() + b"\nBe kind.\n")


def add_a_script(skill: Path) -> None:
    skill.with_name("look.sh").write_text("echo no\n")


@pytest.mark.parametrize("change", [pytest.param(reword, marks=pytest.mark.long), add_a_script])
def test_a_changed_skill_starts_a_new_experiment_without_the_old_evidence(
    tmp_path: Path, private_home: dict[str, str], change: Callable[[Path], None]
) -> None:
    with ModelServer() as server:
        world = World(tmp_path, private_home, server, train=1, held_out=2)
        first = world.night()
        change(world.skill)
        second = world.night()
        assert second["number"] == 1
        assert second["experiment"] != first["experiment"]
        assert [night for night, _ in pairs(second)] == [1, 1, 1, 1]
        assert roles(world)["reflection"] == 2


def test_a_second_night_at_the_same_time_is_refused_and_named(tmp_path: Path, private_home: dict[str, str]) -> None:
    with ModelServer() as server:
        world = World(tmp_path, private_home, server)
        with world.start() as one, world.start() as two:
            ends = [process.communicate(timeout=120) for process in (one, two)]
            codes = [one.returncode, two.returncode]
        assert sorted(codes) == [0, 4]
        _, err = ends[codes.index(4)]
        error = json.loads(err)
        assert error["code"] == "night-running"
        assert "process " in error["message"]

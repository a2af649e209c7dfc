"""The check of plans at the end of a turn, in a real Codex."""

import json
import tomllib

from support.hook_world import files, hooks_in, hooks_of, run_codex, write_hooks
from support.run_world import World, script

BROKEN = "# A plan for nothing\n"


def plans_of(world: World) -> str:
    (world.project / ".git").mkdir()
    (world.project / ".git" / "HEAD").touch()
    folder = world.project / "execplans"
    folder.mkdir()
    return str(folder)


def install(world: World) -> None:
    assert hooks_of(world).install(world.binary.path, plans=True).changed
    assert not hooks_of(world).install(world.binary.path, plans=True).changed


def test_a_turn_that_leaves_a_broken_plan_is_told_once_and_goes_on(each_world: World) -> None:
    folder = plans_of(each_world)
    install(each_world)
    work = script({"sh": f"echo '# A plan for nothing' > {folder}/a.md"}, {"say": "done"}, {"say": "corrected"})
    assert run_codex(each_world, work, "--sandbox=workspace-write") == 0
    said = [json.dumps(record.request()["input"]) for record in each_world.server.records]
    assert [("execplans/a.md:1: P02" in text, "armarius plan check" in text) for text in said] == [
        *((False, False), (False, False)),
        (True, True),
    ], "the turn was held up once, and then it ended"


def test_a_turn_that_leaves_plans_alone_is_not_held_up(each_world: World) -> None:
    folder = plans_of(each_world)
    install(each_world)
    (each_world.project / "execplans" / "old.md").write_text(BROKEN)
    assert run_codex(each_world, script({"sh": f"ls {folder}"}, {"say": "done"})) == 0
    assert len(each_world.server.records) == 2


def test_both_files_are_as_they_were_when_the_hooks_are_taken_out(world: World) -> None:
    write_hooks(world, Stop="true")
    before = files(world)
    install(world)
    assert [len(group["hooks"]) for group in hooks_in(world)["Stop"]] == [1, 2]
    trusted = tomllib.loads((world.codex_home / "config.toml").read_text())["hooks"]["state"]
    assert any(key.endswith(":stop:1:1") for key in trusted), sorted(trusted)
    assert hooks_of(world).install(world.binary.path).changed, "without --plans the check goes"
    assert [len(group["hooks"]) for group in hooks_in(world)["Stop"]] == [1, 1]
    assert hooks_of(world).uninstall().changed
    assert files(world) == before

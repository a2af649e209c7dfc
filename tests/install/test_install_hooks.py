"""Hooks put into a real Codex, what they report, and how every trace of them goes again."""

import contextlib
import json
import os
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from armarius.clock import SystemClock
from armarius.codex import protocol
from armarius.codex.connection import ServerRequest
from armarius.codex.hooks import EVENTS
from armarius.codex.hooks_file import Place
from armarius.codex.trust import give_trust, key_of, list_hooks
from armarius.errors import ArmariusError, DataError, HostError, Refused
from armarius.install.hooks import Hooks
from support.hook_world import (
    ambient,
    events,
    files,
    hooks_in,
    hooks_of,
    install,
    leaves,
    names,
    run_codex,
    server_of,
    start_codex,
    write_hooks,
)
from support.run_world import World, script

Trouble = Callable[[World], None]


# ------------------------------------------------------------------------- what they report


def test_a_run_reports_itself_without_any_flag(each_world: World) -> None:
    install(each_world)
    assert run_codex(each_world, script({"sh": "echo hi"}, {"say": "bye"})) == 0
    found = events(each_world)
    assert [event.event for event in found] == ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd"]
    (rollout,) = (each_world.codex_home / "sessions").rglob("rollout-*.jsonl")
    assert {event.transcript_path for event in found} == {str(rollout)}
    assert {event.cwd for event in found} == {str(each_world.project)}
    assert {rollout.stem.endswith(event.thread_id) for event in found} == {True}
    assert found[1].turn_id == found[2].turn_id is not None


def test_a_failed_run_reports_its_beginning_and_its_end_only(each_world: World) -> None:
    install(each_world)
    assert run_codex(each_world, script({"fault": "400"})) == 1
    assert names(each_world) == ["SessionStart", "UserPromptSubmit", "SessionEnd"]


@pytest.mark.parametrize(
    ("number", "after"), [(signal.SIGINT, ["Interrupt", "SessionEnd"]), (signal.SIGTERM, []), (signal.SIGKILL, [])]
)
def test_a_signal_is_reported_if_codex_can(
    each_world: World, tmp_path: Path, number: signal.Signals, after: list[str]
) -> None:
    install(each_world)
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    started = tmp_path / "started"
    os.mkfifo(started)
    with contextlib.ExitStack() as stack:
        end = os.open(fifo, os.O_RDWR)
        stack.callback(os.close, end)
        stack.callback(os.write, end, b"go")
        prompt = script({"sh": f"echo x > {started}"}, {"wait": str(fifo)}, {"say": "never"})
        process = stack.enter_context(start_codex(each_world, prompt, "--sandbox=danger-full-access"))
        started.read_bytes()  # the command runs, so the turn does
        process.send_signal(number)
        process.wait(60)
        assert names(each_world) == ["SessionStart", "UserPromptSubmit", *after]


def test_an_approval_is_reported_when_a_person_is_asked(each_world: World) -> None:
    install(each_world)
    with server_of(each_world) as server:
        start = protocol.ThreadStart(str(each_world.project), "read-only", "on-request")
        thread = server.call(protocol.THREAD_START, start).thread.id
        prompt = script({"sh": "touch made", "ask": "May I?"}, {"say": "done"})
        server.call(protocol.TURN_START, protocol.TurnStart(thread, (protocol.TextInput(prompt),)))
        while not isinstance(asked := server.next(30), ServerRequest):
            assert asked is not None
        assert names(each_world) == ["SessionStart", "UserPromptSubmit", "PermissionRequest"]
        last = events(each_world)[-1]
        assert (last.thread_id, last.tool_name) == (thread, "Bash")
        server.answer(asked, {"decision": "cancel"})
        while (event := server.next(30)) is None or event.method != "turn/completed":
            assert event is not None
    assert names(each_world)[3:] == ["Interrupt", "SessionEnd"]


# --------------------------------------------------------------------- what a person has


def test_only_our_hooks_become_trusted(each_world: World) -> None:
    write_hooks(each_world, Stop=leaves(each_world, "theirs"), PreToolUse=leaves(each_world, "theirs"))
    install(each_world)
    assert run_codex(each_world, script({"sh": "echo hi"}, {"say": "bye"})) == 0
    assert names(each_world)[-2:] == ["Stop", "SessionEnd"]
    assert not (each_world.folder / "theirs").exists()
    with server_of(each_world) as server:
        status = {hook.key: hook.trust_status for hook in list_hooks(server, each_world.codex_home).hooks}
    assert sorted(status.values()) == ["trusted"] * len(EVENTS) + ["untrusted"] * 2


def test_uninstalling_restores_both_files_to_the_byte(each_world: World) -> None:
    write_hooks(each_world, Stop="true")
    config = each_world.codex_home / "config.toml"
    config.write_bytes(b"# first\r\n" + config.read_bytes().rstrip() + b"   # no line end")
    config.chmod(0o640)
    before = files(each_world)
    install(each_world)
    assert files(each_world) != before
    run_codex(each_world, script({"say": "bye"}))
    assert hooks_of(each_world).uninstall().changed
    assert files(each_world) == before
    assert not hooks_of(each_world).uninstall().changed
    assert sorted(path.name for path in (each_world.state / "hooks").iterdir()) == ["installed.json", "lock"]


def test_files_that_were_not_there_are_gone_again(each_world: World) -> None:
    (each_world.codex_home / "config.toml").unlink()
    install(each_world)
    assert {name for name, file in files(each_world).items() if file} == {"hooks.json", "config.toml"}
    hooks_of(each_world).uninstall()
    assert files(each_world) == {"hooks.json": None, "config.toml": None}


def test_what_a_person_edits_meanwhile_stays_and_keeps_its_trust(each_world: World) -> None:
    file = write_hooks(each_world, Stop="true")
    install(each_world)
    theirs = json.loads(file.read_text())
    mine = {"hooks": [{"type": "command", "command": leaves(each_world, "theirs")}]}
    theirs["hooks"]["Stop"].append(mine)
    file.write_text(json.dumps(theirs, indent=1))
    config = each_world.codex_home / "config.toml"
    key = key_of(str(file), Place("Stop", 2, 0))
    with server_of(each_world) as server:
        (found,) = [hook for hook in list_hooks(server, each_world.codex_home).hooks if hook.key == key]
        give_trust(server, {key: found.current_hash})
    config.write_text(f"# edited\n{config.read_text()}")

    hooks_of(each_world).uninstall()
    after = json.loads(file.read_text())
    assert [group["hooks"][0]["command"] for group in after["hooks"].pop("Stop")] == [
        "true",
        leaves(each_world, "theirs"),
    ]
    assert after == {"hooks": {}}
    assert config.read_text().startswith("# edited\n")
    state = {key_of(str(file), Place("Stop", 1, 0)): {"trusted_hash": found.current_hash}}
    assert tomllib.loads(config.read_text())["hooks"]["state"] == state
    run_codex(each_world, script({"say": "bye"}))
    assert (each_world.folder / "theirs").exists()


def test_lines_of_a_config_end_as_they_did_though_it_was_edited_meanwhile(each_world: World) -> None:
    config = each_world.codex_home / "config.toml"
    before = config.read_bytes().replace(b"\n", b"\r\n")
    config.write_bytes(before)
    install(each_world)
    config.write_bytes(b"# edited\n" + config.read_bytes())
    hooks_of(each_world).uninstall()
    assert config.read_bytes() == b"# edited\r\n" + before


def test_a_linked_config_stays_a_link(each_world: World) -> None:
    config = each_world.codex_home / "config.toml"
    shared = config.rename(each_world.folder / "shared.toml")
    config.symlink_to(shared)
    before = shared.read_bytes()
    install(each_world)
    assert b"trusted_hash" in shared.read_bytes()
    hooks_of(each_world).uninstall()
    assert config.is_symlink()
    assert shared.read_bytes() == before


def test_a_home_behind_a_link_is_trusted_under_its_real_name(each_world: World) -> None:
    link = each_world.folder / "link"
    link.symlink_to(each_world.codex_home)
    hooks = Hooks(link, each_world.state, ambient(each_world), SystemClock())
    assert hooks.install(each_world.binary.path).changed
    assert not hooks_of(each_world).install(each_world.binary.path).changed
    assert hooks_of(each_world).uninstall().changed


# ------------------------------------------------------------------------- again, or not at all


def test_installing_twice_changes_nothing_and_mends_what_is_missing(world: World) -> None:
    write_hooks(world, Stop="true")
    before = files(world)
    install(world)
    installed = files(world)
    assert not hooks_of(world).install(world.binary.path).changed
    assert files(world) == installed
    program = world.state / "hooks" / "report.py"
    for damaged, content in [
        *((world.codex_home / name, file[0]) for name, file in before.items() if file),
        (program, b"old"),
        (program, None),
    ]:
        damaged.unlink() if content is None else damaged.write_bytes(content)
        install(world)
        assert files(world) == installed
    hooks_of(world).uninstall()
    assert files(world) == before


def test_a_dry_run_shows_everything_and_changes_nothing(world: World) -> None:
    write_hooks(world, Stop="true")
    before = files(world)
    shown = hooks_of(world).install(world.binary.path, dry_run=True)
    assert files(world) == before
    assert not (world.state / "hooks" / "report.py").exists()
    done = hooks_of(world).install(world.binary.path)
    assert (shown.diff, shown.trust, shown.changed, shown.dry_run) == (done.diff, done.trust, True, True)
    assert shown.command in shown.diff
    installed = files(world)
    assert hooks_of(world).uninstall(dry_run=True).changed
    assert files(world) == installed


def test_two_homes_share_what_they_need_until_the_last_one_goes(world: World) -> None:
    second = World(world.folder / "second", world.binary, world.server).build()
    other = Hooks(second.codex_home, world.state, ambient(second), SystemClock())
    install(world)
    assert other.install(world.binary.path).changed
    hooks_of(world).uninstall()
    run_codex(second, script({"say": "bye"}))
    assert names(world) == ["SessionStart", "UserPromptSubmit", "Stop", "SessionEnd"]
    other.uninstall()
    assert not (world.state / "hooks" / "report.py").exists()


def test_without_its_record_it_is_still_found_and_taken_out(world: World) -> None:
    write_hooks(world, Stop="true")
    before = files(world)
    install(world)
    (world.state / "hooks" / "installed.json").unlink()
    assert hooks_of(world).uninstall().changed
    after = files(world)
    assert after["config.toml"]
    assert before["config.toml"]
    assert after["config.toml"][0] == before["config.toml"][0]
    assert all(event == "Stop" or not groups for event, groups in hooks_in(world).items())
    assert hooks_in(world)["Stop"] == [{"hooks": [{"type": "command", "command": "true"}]}]


def test_a_codex_that_runs_no_hooks_is_left_as_it_was(each_world: World) -> None:
    each_world.configure(features={"hooks": False})
    write_hooks(each_world, Stop="true")
    before = files(each_world)
    with pytest.raises(HostError) as problem:
        hooks_of(each_world).install(each_world.binary.path)
    assert problem.value.code == "hooks-off"
    assert files(each_world) == before


def test_a_file_that_codex_does_not_use_is_refused_in_its_words(each_world: World) -> None:
    (each_world.codex_home / "hooks.json").write_text('{"unheard_of": 1, "hooks": {}}')
    before = files(each_world)
    with pytest.raises(Refused, match="unheard_of") as problem:
        hooks_of(each_world).install(each_world.binary.path)
    assert problem.value.code == "hooks-file"
    assert files(each_world) == before


def _link(world: World) -> None:
    (world.folder / "shared.json").write_text("{}")
    (world.codex_home / "hooks.json").symlink_to(world.folder / "shared.json")


def _folder(world: World) -> None:
    (world.codex_home / "hooks.json").mkdir()


def _write(name: str, data: bytes) -> Trouble:
    def write(world: World) -> None:
        (world.codex_home / name).write_bytes(data)

    return write


@pytest.mark.parametrize(
    ("trouble", "kind", "code"),
    [
        (_link, Refused, "hooks-link"),
        (_write("hooks.json", b"{"), Refused, "hooks-file"),
        (_write("hooks.json", b'{"hooks": {"Stop": 1}}'), Refused, "hooks-file"),
        (_write("hooks.json", b"\xff"), Refused, "not-utf8"),
        (_write("config.toml", b"x = "), DataError, "codex-config"),
        (_folder, DataError, "not-a-file"),
    ],
)
def test_what_cannot_be_edited_is_refused_with_the_way_out(
    world: World, trouble: Trouble, kind: type[ArmariusError], code: str
) -> None:
    trouble(world)
    for action in (lambda: hooks_of(world).install(world.binary.path), hooks_of(world).uninstall):
        with pytest.raises(kind) as problem:
            action()
        assert problem.value.code == code
        assert problem.value.hint
    assert not (world.state / "hooks" / "report.py").exists()

"""Which sessions count as a person's work in a project, and what is read again."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import pytest
import zstandard

from armarius.clock import parse_rfc3339
from armarius.evolve.harvest import Harvest, HarvestCache, Scope, Source, chosen_files, harvest
from armarius.sessions.folders import Place
from armarius.sessions.index import SessionIndex
from armarius.testing.clock import FakeClock
from support.session_writer import Asked, Session

ROLLOUTS = Path(__file__).parents[1] / "data" / "rollouts"


class World:
    """A machine with a project, homes of both programs and Armarius's own folder."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "src" / "shop"
        self.codex = folder / "codex"
        self.claude = folder / "claude"
        self.own = folder / "own"
        for place in (self.project, self.codex, self.claude, self.own):
            place.mkdir(parents=True)

    def session(self, number: int, prompt: str, cwd: Path | None = None, **more: object) -> Session:
        session = Session(number, cwd=cwd or self.project, **more)  # type: ignore[arg-type]  # handed on
        return session.ask(Asked(prompt=prompt))

    def put(self, number: int, prompt: str, cwd: Path | None = None, *, archived: bool = False, **more: object) -> Path:
        return self.session(number, prompt, cwd, **more).write(self.codex, archived=archived)

    def harvest(self, source: Source = "auto", *, since: str | None = None, most: int = 100) -> tuple[Harvest, int]:
        """What there is, and how many files were read for it."""
        read = list[int]()
        places = [Place("codex", self.codex), Place("claude", self.claude)]
        since_us = None if since is None else parse_rfc3339(since)
        scope = Scope(project=self.project, own_folder=self.own, source=source, since_us=since_us, most_sessions=most)
        with (
            contextlib.closing(SessionIndex.open(self.own / "s.sqlite")) as index,
            contextlib.closing(HarvestCache.open(self.own / "h.sqlite")) as cache,
        ):
            index.sync(places, FakeClock())
            found = harvest(cache, chosen_files(index, places, scope), lambda done, _of: read.append(done))
        return found, len(read)

    def prompts(self, source: Source = "auto", **more: str) -> list[str]:
        return sorted(one.prompt for one in self.harvest(source, **more)[0].episodes)  # type: ignore[arg-type]  # since alone


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_sessions_of_the_terminal_the_editor_the_archive_and_compressed_ones_count_once(world: World) -> None:
    world.put(1, "from the terminal")
    world.put(2, "from the editor", source="vscode")
    world.put(3, "archived", archived=True)
    plain = world.put(4, "compressed")
    packed = plain.with_name(plain.name + ".zst")
    packed.write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
    plain.unlink()
    world.put(5, "both forms")
    twin = world.session(5, "both forms").write(world.codex, archived=True)
    assert twin.exists()
    assert world.prompts() == ["archived", "both forms", "compressed", "from the editor", "from the terminal"]


def test_sub_agents_replays_of_ours_and_sessions_in_our_folder_are_left_out_and_counted(world: World) -> None:
    world.put(1, "real work")
    world.put(2, "helper", source="subagent", parent=Session(1, cwd=world.project).id)
    world.put(3, "replay", thread_source="armarius-replay-replicate-2")
    world.put(4, "reflect", thread_source="armarius-reflection")
    world.put(5, "worker of ours", thread_source="armarius-worker")
    (world.own / "replays" / "x").mkdir(parents=True)
    world.put(6, "inside", cwd=world.own / "replays" / "x")
    found, _ = world.harvest()
    assert sorted(one.prompt for one in found.episodes) == ["real work", "worker of ours"]
    assert found.left_out == {
        "of a sub-agent": 1,
        "of another project": 1,
        "without a request of a person": 2,
    }


def test_worktrees_and_subfolders_belong_and_parents_do_not(world: World) -> None:
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }

    def git(*words: str) -> None:
        subprocess.run(["git", *words], cwd=world.project, check=True, capture_output=True, env=os.environ | identity)

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "-m", "x")
    git("worktree", "add", "--quiet", "../shop-fix")
    (world.project / "lib").mkdir()
    world.put(1, "here")
    world.put(2, "below", cwd=world.project / "lib")
    world.put(3, "worktree", cwd=world.project.parent / "shop-fix")
    world.put(4, "above", cwd=world.project.parent)
    (world.project.parent / "shopping").mkdir()
    world.put(5, "beside", cwd=world.project.parent / "shopping")
    assert world.prompts() == ["below", "here", "worktree"]


def test_a_fork_adds_its_own_turns_alone(world: World) -> None:
    session = world.session(1, "shared work")
    parent = session.write(world.codex)
    fork = Session(2, cwd=world.project).ask(Asked(prompt="own work"))
    # A fork keeps the ids of the turns that it took over.
    copied = parent.read_bytes().split(b"\n", 1)[1].replace(session.id.encode(), fork.id.encode())
    assert session.turn(1).encode() in copied
    first, rest = fork.text().split(b"\n", 1)
    (parent.parent / fork.name()).write_bytes(first + b"\n" + copied + rest)
    assert world.prompts() == ["own work", "shared work"]


def test_auto_takes_claude_only_where_codex_has_none_and_says_so(world: World) -> None:
    folder = world.claude / "projects" / "-x"
    folder.mkdir(parents=True)
    name = "11111111-2222-4333-8444-555555555555"
    line: dict[str, object] = {"type": "user", "sessionId": name, "cwd": str(world.project), "uuid": "u1"}
    line |= {"version": "2.1.0", "timestamp": "2026-11-20T10:00:00.000Z"}
    text = json.dumps(line | {"message": {"role": "user", "content": "from claude"}}) + "\n"
    (folder / f"{name}.jsonl").write_text(text)
    found, _ = world.harvest()
    assert ([one.prompt for one in found.episodes], found.source) == (["from claude"], "claude")
    assert found.notes == ("Codex has no session in this scope, so the sessions of Claude Code are taken",)
    world.put(1, "from codex")
    found, _ = world.harvest()
    assert ([one.prompt for one in found.episodes], found.source, found.notes) == (["from codex"], "codex", ())
    assert found.left_out == {"of Claude Code, and Codex has some": 1}
    assert world.prompts("claude") == ["from claude"]


def test_times_are_instants_whatever_zone_they_are_written_in(world: World) -> None:
    world.put(1, "at nine UTC", hour=9)
    world.put(2, "at eleven UTC", hour=11)
    assert world.prompts(since="2026-11-20T19:00:00+09:00") == ["at eleven UTC"]
    assert world.prompts(since="2026-11-20T01:30:00-08:00") == ["at eleven UTC"]
    assert world.prompts(since="2026-11-20T00:30:00-08:00") == ["at eleven UTC", "at nine UTC"]


def test_only_what_changed_is_read_again(world: World) -> None:
    paths = [world.put(number, f"work {number}") for number in range(1, 4)]
    assert world.harvest()[1] == 3
    before, read = world.harvest()
    assert (before.turns, read) == (3, 0)
    longer = world.session(2, "work 2").ask(Asked(prompt="and more work"))
    paths[1].write_bytes(longer.text())
    after, read = world.harvest()
    assert (after.turns, read) == (4, 1)


def test_one_bad_byte_or_a_torn_line_hides_no_session(world: World) -> None:
    good = world.put(1, "fine")
    torn = world.put(2, "torn")
    torn.write_bytes(torn.read_bytes()[:-40])
    bad = world.put(3, "bad byte")
    bad.write_bytes(bad.read_bytes() + b'{"type":"event_msg","payload":"\xff"}\n\xff\xfe\n')
    (good.parent / "rollout-2026-11-20T10-00-00-01a1f8dc-0000-7000-8000-00000000000f.jsonl").write_bytes(b"")
    assert world.prompts() == ["bad byte", "fine", "torn"]


def test_real_sessions_of_every_version_can_be_harvested(world: World) -> None:
    folder = world.codex / "sessions" / "2026" / "11" / "20"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(ROLLOUTS.glob("*.jsonl"))):
        (folder / f"rollout-2026-11-20T10-00-00-01a1f8dc-0000-7000-8000-{number:012x}.jsonl").write_bytes(
            path.read_bytes()
        )
    world.project = Path("/")
    found, _ = world.harvest()
    assert found.sessions >= 20
    assert all("<environment_context>" not in one.prompt for one in found.episodes)

"""The world of a replay: the candidate's text in the skill's own folder, with what comes along."""

from pathlib import Path

import pytest

from armarius.codex.home import Login, Owner
from armarius.evolve.judge import Contains, Judge
from armarius.evolve.replay import Lab, companions_of, key_of, request_for
from armarius.evolve.tasks import Task
from armarius.files import private_folder

TASK = Task("a", "Say it.", Judge("rule", (Contains("x"),)))


@pytest.fixture
def skill(tmp_path: Path) -> Path:
    folder = tmp_path / "writer"
    folder.mkdir()
    (folder / "SKILL.md").write_text("live")
    return folder


def lab(skill: Path) -> Lab:
    return Lab(
        experiment="e",
        folder=private_folder(skill.parent / "replays"),
        skill_folder=skill,
        owner=Owner(skill.parent / "codex", Login("none")),
        search_path="",
        codex_version="",
        environ={},
        companions=companions_of(skill),
    )


def test_programs_of_a_skill_can_be_started_in_a_replay_and_other_files_cannot(skill: Path) -> None:
    for name, mode in (("look.sh", 0o755), ("notes.md", 0o640)):
        (skill / name).write_text(name)
        (skill / name).chmod(mode)
    request = request_for(lab(skill), TASK, b"candidate", arm="train", replicate=1)
    world = Path(request.codex_home) / "skills" / "writer"
    assert (world / "SKILL.md").read_bytes() == b"candidate"
    assert [(world / name).stat().st_mode & 0o777 for name in ("look.sh", "notes.md")] == [0o755, 0o644]


def test_a_replay_is_another_one_when_what_comes_along_is(skill: Path) -> None:
    def key() -> str:
        return key_of(lab(skill), TASK, b"candidate", arm="train", replicate=1)

    found = [key()]
    (skill / "SKILL.md").write_text("live, and changed")
    (skill / ".git").mkdir()
    (skill / ".git" / "HEAD").write_text("x")
    (skill / "tasks.json").write_text('{"schema": "armarius.tasks.v1"}')
    (skill / "link").symlink_to("/etc")
    assert key() == found[0], "what does not come along changes nothing"
    (skill / "scripts").mkdir()
    script = skill / "scripts" / "look.sh"
    script.write_text("echo yes")
    found.append(key())
    script.write_text("echo no")
    found.append(key())
    script.chmod(0o755)
    found.append(key())
    script.rename(skill / "look.sh")
    found.append(key())
    assert len(set(found)) == len(found)

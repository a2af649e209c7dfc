"""The skill for Codex: put in its place, found by Codex, taken away again; nothing of a person's is lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from armarius.errors import Refused
from armarius.install.codex_skill import CodexSkill
from armarius.skills.document import read_document
from armarius.testing.clock import FakeClock

REPOSITORY = Path(__file__).parents[2]
STAMP = "20261120120936"


class Desk:
    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.codex_home = self.home / ".codex"
        self.codex_home.mkdir(parents=True)
        self.skill = CodexSkill(self.home, self.codex_home, folder / "state", FakeClock())
        self.path = self.home / ".agents" / "skills" / "armarius" / "SKILL.md"
        self.prompt = self.codex_home / "prompts" / "sleep.md"

    def older_prompt(self, *taken: str) -> None:
        self.prompt.parent.mkdir()
        self.prompt.write_bytes(b"old \xff prompt")
        for name in taken:
            (self.prompt.parent / name).write_bytes(b"taken")

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.home)): p.read_bytes() for p in sorted(self.home.rglob("*")) if p.is_file()}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_the_skill_is_installed_once_and_answers_to_its_words(desk: Desk) -> None:
    assert desk.skill.install().changed
    assert not desk.skill.install().changed
    document = read_document(desk.path)
    assert document.name == "armarius"
    for word in ("sleep", "dream", "offline self-improvement"):
        assert f'"{word}"' in document.description or word in document.description
    assert "no network" in document.text
    for command in ("status", "harvest", "dry-run", "run", "adopt", "reject", "rollback", "schedule"):
        assert f"armarius sleep {command}" in document.text


@pytest.mark.parametrize(
    ("taken", "name"),
    [
        ((), "sleep.md.skillopt-legacy.bak"),
        (("sleep.md.skillopt-legacy.bak",), f"sleep.md.skillopt-legacy.{STAMP}.bak"),
        (
            ("sleep.md.skillopt-legacy.bak", f"sleep.md.skillopt-legacy.{STAMP}.bak"),
            f"sleep.md.skillopt-legacy.{int(STAMP) + 1}.bak",
        ),
    ],
)
def test_an_older_prompt_is_moved_aside_and_comes_back(desk: Desk, taken: tuple[str, ...], name: str) -> None:
    desk.older_prompt(*taken)
    before = desk.files()
    report = desk.skill.install()
    assert report.moved == str(desk.prompt.parent / name)
    assert not desk.prompt.exists()
    assert (desk.prompt.parent / name).read_bytes() == b"old \xff prompt"
    assert all((desk.prompt.parent / one).read_bytes() == b"taken" for one in taken)
    assert desk.skill.uninstall().changed
    assert desk.files() == before
    assert not desk.path.parent.exists()
    assert not desk.skill.uninstall().changed


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    desk.older_prompt()
    before = desk.files()
    assert desk.skill.install(dry_run=True).changed
    assert desk.files() == before
    desk.skill.install()
    between = desk.files()
    assert desk.skill.uninstall(dry_run=True).changed
    assert desk.files() == between


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_stands_in_our_place_and_is_not_ours_is_left_alone(desk: Desk, kind: str) -> None:
    desk.path.parent.mkdir(parents=True)
    if kind == "file":
        desk.path.write_text("mine")
    elif kind == "link":
        desk.path.symlink_to(desk.home / "elsewhere")
    else:
        desk.path.mkdir()
    desk.older_prompt()
    before = desk.files()
    with pytest.raises(Refused):
        desk.skill.install()
    assert desk.files() == before


def test_a_skill_that_a_person_changed_is_not_removed_but_an_older_one_of_ours_is_renewed(desk: Desk) -> None:
    desk.skill.install()
    ours = desk.path.read_bytes()
    desk.path.write_bytes(ours + b"mine")
    for act in (desk.skill.uninstall, desk.skill.install):
        with pytest.raises(Refused, match=r"not ours|changed since"):
            act()
    assert desk.path.read_bytes() == ours + b"mine"


def test_the_shell_script_does_the_same(tmp_path: Path, private_home: dict[str, str]) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "armarius").write_text(f'#!/bin/sh\nexec {sys.executable} -m armarius "$@"\n')
    (folder / "armarius").chmod(0o755)
    environ = private_home | {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["sh", str(REPOSITORY / "install.sh")], env=environ, cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    path = Path(private_home["HOME"], ".agents", "skills", "armarius", "SKILL.md")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode() == f"Installed {path}\n"
    assert read_document(path).name == "armarius"


def test_codex_lists_the_skill(codex: Path, private_home: dict[str, str], tmp_path: Path) -> None:
    home, codex_home = Path(private_home["HOME"]), Path(private_home["CODEX_HOME"])
    CodexSkill(home, codex_home, tmp_path / "state", FakeClock()).install()
    done = subprocess.run(
        [codex, "debug", "prompt-input", "hello"],
        env=private_home | {"PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert "- armarius: Run Codex agents under watch" in done.stdout.decode(), done.stderr.decode()

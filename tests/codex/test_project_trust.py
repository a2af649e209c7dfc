"""Whether a project's owner has said that Codex may take configuration from it."""

import subprocess
from pathlib import Path

import pytest

from armarius.codex.command import toml_value
from armarius.codex.project_trust import undecided
from armarius.errors import DataError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A folder of a repository."""
    folder = tmp_path / "repo" / "a.b" / "deep"
    folder.mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    (tmp_path / "repo" / ".git" / "HEAD").touch()
    return folder


def test_a_project_that_nobody_spoke_of_is_known_by_all_its_names(home: Path, deep: Path, tmp_path: Path) -> None:
    assert undecided(home, deep) == (str(deep), str(tmp_path / "repo"))
    (tmp_path / "link").symlink_to(deep)
    assert undecided(home, tmp_path / "link") == (str(tmp_path / "link"), str(deep), str(tmp_path / "repo"))
    (home / "config.toml").write_text('[projects."/elsewhere"]\ntrust_level = "trusted"\n')
    assert undecided(home, deep) != ()


@pytest.mark.parametrize("level", ["trusted", "untrusted"])
@pytest.mark.parametrize("above", [0, 2])
@pytest.mark.parametrize("file", ["config.toml", "work.config.toml"])
def test_what_the_owner_decided_holds(home: Path, deep: Path, level: str, above: int, file: str) -> None:
    (home / file).write_text(f'[projects."{(deep, *deep.parents)[above]}"]\ntrust_level = "{level}"\n')
    assert undecided(home, deep, "work") == ()


def test_the_trust_of_the_main_worktree_is_that_of_a_linked_one(home: Path, tmp_path: Path) -> None:
    main, linked = tmp_path / "main", tmp_path / "linked"
    author = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    for words in (
        ("init", "-q", str(main)),
        ("-C", str(main), *author, "commit", "-q", "--allow-empty", "-m", "one"),
        ("-C", str(main), "worktree", "add", "-q", str(linked)),
    ):
        subprocess.run(["git", *words], check=True, capture_output=True)
    assert str(main) in undecided(home, linked)
    (home / "config.toml").write_text(f'[projects."{main}"]\ntrust_level = "trusted"\n')
    assert undecided(home, linked) == ()


@pytest.mark.parametrize("text", ["[projects", "projects = 5", '[projects."/a"]\ntrust_level = 5'])
def test_a_configuration_that_cannot_be_read_is_an_error_and_not_a_decision(home: Path, deep: Path, text: str) -> None:
    (home / "config.toml").write_text(text)
    with pytest.raises(DataError, match=r"config\.toml"):
        undecided(home, deep)


def test_a_name_cannot_leave_its_quotes() -> None:
    hostile = 'a"={}}\n[mcp_servers.x]\ncommand="y'
    assert toml_value({hostile: {"trust_level": "untrusted"}}).count("\n") == 0

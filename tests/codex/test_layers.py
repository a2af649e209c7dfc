"""Which files Codex takes in, held against what the real Codex says of itself, on both builds."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from armarius.codex.app_server import Server, environ_for
from armarius.codex.layers import Layer, read_layers
from armarius.codex.protocol import Method
from armarius.errors import DataError

CONFIG_READ = Method("config/read", dict[str, Any], dict[str, Any])
BASE = "chatgpt_base_url"


class Tree:
    """A home, and folders with a configuration each, the last of which is worked in."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.root = folder / "repo"
        self.cwd = self.root / "a" / "b"
        for place in (folder, self.root, self.root / "a", self.cwd):
            (place / ".codex").mkdir(parents=True)
            (place / ".codex" / "config.toml").write_text('forced_login_method = "chatgpt"\n')

    def ours(self) -> list[str]:
        layers = read_layers(self.home, cwd=self.cwd, system=self.home / "none")
        return [layer.where.removesuffix("/config.toml") for layer in layers if layer.origin == "project"]

    def codex_s(self, codex: Path) -> list[str]:
        environ = environ_for(self.home, {"HOME": str(self.home), "PATH": os.environ["PATH"]})
        with Server(codex, environ=environ, cwd=self.home) as server:
            answer = server.call(CONFIG_READ, {"cwd": str(self.cwd), "includeLayers": True})
        return [layer["name"]["dotCodexFolder"] for layer in answer["layers"] if layer["name"]["type"] == "project"]


def git_init(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", folder], check=True)


ROOTS: dict[str, tuple[Callable[[Path], object], int]] = {
    "no repository": (lambda _: None, 1),
    "a repository": (git_init, 3),
    "a folder that is empty": (lambda root: (root / ".git").mkdir(), 1),
    "a worktree": (lambda root: (root / ".git").write_text("gitdir: /nowhere\n"), 3),
    "an empty folder inside a repository": (lambda root: (git_init(root), (root / "a" / ".git").mkdir()), 3),
    "a worktree inside a repository": (lambda root: (git_init(root), (root / "a" / ".git").write_text("x")), 2),
    "another marker": (lambda root: (root / "MARK").touch(), 1),
}


@pytest.mark.parametrize("name", ROOTS)
def test_the_project_s_files_are_those_that_codex_takes_in(codex: Path, tmp_path: Path, name: str) -> None:
    make, count = ROOTS[name]
    tree = Tree(tmp_path.resolve())
    make(tree.root)
    assert len(tree.ours()) == count
    assert tree.ours() == tree.codex_s(codex)[::-1]  # ours come weakest first


def test_a_marker_of_the_owner_s_choice_is_codex_s_too(codex: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path.resolve())
    git_init(tree.root)
    (tree.root / "a" / "MARK").touch()
    (tree.home / "config.toml").write_text('project_root_markers = ["MARK"]\n')
    assert len(tree.ours()) == 2
    assert tree.ours() == tree.codex_s(codex)[::-1]


def test_a_trusted_project_may_really_force_a_login_which_is_why_it_is_looked_at(codex: Path, tmp_path: Path) -> None:
    tree = Tree(tmp_path.resolve())
    git_init(tree.root)
    (tree.home / "config.toml").write_text(f'[projects."{tree.root}"]\ntrust_level = "trusted"\n')
    environ = environ_for(tree.home, {"HOME": str(tree.home), "PATH": os.environ["PATH"]})
    with Server(codex, environ=environ, cwd=tree.home) as server:
        answer = server.call(CONFIG_READ, {"cwd": str(tree.cwd), "includeLayers": False})
    assert answer["config"]["forced_login_method"] == "chatgpt"


def test_a_link_to_a_project_is_followed_and_its_own_place_looked_at_too(tmp_path: Path) -> None:
    tree = Tree(tmp_path.resolve())
    git_init(tree.root)
    elsewhere = tmp_path.resolve() / "elsewhere"
    (elsewhere / ".codex").mkdir(parents=True)
    (elsewhere / ".codex" / "config.toml").write_text("")
    (elsewhere / "link").symlink_to(tree.cwd)
    tree.cwd = elsewhere / "link"
    assert set(tree.ours()) == {
        str(elsewhere / "link" / ".codex"),
        *(str(tree.root / name / ".codex") for name in ("", "a", "a/b")),
    }


def test_the_home_itself_is_no_project(tmp_path: Path) -> None:
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text('model_provider = "p"\n')
    assert [layer.origin for layer in read_layers(home, cwd=tmp_path, system=tmp_path / "none")] == ["user"]


def test_layers_come_weakest_first_and_hold_nothing_but_what_is_about_money(tmp_path: Path) -> None:
    home, system, cwd = tmp_path / "home", tmp_path / "etc", tmp_path / "cwd"
    for place in (home, system, cwd / ".codex"):
        place.mkdir(parents=True)
    for place in (
        *(system / "config.toml", home / "config.toml", home / "p.config.toml", cwd / ".codex" / "config.toml"),
        *(system / "managed_config.toml", system / "requirements.toml"),
    ):
        place.write_text(f'model = "m"\n{BASE} = "x"\n[model_providers.q]\nname = "q"\n')
    layers = read_layers(home, cwd=cwd, profile="p", overrides=["a=b", f"{BASE}=c"], system=system)
    assert [layer.origin for layer in layers] == [
        *("system", "user", "profile", "project", "override", "override", "managed", "requirements")
    ]
    said = {BASE: "x", "model_providers": {"q": {"name": "q"}}}
    assert layers[1] == Layer("user", str(home / "config.toml"), said, {"q": {"name": "q"}})
    assert [layer.said for layer in layers[4:6]] == [{}, {BASE: "c"}]


@pytest.mark.parametrize(
    "text", ["x = ", "model_providers = 7", "model_providers = {a = 1}", 'project_root_markers = "x"']
)
def test_a_file_that_codex_cannot_read_either_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(DataError) as caught:
        read_layers(tmp_path, cwd=tmp_path / "cwd", system=tmp_path / "none")
    assert caught.value.code == "codex-config"


def test_a_link_to_nowhere_is_no_missing_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match="does not exist"):
        read_layers(tmp_path, system=tmp_path / "none")

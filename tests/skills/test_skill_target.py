import os
from pathlib import Path

import pytest

from armarius.errors import ArmariusError, DataError, Refused
from armarius.skills.target import resolve_target


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Roots `skills` and `more`, and outside of them `other`; a file or link for each case."""
    root = tmp_path.resolve()
    for folder in (
        "skills/good",
        "skills/empty",
        "skills/SKILL.md",
        "skills/nested/SKILL.md",
        "more",
        "other",
    ):
        (root / folder).mkdir(parents=True)
    (root / "skills/notes.md").write_text("x")
    (root / "skills/good/SKILL.md").write_text("x")
    (root / "more/SKILL.md").write_text("x")
    (root / "other/SKILL.md").write_text("x")
    (root / "other/dir").mkdir()
    links = {
        "skills/inside": "good",
        "skills/across": "../more",
        "skills/out": "../other",
        "skills/loop": "loop",
        "skills/dangling": "../other/absent",
        "skills/renamed": "notes.md",
        "way-in": "skills",
    }
    for link, target in links.items():
        (root / link).symlink_to(target)
    for name, target in (("link-out", "../../other/SKILL.md"), ("link-in", "../good/SKILL.md")):
        (root / "skills" / name).mkdir()
        (root / "skills" / name / "SKILL.md").symlink_to(target)
    (root / "skills/hard").mkdir()
    (root / "skills/hard/SKILL.md").hardlink_to(root / "other/SKILL.md")
    (root / "skills/pipe").mkdir()
    os.mkfifo(root / "skills/pipe/SKILL.md")
    return root


def resolve(tree: Path, path: str) -> Path:
    return resolve_target(tree / path, [tree / "skills", tree / "more"])


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("skills/good/SKILL.md", "skills/good/SKILL.md"),
        ("skills/good", "skills/good/SKILL.md"),
        ("skills/inside", "skills/good/SKILL.md"),
        ("skills/link-in", "skills/good/SKILL.md"),
        ("skills/across/SKILL.md", "more/SKILL.md"),
        ("skills/good/../good", "skills/good/SKILL.md"),
        ("way-in/good", "skills/good/SKILL.md"),
        ("more", "more/SKILL.md"),
    ],
)
def test_a_skill_below_a_root_is_found_at_its_real_path(tree: Path, path: str, real: str) -> None:
    assert resolve(tree, path) == tree / real


@pytest.mark.parametrize(
    ("path", "error", "code", "shown"),
    [
        ("other/SKILL.md", Refused, "target-outside", "other/SKILL.md"),
        ("other", Refused, "target-outside", "other"),
        ("skills/../other/SKILL.md", Refused, "target-outside", "other/SKILL.md"),
        ("skills/out/SKILL.md", Refused, "target-outside", "other/SKILL.md"),
        ("skills/out", Refused, "target-outside", "other"),
        ("skills/link-out/SKILL.md", Refused, "target-outside", "other/SKILL.md"),
        ("skills/link-out", Refused, "target-outside", "other/SKILL.md"),
        ("skills/dangling", Refused, "target-outside", "other/absent"),
        ("skills", Refused, "target-outside", "skills"),
        ("/etc/passwd", Refused, "target-outside", "/etc/passwd"),
        ("/", Refused, "target-outside", "/"),
        ("skills/hard", Refused, "target-links", "skills/hard/SKILL.md has 2 names"),
        ("skills/empty", DataError, "missing", "skills/empty/SKILL.md"),
        ("skills/absent/SKILL.md", DataError, "missing", "skills/absent/SKILL.md"),
        ("skills/notes.md/SKILL.md", DataError, "unreadable", "Not a directory"),
        ("skills/notes.md", DataError, "target-name", "skills/notes.md"),
        ("skills/renamed", DataError, "target-name", "skills/notes.md"),
        ("skills/SKILL.md", DataError, "target-kind", "is a directory"),
        ("skills/nested", DataError, "target-kind", "is a directory"),
        ("skills/pipe", DataError, "target-kind", "is a pipe"),
        ("skills/loop", DataError, "target-kind", "is a symbolic link"),
        ("skills/nul\0byte", DataError, "target-path", "is no path"),
    ],
)
def test_what_is_no_skill_of_ours_is_refused(
    tree: Path, path: str, error: type[ArmariusError], code: str, shown: str
) -> None:
    with pytest.raises(ArmariusError) as caught:
        resolve(tree, path)
    assert type(caught.value) is error
    assert caught.value.code == code
    assert shown in caught.value.message


def test_a_refusal_names_the_real_path_and_the_roots(tree: Path) -> None:
    with pytest.raises(Refused) as caught:
        resolve(tree, "skills/out/SKILL.md")
    for path in ("skills/out/SKILL.md", "other/SKILL.md", "skills", "more"):
        assert str(tree / path) in caught.value.message


def test_without_roots_nothing_may_be_changed(tree: Path) -> None:
    with pytest.raises(Refused, match=r"\(none\)"):
        resolve_target(tree / "skills/good/SKILL.md", [])


def test_a_root_may_itself_be_a_link(tree: Path) -> None:
    assert resolve_target(tree / "skills/good", [tree / "way-in"]) == tree / "skills/good/SKILL.md"


def test_a_projects_memory_may_learn_and_claudes_may_not(tmp_path: Path) -> None:
    for name in ("AGENTS.md", "CLAUDE.md"):
        (tmp_path / name).write_text("Be brief.\n")
    assert resolve_target(tmp_path / "AGENTS.md", [tmp_path]) == tmp_path / "AGENTS.md"
    with pytest.raises(DataError, match=r"CLAUDE\.md, which is not named"):
        resolve_target(tmp_path / "CLAUDE.md", [tmp_path])

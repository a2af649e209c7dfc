"""Which rules would let a command out of the sandbox."""

from pathlib import Path

import pytest

from armarius.codex.rules import find_rules

ALLOW = b'prefix_rule(pattern=["touch"], decision="allow")\n'


@pytest.mark.parametrize("place", ["home/rules", "a/b/.codex/rules", "a/.codex/rules", ".codex/rules"])
@pytest.mark.parametrize(
    ("content", "counts"),
    [
        (ALLOW, True),
        (b"# said once\n\n" + ALLOW, True),
        (b"\xff\xfe", True),
        (b"# only words\n  \n\t# more\n", False),
        (b"", False),
        (b"#\n" * 700_000, True),
    ],
)  # fmt: skip
def test_a_file_of_rules_counts_as_soon_as_it_says_anything(
    tmp_path: Path, place: str, content: bytes, *, counts: bool
) -> None:
    cwd = tmp_path / "a" / "b"
    cwd.mkdir(parents=True)
    file = tmp_path / place / "default.rules"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    (file.parent / "readme.txt").write_bytes(ALLOW)
    assert find_rules(tmp_path / "home", cwd) == (file if counts else None)
    assert find_rules(tmp_path / "other", tmp_path / "home") == (file if counts and place == ".codex/rules" else None)


def test_what_cannot_be_read_is_taken_for_a_rule(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    (folder / "odd.rules").mkdir(parents=True)
    assert find_rules(tmp_path, tmp_path / "x") == folder / "odd.rules"

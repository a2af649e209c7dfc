"""Plans brought into a repository: what is there stays, whatever it is."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from armarius.errors import ArmariusError, DataError, Failed, Refused, UsageError
from armarius.plans.check import Repository
from armarius.plans.closing import close_plan
from armarius.plans.document import parse
from armarius.plans.folder import closing_of, find_plan, plans_in
from armarius.plans.setup import create, init, new_plan
from armarius.testing.clock import FakeClock

GOOD = Path(__file__).with_name("good_plan.md").read_text(encoding="utf-8")
_ALL_DONE = GOOD.replace("- [ ] (2026-01-31 14:10Z)", "- [x] (2026-01-31 14:10Z)")
_ALL_PROVED = _ALL_DONE.replace("(completed: the parser; remaining: the help text).\n", "in run_0193aaaa.\n")
DONE = _ALL_PROVED.replace("Not yet.", "The flag counts words, as was the purpose.")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").touch()
    return tmp_path


def files(root: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(".git/")}


def test_init_makes_three_places_and_a_second_one_changes_nothing(root: Path) -> None:
    assert [made.action for made in init(root, dry_run=True).files] == ["created"] * 3
    assert files(root) == {}
    assert [made.action for made in init(root).files] == ["created"] * 3
    once = files(root)
    assert sorted(once) == [".agent/PLANS.md", "AGENTS.md"]
    assert (root / "execplans").is_dir()
    assert [made.action for made in init(root).files] == ["kept"] * 3
    assert files(root) == once
    assert (root / "AGENTS.md").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("theirs", [b"", b"# Mine", b"# Mine\n", b"# Mine\r\n\r\ntext\r\n", b"\xff\xfe no text \x00\n"])
def test_the_words_of_a_person_stay_to_the_byte(root: Path, theirs: bytes) -> None:
    agents = root / "AGENTS.md"
    agents.write_bytes(theirs)
    agents.chmod(0o600)
    assert init(root).files[1].action == "added"
    after = agents.read_bytes()
    assert after.startswith(theirs)
    assert after.count(b"armarius execplans: begin") == 1
    assert b".agent/PLANS.md" in after
    assert (b"\r\n" in after[len(theirs) :]) == (b"\r\n" in theirs)
    assert agents.stat().st_mode & 0o777 == 0o600
    init(root)
    assert agents.read_bytes() == after


def test_what_a_person_has_of_their_own_is_kept(root: Path) -> None:
    (root / "PLANS.md").write_text("mine\n")
    init(root)
    assert not (root / ".agent").exists()
    assert (root / "PLANS.md").read_text() == "mine\n"
    assert "`PLANS.md`" in (root / "AGENTS.md").read_text()
    made = new_plan(root, "Do one thing", FakeClock())
    assert "in accordance with `PLANS.md`" in (root / made.path).read_text()


def link(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(path.parent.parent / "elsewhere")


def pipe(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    os.mkfifo(path)


@pytest.mark.parametrize("name", [".agent", ".agent/PLANS.md", "AGENTS.md", "execplans"])
@pytest.mark.parametrize(("make", "error"), [(link, Refused), (pipe, DataError)])
def test_a_link_or_another_thing_is_refused_before_anything_is_made(
    tmp_path: Path, name: str, make: Callable[[Path], None], error: type[ArmariusError]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    make(root / name)
    with pytest.raises(error):
        init(root)
    assert files(root) == {}
    assert not (tmp_path / "elsewhere").exists()
    assert not (root / "elsewhere").exists()


def test_half_a_block_is_refused(root: Path) -> None:
    (root / "AGENTS.md").write_text("<!-- armarius execplans: begin -->\n")
    with pytest.raises(Refused, match="mark of our block"):
        init(root)
    assert sorted(files(root)) == ["AGENTS.md"]


def test_a_file_is_never_made_over_another_one(root: Path) -> None:
    (root / "a").symlink_to(root / "b")
    assert not create(root / "a", b"x")
    assert create(root / "c", b"x")
    assert not create(root / "c", b"y")
    assert (root / "c").read_bytes() == b"x"
    assert sorted(path.name for path in root.iterdir()) == [".git", "a", "c"]


def test_a_new_plan_leaves_its_author_what_only_they_can_write(root: Path) -> None:
    init(root)
    made = new_plan(root, "Add a linter for plans", FakeClock())
    assert made.path == "execplans/execplan-add-a-linter-for-plans.md"
    left = {(found.rule, found.severity) for found in made.left.findings}
    assert left == {
        *(("P04", "error"), ("P14", "error"), ("P15", "error"), ("P16", "error"), ("P17", "warning")),
    }
    with pytest.raises(UsageError, match="is there"):
        new_plan(root, "Add a LINTER for plans", FakeClock())


@pytest.mark.parametrize("title", ["", " ", "a\x1b[31m b", "a\u202eb", "x " * 60])
def test_a_title_that_is_none_makes_no_file(root: Path, title: str) -> None:
    with pytest.raises(UsageError):
        new_plan(root, title, FakeClock())
    assert files(root) == {}


# ------------------------------------------------------------------------- the end of a plan


def plan_in(repository: Path, text: str) -> Path:
    path = repository / "execplans" / "execplan-count.md"
    path.write_text(text)
    path.chmod(0o640)
    return path


def test_a_plan_is_closed_once_when_all_is_done(repository: Path) -> None:
    path = plan_in(repository, DONE)
    closed = close_plan(Repository(repository), path, FakeClock())
    assert (closed.state, closed.checked.valid) == ("closed", True)
    assert path.read_text().startswith(DONE)
    assert path.stat().st_mode & 0o777 == 0o640
    assert Repository(repository).check(path).findings == closed.checked.findings
    with pytest.raises(DataError, match="is closed since"):
        close_plan(Repository(repository), path, FakeClock(), abandon="again")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD, "2 of 3 steps"),
        (DONE.replace("The flag counts words, as was the purpose.", ""), "P09"),
        (DONE.replace("# Count words", "# <Count> words"), "P24"),
    ],
)
def test_a_plan_with_something_left_stays_open_and_may_be_given_up(repository: Path, text: str, said: str) -> None:
    path = plan_in(repository, text)
    with pytest.raises(Failed, match=said):
        close_plan(Repository(repository), path, FakeClock())
    assert path.read_text() == text
    assert close_plan(Repository(repository), path, FakeClock(), abandon="nobody\nneeds it").state == "abandoned"
    closing = closing_of(parse(path.read_text()))
    assert closing is not None
    assert closing.reason == "nobody needs it"


@pytest.mark.parametrize("reason", ["", "  ", "a\x1bb", "x <!-- y"])
def test_a_reason_that_cannot_be_read_is_none(repository: Path, reason: str) -> None:
    path = plan_in(repository, GOOD)
    with pytest.raises(UsageError):
        close_plan(Repository(repository), path, FakeClock(), abandon=reason)
    assert path.read_text() == GOOD


def test_a_note_that_nobody_would_read_is_not_written(repository: Path) -> None:
    path = plan_in(repository, f"{GOOD}\n```\nopen\n")
    with pytest.raises(DataError, match="would not be read"):
        close_plan(Repository(repository), path, FakeClock(), abandon="it is broken")
    (link := repository / "execplans" / "link.md").symlink_to(path)
    with pytest.raises(Refused):
        close_plan(Repository(repository), link, FakeClock(), abandon="it is a link")


def test_a_name_means_one_plan_or_none(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    for name in ("execplan-count-words", "execplan-count", "other"):
        (repository / "execplans" / f"{name}.md").write_text(GOOD)
    (repository / "execplans" / "linked.md").symlink_to(repository / "src" / "greet.py")
    assert [path.stem for path in plans_in(repository)] == ["execplan-count", "execplan-count-words", "other"]
    for said, meant in [("count", "execplan-count"), ("count-w", "execplan-count-words"), ("other.md", "other")]:
        assert find_plan(repository, said).stem == meant
    assert find_plan(repository, "execplans/other.md").stem == "other"
    for said, error in [("coun", DataError), ("nope", DataError), (None, UsageError)]:
        with pytest.raises(error):
            find_plan(repository, said)

"""An analysis is given back for the very content it was made of, or not at all."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from armarius import settings as configuration
from armarius.artefacts.inventory import inventory_of, inventory_text
from armarius.artefacts.state import State, repository_of, state_of
from armarius.artefacts.store import Artefacts
from armarius.errors import ArmariusError, DataError, NoAnswer
from armarius.settings import Settings
from armarius.testing.clock import FakeClock

ONE = State("1" * 40, "sha256:1")


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture
def settings(private_home: dict[str, str]) -> Settings:
    return configuration.load(None, private_home)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    top = tmp_path / "repo"
    (top / "src").mkdir(parents=True)
    (top / "src" / "a.py").write_text("a = 1\n")
    (top / ".gitignore").write_text("build/\n")
    git(top, "init", "-q")
    git(top, "add", ".")
    git(top, "commit", "-qm", "one")
    return top


@pytest.fixture
def artefacts(tmp_path: Path) -> Artefacts:
    return Artefacts(tmp_path / "artefacts", FakeClock())


CHANGES: list[tuple[str, Callable[[Path], object]]] = [
    ("a file is changed", lambda top: (top / "src" / "a.py").write_text("a = 2\n")),
    ("one of the same size and time", lambda top: same_look(top / "src" / "a.py", b"a = 3\n")),
    ("a new file", lambda top: (top / "new").write_text("x")),
    ("a new empty file", lambda top: (top / "new").write_text("")),
    ("a file is gone", lambda top: (top / "src" / "a.py").unlink()),
    ("it may be executed", lambda top: (top / "src" / "a.py").chmod(0o755)),
    ("a link", lambda top: (top / "link").symlink_to("src/a.py")),
    ("a link elsewhere", lambda top: (top / "link").symlink_to("/etc/passwd")),
    ("a name that is no text", lambda top: Path(os.fsdecode(bytes(top) + b"/\xff\n")).write_text("x")),
    ("a commit", lambda top: git(top, "commit", "-qm", "two", "--allow-empty")),
]


def same_look(path: Path, data: bytes) -> None:
    before = path.stat()
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=[name for name, _ in CHANGES])
def test_each_change_is_another_state(
    settings: Settings, repo: Path, name: str, change: Callable[[Path], object]
) -> None:
    found = repository_of(settings, repo)
    before = state_of(settings, found)
    assert state_of(settings, found) == before
    (repo / "build").mkdir()
    (repo / "build" / "ignored").write_text("x")
    assert state_of(settings, found) == before
    change(repo)
    after = state_of(settings, found)
    assert after != before, name
    assert state_of(settings, found) == after


@pytest.mark.parametrize("name", ["src/a.py", "new"])
def test_what_is_changed_again_is_another_state_again(settings: Settings, repo: Path, name: str) -> None:
    states = set[State]()
    for number in range(3):
        same_look(repo / name, f"a = {number + 5}\n".encode()) if number else (repo / name).write_text("a = 5\n")
        states.add(state_of(settings, repository_of(settings, repo)))
    assert len(states) == 3


def test_a_copy_elsewhere_has_the_same_state(settings: Settings, repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(repo), "copy")
    for top in (repo, tmp_path / "copy"):
        (top / "same").write_text("same")
    first, second = (state_of(settings, repository_of(settings, top)) for top in (repo, tmp_path / "copy"))
    assert first == second


def test_nothing_of_the_repository_is_run_when_it_is_looked_at(settings: Settings, repo: Path) -> None:
    (repo / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    for key in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "core.fsmonitor", "core.pager"):
        git(repo, "config", key, f"touch {repo}/was-run")
    (repo / "src" / "a.py").write_text("a = 9\n")
    state_of(settings, repository_of(settings, repo))
    assert not (repo / "was-run").exists()


def test_what_was_put_is_got_by_tool_parameters_and_state(artefacts: Artefacts) -> None:
    artefacts.put("deps 1", {"depth": "2"}, ONE, "/r", "graph")
    entry, text = artefacts.get("deps 1", {"depth": "2"}, ONE)
    assert (text, entry.size, entry.repository) == ("graph", 5, "/r")
    for tool, parameters, state in (
        ("deps 2", {"depth": "2"}, ONE),
        ("deps 1", {"depth": "3"}, ONE),
        ("deps 1", {}, ONE),
        ("deps 1", {"depth": "2"}, State(ONE.head, "sha256:2")),
    ):
        with pytest.raises(NoAnswer):
            artefacts.get(tool, parameters, state)
    artefacts.put("deps 1", {"depth": "2"}, ONE, "/r", "better")
    assert artefacts.get("deps 1", {"depth": "2"}, ONE)[1] == "better"
    assert len(artefacts.all()) == 1


def test_no_secret_is_kept(artefacts: Artefacts, tmp_path: Path) -> None:
    token = "ghp_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    artefacts.put("diff", {}, ONE, "/r", f"token = {token}")
    with pytest.raises(DataError, match="secret"):
        artefacts.put("diff", {"with": token}, ONE, "/r", "x")
    assert not any(token.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("spoil", ["blob changed", "blob gone", "entry broken", "entry of another", "entry leads out"])
def test_what_was_spoilt_is_not_given_back(artefacts: Artefacts, tmp_path: Path, spoil: str) -> None:
    made = artefacts.put("deps", {}, ONE, "/r", "graph")
    other = artefacts.put("other", {}, ONE, "/r", "poison")
    root = tmp_path / "artefacts"
    entry, blob = (root / "entries" / f"{made.key[7:]}.json", root / "blobs" / made.sha256[7:])
    match spoil:
        case "blob changed":
            blob.write_text("GRAPH")
        case "blob gone":
            blob.unlink()
        case "entry broken":
            entry.write_bytes(b'{"key":')
        case "entry of another":
            entry.write_bytes((root / "entries" / f"{other.key[7:]}.json").read_bytes())
        case _:
            entry.write_bytes(entry.read_bytes().replace(made.sha256.encode(), b"sha256:../../../etc/passwd"))
    with pytest.raises(ArmariusError):
        artefacts.get("deps", {}, ONE)
    artefacts.put("deps", {}, ONE, "/r", "graph")
    assert artefacts.get("deps", {}, ONE)[1] == "graph"


def test_together_it_is_never_too_much_and_what_is_used_stays(tmp_path: Path) -> None:
    artefacts = Artefacts(tmp_path / "a", FakeClock(), most=1_000)
    for number in range(5):
        artefacts.put(f"tool {number}", {}, ONE, "/r", str(number) * 300)
        os.utime(
            next(path for path in (tmp_path / "a" / "entries").iterdir() if f"tool {number}" in path.read_text()),
            (number, number),
        )
        if number > 0:
            artefacts.get("tool 0", {}, ONE)
    assert {entry.tool for entry in artefacts.all()} == {"tool 0", "tool 3", "tool 4"}
    assert len(list((tmp_path / "a" / "blobs").iterdir())) == 3
    assert [entry.tool for entry in artefacts.prune(most=300, dry_run=True)] == ["tool 4", "tool 3"]
    assert len(artefacts.all()) == 3
    artefacts.prune(most=300)
    assert [entry.tool for entry in artefacts.all()] == ["tool 0"]
    with pytest.raises(DataError, match="too many"):
        artefacts.put("large", {}, ONE, "/r", "x" * 1_001)


def test_many_at_once_leave_whole_entries(tmp_path: Path) -> None:
    def work(number: int) -> None:
        mine = Artefacts(tmp_path / "a", FakeClock(), most=5_000)
        for round_ in range(10):
            mine.put(f"tool {round_}", {}, ONE, "/r", f"{number}" * 500)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    store = Artefacts(tmp_path / "a", FakeClock(), most=5_000)
    assert all(len(set(store.get(entry.tool, {}, ONE)[1])) == 1 for entry in store.all())
    assert sum(entry.size for entry in store.all()) <= 5_000


def test_an_inventory_is_made_once_for_a_state(settings: Settings, repo: Path, artefacts: Artefacts) -> None:
    (repo / "tests").mkdir()
    (repo / "tests" / "test_a.py").write_text("")
    (repo / "pyproject.toml").write_text("")
    text, was_there = inventory_of(settings, artefacts, repo / "src")
    assert (was_there, inventory_of(settings, artefacts, repo)) == (False, (text, True))
    assert "files: 4" in text
    assert "manifests: pyproject.toml" in text
    assert "tests in: tests" in text
    (repo / "b.rs").write_text("")
    again, was_there = inventory_of(settings, artefacts, repo)
    assert (was_there, ".rs 1" in again) == (False, True)


def test_a_name_cannot_break_an_inventory() -> None:
    text = inventory_text(["x\nfiles: 9/test_\u202e.py", "ok.py"])
    assert text.count("\n") == 5
    assert "\u202e" not in text

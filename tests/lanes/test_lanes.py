"""Lanes as the machine keeps them: made, found, chosen, removed, and safe from two hands at once."""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from armarius import settings as configuration
from armarius.codex.daemon import control_socket
from armarius.errors import ArmariusError, DataError, Refused, UsageError
from armarius.lanes.lanes import OWN, Lane, Lanes

ADD = """
import sys
from armarius import settings
from armarius.lanes.lanes import Lanes
print("ready")
sys.stdin.readline()
for number in range(25):
    Lanes(settings.load()).add(f"{sys.argv[1]}{number}", "chatgpt", 1)
"""


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder with a short path, as people have one: sockets have to fit below it."""
    folder = Path(tempfile.mkdtemp(prefix="al"))
    monkeypatch.setenv("ARMARIUS_HOME", str(folder / "h"))
    yield folder / "h"
    shutil.rmtree(folder)


def lanes(setting: str | None = None) -> Lanes:
    environ = dict(os.environ) | ({"ARMARIUS_LANE": setting} if setting else {})
    return Lanes(configuration.load(environ=environ))


def test_a_lane_is_a_private_home_whose_login_stays_in_its_file(home: Path) -> None:
    lane = lanes().add("work", "chatgpt", 7)
    assert lane == Lane("work", "chatgpt", 7)
    place = lanes().home("work")
    assert place == home / "lanes" / "work"
    assert [path.name for path in place.iterdir()] == ["config.toml"]
    config = (place / "config.toml").read_text()
    assert 'cli_auth_credentials_store = "file"' in config
    assert "forced_login_method" not in config
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (home, home / "lanes", place)} == {0o700}
    assert stat.S_IMODE((home / "lanes.json").stat().st_mode) == 0o600
    assert len(os.fsencode(control_socket(place))) < 100


@pytest.mark.parametrize(
    ("name", "kind", "budget", "refusal"),
    [
        ("", "chatgpt", None, (UsageError, "lane-name")),
        ("own", "chatgpt", None, (UsageError, "lane-name")),
        ("..", "chatgpt", None, (UsageError, "lane-name")),
        ("a/b", "chatgpt", None, (UsageError, "lane-name")),
        ("Work", "chatgpt", None, (UsageError, "lane-name")),
        ("-x", "chatgpt", None, (UsageError, "lane-name")),
        ("a\n", "chatgpt", None, (UsageError, "lane-name")),
        ("a" * 33, "chatgpt", None, (UsageError, "lane-name")),
        ("keys", "api", None, (Refused, "lane-budget")),
        ("plan", "chatgpt", 5, (UsageError, "lane-budget")),
        ("taken", "chatgpt", None, (UsageError, "lane-taken")),
    ],
)
def test_a_lane_that_cannot_be_is_refused_and_leaves_nothing(
    home: Path,
    name: str,
    kind: Literal["chatgpt", "api"],
    budget: int | None,
    refusal: tuple[type[ArmariusError], str],
) -> None:
    lanes().add("taken", "api", 1, 1_000)
    before = sorted(home.rglob("*"))
    with pytest.raises(refusal[0]) as caught:
        lanes().add(name, kind, 2, budget)
    assert caught.value.code == refusal[1]
    assert sorted(home.rglob("*")) == before


def test_a_path_in_which_codex_could_open_no_socket_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARMARIUS_HOME", str(tmp_path / ("x" * 60)))
    with pytest.raises(UsageError, match="99 are possible") as caught:
        lanes().add("work", "chatgpt", 1)
    assert caught.value.code == "lane-path"
    assert not (tmp_path / ("x" * 60)).exists()


def test_the_default_is_a_setting_else_what_use_chose_else_ones_own(home: Path) -> None:
    assert lanes().default() == OWN
    lanes().add("a", "chatgpt", 1)
    lanes().add("b", "chatgpt", 2)
    assert lanes().use("a") is None
    assert (lanes().default(), lanes("b").default()) == ("a", "b")
    assert lanes("b").use("a") == "b"
    assert lanes().use(OWN) is None
    assert lanes().default() == OWN
    with pytest.raises(UsageError, match="there is no lane 'c'; known: a, b, own"):
        lanes("c").default()
    with pytest.raises(UsageError):
        lanes().use("c")
    assert home.exists()


def test_a_removed_lane_is_gone_with_its_login_when_that_was_said(home: Path) -> None:
    lanes().add("a", "chatgpt", 1)
    lanes().use("a")
    (lanes().home("a") / "auth.json").write_text("{}")
    with pytest.raises(Refused, match="a login lies in"):
        lanes().remove("a", with_login=False)
    lanes().remove("a", with_login=True)
    assert (lanes().all(), lanes().default(), list((home / "lanes").iterdir())) == ((), OWN, [])
    with pytest.raises(UsageError):
        lanes().remove("a", with_login=True)
    with pytest.raises(UsageError):
        lanes().remove(OWN, with_login=True)
    lanes().add("a", "chatgpt", 3)


def test_a_folder_that_is_no_lane_is_never_taken_for_one(home: Path) -> None:
    (home / "lanes" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match="is there and no lane of the record"):
        lanes().add("a", "chatgpt", 1)
    assert lanes().all() == ()


BAD = (
    *("", "[", '{"schema":"armarius.lane_book.v2"}', '{"schema":"armarius.lane_book.v1","lanes":[{"name":"a"}]}'),
    '{"schema":"armarius.lane_book.v1","lanes":[{"name":"../a","kind":"chatgpt","created_at_us":1}]}',
)


@pytest.mark.parametrize("text", BAD)
def test_a_record_that_cannot_be_read_is_an_error_and_is_not_written_over(home: Path, text: str) -> None:
    home.mkdir()
    (home / "lanes.json").write_text(text)
    for ask in (lambda: lanes().all(), lambda: lanes().add("a", "chatgpt", 1), lambda: lanes().use(OWN)):
        with pytest.raises(DataError, match=r"lanes\.json"):
            ask()
    assert (home / "lanes.json").read_text() == text


def test_two_who_add_at_once_lose_nothing(home: Path) -> None:
    adding = [
        subprocess.Popen([sys.executable, "-uc", ADD, letter], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for letter in "abcd"
    ]
    ready = [one.stdout.readline() for one in adding if one.stdout]
    assert ready == [b"ready\n"] * 4
    for one in adding:
        assert one.stdin
        one.stdin.close()
    assert [one.wait(60) for one in adding] == [0] * 4
    for one in adding:
        assert one.stdout
        one.stdout.close()
    assert [lane.name for lane in lanes().all()] == sorted(
        f"{letter}{number}" for letter in "abcd" for number in range(25)
    )
    assert len(list((home / "lanes").iterdir())) == 100
    json.loads((home / "lanes.json").read_bytes())
    assert msgspec.to_builtins(lanes().find("a0")) == msgspec.to_builtins(Lane("a0", "chatgpt", 1))

"""Which repositories are closed to our writers, because somebody else's session works in them."""

from pathlib import Path

import msgspec
import pytest

from armarius.codex.daemon import ThreadStatus
from armarius.counts.summary import Ending, Summary
from armarius.resources.foreign_sessions import holders_of, holdings
from armarius.sessions.observe import Lock, Observations
from armarius.thread import State, TurnState

NOW_US = 1_795_176_576_000_000
IDLE, ACTIVE = ThreadStatus("idle"), ThreadStatus("active")
OPEN = Ending(turn_id="t", turn=TurnState.OPEN, at_us=NOW_US)
DONE = Ending(turn_id="t", turn=TurnState.COMPLETED, at_us=NOW_US)


def repository_at(folder: Path) -> None:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "HEAD").touch()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    repository_at(tmp_path / "repo")
    (tmp_path / "repo" / "src").mkdir()
    return tmp_path / "repo"


def seen(*, status: ThreadStatus | None = None, lock: Lock | None = None, queued: int = 0) -> Observations:
    return Observations(
        home="/nowhere",
        at_us=NOW_US,
        statuses={"a": status} if status else {},
        locks={"a": lock} if lock else {},
        openers={},
        sees_processes=True,
        hooks={},
        pasts={},
        queued={"a": queued} if queued else {},
        archived=frozenset(),
        goals={},
    )


def session(cwd: Path | str | None, ending: Ending = DONE, **more: object) -> Summary:
    place = None if cwd is None else str(cwd)
    whole = Summary(path="/nowhere/a.jsonl", thread_id="a", offset=1, cwd=place, originator="vscode", ending=ending)
    return msgspec.structs.replace(whole, **more)


HELD, FREE = Lock(is_held=True, pid=7), Lock(is_held=False)


@pytest.mark.parametrize(
    ("look", "ending", "goal", "holds"),
    [
        (seen(status=ACTIVE), DONE, None, True),
        (seen(status=ThreadStatus("active", ("waitingOnApproval",))), OPEN, None, True),
        (seen(status=IDLE), DONE, None, False),
        (seen(status=IDLE), DONE, "active", True),
        (seen(status=IDLE), DONE, "complete", False),
        (seen(lock=HELD), OPEN, None, True),
        (seen(lock=HELD), DONE, None, False),
        (seen(lock=HELD), DONE, "active", True),
        (seen(lock=FREE), OPEN, None, False),
        (seen(lock=FREE), DONE, "active", False),
        (seen(lock=HELD, queued=1), DONE, None, True),
        (seen(lock=FREE, queued=1), DONE, None, False),
        (seen(lock=HELD), Ending(), None, False),
        (seen(), DONE, None, False),
    ],
)
def test_a_session_holds_its_repository_while_it_may_go_on_by_itself(
    repository: Path, *, look: Observations, ending: Ending, goal: str | None, holds: bool
) -> None:
    found = holdings([session(repository / "src", ending, goal_status=goal)], look, NOW_US)
    assert [holding.root for holding in found] == ([str(repository)] if holds else [])


def test_our_own_threads_and_those_without_a_folder_hold_nothing(repository: Path) -> None:
    look = seen(status=ACTIVE)
    assert holdings([session(repository)], look, NOW_US, ours=frozenset({"a"})) == ()
    for cwd in (None, "", "a\0b"):
        assert holdings([session(cwd)], look, NOW_US) == ()


def test_a_holder_closes_its_working_tree_and_no_other(repository: Path, tmp_path: Path) -> None:
    for folder in (repository / "inner", tmp_path / "other", tmp_path / "repo-evil"):
        repository_at(folder)
    (tmp_path / "link").symlink_to(repository)
    held = holdings([session(tmp_path / "link" / "src")], seen(status=ACTIVE), NOW_US)
    [holding] = held
    assert (holding.thread_id, holding.state, holding.source, holding.who) == (
        *("a", State.RUNNING, "app_server", "vscode"),
    )
    for closed in (repository, repository / "src", repository / "inner", tmp_path / "link"):
        assert holders_of(closed, held) == held
    for free in (tmp_path / "other", tmp_path / "repo-evil"):
        assert holders_of(free, held) == ()

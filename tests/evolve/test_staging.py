"""From a staged proposal to the live file and back, byte for byte, through any interruption."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from armarius.errors import ArmariusError, DataError, Refused
from armarius.evolve import staging
from armarius.evolve.records import QUERIES, ProposalRow, find_proposal
from armarius.files import private_folder
from armarius.identity import hash_bytes
from armarius.store.database import Database
from armarius.store.ledger import events_of, open_ledger
from armarius.testing.clock import FakeClock

BASE = b"---\r\nname: x\r\n---\r\nold \xc3\xbc\r\n"
PROPOSED = b"---\r\nname: x\r\n---\r\nnew\r\n"


class Meddler(FakeClock):
    """A clock that is asked between the look at a file and its replacement, when somebody is quick."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        super().__init__()
        self._meddle = meddle

    def now_us(self) -> int:
        self._meddle()
        return super().now_us()


class Desk:
    """A live skill, a ledger, and one staged proposal for it."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.ledger: Database = open_ledger(folder / "ledger.sqlite", self.clock)
        self.live = folder / "skills" / "x" / "SKILL.md"
        self.live.parent.mkdir(parents=True)
        self.live.write_bytes(BASE)
        self.live.chmod(0o640)
        self.folder = private_folder(folder / "night")
        self.proposal = self.stage("night_1", PROPOSED)

    def stage(self, night: str, proposed: bytes) -> ProposalRow:
        values = {"experiment": night, "number": 1, "project": "/p", "target_path": str(self.live), "settings": "{}"}
        self.ledger.execute(QUERIES.insert_night, id=night, base_hash=hash_bytes(BASE), now_us=1, **values)
        return staging.stage(
            self.ledger,
            self.clock,
            night_id=night,
            folder=self.folder / night,
            target=self.live,
            base=BASE,
            proposed=proposed,
            diff="",
            decision="adopt",
            e_value=14.6,
        )

    def adopt(self, name: str | None = None) -> staging.Change:
        return staging.adopt(self.ledger, self.clock, find_proposal(self.ledger, name, "staged"))

    def rollback(self) -> staging.Change:
        return staging.rollback(self.ledger, self.clock, find_proposal(self.ledger, None, "adopted"))

    def state(self) -> str:
        return find_proposal(self.ledger, self.proposal.id, "").state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    with closing(made.ledger):
        yield made


def test_staging_touches_nothing_live_and_is_done_once(desk: Desk) -> None:
    assert desk.live.read_bytes() == BASE
    assert staging.stage(
        desk.ledger,
        desk.clock,
        night_id="night_1",
        folder=desk.folder / "night_1",
        target=desk.live,
        base=BASE,
        proposed=PROPOSED,
        diff="",
        decision="adopt",
        e_value=14.6,
    ) == find_proposal(desk.ledger, None, "staged")


def test_adoption_and_roll_back_replace_exact_bytes_and_keep_the_mode(desk: Desk) -> None:
    adopted = desk.adopt()
    assert (desk.live.read_bytes(), adopted.changed) == (PROPOSED, True)
    assert (adopted.hash_before, adopted.hash_after) == (hash_bytes(BASE), hash_bytes(PROPOSED))
    assert Path(adopted.backup).read_bytes() == BASE
    assert desk.state() == "adopted"
    undone = desk.rollback()
    assert (desk.live.read_bytes(), undone.changed) == (BASE, True)
    assert desk.state() == "rolled_back"
    assert stat.S_IMODE(desk.live.stat().st_mode) == 0o640
    assert [path.name for path in desk.live.parent.iterdir()] == ["SKILL.md"]
    kinds = [event.kind for event in events_of(desk.ledger, desk.proposal.id)]
    assert kinds == ["proposal_staged", "proposal_adopted", "proposal_rolled_back"]


def test_an_adoption_that_was_killed_before_its_record_is_completed_by_the_next(desk: Desk) -> None:
    desk.live.write_bytes(PROPOSED)  # what a kill between the file and the record leaves
    assert not desk.adopt().changed
    assert desk.state() == "adopted"


def test_a_roll_back_that_was_killed_before_its_record_is_completed_by_the_next(desk: Desk) -> None:
    desk.adopt()
    desk.live.write_bytes(BASE)
    assert not desk.rollback().changed
    assert desk.state() == "rolled_back"


@pytest.mark.parametrize("step", ["adopt", "rollback"])
def test_a_live_file_that_somebody_changed_is_left_alone(desk: Desk, step: str) -> None:
    if step == "rollback":
        desk.adopt()
    state = desk.state()
    desk.live.write_bytes(b"mine")
    with pytest.raises(DataError, match=hash_bytes(b"mine")[:19]):
        desk.adopt() if step == "adopt" else desk.rollback()
    assert (desk.live.read_bytes(), desk.state()) == (b"mine", state)


def test_a_staged_file_that_somebody_changed_is_not_adopted(desk: Desk) -> None:
    (Path(desk.proposal.folder) / staging.PROPOSED).write_bytes(b"other")
    with pytest.raises(DataError, match="not what was staged"):
        desk.adopt()
    assert desk.live.read_bytes() == BASE


def test_a_newer_proposal_sets_the_older_one_aside(desk: Desk) -> None:
    newer = desk.stage("night_2", b"newer")
    with pytest.raises(DataError, match="superseded"):
        desk.adopt(desk.proposal.id)
    assert desk.adopt().proposal == newer.id
    assert desk.live.read_bytes() == b"newer"


@pytest.mark.parametrize("swap", ["file", "folder"])
def test_a_link_that_took_the_place_of_the_file_is_refused(desk: Desk, swap: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "SKILL.md").write_bytes(BASE)
    if swap == "file":
        desk.live.unlink()
        desk.live.symlink_to(elsewhere / "SKILL.md")
    else:
        desk.live.unlink()
        desk.live.parent.rmdir()
        desk.live.parent.symlink_to(elsewhere)
    with pytest.raises(Refused, match="now leads to"):
        desk.adopt()
    assert (elsewhere / "SKILL.md").read_bytes() == BASE


@pytest.mark.parametrize("swap", ["file", "folder", "folder above", "gone"])
def test_threat_10_a_link_that_comes_between_the_look_and_the_write_is_not_followed(
    desk: Desk, swap: str, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "x"
    other.mkdir(parents=True)
    (other / "SKILL.md").write_bytes(BASE)

    def meddle() -> None:
        match swap:
            case "file":
                desk.live.unlink()
                desk.live.symlink_to(other / "SKILL.md")
            case "folder":
                desk.live.parent.rename(tmp_path / "before")
                desk.live.parent.symlink_to(other)
            case "folder above":
                desk.live.parents[1].rename(tmp_path / "before")
                desk.live.parents[1].symlink_to(other.parent)
            case _:
                desk.live.parent.rename(tmp_path / "before")

    with pytest.raises(Refused if swap != "gone" else DataError):
        staging.adopt(desk.ledger, Meddler(meddle), desk.proposal)
    assert desk.state() == "staged"
    assert [(path.name, path.read_bytes()) for path in other.iterdir()] == [("SKILL.md", BASE)]
    kept = [path for path in tmp_path.rglob("*.md") if "night" not in str(path.relative_to(tmp_path))]
    assert {path.read_bytes() for path in kept} == {BASE}
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("way", ["in place", "as a new file", "the same bytes again"])
def test_an_edit_that_comes_between_the_look_and_the_write_is_not_lost(desk: Desk, way: str) -> None:
    mine = BASE if way == "the same bytes again" else b"mine"

    def meddle() -> None:
        if way == "in place":
            desk.live.write_bytes(mine)
        else:
            draft = desk.live.with_name("draft")
            draft.write_bytes(mine)
            draft.replace(desk.live)

    with pytest.raises(DataError, match="at this very moment"):
        staging.adopt(desk.ledger, Meddler(meddle), desk.proposal)
    assert (desk.live.read_bytes(), desk.state()) == (mine, "staged")
    assert [path.name for path in desk.live.parent.iterdir()] == ["SKILL.md"]


def test_what_is_no_file_any_more_is_not_waited_for(desk: Desk) -> None:
    desk.live.unlink()
    os.mkfifo(desk.live)
    with pytest.raises(DataError, match="cannot be read as a file"):
        desk.adopt()


def test_two_adoptions_at_once_change_the_file_once(desk: Desk, tmp_path: Path) -> None:
    changes = list[staging.Change]()

    def adopt() -> None:
        with closing(open_ledger(tmp_path / "ledger.sqlite", desk.clock)) as ledger:
            changes.append(staging.adopt(ledger, desk.clock, desk.proposal))

    threads = [threading.Thread(target=adopt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(change.changed for change in changes) == [False, False, False, True]
    assert len(events_of(desk.ledger, desk.proposal.id)) == 2


@pytest.mark.parametrize(
    ("name", "state", "code"),
    [
        (None, "adopted", "proposal-none"),
        ("prop_nothing", "staged", "proposal-unknown"),
        ("nothing", "staged", "proposal-unknown"),
        ("prop_", "staged", "proposal-ambiguous"),
        ("", "staged", "proposal-unknown"),
    ],
)
def test_a_proposal_that_cannot_be_named_is_one_clear_error(
    desk: Desk, name: str | None, state: str, code: str
) -> None:
    desk.stage("night_2", b"2")
    with pytest.raises(ArmariusError) as caught:
        find_proposal(desk.ledger, name, state)
    assert caught.value.code == code


def test_who_names_no_proposal_is_told_which_there_are(desk: Desk) -> None:
    desk.clock.advance(1)
    newer = desk.stage("night_2", b"2")
    for state, known in (("staged", newer.id), ("adopted", f"{newer.id}, {desk.proposal.id}")):
        with pytest.raises(DataError) as caught:
            find_proposal(desk.ledger, "prop_x", state)
        assert caught.value.hint == f"known: {known}; see `armarius sleep status`"

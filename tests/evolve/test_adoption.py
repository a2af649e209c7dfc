"""Several proposals become live together, whatever happens in between; new capabilities need a yes."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from armarius.errors import DataError, Refused
from armarius.evolve import staging
from armarius.evolve.adoption import JOURNAL, adopt_together, choose, finish
from armarius.evolve.records import QUERIES, ProposalRow, find_proposal
from armarius.files import private_folder, write_atomic
from armarius.identity import hash_bytes
from armarius.store.database import Database
from armarius.store.ledger import open_ledger
from armarius.testing.clock import FakeClock

BASE = b"---\nname: x\ndescription: d\n---\nBe brief.\n"
NEW = BASE + b"Be kind.\n"


class Shelf:
    """Three live skills, each with a staged proposal."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.home = private_folder(folder / "home")
        self.folder = folder
        self.ledger: Database = open_ledger(self.home / "ledger.sqlite", self.clock)
        self.live = {name: self._skill(name) for name in ("one", "two", "three")}
        self.rows = [self.stage(name, NEW) for name in self.live]

    def _skill(self, name: str) -> Path:
        path = self.folder / "skills" / name / "SKILL.md"
        path.parent.mkdir(parents=True)
        path.write_bytes(BASE)
        return path

    def stage(self, name: str, proposed: bytes) -> ProposalRow:
        night = f"night_{name}_{hash_bytes(proposed)[7:15]}"
        values = {"experiment": night, "number": 1, "project": "/p", "settings": "{}"}
        target = self.live[name] if hasattr(self, "live") else self.folder / "skills" / name / "SKILL.md"
        row = {"id": night, "target_path": str(target), "base_hash": hash_bytes(BASE), "now_us": 1, **values}
        self.ledger.execute(QUERIES.insert_night, **row)
        self.clock.advance(1)
        return staging.stage(
            self.ledger,
            self.clock,
            night_id=night,
            folder=self.folder / "nights" / night,
            target=target,
            base=BASE,
            proposed=proposed,
            diff="",
            decision="adopt",
            e_value=12.0,
        )

    def bytes(self) -> list[bytes]:
        return [path.read_bytes() for path in self.live.values()]

    def states(self) -> list[str]:
        return [find_proposal(self.ledger, row.id, "").state for row in self.rows]


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path)
    with closing(made.ledger):
        yield made


def test_all_are_adopted_with_a_receipt_each(shelf: Shelf) -> None:
    changes = adopt_together(shelf.ledger, shelf.clock, choose(shelf.ledger, (), (), every=True), shelf.home, set())
    assert (len(changes), shelf.bytes(), shelf.states()) == (3, [NEW] * 3, ["adopted"] * 3)
    assert not (shelf.home / JOURNAL).exists()
    receipt = msgspec.json.decode((Path(shelf.rows[0].folder) / "adopted.json").read_bytes())
    assert receipt["before"] == hash_bytes(BASE)
    assert receipt["after"] == hash_bytes(NEW)
    assert Path(receipt["backup"]).read_bytes() == BASE


def test_one_that_is_unfit_stops_all_before_anything_is_touched(shelf: Shelf) -> None:
    shelf.live["three"].write_bytes(b"mine")
    with pytest.raises(DataError, match="changed since"):
        adopt_together(shelf.ledger, shelf.clock, shelf.rows, shelf.home, set())
    assert shelf.bytes() == [BASE, BASE, b"mine"]
    assert shelf.states() == ["staged"] * 3


@pytest.mark.parametrize("swapped", [0, 1, 2, 3])
@pytest.mark.parametrize("recorded", [False, True])
def test_an_adoption_killed_at_any_file_is_finished_by_the_next_command(
    shelf: Shelf, swapped: int, *, recorded: bool
) -> None:
    journal(shelf)
    for row in shelf.rows[:swapped]:
        if recorded:
            staging.adopt(shelf.ledger, shelf.clock, row)
        else:
            Path(row.target_path).write_bytes(NEW)
    finish(shelf.ledger, shelf.clock, shelf.home)
    assert (shelf.bytes(), shelf.states()) == ([NEW] * 3, ["adopted"] * 3)
    assert not (shelf.home / JOURNAL).exists()
    assert finish(shelf.ledger, shelf.clock, shelf.home) == ()


@pytest.mark.parametrize("recorded", [False, True])
def test_it_is_undone_when_a_file_was_changed_after_the_kill(shelf: Shelf, *, recorded: bool) -> None:
    journal(shelf)
    if recorded:
        staging.adopt(shelf.ledger, shelf.clock, shelf.rows[0])
    else:
        shelf.live["one"].write_bytes(NEW)
    shelf.live["two"].write_bytes(b"mine")
    finish(shelf.ledger, shelf.clock, shelf.home)
    assert shelf.bytes() == [BASE, b"mine", BASE]
    assert shelf.states() == ["rolled_back", "staged", "staged"]


def test_one_that_changes_at_this_very_moment_undoes_the_others_at_once(shelf: Shelf) -> None:
    class Meddler(FakeClock):
        def now_us(self) -> int:
            shelf.live["two"].write_bytes(b"mine")
            return super().now_us()

    with pytest.raises(DataError, match="changed since"):
        adopt_together(shelf.ledger, Meddler(), shelf.rows, shelf.home, set())
    assert shelf.bytes() == [BASE, b"mine", BASE]
    assert not (shelf.home / JOURNAL).exists()


def test_a_link_in_the_place_of_a_file_after_a_kill_stops_no_later_command(shelf: Shelf) -> None:
    journal(shelf)
    staging.adopt(shelf.ledger, shelf.clock, shelf.rows[0])
    moved = shelf.live["two"].parent.rename(shelf.folder / "elsewhere")
    shelf.live["two"].parent.symlink_to(moved)
    finish(shelf.ledger, shelf.clock, shelf.home)
    assert (shelf.bytes(), shelf.states()) == ([BASE] * 3, ["rolled_back", "staged", "staged"])
    assert finish(shelf.ledger, shelf.clock, shelf.home) == ()


def test_a_bare_roll_back_is_of_what_was_adopted_last(shelf: Shelf) -> None:
    for place in (2, 0, 1):
        shelf.clock.advance(1)
        staging.adopt(shelf.ledger, shelf.clock, shelf.rows[place])
    assert find_proposal(shelf.ledger, None, "adopted").id == shelf.rows[1].id
    assert find_proposal(shelf.ledger, None, "adopted", "/p").id == shelf.rows[1].id
    with pytest.raises(DataError, match="no proposal is adopted in /other"):
        find_proposal(shelf.ledger, None, "adopted", "/other")


def journal(shelf: Shelf) -> None:
    """What is on disk when an adoption of all three has begun."""
    write_atomic(shelf.home / JOURNAL, msgspec.json.encode({"proposals": [row.id for row in shelf.rows]}))


@pytest.mark.parametrize(
    ("names", "skills", "every", "wanted"),
    [
        ((), (), False, ["three"]),
        ((), ("one",), False, ["one"]),
        ((), ("two", "one"), False, ["two", "one"]),
        ((), (), True, ["three", "two", "one"]),
    ],
)
def test_proposals_are_chosen_by_the_names_of_their_skills(
    shelf: Shelf, names: tuple[str, ...], skills: tuple[str, ...], *, every: bool, wanted: list[str]
) -> None:
    chosen = choose(shelf.ledger, names, skills, every=every)
    assert [Path(row.target_path).parent.name for row in chosen] == wanted


def test_a_skill_without_a_proposal_is_named_with_those_that_have_one(shelf: Shelf) -> None:
    with pytest.raises(DataError) as caught:
        choose(shelf.ledger, (), ("four",), every=False)
    assert caught.value.hint == "staged: one, three, two"


def test_what_lets_an_agent_do_more_needs_a_yes_to_each_kind(shelf: Shelf) -> None:
    more = shelf.stage("one", BASE + b"Run `deploy` and send it to https://x.example.net/\n")
    for allow in (set[str](), {"command"}, {"url"}):
        with pytest.raises(Refused, match=r"https://x\.example\.net" if "url" not in allow else "deploy"):
            adopt_together(shelf.ledger, shelf.clock, [more], shelf.home, allow)  # type: ignore[arg-type]
        assert shelf.live["one"].read_bytes() == BASE
    adopt_together(shelf.ledger, shelf.clock, [more], shelf.home, {"command", "url"})
    assert b"deploy" in shelf.live["one"].read_bytes()


def test_a_rejected_proposal_is_set_aside_with_its_reason_and_stays_so(shelf: Shelf) -> None:
    change = staging.reject(shelf.ledger, shelf.clock, shelf.rows[0], "not in our voice")
    assert (change.state, change.changed, shelf.bytes()) == ("rejected", True, [BASE] * 3)
    row = find_proposal(shelf.ledger, shelf.rows[0].id, "")
    assert not staging.reject(shelf.ledger, shelf.clock, row).changed
    with pytest.raises(DataError, match="is rejected"):
        staging.adopt(shelf.ledger, shelf.clock, row)

"""Who sees to a batch, on both databases."""

import os
import subprocess
import sys

import pytest

from armarius import settings as configuration
from armarius.batch.detached import cancel_batch, follow_batch
from armarius.batch.file import Plan, read_plan
from armarius.batch.records import batch_row, claim_batch, end_batch, find_plan, give_batch, hand_in_batch
from armarius.clock import SystemClock
from armarius.codex.guard import Identity, identity_of
from armarius.errors import DataError, NoAnswer, Refused
from armarius.store.database import Database
from armarius.store.ledger import events_of

CLOCK = SystemClock()


def plan(name: str = "one") -> Plan:
    return read_plan(
        None, f'{{"batch":"{name}"}}\n{{"id":"a","prompt":"nul \\u0000 and \\ud83d\\ude42"}}'.encode()
    ).plan


def of(pid: int) -> Identity:
    found = identity_of(pid)
    assert found
    return found


def kinds(ledger: Database, batch: str) -> list[str]:
    return [event.kind for event in events_of(ledger, batch)]


def test_a_batch_is_kept_whole_and_found_by_the_beginning_of_its_id(ledger: Database) -> None:
    for name in ("one-a", "one-b"):
        claim_batch(ledger, CLOCK, plan(name))
    assert find_plan(ledger, "one-a") == plan("one-a")
    assert find_plan(ledger, "one-b"[:5]) == plan("one-b")
    for name in ("one", "none", "", "\0", "o%"):
        with pytest.raises(DataError):
            find_plan(ledger, name)


def test_what_is_handed_in_belongs_to_nobody_until_it_is_given_to_a_process_that_lives(ledger: Database) -> None:
    hand_in_batch(ledger, CLOCK, plan())
    assert batch_row(ledger, "one").ended_at_us is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        give_batch(ledger, CLOCK, plan(), of(other.pid))
        row = batch_row(ledger, "one")
        assert (row.owner, row.ended_at_us, row.is_lost) == (of(other.pid), None, False)
        for take in (claim_batch, hand_in_batch):
            with pytest.raises(Refused, match=f"is seen to by process {other.pid} on ") as caught:
                take(ledger, CLOCK, plan())
            assert caught.value.code == "batch-live"
        other.kill()
    assert batch_row(ledger, "one").is_lost
    claim_batch(ledger, CLOCK, plan())
    end_batch(ledger, CLOCK, plan(), {"state": "succeeded"})
    assert kinds(ledger, "one") == ["batch_handed_in", "batch_begun", "batch_ended"]


def test_of_two_that_hand_in_a_batch_the_slower_one_is_refused_and_takes_nothing_away(ledger: Database) -> None:
    hand_in_batch(ledger, CLOCK, plan())
    claim_batch(ledger, CLOCK, plan())  # the process of the other one was faster
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as mine:
        with pytest.raises(Refused):
            give_batch(ledger, CLOCK, plan(), of(mine.pid))
        mine.kill()
    assert batch_row(ledger, "one").owner == of(os.getpid())
    give_batch(ledger, CLOCK, plan(), of(os.getpid()))  # it has begun, and even ended, before it was given the batch
    end_batch(ledger, CLOCK, plan(), {"state": "failed"})
    assert batch_row(ledger, "one").ended_at_us is not None


@pytest.mark.parametrize("body", [None, {"state": "failed"}])
def test_what_nobody_sees_to_and_nobody_wrote_down_is_no_answer(ledger: Database, body: dict[str, str] | None) -> None:
    hand_in_batch(ledger, CLOCK, plan())  # and whoever did was killed
    if body is not None:
        claim_batch(ledger, CLOCK, plan())
        end_batch(ledger, CLOCK, plan(), body)
    with pytest.raises(NoAnswer, match=r"nobody sees to one") as caught:
        follow_batch(configuration.load(), ledger, plan(), Silent(), pause=lambda _: pytest.fail("it waits"))
    assert (caught.value.code, caught.value.hint) == ("batch-lost", "go on with `armarius batch --resume one`")
    assert not cancel_batch(ledger, plan(), pause=lambda _: pytest.fail("it waits"))


class Silent:
    """Somebody who hears how a batch goes on and says nothing."""

    def started(self, item: str, run: str) -> None: ...

    def waits(self, item: str, why: str) -> None: ...

    def ended(self, end: object, result: object) -> None: ...

    def tick(self) -> None: ...

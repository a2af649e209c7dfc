"""More of what becomes of a finding, on real Codex."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from armarius.dispatch.api import open_dispatch
from armarius.identity import hash_value
from armarius.store.ledger import append_event
from armarius.testing.model_server import ModelServer
from support.consulted import CONFIRMS, FINDING, FORGES, REFUTES, WORK, ask
from support.court import Court, Says


@pytest.fixture
def court(tmp_path: Path, private_home: dict[str, str], codex_wheel: Path) -> Iterator[Court]:
    court = Court(tmp_path, private_home, codex_wheel)
    with ModelServer(court.answer) as server:
        court.serve(server)
        court.build()
        yield court


def test_what_both_refute_is_agreed_not_to_hold(court: Court) -> None:
    done = ask(court, court.work(WORK), REFUTES, REFUTES)
    assert (done.outcome, done.holds, [one.position for one in done.asked]) == ("consensus", False, ["refute"] * 2)


def test_a_position_whose_evidence_was_not_seen_does_not_count(court: Court) -> None:
    done = ask(court, court.work(WORK), FORGES, CONFIRMS)
    assert [(one.claimed, one.position) for one in done.asked] == [("confirm", "unsure"), ("confirm", "confirm")]
    assert (done.outcome, done.holds) == ("consensus", True)


def test_an_answer_in_another_form_is_no_position(court: Court) -> None:
    done = ask(court, court.work(WORK), Says((), "I think so."), Says((), "So do I."))
    assert (done.outcome, done.holds) == ("orchestrator_decision", None)
    assert all("form" in one.problem for one in done.asked)


def test_a_loop_that_was_cut_off_is_taken_up_where_it_was(court: Court) -> None:
    run = court.work(WORK)
    whole = ask(court, run, REFUTES, CONFIRMS, finding="something else")
    key = hash_value({"run": run, "finding": FINDING})
    with open_dispatch(court.project, court.environ) as dispatch:
        said = next(body for kind, body in court.events(run) if kind == "consulted")
        clock, ledger = dispatch.bench.clock, dispatch.bench.ledger
        append_event(ledger, at_us=clock.now_us(), subject=run, kind="consulted", body=said | {"finding": key})
    taken_up = ask(court, run, CONFIRMS)
    assert [one.party for one in taken_up.asked] == ["author", "fresh"]
    assert taken_up.asked[0] == whole.asked[0]
    assert json.dumps(taken_up.outcome) == '"orchestrator_decision"'

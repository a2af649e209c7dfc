"""A receipt has one spelling, and no other value has the same one."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armarius.budget import NO_BUDGET
from armarius.identity import canonical_json
from armarius.proof.chain import GENESIS, Row, chain_of
from armarius.proof.receipt import Asked, Files, ProcessEnd, Receipt, encode
from armarius.proof.required import RequiredRun
from armarius.thread import Usage

WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.integers(0, 2**53)
HASHES = st.binary(min_size=32, max_size=32).map(lambda data: "sha256:" + data.hex())
RUNS = st.builds(
    RequiredRun,
    argv=st.lists(WORDS, max_size=3).map(tuple),
    program=WORDS,
    passed=st.booleans(),
    exit_code=st.none() | st.integers(0, 255),
    output=WORDS,
    files_changed=st.lists(WORDS, max_size=3).map(tuple),
)
RECEIPTS = st.builds(
    Receipt,
    run=WORDS,
    attempt=NUMBERS,
    role=WORDS,
    state=WORDS,
    problem=st.none(),
    recovered=st.booleans(),
    cwd=WORDS,
    tree=WORDS,
    asked=st.builds(
        Asked,
        request_sha256=HASHES,
        prompt_sha256=HASHES,
        sandbox=WORDS,
        approval=WORDS,
        deadline_s=st.floats(0.1, 1e6, allow_nan=False),
        budget=st.just(NO_BUDGET),
        model=st.none() | WORDS,
        effort=st.none(),
        profile=st.none(),
        scope=st.lists(WORDS, max_size=2).map(tuple),
        add_dirs=st.just(()),
        allow_commit=st.booleans(),
        checkout=st.booleans(),
        base=st.none(),
        needs=st.just(()),
        origin=st.none(),
        authorisation=st.none(),
    ),
    result_sha256=HASHES,
    auth_mode=WORDS,
    codex_home=WORDS,
    codex_version=WORDS,
    argv=st.lists(WORDS, max_size=3).map(tuple),
    environ=st.just(()),
    stdin=st.none(),
    end=st.builds(
        ProcessEnd,
        outcome=WORDS,
        exit_code=st.none() | NUMBERS,
        signal=st.none(),
        stragglers=NUMBERS,
        timed_out=st.booleans(),
    ),
    thread_id=st.none() | WORDS,
    model=st.none(),
    sandbox_seen=st.none(),
    retries=NUMBERS,
    turns=NUMBERS,
    agents=st.just(()),
    usage=st.builds(Usage, input=NUMBERS, output=NUMBERS),
    responses=st.just(()),
    files=st.builds(
        Files,
        changed=st.lists(WORDS, max_size=3).map(tuple),
        evidence=WORDS,
        outside=st.just(()),
        head_before=st.none(),
        head_after=st.none(),
    ),
    work=st.none(),
    commands=st.just(()),
    commands_total=NUMBERS,
    required=st.lists(RUNS, max_size=2).map(tuple),
    leases=st.just(()),
    attempts=st.just(()),
    approvals=st.just(()),
    artefacts=st.just(()),
    started_at_us=st.none() | NUMBERS,
    ended_at_us=st.none() | NUMBERS,
    duration_us=st.none() | NUMBERS,
    written_at_us=NUMBERS,
    written_by=WORDS,
)
ROW = Row(
    seq=1,
    kind="run",
    run_id="run_1",
    number=1,
    path="/x",
    sha256=GENESIS,
    last_event=3,
    events_sha256=GENESIS,
    previous=GENESIS,
    at_us=7,
)


@settings(max_examples=60, deadline=None)
@given(RECEIPTS)
def test_a_receipt_round_trips_and_its_spelling_is_canonical(receipt: Receipt) -> None:
    data = encode(receipt)
    assert msgspec.json.decode(data, type=Receipt) == receipt
    assert encode(msgspec.json.decode(data, type=Receipt)) == data
    assert data == canonical_json(msgspec.json.decode(data)) + b"\n"


@settings(max_examples=30, deadline=None)
@given(RECEIPTS, st.sampled_from(("more", "verdict", "State", "schema2")))
def test_nothing_can_be_slipped_into_a_receipt(receipt: Receipt, name: str) -> None:
    data: dict[str, Any] = msgspec.json.decode(encode(receipt))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(data | {name: "x"}, Receipt)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(data | {"asked": data["asked"] | {name: "x"}}, Receipt)


@pytest.mark.parametrize("field", [name for name in Row.__struct_fields__ if name != "chain"])
def test_every_field_of_a_row_is_in_its_hash(field: str) -> None:
    old = getattr(ROW, field)
    other = old + 1 if isinstance(old, int) else "decision" if field == "kind" else f"{old}x"
    assert chain_of(msgspec.structs.replace(ROW, **{field: other})) != chain_of(ROW)
    assert chain_of(msgspec.structs.replace(ROW, chain="another")) == chain_of(ROW)

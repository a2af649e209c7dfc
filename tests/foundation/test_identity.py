"""Ids that are given once, and hashes that follow from content."""

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armarius.clock import SystemClock
from armarius.identity import canonical_json, hash_bytes, hash_file, hash_value, new_id
from armarius.testing.clock import FakeClock

NOW_US = 1_795_176_576_687_123
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(now_us=st.integers(0, (1 << 48) * 1_000 - 1), seed=st.integers(0, 1 << 32))
def test_an_id_is_a_uuid_of_version_7_that_tells_its_birth(now_us: int, seed: int) -> None:
    kind, _, text = new_id("run", FakeClock(now_us, seed=seed)).partition("_")
    value = uuid.UUID(text)
    assert (kind, str(value), value.version, value.variant) == ("run", text, 7, uuid.RFC_4122)
    assert value.int >> 80 == now_us // 1_000


@given(st.binary(min_size=10, max_size=10))
def test_every_random_bit_that_there_is_room_for_is_in_the_id(entropy: bytes) -> None:
    class Given(FakeClock):
        def entropy(self, size: int) -> bytes:
            assert size == len(entropy)
            return entropy

    value = uuid.UUID(new_id("x", Given(NOW_US)).removeprefix("x_")).int
    bits = int.from_bytes(entropy, "big")
    assert (value >> 64 & 0xFFF, value & ((1 << 62) - 1)) == (bits >> 62 & 0xFFF, bits & ((1 << 62) - 1))


def test_ids_of_one_kind_sort_by_birth() -> None:
    clock = FakeClock(NOW_US)
    ids: list[str] = []
    for _ in range(50):
        ids.append(new_id("run", clock))
        clock.advance(1_000)
    assert ids == sorted(ids)


def test_ids_of_one_moment_differ() -> None:
    clock = FakeClock(NOW_US)
    assert len({new_id("run", clock) for _ in range(1_000)}) == 1_000
    assert new_id("run", SystemClock()) != new_id("run", SystemClock())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1, 2.5, True, None]}, '{"a":[1,2.5,true,null],"b":1}'),
        ({"ü": "größe 😀", "a": ""}, '{"a":"","ü":"größe 😀"}'),
        ('\x00\n"\\/\u2028', '"\\u0000\\n\\"\\\\/\u2028"'),
        ([], "[]"),
        (1.0, "1.0"),
    ],
)
def test_a_value_has_one_spelling(value: Any, text: str) -> None:
    assert canonical_json(value) == text.encode()


@given(values)
def test_the_spelling_says_everything_of_the_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(st.text(), values))
def test_the_order_of_keys_makes_no_difference(value: dict[str, Any]) -> None:
    assert hash_value(dict(reversed(value.items()))) == hash_value(value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_json_number_has_no_hash(number: float) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        hash_value({"score": [number]})


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_a_file_hashes_as_its_bytes_do_and_the_hash_names_its_algorithm(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "file").write_bytes(data[:size])
    expected = f"sha256:{hashlib.sha256(data[:size]).hexdigest()}"
    assert hash_file(tmp_path / "file") == hash_bytes(data[:size]) == expected
    assert hash_value({"a": 1}) == hash_bytes(b'{"a":1}')

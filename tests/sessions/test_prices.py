"""What tokens cost: by the day, by the length of a request, and never a guess."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from armarius.errors import DataError
from armarius.sessions.prices import load_prices
from armarius.thread import Usage

NOWHERE = Path("/nowhere/prices.toml")
USAGE = Usage(input=1_000_000, cached_input=400_000, cache_write=100_000, output=50_000, reasoning=30_000)

TABLE = """
checked = 2026-01-02
[[price]]
model = "m"
from = 2026-02-01
input = "1.00"
cached_input = "0.10"
cache_write = "1.25"
output = "10.00"
over = { tokens = 1000, input = "2.00", cached_input = "0.20", output = "15.00" }

[[price]]
model = "m"
from = 2026-03-01
input = 0.1
output = 1

[[price]]
model = "old-2025-01-31"
input = "7"
output = "7"
"""


def table(tmp_path: Path, text: str = TABLE) -> Path:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("model", "day", "request_size", "dollars"),
    [
        ("m", date(2026, 2, 1), 0, "1.165"),  # 0.5 fresh + 0.04 cached + 0.125 written + 0.5 out
        ("m", date(2026, 2, 28), 1_000, "1.165"),
        ("m", date(2026, 2, 28), 1_001, "2.03"),  # written costs what input does: 1 + 0.08 + 0.2 + 0.75
        ("m", date(2026, 3, 1), 0, "0.15"),  # all input at one price
        ("m", date(2026, 3, 1), 2_000, "0.15"),
        ("openai/m", date(2026, 3, 1), 0, "0.15"),
        ("m-2026-01-15", date(2026, 3, 1), 0, "0.15"),
        ("m-20260115", date(2026, 3, 1), 0, "0.15"),
        ("old-2025-01-31", date(1999, 1, 1), 0, "7.35"),  # a price without a day holds always
        ("old-2025-01-31", None, 0, "7.35"),
        ("m", date(2026, 1, 31), 0, None),  # before the first price
        ("m", None, 0, None),  # one of two, and nobody knows which
        ("m-mini", date(2026, 3, 1), 0, None),
        ("old", date(2026, 3, 1), 0, None),
        ("", date(2026, 3, 1), 0, None),
        (None, date(2026, 3, 1), 0, None),
    ],
)
def test_the_price_of_the_day_counts_and_what_has_none_is_unknown(
    tmp_path: Path, model: str | None, day: date | None, request_size: int, dollars: str | None
) -> None:
    cost = load_prices(table(tmp_path)).cost(model, day, USAGE, request=request_size)
    assert cost == (None if dollars is None else Decimal(dollars))


def test_more_cached_than_input_never_makes_a_cost_negative(tmp_path: Path) -> None:
    cost = load_prices(table(tmp_path)).cost("m", date(2026, 2, 1), Usage(input=10, cached_input=100))
    assert cost == Decimal("0.00001")


@pytest.mark.parametrize(
    ("model", "day", "request_size", "dollars"),
    [
        ("gpt-5-codex", date(2025, 12, 1), 0, "1.3"),
        ("gpt-5.6-luna", date(2026, 7, 29), 0, "0.965"),
        ("gpt-5.6-luna", date(2026, 7, 30), 0, "0.193"),
        ("gpt-6.1-sol", date(2026, 10, 1), 272_001, "3.33"),
        ("gpt-6.1-sol", date(2026, 9, 28), 0, None),
        ("mock-model", date(2026, 11, 1), 0, None),
    ],
)
def test_prices_that_providers_announced_are_in_the_own_table(
    model: str, day: date, request_size: int, dollars: str | None
) -> None:
    cost = load_prices(NOWHERE).cost(model, day, USAGE, request=request_size)
    assert cost == (None if dollars is None else Decimal(dollars))


def test_a_table_of_the_users_replaces_the_own_one_as_a_whole(tmp_path: Path) -> None:
    prices = load_prices(table(tmp_path))
    assert prices.source == str(tmp_path / "prices.toml")
    assert prices.checked == date(2026, 1, 2)
    assert prices.bounds == (1_000,)
    assert prices.cost("gpt-5-codex", date(2025, 12, 1), USAGE) is None


@pytest.mark.parametrize(
    "text",
    [
        "price = 1",
        "[[price]]\nmodel = 'm'",
        "[[price]]\nmodel = 'm'\ninput = '-1'\noutput = '1'",
        "[[price]]\nmodel = 'm'\ninput = 'NaN'\noutput = '1'",
        "[[price]]\nmodel = 'm'\ninput = inf\noutput = '1'",
        "[[price]]\nmodel = 'm'\ninput = '1e400000'\noutput = '1'",
        "[[price]]\nmodel = 'm'\ninput = '1'\noutput = '1'\nnonsense = 1",
        "[[price]]\nmodel = 'm'\ninput = '1'\noutput = '1'\nfrom = 'yesterday'",
        "[[price]]\nmodel = 'm'\ninput = '1'\noutput = '1'\nover = { tokens = 0, input = '1', output = '1' }",
        "[[price]]\nmodel = 'm'\ninput = '1'\noutput = '1'\n[[price]]\nmodel = 'm'\ninput = '2'\noutput = '1'",
        "a = " + "[" * 5_000,
        "not toml at all",
    ],
)
def test_a_table_that_is_none_is_refused_with_its_path(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError) as caught:
        load_prices(table(tmp_path, text))
    assert caught.value.code == "prices-bad"
    assert str(tmp_path) in caught.value.message


def test_bytes_that_are_no_text_are_refused_alike(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="no table of prices"):
        load_prices(tmp_path / "prices.toml")

"""What tokens cost, by a dated table.

Owns the table's form, which of its prices holds for a model on a day, and the sum. Does not own the
prices, which stand in `prices.toml` or in the user's file in its place.
Invariant: a price is never guessed. A model that the table does not name, and a day before its first
price, cost None, which is not nothing; names are compared whole, but for a provider before and a
release date after them. Sums are exact: Decimal, in US dollars.
"""

import bisect
import re
import tomllib
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final

import msgspec

from armarius.errors import DataError
from armarius.files import read_bounded
from armarius.thread import Usage

__all__ = ["PriceTable", "load_prices"]

_OWN: Final = Path(__file__).with_name("prices.toml")
_LARGEST: Final = 1 << 20
_MILLION: Final = 1_000_000
_DEAREST: Final = Decimal(1_000_000)
_RELEASE: Final = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$", re.ASCII)

_Tokens = Annotated[int, msgspec.Meta(gt=0)]


class _Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """US dollars for a million tokens of each kind; what is None costs what `input` costs."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None

    def __post_init__(self) -> None:
        for price in (self.input, self.output, self.cached_input, self.cache_write):
            if price is not None and not (price.is_finite() and 0 <= price <= _DEAREST):
                raise ValueError(f"{price} is no price")

    def cost(self, usage: Usage) -> Decimal:
        cached = self.input if self.cached_input is None else self.cached_input
        written = self.input if self.cache_write is None else self.cache_write
        fresh = max(0, usage.input - usage.cached_input - usage.cache_write)
        dollars = fresh * self.input + usage.cached_input * cached + usage.cache_write * written
        return (dollars + usage.output * self.output) / _MILLION


class _Over(_Rates, frozen=True, kw_only=True):
    """The rates of a request with more than `tokens` of input."""

    tokens: _Tokens


class _Price(_Rates, frozen=True, kw_only=True):
    model: str
    since: date | None = msgspec.field(name="from", default=None)
    over: _Over | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: list[_Price] = []
    checked: date | None = None


class PriceTable:
    """Prices of models by day. `source` is the file they come from, `checked` when somebody compared them."""

    def __init__(self, file: _File, source: str) -> None:
        self.source = source
        self.checked = file.checked
        self._prices: dict[str, list[_Price]] = {}
        for price in sorted(file.price, key=lambda price: price.since or date.min):
            self._prices.setdefault(price.model, []).append(price)
        self.bounds: tuple[int, ...] = tuple(sorted({price.over.tokens for price in file.price if price.over}))

    def cost(self, model: str | None, day: date | None, usage: Usage, *, request: int = 0) -> Decimal | None:
        """What this usage cost that day; None when nobody knows.

        `request` is how many input tokens each of the requests had, or any number between the same two
        of `bounds`.
        """
        price = self._price(model, day)
        if price is None:
            return None
        return (price.over if price.over and request > price.over.tokens else price).cost(usage)

    def _price(self, model: str | None, day: date | None) -> _Price | None:
        if model is None:
            return None
        name = model.rpartition("/")[2]
        prices = self._prices.get(name) or self._prices.get(_RELEASE.sub("", name)) or []
        if day is None:
            return prices[0] if len(prices) == 1 else None
        after = bisect.bisect_right(prices, day, key=lambda price: price.since or date.min)
        return prices[after - 1] if after else None


def load_prices(own: Path) -> PriceTable:
    """The user's prices when there is such a file, else the ones that come with Armarius.

    DataError for a file that is no table of prices.
    """
    path = own if own.exists() else _OWN
    try:
        text = read_bounded(path, _LARGEST).decode()
        file = msgspec.convert(tomllib.loads(text, parse_float=Decimal), _File)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        hint = f"write it like {_OWN}, or remove it"
        raise DataError("prices-bad", f"{path} is no table of prices: {error}", hint) from error
    _refuse_twins(file.price, path)
    return PriceTable(file, str(path))


def _refuse_twins(prices: Sequence[_Price], path: Path) -> None:
    seen = set[tuple[str, date | None]]()
    for price in prices:
        if (price.model, price.since) in seen:
            said = f"{price.model!r} has two prices from {price.since or 'the beginning'}"
            raise DataError("prices-bad", f"{path}: {said}", "leave one of them")
        seen.add((price.model, price.since))

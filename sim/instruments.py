"""Instruments, and the conversion of prices and quantities to whole numbers (LED-1, LED-2)."""

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.pricing.black import CALL, PUT
from sim.types import F8, FUTURE, I8, OPTION, PERPETUAL, SPOT, Contracts

KIND_CODES = {"perpetual": PERPETUAL, "spot": SPOT, "future": FUTURE, "option": OPTION}
SIDE_CODES = {"call": CALL, "put": PUT, None: 0}

TRADED_KINDS = ("perpetual", "spot")
"""Kinds that a venue may list. Futures and options can be valued and margined, but not traded."""

REQUIRED_TERMS = {"future": {"expiry"}, "option": {"expiry", "strike", "option"}}
"""Terms that a kind of instrument requires; other kinds must not have them."""


CASH_LIMIT = 2**53
"""Amounts in minor units stay below this, so that floats hold them exactly (LED-2)."""

MAX_DECIMALS = 15
"""Largest number of decimal places of an asset: its unit, 10^15 minor units, is below the limit."""


def to_decimal(amount: float) -> Decimal:
    """Return the decimal number of a float, e.g. 0.3 for 0.1 + 0.2 (0.30000000000000004).

    It is the number of 15 digits if that is within four units in the last place, else the shortest
    text of the float.
    """
    rounded = Decimal(f"{amount:.15g}")
    return rounded if abs(float(rounded) - amount) <= 4 * math.ulp(amount) else Decimal(str(amount))


def divide_into_steps(amount: float, grain: float) -> Fraction:
    """Return an amount in ticks or lots, in decimal arithmetic; whole if it is a multiple."""
    return Fraction(to_decimal(amount)) / Fraction(to_decimal(grain))


class Asset(Component):
    """A currency in which balances are kept. The first one listed is the numeraire."""

    name: str = Field(min_length=1, description="unique name")
    decimals: int = Field(
        default=2, ge=0, le=MAX_DECIMALS, description="decimal places of its minor unit (count)"
    )
    price: float = Field(
        default=1.0, gt=0, description="value of one unit at the start (units of the numeraire)"
    )


class Instrument(Component):
    """Contract or asset that can be held.

    A perpetual trades in an order book; spot is quoted by the outside world. A future delivers at
    its expiry. An option is a European option on one unit of the underlying. Both settle in cash
    (:func:`sim.pricing.instrument_values.compute_settlement`).
    """

    name: str = Field(min_length=1, description="unique name")
    underlying: str = Field(description="name of the underlying")
    kind: Literal["perpetual", "spot", "future", "option"] = Field(
        default="perpetual", description="kind of instrument"
    )
    settle: str = Field(default="", description="settlement asset; empty = the numeraire")
    tick: float = Field(gt=0, description="price step (quote currency)")
    lot: float = Field(gt=0, description="quantity step (units of the underlying)")
    max_price: float = Field(
        gt=0, description="largest price; the book refuses orders above it (quote currency)"
    )
    max_lots: int = Field(
        default=10_000_000, gt=0, description="largest position of one account (lots)"
    )
    expiry: float | None = Field(
        default=None, gt=0, description="expiry of a future or option (s on the run's clock)"
    )
    strike: float | None = Field(
        default=None, gt=0, description="strike of an option (quote currency)"
    )
    option: Literal["call", "put"] | None = Field(default=None, description="side of an option")

    @model_validator(mode="after")
    def _check_terms(self) -> Self:
        terms, problems = REQUIRED_TERMS.get(self.kind, set()), []
        for name in ("expiry", "strike", "option"):
            given = getattr(self, name)
            if given is None and name in terms:
                problems.append(f"{name}: missing; {self.name!r} is of kind {self.kind!r}: give it")
            if given is not None and name not in terms:
                problems.append(
                    f"{name}: {given!r}, {self.name!r} is of kind {self.kind!r} and has none: "
                    "remove it"
                )
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def multiplier(self, decimals: int) -> Decimal:
        """Return minor units of the settle asset per tick and lot; must be whole."""
        return to_decimal(self.tick) * to_decimal(self.lot) * 10**decimals

    @property
    def n_price_levels(self) -> int:
        """Number of possible prices: the largest price in ticks."""
        return int(to_decimal(self.max_price) / to_decimal(self.tick))


def build_contracts(
    listed: Sequence[tuple[int, Instrument]], underlyings: Sequence[str], assets: Sequence[Asset]
) -> Contracts:
    """Return the terms of some instruments, each with the number of its venue, as columns."""
    instruments = [instrument for _, instrument in listed]
    settle = [_settle_asset_index(instrument, assets) for instrument in instruments]
    multipliers = [
        int(instrument.multiplier(assets[column].decimals))
        for instrument, column in zip(instruments, settle, strict=True)
    ]
    return Contracts(
        names=tuple(instrument.name for instrument in instruments),
        venue=_to_integers(venue for venue, _ in listed),
        underlying=_to_integers(underlyings.index(each.underlying) for each in instruments),
        settle=_to_integers(settle),
        kind=_to_integers(KIND_CODES[instrument.kind] for instrument in instruments),
        multiplier=_to_integers(multipliers),
        tick=np.array([instrument.tick for instrument in instruments]),
        lot=np.array([instrument.lot for instrument in instruments]),
        max_price=_to_integers(instrument.n_price_levels for instrument in instruments),
        expiry=_to_floats((instrument.expiry for instrument in instruments), np.inf),
        strike=_to_floats((instrument.strike for instrument in instruments), np.nan),
        side=np.array([float(SIDE_CODES[instrument.option]) for instrument in instruments]),
        underlyings=tuple(underlyings),
        assets=tuple(asset.name for asset in assets),
        units=tuple(10**asset.decimals for asset in assets),
    )


def _to_integers(values: Iterable[int]) -> I8:
    return np.array(list(values), dtype=np.int64)


def _to_floats(values: Iterable[float | None], missing: float) -> F8:
    """Return values as floats, with a number for each that is missing."""
    return np.array([missing if value is None else value for value in values])


MAX_CURRENCY_PRICE = 2.0
"""Largest value of one unit of a currency (numeraire); a dearer asset counts as a coin."""


def find_inverse_fault(
    instrument: Instrument, underlyings: Sequence[str], assets: Sequence[Asset]
) -> str | None:
    """Return the fault of a coin-margined instrument's ``settle``, or None for a linear one.

    A linear contract settles in the currency of its price. A contract that settles in a coin is
    inverse or a quanto: its gain in that coin is not proportional to the change of its price, and
    no engine here can value it.
    """
    asset = assets[_settle_asset_index(instrument, assets)]
    coins = {
        name.casefold() for pair in underlyings for name in (pair, re.split(r"[-/:]", pair)[0])
    }
    if asset.name.casefold() not in coins and asset.price <= MAX_CURRENCY_PRICE:
        return None
    others = [
        other.name
        for other in assets
        if other.name.casefold() not in coins and other.price <= MAX_CURRENCY_PRICE
    ]
    remedy = (
        f"settle in {' or '.join(others)}, or remove it"
        if others
        else "add a currency to assets and settle in it"
    )
    coin = "is an underlying" if asset.name.casefold() in coins else f"is worth {asset.price:g}"
    fault = f"settle: {asset.name!r} {coin}, so {instrument.name!r} is coin-margined (inverse)"
    rule = "only contracts that settle in the currency of their price can be valued yet"
    return f"{fault}; {rule}: {remedy}"


def _settle_asset_index(instrument: Instrument, assets: Sequence[Asset]) -> int:
    return [asset.name for asset in assets].index(instrument.settle) if instrument.settle else 0

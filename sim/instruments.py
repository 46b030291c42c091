"""Instruments: what is listed, and how prices and quantities become whole numbers (LED-1, LED-2)."""

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.options import CALL, PUT
from sim.types import FUTURE, OPTION, PERPETUAL, SPOT, Contracts

KINDS = {"perpetual": PERPETUAL, "spot": SPOT, "future": FUTURE, "option": OPTION}
SIDES = {"call": CALL, "put": PUT, None: 0}

TRADED = ("perpetual", "spot")
"""What a venue may list. Futures and options are valued and margined, but have no market of their own yet."""

TERMS = {"future": {"expiry"}, "option": {"expiry", "strike", "option"}}
"""What must be said of an instrument that expires, and may not be said of others."""


CASH_LIMIT = 2**53
"""Amounts in minor units stay below this, so that floats hold them exactly (LED-2)."""

DECIMALS = 15
"""Most decimal places of an asset: its unit, 10^15 minor units, is still below the limit."""


def decimal_of(amount: float) -> Decimal:
    """The decimal number that a float stands for: 0.3 for 0.1 + 0.2, whose text is 0.30000000000000004.

    It is the one of 15 digits if that is within four units in the last place, else the shortest text of the float.
    """
    rounded = Decimal(f"{amount:.15g}")
    return rounded if abs(float(rounded) - amount) <= 4 * math.ulp(amount) else Decimal(str(amount))


def grains(amount: float, grain: float) -> Fraction:
    """How many ticks or lots an amount is, both as the decimal numbers they stand for; whole if it is a multiple."""
    return Fraction(decimal_of(amount)) / Fraction(decimal_of(grain))


class Asset(Component):
    """A currency in which balances are kept. The first one listed is the numeraire."""

    name: str = Field(min_length=1, description="unique name")
    decimals: int = Field(default=2, ge=0, le=DECIMALS, description="decimal places of its minor unit (count)")
    price: float = Field(default=1.0, gt=0, description="value of one unit at the start (units of the numeraire)")


class Instrument(Component):
    """Something that can be held. A perpetual trades in an order book; spot is quoted by the outside world.

    A future is for delivery at its expiry, an option a European one on one unit of the underlying; both settle in cash
    (:func:`sim.pricing.settlement`).
    """

    name: str = Field(min_length=1, description="unique name")
    underlying: str = Field(description="name of the underlying")
    kind: Literal["perpetual", "spot", "future", "option"] = Field(
        default="perpetual", description="kind of instrument"
    )
    settle: str = Field(default="", description="asset it settles in; empty = the numeraire")
    tick: float = Field(gt=0, description="price step (quote currency)")
    lot: float = Field(gt=0, description="quantity step (units of the underlying)")
    max_price: float = Field(gt=0, description="largest price; the book refuses orders above it (quote currency)")
    max_lots: int = Field(default=10_000_000, gt=0, description="largest position of one account (lots)")
    expiry: float | None = Field(default=None, gt=0, description="expiry of a future or option (s on the run's clock)")
    strike: float | None = Field(default=None, gt=0, description="strike of an option (quote currency)")
    option: Literal["call", "put"] | None = Field(default=None, description="side of an option")

    @model_validator(mode="after")
    def _terms_fit_the_kind(self) -> Self:
        terms, problems = TERMS.get(self.kind, set()), []
        for name in ("expiry", "strike", "option"):
            given = getattr(self, name)
            if given is None and name in terms:
                problems.append(f"{name}: missing; {self.name!r} is of kind {self.kind!r}: give it")
            if given is not None and name not in terms:
                problems.append(f"{name}: {given!r}, {self.name!r} is of kind {self.kind!r} and has none: remove it")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def multiplier(self, decimals: int) -> Decimal:
        """Minor units of the settle asset per tick and lot; must be whole."""
        return decimal_of(self.tick) * decimal_of(self.lot) * 10**decimals

    @property
    def levels(self) -> int:
        """Largest price in ticks."""
        return int(decimal_of(self.max_price) / decimal_of(self.tick))


def contracts_of(
    listed: Sequence[tuple[int, Instrument]], underlyings: Sequence[str], assets: Sequence[Asset]
) -> Contracts:
    """The columns of some instruments, each with the number of its venue."""
    settle = [_asset(instrument, assets) for _, instrument in listed]
    return Contracts(
        names=tuple(instrument.name for _, instrument in listed),
        venue=np.array([venue for venue, _ in listed], dtype=np.int64),
        underlying=np.array([underlyings.index(i.underlying) for _, i in listed], dtype=np.int64),
        settle=np.array(settle, dtype=np.int64),
        kind=np.array([KINDS[i.kind] for _, i in listed], dtype=np.int64),
        multiplier=np.array(
            [int(i.multiplier(assets[c].decimals)) for (_, i), c in zip(listed, settle, strict=True)], dtype=np.int64
        ),
        tick=np.array([i.tick for _, i in listed]),
        lot=np.array([i.lot for _, i in listed]),
        max_price=np.array([i.levels for _, i in listed], dtype=np.int64),
        expiry=np.array([np.inf if i.expiry is None else i.expiry for _, i in listed]),
        strike=np.array([np.nan if i.strike is None else i.strike for _, i in listed]),
        side=np.array([float(SIDES[i.option]) for _, i in listed]),
        underlyings=tuple(underlyings),
        assets=tuple(asset.name for asset in assets),
        units=tuple(10**asset.decimals for asset in assets),
    )


DEAREST = 2.0
"""What one unit of a currency in which prices are quoted is worth at most; what is dearer is a coin (numeraire)."""


def inverse_fault(instrument: Instrument, underlyings: Sequence[str], assets: Sequence[Asset]) -> str | None:
    """What shows that an instrument is coin-margined, told of its field ``settle``; None for a linear one.

    A linear contract settles in the currency of its price. One that settles in a coin is inverse or a quanto: its gain
    in that coin is not proportional to the change of its price, and no engine here values it.
    """
    asset = assets[_asset(instrument, assets)]
    coins = {name.casefold() for each in underlyings for name in (each, re.split(r"[-/:]", each)[0])}
    if asset.name.casefold() not in coins and asset.price <= DEAREST:
        return None
    others = [each.name for each in assets if each.name.casefold() not in coins and each.price <= DEAREST]
    remedy = f"settle in {' or '.join(others)}, or remove it" if others else "add a currency to assets and settle in it"
    coin = "is an underlying" if asset.name.casefold() in coins else f"is worth {asset.price:g}"
    told = f"settle: {asset.name!r} {coin}, so {instrument.name!r} is coin-margined (inverse)"
    return f"{told}; only contracts that settle in the currency of their price can be valued yet: {remedy}"


def _asset(instrument: Instrument, assets: Sequence[Asset]) -> int:
    return [asset.name for asset in assets].index(instrument.settle) if instrument.settle else 0

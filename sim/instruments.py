"""Instruments: what is listed, and how prices and quantities become whole numbers (LED-1, LED-2)."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.types import PERPETUAL, SPOT, Contracts

KINDS = {"perpetual": PERPETUAL, "spot": SPOT}


class Asset(Component):
    """A currency in which balances are kept. The first one listed is the numeraire."""

    name: str = Field(min_length=1, description="unique name")
    decimals: int = Field(default=2, ge=0, le=8, description="decimal places of its minor unit (count)")
    price: float = Field(default=1.0, gt=0, description="value of one unit at the start (units of the numeraire)")


class Instrument(Component):
    """Something a venue lists. A perpetual trades in an order book; spot is quoted by the outside world."""

    name: str = Field(min_length=1, description="unique name")
    underlying: str = Field(description="name of the underlying")
    kind: Literal["perpetual", "spot"] = Field(default="perpetual", description="kind of instrument")
    settle: str = Field(default="", description="asset it settles in; empty = the numeraire")
    tick: float = Field(gt=0, description="price step (quote currency)")
    lot: float = Field(gt=0, description="quantity step (units of the underlying)")
    max_price: float = Field(gt=0, description="largest price; the book refuses orders above it (quote currency)")
    max_lots: int = Field(default=10_000_000, gt=0, description="largest position of one account (lots)")

    def multiplier(self, decimals: int) -> Decimal:
        """Minor units of the settle asset per tick and lot; must be whole."""
        return Decimal(str(self.tick)) * Decimal(str(self.lot)) * 10**decimals

    @property
    def levels(self) -> int:
        """Largest price in ticks."""
        return int(Decimal(str(self.max_price)) / Decimal(str(self.tick)))


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
    )


def _asset(instrument: Instrument, assets: Sequence[Asset]) -> int:
    return [asset.name for asset in assets].index(instrument.settle) if instrument.settle else 0

"""Probe portfolios of one lot: reference margins for factors and anti-procyclicality tools."""

import numpy as np

from sim.protocols import Requirement
from sim.types import F8, Exposure, MarketView


def build_one_lot_accounts(market: MarketView, *, sides: tuple[int, ...] = (1,)) -> Exposure:
    """Return accounts without cash, entered at the mark, that hold lots of a single instrument.

    Args:
        market: the market.
        sides: signed lots; for each of them there are K accounts, one per instrument.
    """
    count = len(market.mark)
    position = np.concatenate([number * np.eye(count, dtype=np.int64) for number in sides])
    none = np.zeros_like(position)
    cash = np.zeros((len(position), len(market.price)), dtype=np.int64)
    entry = (position * (market.mark * market.contracts.multiplier)).astype(np.int64)
    return Exposure(
        cash, cash, position, none, none, none, entry, np.full(position.shape, np.inf), market
    )


def compute_margin_rates(requirement: Requirement, market: MarketView) -> F8:
    """Return initial margins of a long and of a short of one lot, (2, K), shares of its value."""
    accounts = build_one_lot_accounts(market, sides=(1, -1))
    value = np.abs(accounts.position_value()).sum(axis=1)
    required = requirement.compute_margins(accounts).initial
    return np.divide(required, value, out=np.zeros_like(required), where=value != 0).reshape(2, -1)

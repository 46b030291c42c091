"""What a requirement asks of one lot: the reference that factors and tools work on."""

import numpy as np

from sim.protocols import Requirement
from sim.types import F8, Exposure, MarketView


def build_one_lot_accounts(market: MarketView, *, sides: tuple[int, ...] = (1,)) -> Exposure:
    """Accounts without cash: for each of ``sides``, K that hold so many lots of one instrument, at the mark."""
    count = len(market.mark)
    position = np.concatenate([number * np.eye(count, dtype=np.int64) for number in sides])
    none = np.zeros_like(position)
    cash = np.zeros((len(position), len(market.price)), dtype=np.int64)
    entry = (position * (market.mark * market.contracts.multiplier)).astype(np.int64)
    return Exposure(
        cash, cash, position, none, none, none, entry, np.full(position.shape, np.inf), market
    )


def compute_margin_rates(requirement: Requirement, market: MarketView) -> F8:
    """Initial margin of a long and of a short of one lot, as a share of its value, (2, K)."""
    accounts = build_one_lot_accounts(market, sides=(1, -1))
    value = np.abs(accounts.position_value()).sum(axis=1)
    required = requirement.compute_margins(accounts).initial
    return np.divide(required, value, out=np.zeros_like(required), where=value != 0).reshape(2, -1)

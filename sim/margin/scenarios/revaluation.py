"""Gains of instruments, with options, in the returns of a model (MAR-5).

Options are either revalued or approximated by delta and gamma.

Volatilities are unchanged and no time passes: the loss is that of the price alone. Linear legs move
in proportion, S (1 + r), as they do without options, so that a hedge remains a hedge.
"""

from typing import Literal

import numpy as np

from sim.margin.tail.models.base import TailSpec
from sim.margin.tail.risk_measures import compute_tail_weights
from sim.margin.tail.top_losses import sum_worst_losses
from sim.pricing import instrument_values
from sim.types import F8, I8, MarketView

OptionApproach = Literal["full", "delta_gamma"]

MIN_PRICE_SHARE = 1e-6
"""Lowest price in a scenario, as a share of the present price."""


def revalue_lot_pnl(market: MarketView, returns: F8, columns: I8, approach: OptionApproach) -> F8:
    """Return the gain of one lot of each instrument in each scenario, (S, K), minor units.

    ``full`` revalues options in every scenario. ``delta_gamma`` takes delta x dS + gamma x dS² ÷ 2,
    which is exact for small moves and wrong by the third order beyond. For example, take the 99%
    loss of a hedged short strangle, 10% out of the money with two weeks to expiry. Delta and gamma
    overstate it by 0.2% over six hours and by 1.0% over a day. Over four days the error is 4.2%,
    and over ten days 12.7% (``tests``).

    Args:
        market: the present market.
        returns: (S, n), relative.
        columns: (n,) underlyings of the returns; others do not move.
        approach: full or delta_gamma.
    """
    moved = np.ones((len(returns), market.oracle.size))
    moved[:, columns] = np.maximum(1.0 + returns, MIN_PRICE_SHARE)
    if approach == "full":
        vol = np.broadcast_to(market.vol, (len(returns), market.vol.size))
        now = instrument_values.value_instruments(market, market.oracle[None], market.vol[None])
        return (
            instrument_values.value_instruments(market, market.oracle * moved, vol) - now
        ) * market.tick_value()
    greeks, spot = (
        instrument_values.compute_sensitivities(market),
        market.oracle[market.contracts.underlying],
    )
    change = spot * (moved[:, market.contracts.underlying] - 1.0)
    gain: F8 = (
        greeks.delta * change + greeks.gamma * np.square(change) / 2
    ) / market.contracts.tick
    return gain * market.tick_value()


def compute_tail_loss(position: I8, table: F8, tail: TailSpec) -> F8:
    """Return the tail loss of accounts (A, K) for gains per lot in a table (S, K), (A,), >= 0."""
    return sum_worst_losses(
        position, table, compute_tail_weights(len(table), tail.level, tail.measure, tail.convention)
    )

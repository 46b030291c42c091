"""Impact of the market's own spot trading on the index."""

import numpy as np

from sim.state import MarketState
from sim.types import F8


def update_index(market: MarketState) -> None:
    """Add the impact of the last step's spot purchases, and let earlier impact decay (IDX-2)."""
    market.log_impact = market.impact_dynamics.advance_impact(
        market.log_impact, _measure_spot_purchases(market)
    )


def _measure_spot_purchases(market: MarketState) -> F8:
    """Return net spot purchases of the market in the last step, (U,) quote currency."""
    held = market.ledger.position[:, market.external_owner]
    lots, contracts = market.external_spot_lots - held, market.contracts
    market.external_spot_lots = held.copy()
    bought = np.zeros(len(market.log_impact))
    value = lots * contracts.lot * market.spot_index()[contracts.underlying]
    np.add.at(bought, contracts.underlying, value)
    return bought

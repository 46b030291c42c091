"""Impact of the market's own spot trading on the index."""

import numpy as np

from sim.state import MarketState
from sim.types import F8


def update_index(market: MarketState) -> None:
    """Move the index by what was bought in spot in the last step, and let earlier impact fade (IDX-2)."""
    market.log_impact = market.impact_dynamics.advance_impact(
        market.log_impact, _measure_spot_purchases(market)
    )


def _measure_spot_purchases(market: MarketState) -> F8:
    """What the market bought in spot in the last step, net, (U,) quote currency."""
    held = market.ledger.position[:, market.external_owner]
    lots, contracts = market.external_spot_lots - held, market.contracts
    market.external_spot_lots = held.copy()
    bought = np.zeros(len(market.log_impact))
    np.add.at(
        bought,
        contracts.underlying,
        lots * contracts.lot * market.spot_index()[contracts.underlying],
    )
    return bought

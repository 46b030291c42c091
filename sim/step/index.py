"""Impact of the market's own spot trading on the index."""

import numpy as np

from sim.state import MarketState
from sim.types import F8


def update_index(market: MarketState) -> None:
    """Move the index by what was bought in spot in the last step, and let earlier impact fade (IDX-2)."""
    market.impact = market.impacts.advance(market.impact, _bought_outside(market))


def _bought_outside(market: MarketState) -> F8:
    """What the market bought in spot in the last step, net, (U,) quote currency."""
    held = market.ledger.position[:, market.outside]
    lots, contracts = market.spot_held - held, market.contracts
    market.spot_held = held.copy()
    bought = np.zeros(len(market.impact))
    np.add.at(bought, contracts.underlying, lots * contracts.lot * market.spot()[contracts.underlying])
    return bought

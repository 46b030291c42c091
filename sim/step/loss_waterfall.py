"""Loss waterfall of one market (LIQ-3, LOSS-1 to LOSS-3)."""

import numpy as np

from sim.records import Losses
from sim.state import MarketState
from sim.step.assessment import assess_accounts
from sim.step.plain_waterfall import PlainWaterfall
from sim.step.waterfall.driver import CompiledWaterfall
from sim.venue import record_since


def allocate_losses(
    market: MarketState, waterfall: type[PlainWaterfall] = CompiledWaterfall
) -> Losses:
    """Allocate the shortfalls of bankrupt accounts, at the mark of the last round (LOSS-3).

    Accounts whose lots the policy auctions wait (LIQ-3). The fund does not wait, because its wallet
    covers its deficit.

    Args:
        market: in place.
        waterfall: compiled or plain; the results are the same.

    Returns:
        Shortfalls of each venue, and the layers that absorbed them.
    """
    losses = Losses(np.zeros(len(market.venues), dtype=np.int64), [])
    if market.config.suppress_closeouts:
        return losses
    for venue in market.venues:
        for state in venue.pool_states.values():
            is_bankrupt = state.assessment.bankrupt
            record_since(state.distress.bankrupt_since, is_bankrupt, market.tick)
            bankrupt = np.flatnonzero(is_bankrupt)
            if bankrupt.size:
                waits = venue.liquidation_policy.select_auctioned(
                    state.assessment, state.distress, venue.pool_accounts(state.pool)
                )
                is_fund = bankrupt == venue.system_accounts.insurance_fund
                bankrupt = bankrupt[~waits[bankrupt] | is_fund]
            if bankrupt.size:
                waterfall(market, venue, state.pool, losses).allocate_shortfalls(bankrupt)
                assess_accounts(market, market.config.max_rounds)
                record_since(state.distress.bankrupt_since, state.assessment.bankrupt, market.tick)
        venue.publish_auctions()
    return losses

"""Margin calls: opening, answers and missed deadlines."""

import numpy as np

from sim.attribution import DEPOSIT
from sim.margin.calls import N_CALL_DRAWS
from sim.state import MarketState
from sim.types import Transfers
from sim.venue import Venue


def answer_calls(market: MarketState) -> None:
    """Advance the margin calls of each venue that makes any (MAR-4)."""
    for venue in market.venues:
        if venue.config.calls is not None:
            _settle_margin_calls(market, venue)


def _settle_margin_calls(market: MarketState, venue: Venue) -> None:
    """Post and count deposits from outside that answer margin calls (MAR-4)."""
    for state in venue.pool_states.values():
        assert state.margin_calls is not None
        number = state.pool.number
        draws = market.streams.draw_uniform(
            f"calls/{venue.config.name}/{number}", market.tick, market.n_owners, N_CALL_DRAWS
        )
        outcome = state.margin_calls.advance_tick(
            market.tick, state.assessment, draws, venue.outside_wealth
        )
        venue.outside_wealth -= outcome.deposits
        venue.has_been_called |= outcome.opened
        venue.flows.paid_in += int(outcome.deposits.sum())
        venue.net_paid_in += outcome.deposits
        venue.flows.calls_opened += int(outcome.opened.sum())
        venue.flows.calls_met += int(outcome.met.sum())
        venue.flows.calls_missed += int(outcome.missed.sum())
        owners = np.flatnonzero(outcome.deposits)
        deposits = Transfers.from_columns(
            market.external_owner, owners, venue.wallet_pool, number, 0, outcome.deposits[owners]
        )
        market.ledger.transfer(deposits, DEPOSIT)

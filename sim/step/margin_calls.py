"""Margin calls that are opened, answered and missed."""

import numpy as np

from sim.attribution import DEPOSIT
from sim.margin.calls import WIDTH
from sim.state import MarketState
from sim.types import Transfers
from sim.venue import Venue


def answer_calls(market: MarketState) -> None:
    """Advance the margin calls of each venue that makes any (MAR-4)."""
    for venue in market.venues:
        if venue.config.calls is not None:
            _meet_calls(market, venue)


def _meet_calls(market: MarketState, venue: Venue) -> None:
    """Deposits that answer margin calls, from outside, recorded (MAR-4)."""
    for state in venue.states.values():
        assert state.calls is not None
        number = state.pool.number
        draws = market.streams.uniform(f"calls/{venue.config.name}/{number}", market.tick, market.owners, WIDTH)
        outcome = state.calls.advance(market.tick, state.risk, draws, venue.means)
        venue.means -= outcome.deposits
        venue.ever_called |= outcome.opened
        venue.flows.paid_in += int(outcome.deposits.sum())
        venue.flows.calls_opened += int(outcome.opened.sum())
        venue.flows.calls_met += int(outcome.met.sum())
        venue.flows.calls_missed += int(outcome.missed.sum())
        owners = np.flatnonzero(outcome.deposits)
        deposits = Transfers.of(market.outside, owners, venue.wallet, number, 0, outcome.deposits[owners])
        market.ledger.transfer(deposits, DEPOSIT)

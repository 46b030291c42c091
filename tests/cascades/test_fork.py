"""A market that goes on from a fork is the market that never stopped."""

import numpy as np
import pandas as pd
import pytest
from papers import crash

from agents import populate
from experiments.cascades.branching import MarketSnapshot, advance_to, shift_equity
from experiments.config import load_run
from sim.market import Market
from sim.metrics.cascades import Frames


def same(one: Frames, two: Frames) -> None:
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, two[name])


@pytest.mark.parametrize("name", ["two_coins", "small_crash"])
def test_a_fork_goes_on_as_the_market_it_was_taken_from(name: str) -> None:
    """A fork restores the ledger, streams, engines and resting orders, and shares none of them."""
    config = load_run(name, ["duration=3000", "profile_every=600"])

    def begin() -> Market:
        return Market(config, populate(config.populations), seed=config.seed)

    whole = advance_to(begin(), 50).recorder.frames()
    fork = MarketSnapshot(begin, 30)
    same(whole, fork.simulate_frames(50))
    same(whole, fork.simulate_frames(50))
    assert len(fork.simulate_frames(40, suppress_closeouts=True)["steps"]) == len(
        whole["steps"].query("step <= 40")
    )


def test_a_market_that_cannot_be_written_is_begun_anew() -> None:
    def begin() -> Market:
        market = crash.market(1)
        market.note = lambda: market  # type: ignore[attr-defined]
        return market

    same(advance_to(begin(), 12).recorder.frames(), MarketSnapshot(begin, 8).simulate_frames(12))


def test_a_nudge_is_a_share_of_notional_and_conserves_cash() -> None:
    market = advance_to(crash.market(1), 20)
    before, size = market.ledger.balance[0].sum(axis=0), np.abs(market.ledger.position[0])
    shares = np.where(np.arange(market.state.n_owners) % 2, 0.001, -0.002)
    shift_equity(market, shares)
    market.ledger.check_conservation()
    after = market.ledger.balance[0].sum(axis=0)
    value = market.state.tick_value()[0] * market.venues[0].view.mark[0]
    traders = slice(0, 600)
    assert (after - before)[traders] == pytest.approx(np.rint(shares * size * value)[traders])
    assert (after != before)[traders].sum() > 100

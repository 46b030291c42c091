"""Cost of the waterfall per bankrupt account as many go bankrupt in one step (LOSS-1)."""

from time import process_time

import numpy as np
import pytest
from markets import build, config, move, script, venue

from sim.market import Market

pytestmark = pytest.mark.benchmark

FEW, MANY, GATE = 2_000, 20_000, 1.5
LAYERS = [{"kind": "fund"}, {"kind": "adl_queue"}, {"kind": "socialised"}]


def before_the_fall(bankrupt: int) -> Market:
    """Return a market of longs that will all go bankrupt, shorts, a small fund and no bids."""
    rng = np.random.default_rng(1)
    longs = [(60.0 + wealth,) for wealth in rng.integers(0, 8, bankrupt).tolist()]
    shorts = [(200.0 + wealth,) for wealth in rng.integers(0, 800, bankrupt).tolist()]
    sell = [(bankrupt + number, 0, -100, 1000, 0, 0) for number in range(bankrupt)]
    buy = [(number, 0, 100, 1000, 0, 0) for number in range(bankrupt)]
    people = [
        script(longs + shorts, {1: sell, 2: buy}),
        {"kind": "insurance_fund", "venue": "x", "wealth": 1000.0},
    ]
    market = build(config(venue(waterfall=LAYERS), steps=4, stresses=[move(4, -0.1)]), people)
    while market.tick < 3:
        market.step()
    return market


def cost(bankrupt: int) -> float:
    """CPU seconds of the step of the fall, per bankrupt account."""
    market = before_the_fall(bankrupt)
    began = process_time()
    market.step()
    taken = process_time() - began
    losses = market.recorder.frames()["losses"]
    assert losses["owner"].nunique() == bankrupt
    assert set(losses["layer"]) == {"fund", "adl_queue"}
    return taken / bankrupt


def test_cost_per_bankrupt_account_does_not_grow_with_their_number() -> None:
    cost(200)  # compiles
    few, many = np.median([cost(FEW) for _ in range(3)]), cost(MANY)
    print(
        f"\nµs per bankrupt account: {1e6 * few:.0f} of {FEW:,}, {1e6 * many:.0f} of {MANY:,}",
        end="",
    )
    print(f"; ratio {many / few:.2f}, gate {GATE}")
    assert many <= GATE * few

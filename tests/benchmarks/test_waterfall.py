"""Cost of the waterfall per bankrupt account as many go bankrupt in one step (LOSS-1)."""

from time import process_time
from typing import Any

import numpy as np
import pytest
from markets import build, config, move, script, venue

from sim.market import Market

pytestmark = pytest.mark.benchmark

FEW, SOME, MANY, GATE = 2_000, 15_000, 50_000, 1.5


def before_the_fall(bankrupt: int, layers: list[dict[str, Any]], netting: str) -> Market:
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
    rules = venue(waterfall=layers, netting={"kind": netting})
    market = build(config(rules, steps=4, stresses=[move(4, -0.1)]), people)
    while market.tick < 3:
        market.step()
    return market


def cost(bankrupt: int, layers: list[dict[str, Any]], netting: str) -> float:
    """CPU seconds of the step of the fall, per bankrupt account."""
    market = before_the_fall(bankrupt, layers, netting)
    began = process_time()
    market.step()
    taken = process_time() - began
    losses = market.recorder.frames()["losses"]
    assert losses["owner"].nunique() == bankrupt
    assert set(losses["layer"]) == {layer["kind"] for layer in layers[:2]}
    return taken / bankrupt


@pytest.mark.parametrize("netting", ["cross", "isolated"])
@pytest.mark.parametrize("score", ["bitmex", "binance", "hyperliquid"])
def test_cost_per_bankrupt_account_does_not_grow_with_their_number(
    score: str, netting: str
) -> None:
    queue = {"kind": "adl_queue", "score": score}
    layers = [{"kind": "fund"}, queue, {"kind": "socialised"}]
    cost(200, layers, netting)  # compiles
    few = np.median([cost(FEW, layers, netting) for _ in range(3)])
    some, many = cost(SOME, layers, netting), cost(MANY, layers, netting)
    print(f"\n{score}, {netting}: µs per bankrupt account: {1e6 * few:.1f} of {FEW:,}", end="")
    print(f", {1e6 * some:.1f} of {SOME:,}, {1e6 * many:.1f} of {MANY:,}", end="")
    print(f"; ratio {many / few:.2f}, gate {GATE}")
    assert some <= GATE * few
    assert many <= GATE * few


@pytest.mark.parametrize(
    "layer",
    [{"kind": "adl_pro_rata"}, {"kind": "socialised"}, {"kind": "socialised", "base": "equity"}],
    ids=lambda layer: "-".join(layer.values()),
)
def test_layers_that_divide_every_loss_cost_in_proportion_to_the_accounts(
    layer: dict[str, Any],
) -> None:
    """Cost per bankrupt account and counterparty, as there are as many of both."""
    cost(200, [layer], "cross")  # compiles
    small, large = cost(FEW, [layer], "cross"), cost(4 * FEW, [layer], "cross")
    few, many = small / FEW, large / (4 * FEW)
    print(f"\n{layer['kind']}: ns per bankrupt account and counterparty: ", end="")
    print(f"{1e9 * few:.1f} of {FEW:,}, {1e9 * many:.1f} of {4 * FEW:,}", end="")
    print(f"; ratio {many / few:.2f}, gate {GATE}")
    assert many <= GATE * few

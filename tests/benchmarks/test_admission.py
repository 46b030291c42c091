"""Cost of admission per order where accounts cannot afford all of their orders (MAR-1)."""

from typing import Any

import numpy as np
import pytest
from benchmarks.timing import repeat, seconds
from markets import build, config, script, tiers, venue

from sim.market import Market
from sim.step.admission import admit_orders
from sim.types import I8, LIMIT, MISSING

pytestmark = pytest.mark.benchmark

BLOCKS, GATE = 5, 1.5
WEALTH, LOTS = 50.0, 100
"""Wealth of each member (units), enough for about a hundred lots, and lots of the largest order."""


def market_of(members: int, requirement: dict[str, Any]) -> Market:
    """A market in which members have some wealth, no position and no order."""
    people = [script([WEALTH] * members, {})]
    market = build(config(venue(requirement=requirement)), people)
    market.step()
    return market


def draw_orders(members: int, each: int) -> I8:
    """Orders of random sides and sizes that replace none, in a random order of arrival."""
    rng = np.random.default_rng(1)
    count = members * each
    lots = rng.integers(1, LOTS, count) * rng.choice([-1, 1], count)
    owners = rng.permutation(np.repeat(np.arange(members), each))
    columns = (owners, np.zeros(count), lots, np.full(count, 1000), np.full(count, LIMIT))
    return np.stack(
        [*columns, np.full(count, MISSING), np.zeros(count), np.full(count, MISSING)], 1
    )


@pytest.mark.parametrize(
    "requirement", [tiers(), {"kind": "size_weighted"}], ids=["tiered", "weighted"]
)
@pytest.mark.parametrize(
    ("few", "many"),
    [((1, 2_000), (1, 20_000)), ((1_000, 20), (10_000, 20))],
    ids=["one owner", "many owners"],
)
def test_cost_per_refused_order_does_not_grow_with_their_number(
    requirement: dict[str, Any], few: tuple[int, int], many: tuple[int, int]
) -> None:
    """Brackets are assessed by kernels, the other requirement by an engine in Python."""
    players, counts = [], []
    for members, each in (few, many):
        market, orders = market_of(members, requirement), draw_orders(members, each).astype(int)
        admitted = len(admit_orders(market.state, orders.copy())[0])
        assert 0 < admitted < len(orders) / 3
        players.append(
            repeat(lambda state=market.state, sent=orders: admit_orders(state, sent.copy()))
        )
        counts.append(len(orders))
    taken = np.array(seconds(players, [2, 1], BLOCKS))
    cost = np.median(taken, axis=1) / counts
    found = float(np.median(taken[1] / counts[1] / (taken[0] / counts[0])))
    print(f"\nns per order: {1e9 * cost[0]:.0f} of {few[0]:,} x {few[1]:,}", end="")
    print(f", {1e9 * cost[1]:.0f} of {many[0]:,} x {many[1]:,}; ratio {found:.2f}, gate {GATE}")
    assert found <= GATE

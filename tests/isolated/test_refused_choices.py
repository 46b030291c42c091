"""Orders are judged at the leverage that admitted orders chose (MAR-1, ISO-1)."""

import numpy as np
import pytest
from markets import BTC, build, config, script, venue

from sim.market import Market
from sim.types import LIMIT

MINE, OTHER = 0, 1
Wish = tuple[int, int]
"""Lots to buy, and leverage chosen in hundredths, 0 = none; 100 lots have a value of 100,000."""

CASES: dict[str, tuple[list[Wish], int, int, float]] = {
    "a refused choice does not raise the margin of another": (
        [(100, 0), (100, 100)],
        100,
        5_000,
        np.inf,
    ),
    "whichever comes first": ([(100, 100), (100, 0)], 100, 5_000, np.inf),
    "a refused choice does not replace an earlier one": (
        [(10, 200), (1_000, 2_000)],
        10,
        5_000,
        2.0,
    ),
    "a later choice applies to all": ([(10, 200), (90, 2_000), (1_000, 0)], 100, 5_000, 20.0),
    "and must be affordable for all": ([(100, 2_000), (10, 200), (1_000, 0)], 100, 5_000, 20.0),
}


def traded(wishes: list[Wish], lots: int, *, is_compiled: bool) -> Market:
    """A step in which the orders of owner 0 arrive, and another owner sells what may pass."""
    sent = [
        (MINE, 0, more, 1000, LIMIT, slot, chosen) for slot, (more, chosen) in enumerate(wishes)
    ]
    sell = (OTHER, 0, -lots, 1000, LIMIT, 0, 100)
    rules = venue(instruments=(BTC,), netting={"kind": "isolated"})
    market = build(config(rules, steps=1), [script([60.0, 1e6], {1: [*sent, sell]})])
    if is_compiled:
        market.advance(1)
    else:
        market.step()
    return market


@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_each_order_is_judged_at_the_leverage_of_admitted_orders(
    case: str, is_compiled: bool
) -> None:
    """A wallet of 6,000 at a venue of at most 20 times."""
    wishes, lots, margin, leverage = CASES[case]
    market = traded(wishes, lots, is_compiled=is_compiled)
    ledger, place = market.ledger, market.ledger.pool_numbers[0]
    assert ledger.position[0, MINE] == lots
    assert ledger.balance[0, place, MINE] + ledger.entry[0, MINE] == margin
    assert ledger.leverage[0, MINE] == leverage

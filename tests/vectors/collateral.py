"""Haircuts of collateral (margin.md §8)."""

from typing import Any

import numpy as np
from vectors.accounts import Account, Leg
from vectors.runner import Case, Engine

from sim.margin.valuations.brackets import BracketValuation

CENTS = 100_000_000
"""Minor units in a token and a dollar."""


def haircut(inputs: Case) -> Case:
    """Accounts with some units of a token worth a dollar, and the engine's collateral value."""
    ladder = zip(inputs["tier_cap_units"], inputs["discount"], strict=True)
    rule: Any = {"brackets": {"X": [{"cap": cap, "counted_share": share} for cap, share in ladder]}}
    valuation = BracketValuation.model_validate(rule)
    book = Account(0.0, {"P": Leg(1, 1.0)}, {}, decimals=2).book
    several = isinstance(inputs["qty"], list)
    tokens = np.rint(np.atleast_1d(inputs["qty"]) * CENTS).astype(np.int64)
    contracts = book.market.contracts._replace(assets=("USD", "X"), units=(CENTS, CENTS))
    market = book.market._replace(contracts=contracts, price=np.ones(2))
    book = book.take(np.zeros(len(tokens), dtype=np.int64))
    book = book._replace(balance=np.stack([0 * tokens, tokens], axis=1), market=market)
    held = book.balance[:, 1] - valuation.compute_haircuts(book).maintenance
    counted = (held / CENTS).tolist()
    return {"weighted_units": counted if several else counted[0]}


ENGINES: dict[str, Engine] = {
    "collateral_haircut": haircut,
}

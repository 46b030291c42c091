"""Random worlds with options, in which the tests of scans ask; those of ``sim.checks``."""

import numpy as np

from sim.checks.option_worlds import DAY
from sim.checks.option_worlds import make_accounts as account_book
from sim.checks.option_worlds import make_chain as chain
from sim.checks.option_worlds import make_market as view
from sim.types import Exposure, MarketView

__all__ = ["DAY", "account_book", "chain", "holding", "view", "world"]


def world(seed: int) -> tuple[np.random.Generator, Exposure]:
    """A market and its accounts."""
    rng = np.random.default_rng(seed)
    return rng, account_book(rng, view(rng), int(rng.integers(1, 30)))


def holding(market: MarketView, **lots: int) -> Exposure:
    """Return one account with the named lots, ``-`` written as ``_``, and no cash."""
    rng = np.random.default_rng(0)
    book = account_book(rng, market, 1)
    position = np.zeros((1, len(market.mark)), dtype=np.int64)
    for name, quantity in lots.items():
        position[0, market.contracts.names.index(name.replace("_", "-"))] = quantity
    return book._replace(position=position, balance=np.zeros_like(book.balance))

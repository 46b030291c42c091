"""Random and small worlds for the tests of margin; the random ones are those of ``sim.checks``."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from sim.checks.margin_worlds import UNIT, make_linear_accounts
from sim.checks.margin_worlds import freeze_columns as frozen
from sim.checks.margin_worlds import make_accounts as book_of
from sim.checks.margin_worlds import make_contracts as contracts_of
from sim.checks.margin_worlds import make_market as market_of
from sim.types import PERPETUAL, Exposure, Margins

__all__ = [
    "UNIT",
    "book_of",
    "close",
    "contracts_of",
    "equal",
    "exposure",
    "few",
    "frozen",
    "market_of",
    "seeds",
    "world",
]

STEEP: list[dict[str, float]] = [
    {"floor": 0, "max_leverage": 100, "maintenance": 0.004},
    {"floor": 50_000, "max_leverage": 50, "maintenance": 0.01},
    {"floor": 250_000, "max_leverage": 10},
    {"floor": 1_000_000, "max_leverage": 0.8, "maintenance": 1.25},
]
TIERED: dict[str, Any] = {
    "kind": "tiered",
    "tiers": STEEP,
    "instruments": {"i1": [{"floor": 0, "max_leverage": 3}]},
}

seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=20, deadline=None)


def world(seed: int) -> tuple[np.random.Generator, Exposure]:
    rng = np.random.default_rng(seed)
    return rng, make_linear_accounts(rng)


def exposure(lots: list[int], cap: float = np.inf, kind: int = PERPETUAL) -> Exposure:
    """Accounts in one instrument at mark 1000, one minor unit per tick and lot, without cash."""
    rng = np.random.default_rng(0)
    one = np.array([1], dtype=np.int64)
    contracts = contracts_of(rng, 1, 1)._replace(kind=kind * one, multiplier=one, settle=0 * one)
    market = market_of(rng, contracts, 1)._replace(mark=np.array([1000.0]))
    book = book_of(rng, market, len(lots))
    return book._replace(
        position=np.array(lots, dtype=np.int64)[:, None],
        leverage=np.full((len(lots), 1), cap),
        balance=np.zeros_like(book.balance),
        bids=np.zeros_like(book.bids),
        asks=np.zeros_like(book.asks),
        reserved=np.zeros_like(book.reserved),
    )


def close(got: Margins, expected: Margins, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(got.initial, expected.initial, rtol=rtol)
    np.testing.assert_allclose(got.maintenance, expected.maintenance, rtol=rtol)


def equal(got: Margins, expected: Margins) -> None:
    np.testing.assert_array_equal(got.initial, expected.initial)
    np.testing.assert_array_equal(got.maintenance, expected.maintenance)

"""Random and small worlds for the tests of margin: contracts, markets, books."""

from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from sim.types import PERPETUAL, SPOT, Contracts, Exposure, Margins, MarketView

UNIT = 100
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


def contracts_of(rng: np.random.Generator, instruments: int, assets: int) -> Contracts:
    ones = np.ones(instruments)
    return Contracts(
        names=tuple(f"i{k}" for k in range(instruments)),
        venue=np.zeros(instruments, dtype=np.int64),
        underlying=rng.integers(0, 2, instruments),
        settle=rng.integers(0, assets, instruments),
        kind=rng.choice([PERPETUAL, SPOT], instruments, p=[0.7, 0.3]),
        multiplier=rng.integers(1, 20, instruments),
        tick=ones,
        lot=ones,
        max_price=np.full(instruments, 10**9, dtype=np.int64),
        assets=("USD", "ALT")[:assets],
        units=(UNIT, UNIT)[:assets],
    )


def market_of(
    rng: np.random.Generator, contracts: Contracts, assets: int, tick: int = 0
) -> MarketView:
    count = len(contracts.names)
    mark = rng.integers(1, 100_000, count).astype(float)
    return MarketView(
        tick=tick,
        contracts=contracts,
        mark=mark,
        bid=mark - 1,
        ask=mark + 1,
        last=mark.copy(),
        depth=rng.uniform(1, 1e4, count),
        funding=rng.normal(0, 1e-4, count),
        open_interest=rng.integers(0, 10**6, count),
        oracle=rng.uniform(1, 1e5, 2),
        confidence=rng.uniform(0, 1, 2),
        vol=rng.uniform(0.1, 2, count),
        price=np.concatenate([[1.0], rng.uniform(0.5, 2, assets - 1)]),
        returns=rng.normal(0, 0.02, (50, 2)),
    )


def book_of(rng: np.random.Generator, market: MarketView, accounts: int) -> Exposure:
    """Some accounts as a pool sees them: transposed views that cannot be written."""
    count, assets = len(market.mark), len(market.price)

    def lots(low: int, high: int, width: int = count) -> np.ndarray[Any, Any]:
        return frozen(
            rng.integers(low, high, (width, accounts)) * (rng.random((width, accounts)) < 0.7)
        )

    caps = np.where(
        rng.random((count, accounts)) < 0.5, np.inf, rng.uniform(1, 100, (count, accounts))
    )
    return Exposure(
        balance=lots(-(10**8), 10**9, assets),
        pledged=lots(0, 1, assets),
        position=lots(-2_000, 2_000),
        bids=lots(0, 500),
        asks=lots(0, 500),
        reserved=lots(0, 10**6),
        entry=lots(-(10**8), 10**8),
        leverage=frozen(caps),
        market=market,
    )


def frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    array.flags.writeable = False
    return array.T


def world(seed: int) -> tuple[np.random.Generator, Exposure]:
    rng = np.random.default_rng(seed)
    assets = int(rng.integers(1, 3))
    contracts = contracts_of(rng, int(rng.integers(1, 5)), assets)
    return rng, book_of(rng, market_of(rng, contracts, assets), int(rng.integers(1, 30)))


def exposure(lots: list[int], cap: float = np.inf, kind: int = PERPETUAL) -> Exposure:
    """Accounts in one instrument at mark 1000, one minor unit per tick and lot, without cash."""
    rng = np.random.default_rng(0)
    one = np.array([1], dtype=np.int64)
    contracts = contracts_of(rng, 1, 1)._replace(kind=kind * one, multiplier=one, settle=0 * one)
    market = market_of(rng, contracts, 1)._replace(mark=np.array([1000.0]))
    book = book_of(rng, market, len(lots))
    empty = {
        name: np.zeros_like(getattr(book, name)) for name in ("balance", "bids", "asks", "reserved")
    }
    return book._replace(
        position=np.array(lots, dtype=np.int64)[:, None],
        leverage=np.full((len(lots), 1), cap),
        **empty,
    )


def close(got: Margins, expected: Margins, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(got.initial, expected.initial, rtol=rtol)
    np.testing.assert_allclose(got.maintenance, expected.maintenance, rtol=rtol)


def equal(got: Margins, expected: Margins) -> None:
    np.testing.assert_array_equal(got.initial, expected.initial)
    np.testing.assert_array_equal(got.maintenance, expected.maintenance)

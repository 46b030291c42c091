"""Makers whose inventory links instruments (AGT-2): reservation prices, limits, contagion."""

import json
from typing import Any

import numpy as np
import pytest
from bazaar import INDEX, SETTING, accounts, outlook
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import POPULATIONS
from agents.avellaneda_stoikov import AvellanedaStoikov
from agents.ladders import LadderMakers, QuoteContext
from agents.shared.maker_book import MakerBook
from experiments.config import load_run
from experiments.simulation import simulate_run
from sim.metrics.cascades import Frames
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import F8, Orders

KINDS = sorted(kind for kind, cls in POPULATIONS.items() if issubclass(cls, LadderMakers))
BTC, ETH = 0, 1
LOT = np.array([50_000 / 0.5 * 5, 2_000 / 0.1 * 10])  # minor units of a lot at the index
BOOK = {"correlation": 0.5, "half_life": None}


def makers(kind: str = "makers", **fields: object) -> LadderMakers:
    plain = {"kind": kind, "venue": "alpha", "count": 1, "wealth_sigma": 0, "heterogeneity": 0}
    population = POPULATIONS[kind].model_validate(plain | fields)
    assert isinstance(population, LadderMakers)
    population.start(SETTING, np.full((1, 6), 0.5))
    return population


def quote(population: LadderMakers, lots: tuple[int, int], tick: int = 1) -> Orders:
    position = np.zeros((1, 5), dtype=np.int64)
    position[0, :2] = lots
    return population.decide(outlook(tick), accounts(1, 1e11, position), np.empty((1, 0)))


def shown(orders: Orders, instrument: int) -> tuple[int, int]:
    """Lots bid and offered."""
    lots = orders.quantity[orders.instrument == instrument]
    return int(lots[lots > 0].sum()), int(-lots[lots < 0].sum())


def best_bid(orders: Orders, instrument: int) -> int:
    return int(orders.limit[(orders.instrument == instrument) & (orders.quantity > 0)].max())


def indifference(i: int, side: int, q: F8, aversion: float, covariance: F8) -> float:
    """Price, less the present one, at which one more unit leaves expected utility as it is.

    Wealth is normal, so that the certainty equivalent of q is -gamma/2 q' S q; see
    ``test_shifts_are_those_of_exponential_utility``.
    """

    def certain(held: F8) -> float:
        return float(-aversion / 2 * held @ covariance @ held)

    return side * (certain(q + side * np.eye(q.size)[i]) - certain(q))


SHARES = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(np.array)
VOLS = st.lists(st.floats(0.05, 3), min_size=3, max_size=3).map(np.array)


@given(SHARES, VOLS, st.lists(st.floats(-1, 1), min_size=9, max_size=9), st.floats(0.1, 10))
def test_shifts_are_those_of_exponential_utility(
    shares: F8, vols: F8, loadings: list[float], aversion: float
) -> None:
    """The mean of the prices at which a book of three assets buys and sells another unit."""
    factors = np.reshape(loadings, (3, 3)) + np.eye(3) * 2.5
    rows = factors / np.linalg.norm(factors, axis=1)[:, None]
    correlation = rows @ rows.T
    population = makers("avellaneda_stoikov", risk_aversion=aversion)
    assert isinstance(population, AvellanedaStoikov)
    found = MakerBook().start(SETTING, population._members.scope)
    lean, _ = MakerBook().link(found._replace(correlation=correlation), vols, shares[None])
    step = np.sqrt(60 / YEAR_SECONDS)
    shift, _ = population.compute_quote_offsets(QuoteContext(lean, vols, step, np.ones((1, 1))))
    tau = population.horizon / YEAR_SECONDS
    covariance = correlation * np.outer(vols, vols) * tau
    fills = shares * population.max_inventory / population.fill_size
    gamma = aversion * population.fill_size
    for i in range(3):
        prices = [indifference(i, side, fills, gamma, covariance) for side in (1, -1)]
        assert shift[0, i] == pytest.approx(np.mean(prices), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_inventory_elsewhere_moves_quotes_by_its_correlation(kind: str) -> None:
    bids = {
        rho: best_bid(quote(makers(kind, book=BOOK | {"correlation": rho}), (100_000, 0)), ETH)
        for rho in (0.0, 0.5, 0.9)
    }
    alone = best_bid(quote(makers(kind), (100_000, 0)), ETH)
    assert alone == bids[0.0] > bids[0.5] > bids[0.9]
    hedged = (50_000, -int(50_000 * LOT[BTC] / LOT[ETH]))
    certain = makers(kind, book=BOOK | {"correlation": 0.99})
    assert abs(best_bid(quote(certain, hedged), BTC) - best_bid(quote(certain, (0, 0)), BTC)) < 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_of_the_whole_book_stops_both_instruments(kind: str) -> None:
    """At a full inventory in BTC no side of ETH is left, and BTC is still reduced."""
    full, half = 2e11 / LOT[BTC], 1e11 / LOT[BTC]
    free = quote(makers(kind), (int(full), 0))
    assert min(shown(free, ETH)) > 0
    orders = quote(makers(kind, book=BOOK), (int(full), 0))
    assert shown(orders, ETH) == (0, 0)
    assert shown(orders, BTC)[0] == 0
    assert shown(orders, BTC)[1] > 0
    whole = shown(free, ETH)[0]
    for side in shown(quote(makers(kind, book=BOOK), (int(half), 0)), ETH):
        assert side == pytest.approx(whole / 2, abs=1)


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(-500_000, 500_000))
def test_a_book_of_one_instrument_changes_nothing(kind: str, lots: int) -> None:
    one = {"instruments": ("BTC-PERP",)}
    plain, linked = (quote(makers(kind, **one, **more), (lots, 0)) for more in ({}, {"book": {}}))
    for column, other in zip(plain, linked, strict=True):
        np.testing.assert_array_equal(column, other)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.95, 0.95), st.integers(0, 2**32 - 1))
def test_makers_learn_the_correlation(rho: float, seed: int) -> None:
    """By exponential weights, of which the prior has what is left."""
    normal = np.random.default_rng(seed).standard_normal((200, 2))
    returns = 1e-3 * np.stack(
        [normal[:, 0], rho * normal[:, 0] + np.sqrt(1 - rho**2) * normal[:, 1]], axis=1
    )
    population = makers(book={"correlation": 0.2, "half_life": 60.0 * 40})
    book, found = population.book, population._correlations
    assert book is not None
    assert found is not None
    paths = INDEX * np.exp(np.vstack([np.zeros(2), returns.cumsum(axis=0)]))
    for tick, index in enumerate(paths):
        for _ in range(2):  # a second call in a tick changes nothing
            book.observe(found, population._members.scope, outlook(tick, index=index))
    weights = 0.5 ** (np.arange(200)[::-1] / 40)
    product = (returns * weights[:, None]).T @ returns
    expected = product[0, 1] / np.sqrt(product[0, 0] * product[1, 1])
    left = 0.5 ** (200 / 40)
    assert found.correlation[0, 1] == pytest.approx(expected + left * (0.2 - expected), abs=1e-9)
    assert (np.diag(found.correlation) == 1).all()


def test_depth_follows_the_leverage_that_the_engine_admits() -> None:
    def bids(elasticity: float, leverage: float) -> int:
        population = makers(depth_elasticity=elasticity, reference_leverage=20)
        view = outlook(leverage=float(leverage))
        return shown(population.decide(view, accounts(1, 1e11), np.empty((1, 0))), BTC)[0]

    whole = bids(0, 20)
    assert bids(0, 80) == bids(1, 20) == whole
    assert bids(0.5, 80) == pytest.approx(2 * whole, abs=2)
    assert bids(1, 5) == pytest.approx(whole / 4, abs=2)


PEOPLE: dict[str, Any] = {"kind": "traders", "venue": "exchange", "count": 150}
PEOPLE |= {"wealth": 20_000, "wealth_sigma": 0.5, "leverage": 3, "elasticity": 0}
PEOPLE |= {"initial_entry_share": 0.8, "warm_up": 900, "entries_per_day": 2}
SHORT = {"name": "short", "instruments": ["BTC-PERP"], "long_share": 0}
TRADERS = [PEOPLE | SHORT, PEOPLE | {"instruments": ["ETH-PERP"]}]
MAKERS: dict[str, Any] = {"kind": "makers", "venue": "exchange", "count": 3, "wealth": 2_000_000}
MAKERS |= {"wealth_sigma": 0, "heterogeneity": 0, "half_spread": 2}
FALL = "stresses=[{kind: move, at: 1800, duration: 1800, size: -0.2, underlyings: [btc]}]"


def run(crowd: list[dict[str, Any]], *more: str) -> Frames:
    given = [f"populations={json.dumps([*TRADERS, *crowd])}", "duration=3600", *more]
    return simulate_run(load_run("two_coins", given))


def desks() -> list[dict[str, Any]]:
    """The same makers with a capital for each coin; limits and depth are the same in money."""
    half = MAKERS | {"wealth": MAKERS["wealth"] / 2, "max_inventory": 4}
    return [half | {"name": coin, "instruments": [f"{coin}-PERP"]} for coin in ("BTC", "ETH")]


def eth(crowd: list[dict[str, Any]], *more: str) -> tuple[float, float]:
    """Mean ETH depth within 1%, lots, and distance of its mark from the oracle, basis points."""
    steps = run(crowd, *more)["steps"]
    late = steps[(steps["instrument"] == "ETH-PERP") & (steps["step"] > 45)]
    return float(late["depth"].mean()), float((late["mark"] / late["oracle"] - 1).mean()) * 1e4


def test_a_fall_of_one_coin_thins_the_other_only_through_its_makers() -> None:
    """Makers are long BTC. The same draws with and without the fall."""
    apart, still = eth(desks(), FALL), eth(desks())
    assert apart == pytest.approx(still, rel=0.005)
    joint, linked = eth([MAKERS], FALL), eth([MAKERS | {"book": {}}], FALL)
    assert joint[0] < 0.9 * eth([MAKERS])[0]
    assert linked[0] < 0.9 * joint[0]
    assert linked[1] < joint[1] - 2

"""Latent liquidity: uniform intentions and trades leave a V-shaped book (Toth et al. 2011)."""

import numpy as np
import pytest
from bazaar import INDEX, SETTING, accounts, outlook

from agents.latent_liquidity import LatentLiquidity
from sim.types import F8, I8, LIMIT, Orders

MARK = INDEX[0] / 0.5
LOT_BTC = MARK * 5  # minor units of a lot at the index
NEVER = 1e15


def latent(count: int, **fields: object) -> LatentLiquidity:
    plain = {
        "venue": "alpha",
        "count": count,
        "instruments": ("BTC-PERP",),
        "lifetime": NEVER,
        "return_time": NEVER,
    }
    population = LatentLiquidity.model_validate(plain | fields)
    population.start(SETTING, np.random.default_rng(5).random((count, 2)))
    return population


def ask(
    population: LatentLiquidity,
    tick: int,
    held: I8 | None = None,
    price: float = 1.0,
    seed: int = 0,
) -> Orders:
    """Orders at a tick of members who hold some lots, the index having moved by a factor."""
    position = np.zeros((population.count, 5), dtype=np.int64)
    position[:, 0] = 0 if held is None else held
    draws = np.random.default_rng((seed, tick)).random((population.count, 2))
    return population.decide(
        outlook(tick, index=INDEX * price),
        accounts(population.count, 10 * LOT_BTC, position),
        draws,
    )


def test_only_what_is_near_is_shown() -> None:
    """A fifth of the intentions on 10% lie within 2%: bids below the mark, offers above."""
    orders = ask(latent(20_000, price_range=0.1, reveal_distance=0.02, size=0.5), 1)
    away = orders.limit / MARK - 1
    assert len(orders.owner) / 20_000 == pytest.approx(0.2, abs=0.01)
    assert (np.abs(away) <= 0.02).all()
    assert (np.sign(away) == -np.sign(orders.quantity)).all()
    assert set(np.abs(orders.quantity).tolist()) == {5}
    assert (orders.kind == LIMIT).all()
    assert np.histogram(away, bins=4)[0] == pytest.approx(np.full(4, len(away) / 4), rel=0.1)


def test_an_order_leaves_the_book_when_the_price_goes_and_returns_with_it() -> None:
    population = latent(1_000)
    shown = ask(population, 1)
    bids, asks = shown.take(shown.quantity > 0), shown.take(shown.quantity < 0)
    higher = ask(population, 2, price=1.03)
    assert set(higher.owner[higher.quantity == 0].tolist()) == set(bids.owner.tolist())
    assert set(asks.owner.tolist()) <= set(higher.owner[higher.quantity < 0].tolist()), (
        "crossed: it would trade"
    )
    back = ask(population, 3)
    again = back.take(back.quantity != 0)
    assert all(np.array_equal(a, b) for a, b in zip(again, shown, strict=True))


def test_what_traded_pauses_and_comes_back_to_leave_the_position() -> None:
    """No member returns from an endless pause; after one of a minute a share 1 - 1 / e does."""
    for pause, returned in ((NEVER, 0.0), (60.0, 1 - np.exp(-1))):
        population = latent(4_000, price_range=0.02, reveal_distance=0.02, return_time=pause)
        first = ask(population, 1)
        held = np.zeros(4_000, dtype=np.int64)
        held[first.owner] = first.quantity
        orders = ask(population, 2, held).take(slice(None))
        orders = orders.take(orders.quantity != 0)
        assert len(orders.owner) / 4_000 == pytest.approx(returned, abs=0.03)
        assert (orders.quantity == -held[orders.owner]).all()


def test_a_part_that_traded_leaves_the_rest_where_it_was() -> None:
    population = latent(100, price_range=0.02, reveal_distance=0.02)
    first = ask(population, 1)
    held = np.zeros(100, dtype=np.int64)
    held[first.owner] = np.trunc(first.quantity * 0.4).astype(np.int64)
    rest = ask(population, 2, held)
    assert np.array_equal(rest.limit, first.limit)
    assert np.array_equal(rest.quantity, first.quantity - held[first.owner])


def test_intentions_are_dropped_at_their_rate() -> None:
    population = latent(10_000, price_range=0.02, reveal_distance=0.02, lifetime=600.0)
    prices = [ask(population, tick).limit for tick in (1, 2)]
    assert (prices[0] != prices[1]).mean() == pytest.approx(1 - np.exp(-0.1), abs=0.01)


def density(population: LatentLiquidity, walk: F8, edges: F8) -> F8:
    """Return lots shown by distance from the mark after a walk of the price that fills orders."""
    held = np.zeros(population.count, dtype=np.int64)
    for tick, (now, then) in enumerate(zip(walk, [*walk[1:], walk[-1]], strict=True), start=1):
        orders = ask(population, tick, held, now)
        away = np.abs(orders.limit / (MARK * now) - 1)
        met = np.where(
            orders.quantity > 0, orders.limit >= MARK * then, orders.limit <= MARK * then
        )
        held[orders.owner[met]] += orders.quantity[met]
    return np.histogram(away, bins=edges, weights=np.abs(orders.quantity))[0].astype(np.float64)


def test_the_price_eats_a_v_into_the_book() -> None:
    """Depth stays uniform at a still price and rises with distance after half a day of moves."""
    edges = np.linspace(0, 0.02, 5)
    steps = np.random.default_rng(8).normal(0, 0.001, 400)
    fields = {"lifetime": 43_200.0, "return_time": 3600.0, "price_range": 0.05}
    still = density(latent(8_000, **fields), np.ones(2), edges)
    moved = density(latent(8_000, **fields), np.exp(np.cumsum(steps)), edges)
    assert still == pytest.approx(np.full(4, still.mean()), rel=0.1)
    assert (np.diff(moved) > 0).all()
    assert moved[0] < 0.4 * moved[3]

"""Kernels that sum accounts and ladders: the same bits as their plain twins."""

from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import few, seeds, world
from hypothesis import given
from hypothesis import strategies as st

from agents.base import count_whole_lots
from agents.shared import ladder_orders
from agents.shared.entry_exit import order_sizes
from sim.exchange.mark import compute_median_mark
from sim.margin import leg_values
from sim.margin.tail import tail
from sim.margin.tiers import lognormal
from sim.margin.valuations import cash, collateral
from sim.margin.wrappers import scaling_wrapper
from sim.numerics import account_sums
from sim.numerics.rounding import round_up
from sim.types import SPOT, Exposure


def alike(kernel: Any, *arguments: Any) -> Any:
    """Return the result of a kernel after comparing it with its plain twin."""
    with np.errstate(invalid="ignore"):
        found, plain = kernel(*arguments), kernel.py_func(*arguments)
    np.testing.assert_array_equal(found, plain)
    return found


def terms(book: Exposure) -> tuple[Any, ...]:
    market = book.market
    return market.price, market.mark, market.contracts.multiplier, market.contracts.settle


@few
@given(seed=seeds)
def test_equity_and_reserves(seed: int) -> None:
    _, book = world(seed)
    price, mark, multiplier, settle = terms(book)
    total = book.balance[:, 0] * price[0]
    for asset in range(1, price.size):
        total = total + book.balance[:, asset] * price[asset]
    for k in range(mark.size):
        total = total + book.position[:, k] * (mark * multiplier * price[settle])[k]
    found = alike(
        account_sums.sum_equity, book.balance, book.position, price, mark, multiplier, settle
    )
    np.testing.assert_array_equal(found, total)
    np.testing.assert_array_equal(book.equity(), total)
    staked = sum(book.reserved[:, k] * price[settle[k]] for k in range(mark.size))
    np.testing.assert_array_equal(
        alike(account_sums.sum_reserved, book.reserved, price, settle), staked
    )


@few
@given(seed=seeds)
def test_what_is_held_besides_cash(seed: int) -> None:
    _, book = world(seed)
    contracts = book.market.contracts
    worth, spot = alike(
        leg_values._compute_lot_values,
        *(book.market.mark, contracts.multiplier, book.market.price),
        *contracts[3:5],
    )
    np.testing.assert_array_equal(spot, contracts.kind == SPOT)
    np.testing.assert_array_equal(
        worth, book.market.mark * contracts.multiplier * book.market.price[contracts.settle]
    )
    assets, spots = collateral.value_collateral(book)
    per = contracts.multiplier, contracts.settle, contracts.kind
    found = alike(
        cash.sum_noncash_values,
        book.balance,
        book.position,
        book.market.price,
        book.market.mark,
        *per,
    )
    np.testing.assert_array_equal(found, assets.sum(axis=1) + spots.sum(axis=1))


@few
@given(seed=seeds, riskiest=st.booleans(), share=st.sampled_from([0.0, 0.5]))
def test_legs_of_lognormal_margin(seed: int, riskiest: bool, share: float) -> None:
    _, book = world(seed)
    count, rng = book.position.shape[1], np.random.default_rng(seed)
    spot, (long, short), funding = (
        book.market.contracts.kind == SPOT,
        rng.random((2, count)),
        rng.normal(size=count),
    )
    held, buys = np.where(spot, 0, np.maximum(book.position, 0)), np.where(spot, 0, book.bids)
    owed = np.maximum(-book.position, 0)
    bought = (held + riskiest * buys) * 0.01 + (held + buys) * long
    sold = (owed + riskiest * book.asks) * 0.01 + (owed + book.asks) * short
    bought, sold = bought * (book.position + book.bids > 0), sold * (book.position - book.asks < 0)
    due = np.where(spot, 0.0, np.maximum(book.position * funding, 0.0) * share)
    found = alike(
        lognormal.compute_leg_maintenance,
        *(book.position, book.bids, book.asks, spot, long, short, 0.01, riskiest, funding, share),
    )
    np.testing.assert_array_equal(found, np.maximum(bought, sold) + due)


@pytest.mark.parametrize("seed", range(5))
def test_ladders(seed: int) -> None:
    rng, turn = np.random.default_rng(seed), np.array([1.0, -1.0])
    whole, filled, held = (
        rng.random((3, 2)) * 50,
        rng.uniform(-1, 1, (3, 2)),
        rng.integers(-30, 30, (3, 2)),
    )
    capital, fair, half = (
        rng.random((3, 1)),
        rng.uniform(5, 200, (3, 2)),
        rng.uniform(0.01, 0.2, (3, 2)),
    )
    elsewhere = rng.uniform(-0.5, 1, (3, 2)).clip(0)
    depth = alike(ladder_orders.compute_side_depths, whole, capital, filled, elsewhere, held)
    used = elsewhere[..., None] + np.maximum(filled[..., None] * turn, 0)
    adding = (whole * capital)[..., None] * (1 - np.minimum(used, 1))
    reducing = np.minimum(whole[..., None], np.maximum(-held[..., None] * turn, 0))
    np.testing.assert_array_equal(depth, np.maximum(adding, reducing))
    depth[0, 0] = np.inf  # a lot without worth: nothing can be quoted
    distance, share, highest = (
        np.array([1.0, 2.0, 5.0]),
        np.array([0.0, 0.2, 0.6, 1.0]),
        np.array([150, 160]),
    )
    quantity, limit = alike(
        ladder_orders._compute_levels, fair, half, depth, distance, share, highest
    )
    away = turn[:, None] * (half[..., None, None] * distance)
    price = turn[:, None] * np.floor(turn[:, None] * (fair[..., None, None] * (1 - away)))
    with np.errstate(invalid="ignore"):
        lots = np.diff(np.floor(depth[..., None] * share))
    shown = (price >= 1) & (price <= highest[:, None, None]) & np.isfinite(lots)
    np.testing.assert_array_equal(quantity, np.where(shown, turn[:, None] * lots, 0))
    np.testing.assert_array_equal(limit, np.where(shown, price, 1))
    assert shown.any()
    assert not shown.all()


def test_marks() -> None:
    rng = np.random.default_rng(7)
    mid, last, oracle = 1000 * rng.uniform(0.9, 1.1, (3, 200))
    mid[::3], basis, bare = np.nan, rng.uniform(-0.06, 0.06, 200), rng.random(200) < 0.2
    fair = oracle * (1 + basis)
    middle = np.where(np.isnan(mid), (last + fair) / 2, np.median([mid, last, fair], axis=0))
    clamped = np.clip(np.where(bare, fair, middle), oracle * 0.95, oracle * 1.05)
    np.testing.assert_array_equal(
        alike(compute_median_mark, mid, last, oracle, basis, bare, 0.05), np.rint(clamped)
    )


@few
@given(seed=seeds)
def test_tails_of_one_underlying(seed: int) -> None:
    _, book = world(seed)
    worth, spot = leg_values.compute_lot_values(book.market)
    value = alike(tail.compute_margined_value, book.position, worth, spot)
    np.testing.assert_array_equal(
        value, np.sign(book.position) * leg_values.compute_margined_notional(book)
    )
    rates, net = np.array([0.1, 0.13]), total(value)
    kept = np.maximum(
        np.where(net >= 0, rates[0], rates[1]) * np.abs(net), 0.02 * total(np.abs(value))
    )
    found = alike(tail.margin_net_position, value, book.leverage, rates, 0.02, 0.5)
    np.testing.assert_array_equal(found[0], np.maximum(kept, total(np.abs(value) / book.leverage)))
    np.testing.assert_array_equal(found[1], 0.5 * kept)


@few
@given(seed=seeds)
def test_mean_factors(seed: int) -> None:
    rng, book = world(seed)
    gross, count = leg_values.compute_gross_notional(book), book.position.shape[1]
    rate, factor = rng.random((2, 2, count))
    alone = gross * np.where(book.position >= 0, rate[0], rate[1])
    weighted = total(alone * np.where(book.position >= 0, factor[0], factor[1]))
    expected = np.divide(weighted, total(alone), out=np.ones(len(alone)), where=total(alone) > 0)
    found = alike(
        scaling_wrapper.compute_mean_factor,
        book.position,
        leg_values.compute_lot_values(book.market)[0],
        rate,
        factor,
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(40,), (20, 2), (0, 3)])
def test_rounding_up(shape: tuple[int, ...]) -> None:
    amounts = np.random.default_rng(3).normal(0, 1e4, shape)
    amounts[::3] = np.rint(amounts[::3]) * (1 + 1e-15)
    amounts[:1] = np.inf
    near = np.rint(amounts)
    with np.errstate(invalid="ignore"):
        dust = np.abs(amounts - near) <= 1e-12 * np.maximum(1.0, np.abs(near))
    np.testing.assert_array_equal(alike(round_up, amounts), np.where(dust, near, np.ceil(amounts)))
    np.testing.assert_array_equal(round_up(amounts.T), round_up(amounts).T)


def test_sizes_of_entries() -> None:
    rng = np.random.default_rng(5)
    opinion, value, lot, mark = (
        rng.normal(size=90),
        rng.normal(1e6, 1e6, 90),
        rng.uniform(0, 1e4, 90),
        rng.random(90),
    )
    value[:3], lot[5:8] = (np.inf, np.nan, 1e300), 0.0
    highest = rng.integers(900, 1100, 90)
    lots, limit = alike(order_sizes, opinion, value, lot, 1000 * (1 + mark), highest, 0.1)
    np.testing.assert_array_equal(
        lots, np.sign(opinion).astype(np.int64) * count_whole_lots(value, lot)
    )
    worst = np.rint(1000 * (1 + mark) * (1 + np.sign(opinion) * 0.1))
    np.testing.assert_array_equal(limit, np.clip(worst, 1, highest))


def total(columns: Any) -> Any:
    """Columns (A, K) added one after another."""
    return sum(columns[:, k] for k in range(columns.shape[1]))

"""Makers (AGT-2): ladders, inventory, capital, and the formulas of Avellaneda and Stoikov."""

import math

import numpy as np
import pytest
from bazaar import INDEX, SETTING, UNIT, accounts, outlook
from hypothesis import given
from hypothesis import strategies as st

from agents import POPULATIONS
from agents.avellaneda_stoikov import (
    AvellanedaStoikov,
    compute_reservation_shift,
    compute_total_spread,
)
from agents.ladders import LadderMakers, QuoteContext
from sim.pricing.instrument_values import YEAR_SECONDS
from sim.types import I8, POST_ONLY, Orders

BTC = 0
LOT_BTC = 50_000 / 0.5 * 5  # minor units of a lot at the index
KINDS = sorted(kind for kind, cls in POPULATIONS.items() if issubclass(cls, LadderMakers))


def makers(count: int = 5, kind: str = "makers", **fields: object) -> LadderMakers:
    plain = {
        "kind": kind,
        "venue": "alpha",
        "count": count,
        "instruments": ("BTC-PERP",),
        "wealth_sigma": 0.0,
    }
    population = POPULATIONS[kind].model_validate(plain | fields)
    assert isinstance(population, LadderMakers)
    population.start(SETTING, np.random.default_rng(3).random((count, 6)))
    return population


def holding(count: int, lots: int) -> I8:
    position = np.zeros((count, 5), dtype=np.int64)
    position[:, BTC] = lots
    return position


def sides(orders: Orders) -> tuple[int, int]:
    """Lots bid and offered."""
    return int(orders.quantity[orders.quantity > 0].sum()), int(
        -orders.quantity[orders.quantity < 0].sum()
    )


def best(orders: Orders) -> tuple[int, int]:
    """Best bid and ask, ticks."""
    return int(orders.limit[orders.quantity > 0].max()), int(
        orders.limit[orders.quantity < 0].min()
    )


def test_the_ladder_has_the_depth_of_a_real_book() -> None:
    """Cumulative depth at ten times the distance is about 4.7 times (targets A11)."""
    population = makers(40, levels=20)
    orders = population.decide(outlook(vol=0.5), accounts(40, equity=1e11), np.empty((40, 0)))
    away = np.abs(orders.limit / (INDEX[0] / 0.5) - 1) * 1e4  # basis points
    near = [np.abs(orders.quantity[away <= bp]).sum() for bp in (3.0, 5.0, 8.0)]
    far = [np.abs(orders.quantity[away <= 10 * bp]).sum() for bp in (3.0, 5.0, 8.0)]
    assert np.mean(np.divide(far, near)) == pytest.approx(4.7, rel=0.15)


@pytest.mark.parametrize("kind", KINDS)
def test_slots_are_fixed_and_quotes_never_cross(kind: str) -> None:
    population = makers(kind=kind)
    orders = population.decide(outlook(), accounts(5, equity=1e10), np.empty((5, 0)))
    assert len(orders.owner) == 5 * 20
    assert sorted(set(orders.slot.tolist())) == list(range(20))
    for member in range(5):
        own = orders.take(orders.owner == member)
        assert own.limit[own.quantity > 0].max() < own.limit[own.quantity < 0].min()
        assert (np.sign(own.quantity) == np.where(own.slot < 10, 1, -1)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_notional_of_a_side_is_depth_times_equity(kind: str) -> None:
    population = makers(kind=kind, count=1, depth=2.0, heterogeneity=0.0)
    bids, asks = sides(population.decide(outlook(), accounts(1, equity=1e11), np.empty((1, 0))))
    assert bids == asks == np.floor(2.0 * 1e11 / LOT_BTC)


def test_quotes_widen_and_shrink_with_volatility_and_shrink_with_liquidity() -> None:
    population = makers(count=1, heterogeneity=0.0)

    def spread_and_depth(vol: float, liquidity: float = 1.0) -> tuple[float, int]:
        view = outlook(vol=vol, liquidity=liquidity)
        orders = population.decide(view, accounts(1, equity=1e11), np.empty((1, 0)))
        bid, ask = best(orders)
        return (ask - bid) / (INDEX[0] / 0.5) * 1e4, sides(orders)[0]

    calm, wild, thin = spread_and_depth(0.5), spread_and_depth(2.4), spread_and_depth(0.5, 0.1)
    assert 1 <= calm[0] <= 10, "median quoted spread 1-10 bp"
    assert wild[0] > 4 * calm[0]
    assert wild[1] == pytest.approx(calm[1] / 4, abs=1)
    assert thin[1] == pytest.approx(calm[1] / 10, abs=1)


@pytest.mark.parametrize("kind", KINDS)
def test_capital_that_runs_short_takes_liquidity_away(kind: str) -> None:
    """AGT-2, and its switch; what reduces inventory is quoted regardless."""
    book = accounts(1, equity=1e11, headroom=0.03e11, position=holding(1, 20_000))
    bids, asks = sides(
        makers(kind=kind, count=1, heterogeneity=0.0).decide(outlook(), book, np.empty((1, 0)))
    )
    whole = int(1e11 / LOT_BTC)
    assert bids < 0.1 * whole
    assert asks == 20_000
    stays = makers(
        kind=kind, count=1, heterogeneity=0.0, is_capital_limited=False, wealth=1e11 / UNIT
    )
    for equity in (1e11, 0.4e11):
        book = accounts(1, equity, headroom=0.03e11, position=holding(1, 20_000))
        bids, asks = sides(stays.decide(outlook(), book, np.empty((1, 0))))
        assert bids == pytest.approx(whole * (1 - 20_000 * LOT_BTC / 2e11), abs=1)
        assert asks == whole


@pytest.mark.parametrize("kind", KINDS)
def test_inventory_leans_on_the_price(kind: str) -> None:
    population = makers(kind=kind, count=1, heterogeneity=0.0)
    quotes = [
        best(population.decide(outlook(), accounts(1, 1e11, holding(1, lots)), np.empty((1, 0))))
        for lots in (-100_000, 0, 100_000)
    ]
    for side in zip(*quotes, strict=True):
        assert side[0] > side[1] > side[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_inventory_adds_no_more(kind: str) -> None:
    population = makers(kind=kind, count=1)
    orders = population.decide(outlook(), accounts(1, 1e11, holding(1, 400_000)), np.empty((1, 0)))
    assert sides(orders)[0] == 0
    assert sides(orders)[1] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_makers_learn_the_basis(kind: str) -> None:
    """Half of it in a half-life, weighted."""
    population = makers(
        kind=kind, count=1, heterogeneity=0.0, basis_half_life=600.0, basis_weight=1.0
    )
    for tick in range(1, 11):
        orders = population.decide(outlook(tick, basis=0.01), accounts(1, 1e11), np.empty((1, 0)))
    centre = orders.limit[[0, 10]].mean()
    assert centre / (INDEX[0] / 0.5) - 1 == pytest.approx(0.005, rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_slow_makers_refresh_in_turn(kind: str) -> None:
    population = makers(200, kind, refresh_time=600.0, heterogeneity=0.2)
    quoted = [
        len(
            set(
                population.decide(
                    outlook(tick), accounts(200, 1e10), np.empty((200, 0))
                ).owner.tolist()
            )
        )
        for tick in range(120)
    ]
    assert np.mean(quoted) == pytest.approx(20, rel=0.15)
    assert max(quoted) < 45


@pytest.mark.parametrize("kind", KINDS)
def test_quotes_are_post_only_unless_told(kind: str) -> None:
    assert (
        makers(kind=kind, post_only=True).decide(outlook(), accounts(5), np.empty((5, 0))).kind
        == POST_ONLY
    ).all()
    assert (
        makers(kind=kind, post_only=False).decide(outlook(), accounts(5), np.empty((5, 0))).kind
        != POST_ONLY
    ).all()


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_depth_falls_with_the_capital_lost(kind: str, left: list[float]) -> None:
    """Funding spiral: quotes of a flat maker shrink as equity is lost, to none at zero equity."""
    population = makers(kind=kind, count=1)
    shown = [
        sides(population.decide(outlook(), accounts(1, share * 1e11), np.empty((1, 0))))
        for share in sorted(left)
    ]
    assert shown == sorted(shown)
    assert sides(population.decide(outlook(), accounts(1, 0.0), np.empty((1, 0)))) == (0, 0)
    assert sides(population.decide(outlook(), accounts(1, 1e11), np.empty((1, 0))))[0] > 0


@pytest.mark.parametrize("kind", KINDS)
@given(st.floats(0, 3), st.floats(0, 3))
def test_volatility_never_narrows_or_thickens_a_ladder(kind: str, one: float, other: float) -> None:
    population = makers(kind=kind, count=1)
    low, high = (
        population.decide(outlook(vol=vol), accounts(1, 1e11), np.empty((1, 0)))
        for vol in sorted((one, other))
    )
    assert best(low)[0] >= best(high)[0]
    assert best(low)[1] <= best(high)[1]
    assert sides(low) >= sides(high)


class TestAvellanedaStoikov:
    def test_the_formulas_by_hand(self) -> None:
        """Parameters of the paper: sigma 2, gamma 0.1, k 1.5, horizon 1; 20 ln(16 / 15) + 0.4."""
        gamma, variance = np.array([[0.1]]), np.array([4.0])
        assert compute_reservation_shift(np.array([[-3.0]]), gamma, variance)[
            0, 0
        ] == pytest.approx(1.2, rel=1e-12)
        assert compute_total_spread(gamma, 1.5, variance)[0, 0] == pytest.approx(
            1.690770422751423, rel=1e-12
        )

    def test_quotes_by_hand(self) -> None:
        """Half the inventory is 10 fills; gamma 0.1, sigma^2 tau 0.25 / 365, k 1e4 per log unit."""
        population = makers(kind="avellaneda_stoikov", count=1)
        assert isinstance(population, AvellanedaStoikov)
        step = math.sqrt(60 / YEAR_SECONDS)
        shift, half = population.compute_quote_offsets(
            QuoteContext(np.array([[0.5]]), np.array([0.5]), step, np.ones((1, 1)))
        )
        assert shift[0, 0] == pytest.approx(-0.25 / 365, rel=1e-12)
        assert 2 * half[0, 0] == pytest.approx(
            0.025 / 365 + 20 * 9.99995000033333083e-06, rel=1e-12
        )

    POSITIVE = st.floats(1e-6, 1e3)
    FILLS = st.floats(-100, 100).map(
        lambda held: round(held, 6)
    )  # a product with rounding dust would be zero

    @given(POSITIVE, POSITIVE, POSITIVE, FILLS, st.floats(1, 10))
    def test_monotonicities(
        self, gamma: float, k: float, variance: float, q: float, more: float
    ) -> None:
        """Without inventory no shift; risk and aversion raise it; slow fills widen the spread."""
        aversion, risk, inventory = np.array([gamma]), np.array([variance]), np.array([q])
        shift, spread = (
            compute_reservation_shift(inventory, aversion, risk),
            compute_total_spread(aversion, k, risk),
        )
        assert np.sign(shift) == -np.sign(q)
        assert compute_reservation_shift(inventory + 1, aversion, risk) < shift
        for steeper in (
            compute_reservation_shift(inventory * more, aversion, risk),
            compute_reservation_shift(inventory, aversion * more, risk),
            compute_reservation_shift(inventory, aversion, risk * more),
        ):
            assert np.abs(steeper) >= np.abs(shift)
        assert compute_total_spread(aversion, k, risk * more) >= spread
        assert compute_total_spread(aversion, k * more, risk) <= spread
        assert spread > aversion * risk

    @given(POSITIVE, POSITIVE)
    def test_without_risk_aversion_the_spread_is_that_of_fills_alone(
        self, k: float, variance: float
    ) -> None:
        """As gamma goes to zero the spread tends to 2 / k."""
        gamma = np.array([1e-9 * min(k, 1 / (k * variance))])
        assert compute_total_spread(gamma, k, np.array([variance]))[0] == pytest.approx(
            2 / k, rel=1e-8
        )

    def test_losses_leave_the_shift_per_share_of_equity_alone(self) -> None:
        """Relative risk aversion: half the wealth and half the position give the same shift."""
        population = makers(kind="avellaneda_stoikov", count=1, heterogeneity=0.0)

        def bid(equity: float, lots: int) -> int:
            return best(
                population.decide(
                    outlook(), accounts(1, equity, holding(1, lots)), np.empty((1, 0))
                )
            )[0]

        assert bid(1e11, 100_000) == bid(0.5e11, 50_000)
        assert bid(0.5e11, 100_000) < bid(1e11, 100_000)

"""Hedge mode: long and short of one instrument at once, isolated and cross (ISO-1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markets import (
    BTC,
    BTC_B,
    ETH,
    Hostile,
    Script,
    build,
    config,
    move,
    script,
    tiers,
    venue,
)

from agents.portfolios.two_sided import TwoSidedTraders
from sim.errors import ConfigError, DeleverageError
from sim.market import Market
from sim.state import MarketState
from sim.step import admission
from sim.types import I8, LIMIT, REDUCE_ONLY

LONG, SHORT, OTHER = 0, 1, 2
"""Accounts of the one member in hedge mode, and its counterparty."""


class BothSides(Script):
    """Scripted members in hedge mode; the short side of member i is row count + i."""

    n_sides: ClassVar[int] = 2


class HostilePairs(Hostile):
    """Members who send orders of all kinds for both of their sides."""

    n_sides: ClassVar[int] = 2
    name: str = "pairs"

    def decide(self, outlook: Any, accounts: Any, draws: Any) -> Any:
        orders = super().decide(outlook, accounts, draws)
        is_short = np.flatnonzero(draws.reshape(self.count * 4, 6)[:, 1] * 7919 % 1 < 0.5)
        owner = orders.owner.copy()
        owner[is_short] += self.count
        # all orders of an account choose the same: the choice of a refused order has no effect
        return orders._replace(owner=owner, leverage=100 * (owner % 7 + 1) * (owner % 3 > 0))


def both(legs: dict[int, list[Any]], steps: int, *jumps: Any, **rules: Any) -> Market:
    """A member with 1,000 dollars trades at 1,000 ticks with a rich one, as scripted."""
    mine = {t: tuple(each) for t, each in legs.items()}
    yours = {
        t: tuple(
            (0, k, -lots, price, LIMIT, n, 100) for n, (_, k, lots, price, *_) in enumerate(each)
        )
        for t, each in legs.items()
    }
    rules = {"instruments": (BTC,), "netting": {"kind": "isolated"}} | rules
    rules = rules | {"position_mode": "hedge"}
    members = BothSides(count=1, wealths=((1000.0,),), orders=mine, venue="x", name="pair")
    rich = script([1e6], yours)
    place = venue(**rules)
    return build(config(place, steps=steps, stresses=list(jumps)), [members, rich])


def order(side: int, lots: int, leverage: int = 0, kind: int = LIMIT) -> Any:
    return (side, 0, lots, 1000, kind, 0, leverage)


def closed_out(market: Market) -> set[int]:
    frame = market.recorder.frames()["closeouts"]
    return set(frame["owner"].tolist()) & {LONG, SHORT}


def run(market: Market, steps: int) -> Market:
    for _ in range(steps):
        market.step()
    market.ledger.check_conservation()
    return market


def equities(market: Market) -> tuple[int, int, int]:
    """Wallet of the member, and equity of its two accounts, cents."""
    where = market.venues[0]
    risk = where.pool_states[0].assessment
    wallet = int(market.ledger.balance[0, where.wallet_pool, LONG])
    return wallet, int(risk.equity[LONG]), int(risk.equity[SHORT])


def test_each_side_has_its_own_margin_and_one_wallet_pays_for_both() -> None:
    legs = {1: [order(LONG, 100, 1_000)], 2: [order(SHORT, -60, 500)]}
    market = run(both(legs, 2), 2)
    assert market.ledger.position[0].tolist()[:2] == [100, -60]
    assert equities(market) == (78_000, 10_000, 12_000)
    assert market.ledger.leverage[0, :2].tolist() == [10.0, 5.0]


def test_a_side_is_closed_out_alone_and_the_other_keeps_its_gain() -> None:
    legs = {1: [order(LONG, 100, 1_000)], 2: [order(SHORT, -60, 500)]}
    market = run(both(legs, 3, move(3, -0.09)), 3)
    assert closed_out(market) == {LONG}
    assert equities(market)[0] >= 78_000
    assert equities(market)[2] == 12_000 + 60 * 90
    assert market.ledger.position[0, SHORT] == -60


def test_orders_against_a_side_only_reduce_it() -> None:
    """Selling more than the long closes it; the short side is another account."""
    legs = {
        1: [order(LONG, 100)],
        2: [order(SHORT, -60)],
        3: [order(LONG, -300)],
        4: [order(SHORT, 500)],
        5: [order(LONG, -10)],
        6: [order(SHORT, 10)],
    }
    market, held = both(legs, 6), []
    for _ in range(6):
        run(market, 1)
        held.append(tuple(market.ledger.position[0, :2].tolist()))
    assert held == [(100, 0), (100, -60), (0, -60), (0, 0), (0, 0), (0, 0)]
    assert equities(market) == (100_000, 0, 0)


@pytest.mark.parametrize("netting", ["isolated", "cross"])
def test_both_sides_cannot_spend_the_same_cash(netting: str) -> None:
    """1,200 lots of each side need 60,000; the wallet holds 100,000."""
    legs = {1: [order(SHORT, -1_200), order(LONG, 1_200)], 2: [order(SHORT, -800)]}
    market = run(both(legs, 2, netting={"kind": netting}), 1)
    assert market.ledger.position[0].tolist()[:2] == [1_200, 0], "the long side comes first"
    run(market, 1)
    assert market.ledger.position[0].tolist()[:2] == [1_200, -800]
    assert sum(equities(market)[1:] if netting == "cross" else equities(market)) == 100_000


def test_under_cross_margin_both_sides_are_closed_out_at_one_price() -> None:
    """Binance: WB + UPNL of both = maintenance of both; alone the long goes at 923.08."""
    price = (1_000 * 1_000 - 500 * 1_000 - 100_000) / (1_000 - 500 - 0.025 * 1_500)
    assert 864 < price < 865
    jumps = move(3, -0.135), move(4, 864 / 865 - 1)
    legs = {1: [order(LONG, 1_000)], 2: [order(SHORT, -500)]}
    market = run(both(legs, 4, *jumps, netting={"kind": "cross"}), 3)
    assert closed_out(market) == set()
    wallet, long, short = equities(market)
    assert (wallet, long + short) == (int(market.ledger.balance[0, 0, LONG]), 100_000 - 67_500)
    assert long / short == pytest.approx(2.0, rel=1e-4), "in proportion to maintenance"
    run(market, 1)
    assert closed_out(market) == {LONG, SHORT}


@pytest.mark.parametrize(("rise", "kept"), [(0.5, True), (-0.6, True), (0.99, True), (1.01, False)])
def test_a_full_hedge_is_kept_while_equity_covers_both_margins(rise: float, kept: bool) -> None:
    """2,000 lots at 2.5% require all of the 100,000 at a mark of 2,000."""
    legs = {1: [order(LONG, 1_000)], 2: [order(SHORT, -1_000)]}
    market = run(both(legs, 3, move(3, rise), netting={"kind": "cross"}), 3)
    assert (closed_out(market) == set()) is kept
    if kept:
        assert sum(equities(market)[1:]) == 100_000


def test_margin_is_added_to_a_side_and_taken_back_from_it() -> None:
    """Both sides pay from, and into, the wallet of the member."""
    legs = {1: (order(LONG, 100, 1_000),), 2: (order(SHORT, -60, 500),)}
    acts = {3: ((SHORT, 0, 30_000), (LONG, 0, 48_001)), 4: ((SHORT, 0, -30_000),)}
    member = BothSides(
        count=1, wealths=((1000.0,),), orders=legs, payments=acts, venue="x", name="pair"
    )
    trades = {t: [(0, 0, lots, 1000, LIMIT, 0, 100)] for t, lots in ((1, -100), (2, 60))}
    rich = script([1e6], trades)
    place = venue(instruments=(BTC,), netting={"kind": "isolated"}, position_mode="hedge")
    market = run(build(config(place, steps=4), [member, rich]), 3)
    assert equities(market) == (48_000, 10_000, 42_000), "the second exceeds what is left"
    run(market, 1)
    assert equities(market) == (78_000, 10_000, 12_000)


def test_where_members_hold_one_side_two_sided_traders_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'x' is one_way, .* set its position_mode to hedge"):
        build(config(venue()), [TwoSidedTraders(venue="x", count=2)])
    with pytest.raises(ValueError, match=r"position_mode: hedge, .* remove calls"):
        config(venue(position_mode="hedge", calls={}))


def test_a_member_is_one_agent_with_two_accounts() -> None:
    """Its equity is that of both sides, and it leaves with both, once both are flat."""
    legs = {1: [order(LONG, 100, 1_000)], 2: [order(SHORT, -60, 500)]}
    market = run(both(legs | {4: [order(SHORT, 60)], 5: [order(LONG, -100)]}, 6), 3)
    member = next(each for each in market.agents if each.population == "pair")
    assert [each.owner for each in market.agents] == [LONG, OTHER]
    assert member.equity == 100_000
    with pytest.raises(DeleverageError, match=r"holds 100 lots of BTC-PERP, -60 lots"):
        member.remove()
    run(market, 2)
    member.remove()
    assert market.state.is_retired.tolist() == [True, True, False]


# --- laws ---


@contextmanager
def admitted(check: Any) -> Iterator[None]:
    """Show each batch of admitted orders to a check."""
    plain = admission.admit_orders

    def shown(market: MarketState, orders: I8, *more: Any) -> Any:
        kept = plain(market, orders, *more)
        check(market, *kept)
        return kept

    with patch.object(admission, "admit_orders", shown):
        yield


def check_margins(market: MarketState, orders: I8, stood: I8) -> None:
    """Equity of both sides covers initial margin of both with all admitted orders (MAR-1)."""
    where = market.venues[0]
    replaced = market.order_books.find_replaced_orders(orders)
    for state in where.pool_states.values():
        here = market.ledger.pool_numbers[orders[:, 1]] == state.pool.number
        batch = admission._make_batch(market, where, state, orders[here], replaced[here])
        accounts = batch.add_orders(np.arange(market.n_owners), np.flatnonzero(batch.quantity != 0))
        risk = state.engine.assess_admission(accounts)
        lacking = risk.initial - risk.equity
        opens = (batch.quantity != 0) & (batch.orders[:, 4] < REDUCE_ONLY)
        rows = np.unique(batch.owner[opens])
        rows = rows[market.sides.side[rows] != 0]
        if state.pool.number == where.wallet_pool:
            lacking = market.sides.sum_pairs(lacking)
            # orders that only reduce always pass, and those of short sides come last
            reduces = batch.owner[batch.orders[:, 4] >= REDUCE_ONLY]
            beside = market.sides.member[reduces[market.sides.side[reduces] < 0]]
            rows = rows[~np.isin(market.sides.member[rows], beside)]
        assert (lacking[rows] <= 0).all()


@given(
    seed=st.integers(0, 2**32 - 1),
    netting=st.sampled_from(["isolated", "cross", "by_underlying"]),
    jumps=st.lists(st.tuples(st.integers(4, 18), st.floats(-0.4, 0.6)), max_size=3),
    layers=st.sampled_from([(), ("fund", "adl_queue"), ("adl_pro_rata",), ("socialised",)]),
    leverage=st.sampled_from([5.0, 25.0]),
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_laws_hold_with_both_sides_and_chosen_leverage(
    seed: int,
    netting: str,
    jumps: list[tuple[int, float]],
    layers: tuple[str, ...],
    leverage: float,
) -> None:
    """Conservation, sides, limited liability, admission, and one verdict for a joint account."""
    place = venue(
        instruments=(BTC, ETH, BTC_B),
        netting={"kind": netting},
        requirement=tiers(leverage),
        position_mode="hedge",
        waterfall=[{"kind": layer} for layer in layers],
    )
    stresses = [move(at, size) for at, size in dict(jumps).items()]
    people = [
        HostilePairs(count=8, venue="x", wealth=500.0),
        Hostile(count=6, venue="x", wealth=5000.0),
        {"kind": "makers", "count": 2, "venue": "x", "wealth": 50_000.0},
        {"kind": "insurance_fund", "venue": "x", "wealth": 1_000.0},
    ]
    rules = config(place, steps=20, process={"kind": "gbm", "volatility": 1.0}, stresses=stresses)
    market = build(rules, people, seed)
    where, pairs = market.venues[0], market.state.sides.pairs
    assert len(pairs) == 8
    is_joint = where.wallet_pool in where.pool_states
    with admitted(check_margins):
        for _ in range(20):
            market.step()
            market.ledger.check_conservation()
            assert (market.ledger.position[:, pairs[:, 0]] >= 0).all()
            assert (market.ledger.position[:, pairs[:, 1]] <= 0).all()
            if not is_joint:
                wallets = market.ledger.balance[0, where.wallet_pool]
                assert (wallets[pairs[:, 0]] >= 0).all(), "a wallet pays for no loss"
                assert not wallets[pairs[:, 1]].any(), "both sides have one wallet"
                continue
            risk = where.pool_states[where.wallet_pool].assessment
            excess = risk.excess[pairs]
            assert ((excess.sum(axis=1) >= 0) == (excess >= 0).all(axis=1))[
                np.abs(excess.sum(axis=1)) >= 1
            ].all()


def test_the_packaged_population_opens_hedges_and_takes_them_off() -> None:
    """A fall of 4% and its recovery: the long is kept, the short comes and goes."""
    crowd = TwoSidedTraders(
        venue="x",
        count=40,
        wealth_sigma=0.0,
        initial_entry_share=1.0,
        warm_up=300.0,
        reaction=120.0,
        average_half_life=3600.0,
    )
    makers = {"kind": "makers", "count": 4, "venue": "x", "wealth": 1e6}
    for netting in ("isolated", "cross"):
        rules = config(
            venue(netting={"kind": netting}, position_mode="hedge"),
            steps=90,
            stresses=[move(30, -0.04), move(60, 0.05)],
        )
        market = build(rules, [crowd, makers], 3)
        held = []
        for _ in range(90):
            market.step()
            position = market.ledger.position[0, :80]
            held.append(((position[:40] > 0).sum(), (position[40:] < 0).sum()))
        assert held[25][0] >= 38
        assert [long for long, _ in held[25:]] == [held[25][0]] * 65
        assert held[25][1] == 0
        assert held[55][1] > 35
        assert held[-1][1] < 5
        print(f"{netting}: longs and shorts {held[25]}, fallen {held[55]}, back {held[-1]}")

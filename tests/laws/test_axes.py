"""Small cases of venues, instruments, assets, pools, spot, oracle, funding, calls and bands."""

import numpy as np
import pandas as pd
import pytest
from markets import (
    BTC,
    BTC_B,
    BTC_SPOT,
    ETH,
    NETTINGS,
    Watch,
    build,
    config,
    move,
    script,
    tiers,
    venue,
)

from sim.attribution import DEPOSIT, FUNDING
from sim.errors import DeleverageError
from sim.market import Market
from sim.types import IOC, LIMIT, MARKET, REDUCE_ONLY, Transfers

BUY_100 = ((0, 0, 100, 1000, LIMIT, 0), (1, 0, -100, 1000, LIMIT, 0))


def run(market: Market, steps: int | None = None) -> dict[str, pd.DataFrame]:
    for _ in range(market.steps_planned - market.tick if steps is None else steps):
        market.step()
    market.ledger.check_conservation()
    return market.recorder.frames()


# --- venues and pools ---


def test_two_venues_do_not_share_margin():
    """A gain at one venue does not save the account at another; each venue keeps its own rows."""
    rules = config(
        venue(waterfall=[{"kind": "adl_pro_rata"}]),
        venue("y", [BTC_B], waterfall=[{"kind": "adl_pro_rata"}]),
        steps=3,
        stresses=[move(2, -0.2)],
    )
    orders = [*BUY_100, (0, 1, -50, 1000, LIMIT, 0), (1, 1, 50, 1000, LIMIT, 0)]
    market = build(rules, [script([(60.0, 60.0), (1000.0, 1000.0)], {1: orders})])
    frames = run(market)
    assert market.ledger.position[:, 0].tolist() == [0, -50]
    assert frames["losses"]["venue"].unique().tolist() == ["x"]
    assert len({row for v in market.venues for row in v.system_accounts[1:4]}) == 6
    assert market.state.account_view(slice(0, 1)).equity[0, 0] == 0
    assert market.state.account_view(slice(0, 1)).equity[0, 1] > 6000


@pytest.mark.parametrize("netting", NETTINGS)
def test_wealth_at_the_start_is_the_same_under_every_netting(netting):
    """ISO-1."""
    people = [
        script([100.0, 250.5], {}),
        {"kind": "traders", "count": 50, "venue": "x", "wealth": 500.0},
    ]
    market = build(config(venue(instruments=(BTC, ETH, BTC_B), netting=netting)), people)
    plain = build(config(venue(instruments=(BTC, ETH, BTC_B))), people)
    everyone = slice(0, market.state.external_owner)
    assert np.array_equal(
        market.state.account_view(everyone).equity, plain.state.account_view(everyone).equity
    )
    assert np.array_equal(
        market.state.account_view(everyone).wallet, plain.state.account_view(everyone).wallet
    )


def test_isolated_margin_leaves_the_wallet_at_admission_and_returns_on_close():
    """Notional / leverage moves with the order and returns with the profit (ISO-1)."""
    rules = config(
        venue(instruments=(BTC, ETH), netting={"kind": "isolated"}),
        steps=4,
        stresses=[move(2, 0.02)],
    )
    close = [(0, 0, -100, 1020, LIMIT, 0), (1, 0, 100, 1020, LIMIT, 0)]
    market = build(rules, [script([1000.0, 1000.0], {1: BUY_100, 3: close})])
    pool, wallet = market.venues[0].pools[0].number, market.venues[0].wallet_pool
    cash = market.ledger.balance[0]
    run(market, 1)
    assert cash[wallet, :2].tolist() == [95_000, 95_000]
    assert cash[pool, :2].tolist() == [5_000 - 100_000, 5_000 + 100_000]
    run(market, 2)
    assert cash[wallet, :2].tolist() == [102_000, 98_000]
    assert cash[pool, :2].tolist() == [0, 0]


def test_isolated_positions_settled_in_another_asset_return_it_too():
    """ISO-1: losses in another asset leave the account with the margin that was put up for them."""
    rules = config(
        venue(instruments=(BTC | {"settle": "ALT"}, ETH), netting={"kind": "isolated"}),
        steps=4,
        stresses=[move(2, 0.02)],
        assets=[{"name": "USD"}, {"name": "ALT"}],
    )
    close = [(0, 0, -100, 1020, LIMIT, 0), (1, 0, 100, 1020, LIMIT, 0)]
    market = build(rules, [script([1000.0, 1000.0], {1: BUY_100, 3: close})])
    frames = run(market)
    wallet = market.venues[0].wallet_pool
    assert market.ledger.balance[:, wallet, :2].tolist() == [[100_000, 100_000], [2_000, -2_000]]
    assert not market.ledger.balance[:, market.venues[0].pools[0].number].any()
    assert not len(frames["losses"])


def test_by_underlying_nets_two_perpetuals_of_bitcoin_and_not_ether():
    rules = config(venue(instruments=(BTC, ETH, BTC_B), netting={"kind": "by_underlying"}), steps=1)
    orders = [*BUY_100, (0, 1, -50, 1000, LIMIT, 1), (1, 1, 50, 1000, LIMIT, 1)]
    market = build(rules, [script([1000.0, 1000.0], {1: orders})])
    assert market.contracts.names == ("BTC-PERP", "BTC-B", "ETH-PERP")
    run(market)
    assert [market.contracts.names[p.instruments] for p in market.venues[0].pools] == [
        ("BTC-PERP", "BTC-B"),
        ("ETH-PERP",),
    ]
    assert market.venues[0].pool_states[0].assessment.initial[0] == 5_000 + 5_000
    assert market.venues[0].pool_states[0].assessment.equity[0] == 10_000
    assert market.ledger.balance[0, market.venues[0].wallet_pool, 0] == 90_000


# --- assets ---


def test_a_depeg_of_the_settlement_asset_changes_what_positions_are_worth():
    """Gains in an asset lose value as it falls; cash valuation counts only the numeraire."""
    rules = config(
        venue(instruments=(BTC | {"settle": "ALT"},)),
        steps=4,
        stresses=[
            move(2, 0.1),
            {"kind": "depeg", "asset": "ALT", "at": 180.0, "duration": 600.0, "floor": 0.5},
        ],
        assets=[{"name": "USD"}, {"name": "ALT", "price": 0.8}],
    )
    market = build(rules, [script([1000.0, 1000.0], {1: BUY_100})])
    equity = []
    for _ in range(4):
        market.step()
        mark = market.venues[0].view.mark[0]
        worth = market.venues[0].view.price[1]
        gain = (mark - 1000) * 100 * worth
        equity.append(market.state.account_view(slice(0, 2)).equity[:, 0])
        np.testing.assert_allclose(equity[-1], [100_000 + gain, 100_000 - gain], atol=1e-6)
    assert market.venues[0].view.price.tolist() == [1.0, 0.4]
    risk = market.venues[0].pool_states[0].assessment
    assert risk.initial[0] == np.ceil(gain + 0.05 * 100 * mark * 0.4)


# --- spot ---


def test_spot_is_posted_against_the_outside_and_moves_the_index():
    """The outside sells what traders buy (LED-3); the index rises by depth and decays (IDX-2)."""
    rules = config(
        venue(),
        venue("s", [BTC_SPOT], requirement=tiers(5.0), spread=0.002),
        steps=3,
        underlyings=[
            {
                "name": "btc",
                "start": 1000.0,
                "process": {"kind": "gbm", "volatility": 0.0, "drift": 0.0},
                "impact": {"depth": 10_000.0, "half_life": 60.0},
            }
        ],
    )
    market = build(rules, [script([(0.0, 1100.0)], {1: [(0, 1, 100, 1001, IOC, 0)]})])
    frames = run(market)
    assert market.ledger.position[1, [0, market.state.external_owner]].tolist() == [100, -100]
    assert market.ledger.balance[0, 1, 0] == 110_000 - 100 * 1001
    assert not frames["steps"].query("kind == 'perpetual'")["trades"].any()
    index = frames["steps"].query("instrument == 'BTC-SPOT'")["index"].to_numpy()
    moved = np.log(1.01) * (100 * 0.01 * 1000.0) / 10_000.0
    np.testing.assert_allclose(np.log(index / 1000.0), [0.0, moved, moved / 2], atol=1e-12)


@pytest.mark.parametrize("size", [0.1, -0.1])
def test_spot_can_be_bought_and_sold_wherever_the_index_goes(size):
    """The outside never meets its own quote of the step before, in a rise or in a fall."""
    rules = config(venue(), venue("s", [BTC_SPOT], spread=0.002), steps=4, stresses=[move(2, size)])
    market = build(
        rules,
        [
            script(
                [(0.0, 5000.0)], {2: [(0, 1, 100, 1_200, IOC, 0)], 3: [(0, 1, -100, 800, IOC, 0)]}
            )
        ],
    )
    steps = run(market)["steps"].query("instrument == 'BTC-SPOT'")
    assert steps["volume"].tolist() == [0, 100, 100, 0]
    assert steps[["bid", "ask"]].notna().all(axis=None)
    assert not steps["fallback"].any()


def test_spot_bought_must_be_paid_in_full():
    """Cash valuation gives no credit for spot or for a short hidden behind a larger bid (LED-3)."""
    rules = config(venue(), venue("s", [BTC_SPOT], requirement=tiers(5.0)), steps=1)
    bid, ask = (0, 1, 100, 900, LIMIT, 0), (0, 1, -80, 1200, LIMIT, 1)
    hidden = [(1, 1, 90, 1010, LIMIT, 0), (1, 1, -95, 1200, LIMIT, 1)]
    market = build(rules, [script([(0.0, 950.0), (0.0, 800.0)], {1: [bid, ask, *hidden]})])
    run(market)
    assert market.ledger.position[1, :2].tolist() == [0, 0]
    assert market.order_books.list_owner_orders(1, 0)[:, 1].tolist() == [-80]
    assert market.order_books.list_owner_orders(1, 1)[:, 1].tolist() == [-95]


# --- margin calls ---


@pytest.mark.parametrize(("met", "deposited"), [(1.0, True), (0.0, False)])
def test_margin_calls_are_met_from_outside_or_recorded_as_missed(met, deposited):
    """MAR-4."""
    rules = config(
        venue(calls={"response_probability": met, "delay": 0.0, "outside_multiple": 5.0}),
        steps=5,
        stresses=[move(2, -0.02), move(3, -0.01)],
    )
    market = build(rules, [script([60.0, 1000.0], {1: BUY_100})])
    watch = Watch(market)
    frames = run(market)
    steps = frames["venues"]
    outside = [p.posting for p in watch.postings if p.event == DEPOSIT and p.posting.source.size]
    assert bool(outside) == deposited
    assert steps["calls"].sum() >= 1
    assert (steps["calls_met"].sum() > 0) == deposited
    assert (steps["calls_missed"].sum() > 0) != deposited
    if deposited:
        assert sum(int(m.amount.sum()) for m in outside) == -106_000 - int(
            market.ledger.balance[0, 0, market.state.external_owner]
        )
        assert {int(s) for m in outside for s in m.source} == {market.state.external_owner}


# --- funding ---


@pytest.mark.parametrize("side", [1, -1])
def test_funding_is_balanced_and_flows_from_longs_to_shorts_above_the_oracle(side):
    """The overpriced side pays, to the unit, what the other receives (FUND-1, LED-2)."""
    price = 1000 + 30 * side
    quotes = [(2, 0, 10, price - 1, LIMIT, 0), (2, 0, -10, price + 1, LIMIT, 1)]
    open_, thirds = (
        [(0, 0, 101, 1000, LIMIT, 0)],
        [(1, 0, -67, 1000, LIMIT, 0), (3, 0, -34, 1000, LIMIT, 0)],
    )
    rules = config(venue(funding={"interval": 180.0}), steps=8)
    market = build(rules, [script([10_000.0] * 4, {1: open_ + thirds, 2: quotes})])
    watch = Watch(market)
    frames = run(market)
    paid = [p.posting for p in watch.postings if p.event == FUNDING]
    assert paid
    for moves in paid:
        assert isinstance(moves, Transfers)
        assert moves.amount.sum() == 0
        due = dict(zip(moves.source.tolist(), moves.amount.tolist(), strict=True))
        assert np.sign(due[0]) == side
        assert due[1] * side < 0
        assert due[3] * side < 0
        assert abs(due[1] / due[3] - 67 / 34) < 0.01
    assert (np.sign(frames["steps"]["funding"].iloc[-1])) == side


# --- oracle ---


def test_the_oracle_is_late_sampled_and_silent_when_it_should_be():
    """The venue sees the index two steps late, every third step, never in an outage (IDX-3)."""
    trend = [move(step, 0.01) for step in range(1, 20)]
    oracle = {"delay": 120.0, "interval": 180.0, "outages": [{"at": 600.0, "duration": 300.0}]}
    market = build(config(venue(oracle=oracle), steps=19, stresses=trend), [script([1.0], {})])
    steps = run(market)["steps"]
    index = np.r_[1000.0, steps["index"].to_numpy()]
    heard = [0, 0, 0, 1, 1, 1, 4, 4, 4, 7, 7, 7, 7, 7, 7, 13, 13, 13, 16, 16][1:]
    np.testing.assert_allclose(steps["oracle"], index[heard])
    np.testing.assert_allclose(index, 1000.0 * 1.01 ** np.arange(20))


# --- price bands ---


def test_nothing_arrives_beyond_the_band():
    """Orders stop at the band; limits beyond it are refused, aggressive ones cut (BOOK-1)."""
    asks = [(0, 0, -5, 1040, LIMIT, 0), (0, 0, -5, 1060, LIMIT, 1)]
    first = build(
        config(venue(band=0.0505), steps=2),
        [
            script(
                [1000.0, 1000.0],
                {1: asks, 2: [(1, 0, 20, 0, MARKET, 0), (1, 0, 3, 5000, LIMIT, 1)]},
            )
        ],
    )
    run(first)
    assert first.order_books.list_owner_orders(0, 0)[:, 1:3].tolist() == []
    assert first.ledger.position[0, :2].tolist() == [-5, 5]
    assert first.order_books.list_owner_orders(0, 1)[:, 1:3].tolist() == [[3, 1050]]


def test_orders_of_a_liquidated_account_are_gone_and_reduce_only_closes_no_more():
    """LIQ-1, BOOK-1."""
    rules = config(steps=4, stresses=[move(2, -0.2)])
    quote, exit_ = (0, 0, 1, 500, LIMIT, 5), (1, 0, 500, 0, MARKET | REDUCE_ONLY, 3)
    bids = [(2, 0, 100, 1000, LIMIT, 0)]
    people = [script([60.0, 1000.0, 10_000.0], {1: [*BUY_100, quote], 2: bids, 3: [exit_]})]
    market = build(rules, people)
    run(market)
    assert not len(market.order_books.list_owner_orders(0, 0))
    assert market.ledger.position[0, 1] <= 0


def test_a_run_ends_with_its_path() -> None:
    market = build(config(venue("x", [BTC]), steps=2), [script([1000.0], {})])
    market.step()
    assert market.running
    market.step()
    assert not market.running
    with pytest.raises(DeleverageError, match="the run of 2 steps is over; give a longer duration"):
        market.step()

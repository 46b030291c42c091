"""Isolated margin: an own account per position, also with a single instrument (ISO-1, MAR-1).

The figures of nettings beside each other are printed: ``pytest tests/laws/test_isolation.py -rP``.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import BTC, BTC_B, ETH, Watch, build, config, move, script, tiers, venue
from papers import crash

from agents import POPULATIONS, populate
from agents.shared.commitment import allocate_cash
from agents.traders import NoiseTraders
from sim.config import MarketConfig
from sim.margin.engine import EngineConfig
from sim.margin.wrappers.rescaled import RescaledMargin
from sim.market import Market
from sim.types import IOC, LIMIT, VENUE_MAX_LEVERAGE

ISOLATED = {"kind": "isolated"}
MINE, OTHER = 0, 1
WEALTH = 1000.0
PAID = 100_000
"""Value of 100 lots of BTC-PERP at 1,000 ticks, cents."""


def opened(
    leverage: int, *, side: int = 1, steps: int = 3, stresses: Any = (), **rules: Any
) -> Market:
    """Open 100 lots of owner 0 at the mark in step 1 at a leverage in hundredths."""
    trade = [
        (MINE, 0, 100 * side, 1000, LIMIT, 0, leverage),
        (OTHER, 0, -100 * side, 1000, LIMIT, 0, 100),
    ]
    rules = {"instruments": (BTC,), "netting": ISOLATED} | rules
    return build(
        config(venue(**rules), steps=steps, stresses=list(stresses)),
        [script([WEALTH, 1e6], {1: trade})],
    )


def ran(market: Market) -> Market:
    while market.tick < market.steps_planned:
        market.step()
    market.ledger.check_conservation()
    return market


def account(market: Market, owner: int = MINE) -> tuple[int, int]:
    """Cash in the wallet, and equity of the account, minor units."""
    where = market.venues[0]
    state = where.pool_states[where.pools[0].number]
    return int(market.ledger.balance[0, where.wallet_pool, owner]), int(
        where.pool_accounts(state.pool).equity()[owner]
    )


# --- one account for each position ---


@pytest.mark.parametrize("netting", ["cross", "isolated", "by_underlying", "groups"])
def test_where_one_instrument_is_listed_only_isolated_margin_has_a_wallet_apart(
    netting: str,
) -> None:
    """ISO-1: sub-accounts of portfolio margin hold their owner's cash themselves."""
    rule = {"kind": netting} | ({"groups": [["BTC-PERP"]]} if netting == "groups" else {})
    where = build(config(venue(netting=rule)), [script([1.0], {})]).venues[0]
    assert (where.wallet_pool not in where.pool_states) is (netting == "isolated")


@pytest.mark.parametrize(
    ("leverage", "set_aside"),
    [(0, 5_000), (VENUE_MAX_LEVERAGE, 5_000), (5_000, 5_000), (1_000, 10_000), (350, 28_572)],
)
def test_the_leverage_admitted_is_that_of_the_account(leverage: int, set_aside: int) -> None:
    """Notional over equity is the chosen leverage, at most 20; the wallet keeps the rest."""
    market = opened(leverage, steps=1)
    market.step()
    assert account(market) == (PAID - set_aside, set_aside)
    risk = market.venues[0].pool_states[0].assessment
    assert (risk.initial[MINE], risk.maintenance[MINE]) == (5_000, 2_500), (
        "the verdict is the venue's"
    )


def test_a_position_is_raised_at_the_leverage_that_is_set_until_another_is_chosen() -> None:
    """The setting stays with owner and instrument; a lower one is backed for the whole position."""
    trades = {1: (100, 1_000), 2: (100, 0), 3: (100, 500), 4: (-100, 100)}
    mine = {
        t: [(MINE, 0, q, 1000, LIMIT, 0, lev), (OTHER, 0, -q, 1000, LIMIT, 0)]
        for t, (q, lev) in trades.items()
    }
    market = build(
        config(venue(instruments=(BTC,), netting=ISOLATED), steps=4), [script([WEALTH, 1e6], mine)]
    )
    equity = []
    for _ in range(4):
        market.step()
        equity.append(account(market)[1])
    assert equity == [10_000, 20_000, 60_000, 60_000]
    assert market.ledger.leverage[0, MINE] == 5.0, (
        "an order that passes as reduce-only chooses nothing"
    )


def test_a_refused_order_chooses_nothing_and_the_chosen_leverage_can_refuse() -> None:
    """At 20 the wallet would do for 2,000 lots, at 2 for 200."""
    ask = (OTHER, 0, -5_000, 1000, LIMIT, 0)
    for leverage, lots, held in ((0, 2_000, 2_000), (200, 2_000, 0), (200, 200, 200)):
        orders = {1: [(MINE, 0, lots, 1000, LIMIT, 0, leverage), ask]}
        market = build(
            config(venue(instruments=(BTC,), netting=ISOLATED), steps=1),
            [script([WEALTH, 1e6], orders)],
        )
        market.step()
        assert market.ledger.position[0, MINE] == held
        assert market.ledger.leverage[0, MINE] == (2.0 if held == 200 else np.inf)


@pytest.mark.parametrize("leverage", [99, -100])
def test_a_leverage_below_one_is_refused(leverage: int) -> None:
    with pytest.raises(
        ValueError,
        match=f"owner 0 chooses leverage {leverage} in instrument 0; .* give 100 or more",
    ):
        opened(leverage).step()


# --- closed forms ---


def brackets(paid: float, set_aside: float, side: int) -> float:
    """Binance and others: equity meets maintenance of the value at the mark."""
    return (paid - side * set_aside) / (1 - side * 0.025)


def entry(paid: float, set_aside: float, side: int) -> float:
    """Bybit: EP - s (IM - MM) / q, maintenance of the value at entry."""
    return paid - side * (set_aside - 0.025 * paid)


def closing(paid: float, set_aside: float, side: int) -> float:
    """OKX and Gate: (EP - s W / q) / (1 - s (mmr + fee))."""
    return (paid - side * set_aside) / (1 - side * (0.025 + 0.001))


RULES: dict[str, tuple[dict[str, Any], Callable[[float, float, int], float]]] = {
    "tiered": (tiers(), brackets),
    "at_entry": ({"kind": "at_entry", "inner": tiers()}, entry),
    "closing_fee": ({"kind": "closing_fee", "inner": tiers(), "fee": 0.001}, closing),
}


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("leverage", [0, 2_000, 1_000, 400, 150])
@pytest.mark.parametrize("rule", RULES)
def test_the_market_liquidates_at_the_closed_form(rule: str, leverage: int, side: int) -> None:
    """At any leverage: kept a tick before the price, closed out a tick beyond it."""
    requirement, closed_form = RULES[rule]
    chosen = leverage / 100 or 20
    fee = 0.001 * (PAID - side * PAID / chosen) if rule == "closing_fee" else 0.0
    margin = np.ceil(PAID / chosen + fee)
    price = round(closed_form(PAID, margin, side) / 100, 6)
    before = (
        np.ceil(price) if side > 0 else np.floor(price)
    )  # at the price itself maintenance is still met
    jumps = [move(2, before / 1000 - 1), move(3, (before - side) / before - 1)]
    market = opened(
        leverage,
        side=side,
        stresses=jumps,
        requirement=requirement,
        waterfall=[{"kind": "adl_pro_rata"}],
    )
    kept = []
    for _ in range(3):
        market.step()
        kept.append(int((market.recorder.frames()["closeouts"]["owner"] == MINE).sum()) == 0)
        if market.tick == 1:
            assert account(market)[1] == margin
    assert kept == [True, True, False]
    print(
        f"{rule}, {chosen:g} times, {'long' if side > 0 else 'short'}: "
        f"liquidated at {price:.2f}, entry 1000"
    )


# --- limited liability ---


@given(
    leverage=st.integers(100, 6_000),
    side=st.sampled_from([1, -1]),
    lots=st.integers(1, 900),
    jumps=st.lists(st.tuples(st.integers(2, 9), st.floats(-0.5, 0.8)), max_size=4),
    layers=st.sampled_from([(), ("adl_pro_rata",), ("socialised", "adl_queue")]),
    second=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_position_loses_no_more_than_was_set_aside_for_it(
    leverage: int,
    side: int,
    lots: int,
    jumps: list[tuple[int, float]],
    layers: tuple[str, ...],
    second: bool,
) -> None:
    """The wallet stays as admission left it, and is the least an owner can be left with."""
    quotes = {t: [(2, 0, 50, 900, LIMIT, 1), (2, 0, -50, 1100, LIMIT, 2)] for t in range(2, 10)}
    trade = [
        (MINE, 0, side * lots, 1000, LIMIT, 0, leverage),
        (OTHER, 0, -side * lots, 1000, LIMIT, 0, 100),
    ]
    listed = (BTC, BTC_B) if second else (BTC,)
    rules = venue(
        instruments=listed, netting=ISOLATED, waterfall=[{"kind": layer} for layer in layers]
    )
    stresses = [move(at, size) for at, size in {at: (at, size) for at, size in jumps}.values()]
    market = build(
        config(rules, steps=10, stresses=stresses),
        [script([WEALTH, 1e6, 1e6], {1: trade} | quotes)],
    )
    watch, wallet = Watch(market), market.venues[0].wallet_pool
    market.step()
    held = market.ledger.position[0, MINE] != 0
    left = int(market.ledger.balance[0, wallet, MINE])
    due = int(np.ceil(np.round(lots * 1000 * max(1 / 20, 100 / leverage), 6)))
    assert left == round(100 * WEALTH) - (due if held else 0)
    while market.tick < market.steps_planned:
        market.step()
        now = int(market.ledger.balance[0, wallet, MINE])
        assert now == left if market.ledger.position[0, MINE] else now >= left
        assert market.state.account_view(slice(0, 1)).equity[0, 0] >= left
    watch.wallets_are_out_of_reach()
    market.ledger.check_conservation()


# --- the instrument beside, and the other netting ---


def engine(netting: str, **more: Any) -> dict[str, Any]:
    return {**crash.EXCHANGE["engine"], "netting": {"kind": netting}} | more


def rules(netting: str, *, second: bool = False, **changes: Any) -> MarketConfig:
    """The exchange of the small crash, under a netting, and perhaps with a perpetual beside."""
    listed = [crash.PERPETUAL] + ([crash.PERPETUAL | {"name": "SPX-B"}] if second else [])
    return crash.config(
        venues=[crash.EXCHANGE | {"engine": engine(netting), "instruments": listed}, crash.OUTSIDE],
        **changes,
    )


@cache
def frames(
    seed: int, netting: str, second: bool = False, calm: bool = False, **of_traders: Any
) -> dict[str, pd.DataFrame]:
    """A run in which all trade the first perpetual alone."""
    named = [each | {"instruments": ["SPX-PERP"]} for each in crash.people()[:-1]]
    named[0] |= of_traders
    people = [POPULATIONS[each["kind"]].model_validate(each) for each in [*named, crash.FUND]]
    reported = rules(netting, second=second, **({"stresses": []} if calm else {}))
    market = crash.run(Market(reported, populate(people), seed=seed))
    market.recorder.record_accounts("end")
    return market.recorder.frames()


def closed_out(made: dict[str, pd.DataFrame]) -> "pd.Series[Any]":
    """Owners among the traders of whom something was closed out."""
    filled = made["closeouts"].query("filled > 0 and population == 'traders'")
    return filled["owner"].drop_duplicates()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_perpetual_that_is_listed_and_never_traded_changes_nothing(seed: int) -> None:
    """The same trades, close-outs and losses on the same draws, through a crash."""
    one, two = frames(seed, "isolated"), frames(seed, "isolated", second=True)
    steps = [
        each["steps"].query("instrument != 'SPX-B'").reset_index(drop=True) for each in (one, two)
    ]
    pd.testing.assert_frame_equal(*steps)
    assert not two["steps"].query("instrument == 'SPX-B'")["volume"].any()
    for name in ("closeouts", "losses"):
        pd.testing.assert_frame_equal(one[name], two[name])
    assert len(one["losses"])
    end = [
        each["accounts"].query("moment == 'end'").groupby("owner")["equity"].sum()
        for each in (one, two)
    ]
    assert np.abs(end[0] - end[1]).max() <= 1, "rounded by account"
    print(
        f"seed {seed}: {len(closed_out(one))} traders closed out with one perpetual, "
        f"{len(closed_out(two))} with two"
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_a_calm_day_closes_nearly_no_one_out(seed: int) -> None:
    """Positions at the leverage of the wish have about the wallet behind them."""
    counts = {
        netting: len(closed_out(frames(seed, netting, calm=True)))
        for netting in ("cross", "isolated")
    }
    print(f"seed {seed}, calm: closed out of 600 traders {counts}")
    assert max(counts.values()) <= 6


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_crash_isolated_margin_closes_more_out_and_takes_less_of_each(seed: int) -> None:
    """Cautious traders at the venue's highest leverage: the wallet neither helps nor pays."""
    cautious = {"leverage": 4, "leverage_sigma": 0.3, "position_leverage": "highest"}
    reported = {}
    for netting in ("cross", "isolated"):
        made = frames(seed, netting, **cautious)
        owners, accounts = closed_out(made), made["accounts"].query("population == 'traders'")
        equity = accounts.pivot_table(
            index="owner", columns="moment", values="equity", aggfunc="sum"
        )
        lost = 1 - equity["end"] / equity["start"]
        reported[netting] = (len(owners), float(lost.max()))
    print(f"seed {seed}, crash at 4 times: closed out, largest loss of wealth {reported}")
    assert reported["isolated"][0] > 20 + reported["cross"][0]
    assert reported["isolated"][1] < reported["cross"][1]


# --- choices of populations ---


def test_wished_leverage_sets_about_the_wallet_aside() -> None:
    """1 / (cap (1 / l - slippage)), from one to what the engine admits; in hundredths, up."""
    population = NoiseTraders(venue="x", count=1)
    wished, highest = (
        np.array([5e-324, 0.5, 2.0, 5.0, 30.0, 150.0, 250.0, np.nan]),
        np.full(8, 100.0),
    )
    exact = 100 / (0.9 * (1 / wished[2:5] - 0.005))
    found = population._choose_leverage(wished, highest)
    assert found.tolist() == [
        100,
        100,
        *np.ceil(exact).astype(int).tolist(),
        VENUE_MAX_LEVERAGE,
        VENUE_MAX_LEVERAGE,
        VENUE_MAX_LEVERAGE,
    ]
    assert set(
        population.model_copy(update={"position_leverage": "highest"})._choose_leverage(
            wished, highest
        )
    ) == {VENUE_MAX_LEVERAGE}


@given(
    st.lists(st.lists(st.floats(-1e6, 1e12), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(0, 10**12),
)
def test_wallets_raise_the_poorest_accounts_to_one_level(
    equity: list[list[float]], cash: int
) -> None:
    held, wallets = np.array(equity), np.full(len(equity), cash)
    paid = allocate_cash(wallets, held)
    assert (paid >= 0).all()
    assert (paid.sum(axis=1) <= wallets).all()
    assert (paid.sum(axis=1) >= wallets - 3 - 1e-9 * np.abs(held).sum(axis=1)).all()
    after = held + paid
    level = after.max(axis=1, where=paid > 0, initial=-np.inf, keepdims=True)
    assert (after + 1 + 1e-9 * np.abs(after) >= np.where(np.isfinite(level), level, after)).all()


def test_who_trades_for_a_living_has_its_wallet_in_its_accounts() -> None:
    """Makers and arbitrageurs with a position split all of their wallets over their accounts."""
    listed = [crash.PERPETUAL, crash.PERPETUAL | {"name": "SPX-B"}]
    venues = [crash.EXCHANGE | {"engine": engine("isolated"), "instruments": listed}, crash.OUTSIDE]
    for chosen in (venues, [venues[0] | {"instruments": listed[:1]}, crash.OUTSIDE]):
        market = crash.run(crash.market(3, crash.config(steps=90, venues=chosen)))
        where = market.venues[0]
        for population, rows in zip(market.populations, market.member_slices, strict=True):
            wallet = market.ledger.balance[0, where.wallet_pool, rows]
            holds = (market.ledger.position[where.instrument_slice, rows] != 0).all(axis=0)
            if population.name == "makers":
                assert holds.any()
                assert (
                    wallet[holds] <= 0.001 * market.state.account_view(rows).equity[holds, 0] + 2
                ).all()
                assert (market.state.account_view(rows).free_margin[:, 0] > 0).any(), (
                    "they still quote"
                )
            if population.name == "traders":
                assert (wallet > 0).any(), "traders keep the rest out of reach"


def test_the_fund_keeps_a_cushion_and_the_rest_for_further_take_overs() -> None:
    """A book taken over at the highest leverage gets three times its margin from the fund."""
    buy = [(0, 0, 100, 1000, LIMIT, 0), (1, 0, -100, 1000, LIMIT, 0, 100)]
    fund = {"kind": "insurance_fund", "venue": "x", "wealth": 500.0}
    rules = config(
        venue(instruments=(BTC, ETH), netting=ISOLATED, waterfall=[{"kind": "fund"}]),
        steps=4,
        stresses=[move(2, -0.1, underlyings=["btc"])],
    )
    market = ran(build(rules, [script([60.0, 1e5], {1: buy}), fund]))
    where, owner = market.venues[0], market.venues[0].system_accounts.insurance_fund
    assert market.ledger.position[0, owner] == 100
    risk = where.pool_states[0].assessment
    assert risk.equity[owner] == 3 * risk.initial[owner] == 13_500
    assert market.ledger.balance[0, where.wallet_pool, owner] == 50_000 - 5_000 - 13_500


# --- chosen leverage under dials, and requirements that know of none ---


@pytest.mark.parametrize("kappa", [-0.5, 0.0, 0.5])
def test_a_chosen_leverage_is_neither_compressed_nor_raised(kappa: float) -> None:
    """At kappa 0.5 the venue's 20 become 40, at -0.5 13.3; a chosen 10 stays 10 (MAR-2)."""
    dialled = {"netting": ISOLATED, "requirement": tiers(), "compression": kappa}
    wrapped = {
        "netting": ISOLATED,
        "requirement": {"kind": "compressed", "compression": kappa, "inner": tiers()},
    }
    for rule in (dialled, wrapped):
        for leverage, due in ((0, 5_000 * (1 - kappa)), (1_000, 10_000), (100, PAID)):
            market = opened(leverage, steps=1, engine=rule)
            market.step()
            assert account(market)[1] == due


def test_scaled_margin_leaves_a_chosen_leverage_as_it_is() -> None:
    """At twice the reference volatility margin doubles, but not for an owner at 5 times."""
    rule = {
        "kind": "scaled",
        "inner": tiers(),
        "index": "eth",
        "reference": 0.5,
    }  # ether at 100 is 100%
    for leverage, due in ((0, 10_000), (500, 20_000)):
        market = opened(leverage, steps=1, requirement=rule)
        market.step()
        assert account(market)[1] == due


@pytest.mark.parametrize("kind", ["span", "grid", "derive_pmrm2"])
def test_requirements_that_know_no_leverage_set_the_chosen_one_aside_too(kind: str) -> None:
    market = opened(200, steps=1, requirement={"kind": kind})
    market.step()
    assert account(market)[1] == PAID // 2


def test_a_dial_of_one_is_no_dial() -> None:
    assert not isinstance(
        EngineConfig().bind(build(config(), [script([1.0], {})]).contracts, 100), RescaledMargin
    )


def test_an_order_with_slippage_sets_its_reserve_aside_and_keeps_what_it_did_not_need() -> None:
    """100 lots at 10 times, limit 1% above the mark, need 10,000 and 1,000; all is kept (MAR-1)."""
    orders = {1: [(OTHER, 0, -100, 1000, LIMIT, 0, 100)], 2: [(MINE, 0, 100, 1010, IOC, 0, 1_000)]}
    market = build(
        config(venue(instruments=(BTC,), netting=ISOLATED), steps=2),
        [script([WEALTH, 1e6], orders)],
    )
    assert account(ran(market)) == (100 * WEALTH - 11_000, 11_000)

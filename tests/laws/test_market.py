"""Laws of the whole market under random shocks: LED-1, MAR-1, LIQ-1 to LIQ-4, LOSS-2, LOSS-3."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from markets import BTC, ETH, Watch, build, config, move, script, tiers, venue, worlds

from sim.attribution import CLOSE_OUT, DEPOSIT, LOSS
from sim.market import Market
from sim.types import IOC, LIMIT, MISSING, Fills, Transfers

strong = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


class Twin:
    """Balances and positions again, in Python's whole numbers, from nothing but the postings."""

    def __init__(self, market: Market) -> None:
        self.market, self.done = market, 0
        self.balance = market.ledger.balance.astype(object)
        self.position = market.ledger.position.astype(object)

    def catch_up(self, watch: Watch) -> None:
        """Post what has been posted since the last time."""
        ledger, contracts = self.market.ledger, self.market.contracts
        for posted in watch.postings[self.done :]:
            for row in zip(*(column.tolist() for column in posted.posting), strict=True):
                if isinstance(posted.posting, Fills):
                    taker, maker, k, lots, price, _ = row
                    pool, asset = int(ledger.pool_numbers[k]), int(contracts.settle[k])
                    cash = lots * price * int(contracts.multiplier[k])
                    moves = ((taker, pool, -cash), (maker, pool, cash))
                    self.position[k, taker] += lots
                    self.position[k, maker] -= lots
                else:
                    source, target, source_pool, target_pool, asset, amount = row
                    moves = ((source, source_pool, -amount), (target, target_pool, amount))
                for owner, pool, cash in moves:
                    if owner == MISSING:  # of a net change; others have rows of their own
                        continue
                    self.balance[asset, pool, owner] += cash
        self.done = len(watch.postings)
        assert (self.balance == ledger.balance).all()
        assert (self.position == ledger.position).all()


def outside_cash(market: Market) -> int:
    """Return the outside's cash at the first venue, which has no spot: minus all it brought in."""
    pools = [pool.number for pool in market.ledger.pools if pool.venue == 0]
    return int(market.ledger.balance[:, pools, market.state.external_owner].sum())


def conserved(market: Market, outside: int) -> None:
    """Owners' cash comes from recorded deposits, dust is empty, the house pays (LED-1)."""
    balance, position = market.ledger.balance, market.ledger.position
    assert not balance.sum(axis=(1, 2)).any()
    assert not position.sum(axis=1).any()
    assert outside_cash(market) == outside
    for place in market.venues:
        assert not balance[:, :, place.system_accounts.rounding].any()
        assert (balance[:, :, place.system_accounts.venue_equity] <= 0).all()
        assert not position[
            :,
            [
                place.system_accounts.fees,
                place.system_accounts.rounding,
                place.system_accounts.venue_equity,
            ],
        ].any()


def never_judged(market: Market) -> None:
    """Rows of venues and the outside have no verdict."""
    for place in market.venues:
        for state in place.pool_states.values():
            for column in state.assessment:
                assert not column[market.state.external_owner :].any()


def nobody_owes(market: Market) -> None:
    """After the waterfall no account is below zero, payers included (LOSS-3).

    Exceptions are accounts whose lots are on offer, for no longer than allowed (LIQ-3); offers are
    published.
    """
    for place in market.venues:
        to_sell, to_buy = np.zeros((2, len(place.contracts.names)), dtype=np.int64)
        for state in place.pool_states.values():
            book = place.pool_accounts(state.pool)
            waits = place.liquidation_policy.select_auctioned(
                state.assessment, state.distress, book
            )
            assert (
                state.assessment.equity[~waits] > -1e-6
            ).all()  # an asset's price leaves float dust beside whole units
            held = book.position[waits]
            to_sell[state.pool.venue_slice] = np.where(held > 0, held, 0).sum(axis=0)
            to_buy[state.pool.venue_slice] = np.where(held < 0, -held, 0).sum(axis=0)
            late = market.tick - state.distress.bankrupt_since[state.assessment.bankrupt]
            assert not waits.any() or (60.0 * late < place.liquidation_policy.duration).all()
        assert (place.view.to_sell == to_sell).all()
        assert (place.view.to_buy == to_buy).all()


def shared(losses: pd.DataFrame, recorded: int) -> None:
    """Shortfall = amounts absorbed by layers + bad debt per account, to the unit, once (LOSS-3)."""
    first = losses.groupby(["step", "pool", "owner"], sort=False).agg(
        shortfall=("shortfall", "first"), absorbed=("absorbed", "sum")
    )
    assert (first["shortfall"] == first["absorbed"]).all()
    assert int(first["shortfall"].sum()) == recorded
    assert (losses["absorbed"] <= losses["shortfall"]).all()
    assert (losses["absorbed"] >= 0).all()


def nobody_flipped(market: Market, watch: Watch) -> None:
    """Trades of the waterfall flip or enlarge no position but that of the fund (LOSS-2)."""
    funds = {place.system_accounts.insurance_fund for place in market.venues}
    for posted in watch.losses():
        fills, held = posted.posting, posted.before.copy()
        for taker, maker, k, lots in zip(*(c.tolist() for c in fills[:4]), strict=True):
            for owner, change in ((taker, lots), (maker, -lots)):
                before, after = held[k, owner], held[k, owner] + change
                fine = abs(after) <= abs(before) and after * before >= 0
                assert fine or (owner == maker and owner in funds)
                held[k, owner] = after


def cash_of_losses(market: Market, watch: Watch, losses: pd.DataFrame) -> None:
    """LOSS-3: transfers of the waterfall balance, and the house pays exactly the bad debt."""
    bad = int(losses.loc[losses["layer"] == "bad_debt", "absorbed"].sum())
    house = [place.system_accounts.venue_equity for place in market.venues]
    assert -int(market.ledger.balance[0][:, house].sum()) == bad
    for posted in watch.postings:
        if posted.event == LOSS and isinstance(posted.posting, Transfers):
            assert not np.isin(posted.posting.target, house).any()


def closed_within_the_rules(market: Market, closeouts: pd.DataFrame) -> None:
    """Below the trigger seen by the engine, within plans and allowed rounds (LIQ-1, LIQ-4)."""
    assert (closeouts["equity"] < closeouts["maintenance"]).all()
    assert (closeouts["filled"] <= closeouts["planned"].abs()).all()
    assert (closeouts["round"] < market.config.max_rounds).all()
    assert closeouts["id"].is_unique


def brought_in(market: Market, watch: Watch) -> int:
    """Return net deposits from outside at the first venue since the start (MAR-4, AGT-7)."""
    pools = [pool.number for pool in market.ledger.pools if pool.venue == 0]
    moves = [p.posting for p in watch.postings if p.event == DEPOSIT]
    return sum(
        int(
            m.amount[
                (m.source == market.state.external_owner) & np.isin(m.source_pool, pools)
            ].sum()
        )
        for m in moves
    )


def flows_are_recorded(market: Market, venues: pd.DataFrame, brought: int) -> None:
    """Total cash of owners changes by the deposits and withdrawals in `venues` alone (LED-1)."""
    first = venues[venues["venue"] == market.venues[0].config.name]
    assert first["step"].tolist() == list(range(market.tick + 1))
    assert (first[["deposits", "withdrawals"]] >= 0).all(axis=None)
    assert int(first["deposits"].sum()) - int(first["withdrawals"].sum()) == brought


@given(worlds())
@strong
def test_cash_lots_margin_and_losses_obey_their_laws(world):
    """LED-1, MAR-1, LIQ-1 to LIQ-4, LOSS-2, LOSS-3; `markets.Watch` checks the single steps."""
    market = build(*world)
    watch, twin, start = Watch(market), Twin(market), outside_cash(market)
    with watch.watching():
        for _ in range(market.steps_planned):
            market.step()
            twin.catch_up(watch)
            conserved(market, start - brought_in(market, watch))
            never_judged(market)
            nobody_owes(market)
    frames = market.recorder.frames()
    assert frames["market"]["rounds"].max() <= market.config.max_rounds
    flows_are_recorded(market, frames["venues"], brought_in(market, watch))
    shared(frames["losses"], int(frames["venues"]["shortfall"].sum()))
    nobody_flipped(market, watch)
    watch.wallets_are_out_of_reach()
    cash_of_losses(market, watch, frames["losses"])
    closed_within_the_rules(market, frames["closeouts"])


@given(worlds())
@settings(strong, max_examples=5)
def test_suppressed_close_outs_close_nobody_out(world):
    """LIQ-4: the switch leaves neither close-outs nor losses, whatever happens."""
    rules, people, seed = world
    market = build(rules.model_copy(update={"suppress_closeouts": True}), people, seed)
    watch = Watch(market)
    for _ in range(market.steps_planned):
        market.step()
    frames = market.recorder.frames()
    assert not len(frames["closeouts"])
    assert not len(frames["losses"])
    assert {p.event for p in watch.postings}.isdisjoint({CLOSE_OUT, LOSS})
    market.ledger.check_conservation()


def test_orders_in_flight_do_not_add_up():
    """A bid filled before its replacement arrives leaves it only the missing lots (MAR-1)."""
    price, full = 1000, 1990  # 20x on 1000 units affords 2000 lots of 10 units
    people = [
        script(
            [1000.0],
            {1: [(0, 0, full, price, LIMIT, 0)], 2: [(0, 0, full, price, LIMIT, 0)]},
            latency=9,
        ),
        script(
            [10_000.0],
            {2: [(0, 0, -full, price, IOC, 0)], 3: [(0, 0, -full, price, IOC, 0)]},
            name="sellers",
        ),
    ]
    market = build(config(steps=3), people)
    for _ in range(3):
        market.step()
    assert market.ledger.position[0].tolist()[:2] == [full, -full]


def test_only_the_owner_of_a_margin_account_tops_it_up():
    """No order of another moves cash of an account below initial, nor does liquidation (ISO-1)."""
    book = [(0, 0, 100, 1000, LIMIT, 0), (1, 0, -100, 1000, LIMIT, 0)]
    quotes = {t: [(member, 0, 1, 900, LIMIT, t) for member in range(1, 5)] for t in range(2, 6)}
    rules = config(
        venue(
            instruments=(BTC, ETH),
            netting={"kind": "isolated"},
            waterfall=({"kind": "adl_pro_rata"},),
        ),
        steps=6,
        stresses=[move(2, -0.08, underlyings=["btc"]), move(5, -0.3, underlyings=["btc"])],
    )
    market = build(rules, [script([1000.0] * 5, {1: book} | quotes)])
    wallet = market.venues[0].wallet_pool
    for tick in range(1, 7):
        market.step()
        assert market.ledger.balance[0, wallet, 0] == 100_000 - 5_000
        assert market.ledger.position[0, 0] == (100 if tick < 5 else 0)


@pytest.mark.slow
def test_a_hundred_million_fills_leave_no_drift():
    """Zero-intelligence trading, 10^8 fills: after every step every sum is exactly zero (LED-1)."""
    rules = config(
        venue(requirement=tiers(40.0)), steps=10_000, process={"kind": "gbm", "volatility": 0.5}
    )
    market = build(
        rules, [{"kind": "zero_intelligence", "count": 20_000, "venue": "x", "wealth": 1e6}]
    )
    start, began, fills = outside_cash(market), time.perf_counter(), 0
    while fills < 10**8:
        for _ in range(50):
            market.step()
            market.ledger.check_conservation()
            assert outside_cash(market) == start
        fills = int(market.recorder.summary()["trades"])
    took = time.perf_counter() - began
    print(
        f"{fills:,} fills in {market.tick:,} steps and {took:.0f} s, {fills / took:,.0f} a second"
    )

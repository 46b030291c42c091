"""Auctions of what the book refuses, and who buys there: LIQ-3, LIQ-5, AGT-4."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from build import distress, exposure
from markets import build, config, move, script, venue

from sim.liquidation.auction import AuctionCloseOut
from sim.market import Market
from sim.types import IOC, LIMIT, MISSING, ROUTE_AUCTION, ROUTE_BOOK, Exposure, MarginAssessment

LONG, CRASH, LOTS = 0, 3, 1500
STEP = 60.0


def risk_of(book: Exposure) -> MarginAssessment:
    gross = np.abs(book.position_value()).sum(axis=1)
    return MarginAssessment(book.equity(), 0.1 * gross, 0.05 * gross)


def offered(tick: int = 10) -> tuple[Exposure, MarginAssessment, np.ndarray]:
    """Ten lots each at 1000: a bankrupt long, a bankrupt short, one liquidatable, one solvent."""
    book = exposure([[10], [-10], [10], [10]], [1000], [-10_100, 9_900, -9_900, 0], tick=tick)
    return book, risk_of(book), np.ones((4, 1))


def test_the_discount_rises_from_nil_to_its_largest() -> None:
    """The limit is first beyond the mark, then the mark less 1.25, 2.5, 3.75 and 5% (LIQ-3)."""
    desk = AuctionCloseOut(duration=4 * STEP).bind(STEP)
    long, short = [], []
    for broke in (MISSING, 10, 9, 8, 7, 6, 5):
        book, risk, weights = offered()
        plan = desk.plan_close_outs(
            risk, distress(4, broke=[broke, broke, MISSING, MISSING]), book, weights
        )
        assert plan.account.tolist() == [0, 1, 2]
        assert plan.route.tolist() == [
            ROUTE_BOOK if broke in (MISSING, 10) else ROUTE_AUCTION
        ] * 2 + [ROUTE_BOOK]
        assert plan.limit[2] == 990, "a solvent account is sold at its bankruptcy price"
        long.append(int(plan.limit[0]))
        short.append(int(plan.limit[1]))
    assert long == [1010, 1010, 988, 975, 963, 950, 950]
    assert short == [990, 990, 1012, 1025, 1037, 1050, 1050]


def test_limits_of_an_auction_can_be_quoted() -> None:
    book = exposure([[1], [-1]], [1], [-2, 0], max_price=1)
    desk = AuctionCloseOut(max_discount=0.99).bind(STEP)
    assert desk.plan_close_outs(
        risk_of(book), distress(2, broke=0), book, np.ones((2, 1))
    ).limit.tolist() == [1, 1]


def test_the_bankrupt_are_offered_while_their_auction_lasts() -> None:
    """Solvent accounts are offered once a plan named them, healthy and flat ones never."""
    desk = AuctionCloseOut(duration=2 * STEP).bind(STEP)
    book, risk, _ = offered()
    known = {"since": [9, 9, 9, MISSING], "acted": [9, 9, 9, 9]}
    assert desk.select_auctioned(
        risk, distress(4, broke=[10, 9, MISSING, MISSING], **known), book
    ).tolist() == [1, 1, 1, 0]
    assert desk.select_auctioned(
        risk, distress(4, broke=[8, 9, MISSING, MISSING], **known), book
    ).tolist() == [0, 1, 1, 0]
    assert desk.select_auctioned(risk, distress(4, since=9, acted=8, broke=8), book).tolist() == [
        0,
        0,
        0,
        0,
    ]
    spot = exposure([[10], [0]], [1000], [-10_100, -1], kind=1)
    assert not desk.select_auctioned(risk_of(spot), distress(2, since=0, acted=0), spot).any()


# --- whole markets ---


def crowd(**later: Any) -> list[Any]:
    """Return a long, the short opposite, and two members who trade a lot at 900 in the fall."""
    first = {1: [(LONG, 0, LOTS, 1000, LIMIT, 0)], CRASH: [(1, 0, -1, 900, LIMIT, 0)]}
    then = {1: [(0, 0, -LOTS, 1000, IOC, 0)], CRASH: [(1, 0, 1, 900, IOC, 0)]}
    return [
        script([1_000.0, 1_000.0], first, latency=0),
        script([1_000_000.0, 1_000.0], then | later.get("orders", {}), name="then"),
    ]


def crash(
    liquidators: dict[str, Any] | None = None, steps: int = 12, seed: int = 1, **rules: Any
) -> Market:
    """Run a long of 1500 lots at 1000 that a fall to 900 leaves 500 units short in an empty book.

    One lot trades at 900 as it falls, so that the mark is 900 when the auction begins.
    """
    stresses = rules.pop("stresses", [move(CRASH, -0.1)])
    policy = {"kind": "auction"} | rules
    people: list[Any] = [*crowd(), {"kind": "insurance_fund", "venue": "x", "wealth": 100_000.0}]
    if liquidators is not None:
        people.append({"kind": "liquidators", "venue": "x", "wealth_sigma": 0.0} | liquidators)
    place = venue(liquidation=policy, waterfall=({"kind": "fund"},))
    market = build(config(place, steps=steps, stresses=stresses), people, seed)
    for _ in range(steps):
        market.step()
        market.ledger.check_conservation()
    return market


def sold(market: Market) -> pd.DataFrame:
    """Return the close-outs filled at the price of an auction."""
    frame = market.recorder.frames()["closeouts"]
    return frame[(frame["route"] == "auction") & (frame["filled"] > 0)]


def losses(market: Market) -> pd.DataFrame:
    return market.recorder.frames()["losses"]


def bought(market: Market) -> np.ndarray:
    """Lots that each liquidator holds at the end."""
    lots: np.ndarray = market.ledger.position[0, market.member_slices[-1]]
    return lots


RICH = {"count": 6, "wealth": 50_000.0, "share": 0.5}


def test_what_is_on_offer_is_public_from_the_next_tick_and_the_waterfall_waits() -> None:
    market = crash(duration=4 * STEP)
    steps = market.recorder.frames()["steps"].set_index("step")
    assert steps["to_sell"].tolist() == [0, 0, *[LOTS] * 4, *[0] * 6]
    assert not steps["to_buy"].any()
    assert losses(market)[["step", "layer", "absorbed"]].to_numpy().tolist() == [
        [CRASH + 4, "fund", 50_000]
    ]


def test_nobody_without_capital_buys_and_the_fund_takes_over_at_the_end() -> None:
    poor = crash(RICH | {"wealth": 0.01}, duration=4 * STEP)
    assert not len(sold(poor))
    assert not bought(poor).any()
    assert losses(poor)[["step", "layer", "lots"]].to_numpy().tolist() == [
        [CRASH + 4, "fund", LOTS]
    ]


def test_who_asks_the_smallest_discount_is_served_first() -> None:
    """At half of the offer each, the two cheapest of six have it all, at the prices they named."""
    market = crash(RICH)
    discount = market.populations[-1]._members.min_discount[:, 0]
    first, second = np.argsort(discount)[:2]
    lots = bought(market)
    assert lots[first] > 0
    assert lots[second] > 0
    assert set(np.flatnonzero(lots)) == {first, second}
    assert lots.sum() == LOTS
    trades = sold(market)
    assert trades["step"].iloc[0] == CRASH + 1
    paid = trades["notional"].sum() / trades["filled"].sum()
    best, next_best = np.floor(900 * (1 - discount[[first, second]]))
    assert paid == pytest.approx(1000 * 0.01 * 100 * (best + next_best) / 2 / 1000, abs=1.0)


def test_the_fund_pays_the_deficit_and_the_discount() -> None:
    """LOSS-3: shortfall = what was lacking at bankruptcy + lots x (mark - price), to the unit."""
    market = crash(RICH)
    trades = sold(market)
    assert trades["filled"].sum() == LOTS
    discount = 900 * LOTS - trades["notional"].sum()
    (loss,) = losses(market).to_dict("records")
    assert loss["layer"] == "fund"
    assert loss["absorbed"] == 50_000 + discount
    assert loss["lots"] == 0


def test_nothing_is_sold_below_the_largest_discount() -> None:
    market = crash(RICH | {"min_discount": 2_000.0, "min_discount_sigma": 0.0})
    assert not len(sold(market))
    assert losses(market)["lots"].tolist() == [LOTS]


def test_competition_lowers_the_discount() -> None:
    """Paired runs: with more members no market sells for less, and together they sell for more."""
    prices = []
    for seed in range(8):
        paired = []
        for count in (1, 4, 16):
            bidders = {
                "count": count,
                "wealth": 50_000.0,
                "min_discount": 100.0,
                "min_discount_sigma": 0.4,
            }
            trades = sold(crash(bidders, steps=9, seed=seed))
            assert trades["filled"].sum() == LOTS
            paired.append(trades["notional"].sum() / LOTS)
        assert paired == sorted(paired)
        prices.append(paired)
    mean = np.mean(prices, axis=0)
    assert (np.diff(mean) > 0).all()
    print("mean price of lots whose mark was 900:", mean)


def test_the_longer_an_auction_nobody_attends_the_larger_the_loss() -> None:
    """LIQ-5: late liquidation is where bad debt comes from."""
    falls = [move(CRASH, -0.1), move(CRASH + 1, -0.2, duration=8 * STEP)]
    short = [
        int(losses(crash(duration=steps * STEP, stresses=falls))["shortfall"].iloc[0])
        for steps in (1, 3, 5, 8)
    ]
    assert short == sorted(set(short))


def test_liquidators_work_off_what_they_bought_at_a_profit() -> None:
    """AGT-4: into bids that come later, at no less than half their own discount below the mark."""
    quotes = {CRASH + 3: [(0, 0, 40_000, 899, LIMIT, 0), (1, 0, -10, 901, LIMIT, 0)]}
    people: list[Any] = [
        *crowd(orders=quotes),
        {
            "kind": "liquidators",
            "venue": "x",
            "count": 4,
            "wealth": 50_000.0,
            "wealth_sigma": 0.0,
            "unwind_time": 300.0,
        },
    ]
    place = venue(liquidation={"kind": "auction"}, waterfall=({"kind": "adl_pro_rata"},))
    market = build(config(place, steps=60, stresses=[move(CRASH, -0.1)]), people)
    for _ in range(60):
        market.step()
    members = market.member_slices[-1]
    gains = market.venues[0].equity(members) - 50_000 * 100
    assert len(sold(market))
    assert not bought(market).any()
    assert gains.min() >= 0
    assert gains.max() > 0

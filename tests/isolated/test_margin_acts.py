"""Margin that owners add to an isolated position and take back, to the unit (ISO-1, AGT-7)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import BTC, build, config, move, script, venue

from sim.market import Market
from sim.types import LIMIT

MINE, OTHER = 0, 1
PAID = 100_000
"""Value of 100 lots of BTC-PERP at 1,000 ticks, cents; at most 20 times leverage."""


def opened(
    side: int, leverage: int, payments: dict[int, Any], steps: int, *jumps: dict[str, Any]
) -> Market:
    """Open 100 lots of owner 0 in step 1 at a leverage in hundredths; payments (pool, amount)."""
    trade = [
        (MINE, 0, 100 * side, 1000, LIMIT, 0, leverage),
        (OTHER, 0, -100 * side, 1000, LIMIT, 0, 100),
    ]
    acts = {t: tuple((MINE, 0, amount) for amount in each) for t, each in payments.items()}
    rules = venue(instruments=(BTC,), netting={"kind": "isolated"})
    member = script([1000.0, 1e6], {1: trade}, payments=acts)
    return build(config(rules, steps=steps, stresses=list(jumps)), [member])


def margin(market: Market) -> tuple[int, int]:
    """Cash in the wallet, and cash behind the position without unrealised profit."""
    ledger, where = market.ledger, market.venues[0]
    cash = ledger.balance[0, 0, MINE] + ledger.entry[0, MINE]
    return int(ledger.balance[0, where.wallet_pool, MINE]), int(cash)


@pytest.mark.parametrize("side", [1, -1])
def test_what_was_added_comes_back_down_to_the_chosen_leverage(side: int) -> None:
    """At 10 times 10,000 must stay; the wallet gives at most what it holds."""
    acts = {2: [3_000], 3: [-3_001], 4: [-3_000], 5: [-1], 6: [90_001], 7: [90_000]}
    market = opened(side, 1_000, acts, 7)
    seen = []
    for _ in range(7):
        market.step()
        seen.append(margin(market)[1])
    assert seen == [10_000, 13_000, 13_000, 10_000, 10_000, 10_000, 100_000]
    assert sum(margin(market)) == PAID
    venues = market.recorder.frames()["venues"]
    assert venues["margin_added"].tolist()[1:] == [0, 3_000, 0, 0, 0, 0, 90_000]
    assert venues["margin_removed"].tolist()[1:] == [0, 0, 0, 3_000, 0, 0, 0]
    assert not venues[["deposits", "withdrawals"]].to_numpy()[1:].any()


@pytest.mark.parametrize("side", [1, -1])
def test_unrealised_profit_backs_the_position_and_cannot_be_taken_out(side: int) -> None:
    """A gain of half the value leaves all of the cash free, and no more of it."""
    acts = {3: [-10_001], 4: [-10_000]}
    market = opened(side, 1_000, acts, 4, move(2, 0.5 * side))
    for _ in range(3):
        market.step()
    assert margin(market)[1] == 10_000
    market.step()
    assert margin(market) == (PAID, 0)
    assert market.ledger.position[0, MINE] == 100 * side


@pytest.mark.parametrize("side", [1, -1])
def test_an_unrealised_loss_must_stay_covered(side: int) -> None:
    """After a loss of 4% an account at 10 times lacks what its leverage requires."""
    market = opened(side, 1_000, {3: [-1], 4: [4_000], 5: [-1]}, 5, move(2, -0.04 * side))
    for _ in range(5):
        market.step()
    due = min(PAID, round(PAID * (1 - 0.04 * side))) // 10
    spare = 10_000 - due
    assert margin(market)[1] == 14_000 - (spare >= 1)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("netting", ["isolated", "cross"])
def test_the_wallet_protects_under_cross_margin_and_not_under_isolated(
    netting: str, side: int
) -> None:
    """At the cap of 20, 1,000 lots at 1,000 ticks have 50 ticks behind them, or the 100 of all.

    Both are closed out at their closed form, (entry - s margin) / (1 - s 0.025) a lot, and not one
    tick before.
    """
    margin = 50 if netting == "isolated" else 100
    price = (1_000 - side * margin) / (1 - side * 0.025)
    before = int(np.ceil(price) if side > 0 else np.floor(price))
    jumps = [move(2, before / 1_000 - 1), move(3, (before - side) / before - 1)]
    trade = [
        (MINE, 0, 1_000 * side, 1000, LIMIT, 0, 2_000),
        (OTHER, 0, -1_000 * side, 1000, LIMIT, 0, 100),
    ]
    rules = venue(instruments=(BTC,), netting={"kind": netting})
    people = [script([1000.0, 1e6], {1: trade})]
    market = build(config(rules, steps=3, stresses=jumps), people)
    kept = []
    for _ in range(3):
        market.step()
        kept.append(MINE not in set(market.recorder.frames()["closeouts"]["owner"]))
    assert kept == [True, True, False]
    limit = market.recorder.frames()["closeouts"].query("owner == 0")["limit"].iloc[0]
    assert limit == 1_000 - side * margin, "the bankruptcy price"


@given(
    side=st.sampled_from([1, -1]),
    leverage=st.integers(100, 2_500),
    acts=st.dictionaries(
        st.integers(2, 9), st.lists(st.integers(-30_000, 30_000), min_size=1, max_size=3)
    ),
    sizes=st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_no_act_takes_more_than_equity_less_margin(
    side: int, leverage: int, acts: dict[int, list[int]], sizes: list[float]
) -> None:
    """After each removal the account still opens its position at the chosen leverage."""
    jumps = [move(at, size) for at, size in zip((3, 5, 7), sizes, strict=True)]
    market = opened(side, leverage, acts, 9, *jumps)
    where, before = market.venues[0], 0
    for _ in range(9):
        market.step()
        removed = int(market.recorder.frames()["venues"]["margin_removed"].iloc[-1])
        wallet, _ = margin(market)
        assert wallet >= 0
        if removed:
            accounts = where.admission_accounts(where.pools[0])
            view = accounts.market.replace_mark(0, before)
            risk = where.pool_states[0].engine.assess_admission(accounts._replace(market=view))
            assert risk.equity[MINE] >= risk.initial[MINE]
        before = float(where.view.mark[0])
    market.ledger.check_conservation()
    assert not market.ledger.position[0].sum()

"""Laws found broken in review, each by the smallest market that broke it."""

import numpy as np
import pytest
from markets import BTC, ETH, build, config, move, script, venue

from sim.attribution import CAUSE_KINDS
from sim.exchange.book import OrderBooks
from sim.step.orders import PLACE_BITS, make_arrival_keys
from sim.types import IOC, LIMIT, MISSING, REDUCE_ONLY


def test_trades_stay_what_they_were_when_the_books_go_on():
    """The event log copies fills; a single fill used to be a view of the next batch (LIQ-6)."""
    books, position = OrderBooks(1, 4, 100), np.zeros((1, 4), dtype=np.int64)
    bands, stood = np.array([[1, 100]]), np.zeros(2, dtype=np.int64)
    meet = np.array([[0, 0, 5, 50, LIMIT, 0, 0, MISSING], [1, 0, -5, 50, LIMIT, 0, 0, MISSING]])
    kept = books.trade(meet, position, bands, stood)
    before = [column.tolist() for column in kept]
    books.trade(meet + np.array([2, 0, 0, 10, 0, 0, 0, 0]), position, bands, stood)
    assert [column.tolist() for column in kept] == before


def test_a_fund_that_took_a_flat_account_over_is_asked_for_no_more_than_it_has_left():
    """The fund pays for the first of two exits and keeps 20 for the second (LOSS-2, LOSS-3)."""
    exits = [(member, 0, -150, 600, IOC | REDUCE_ONLY, 1) for member in (0, 1)]
    entries = [
        (0, 0, 150, 1000, LIMIT, 0),
        (1, 0, 150, 1000, LIMIT, 0),
        (2, 0, -300, 1000, LIMIT, 0),
    ]
    people = [
        script([200.0, 200.0, 160.0], {1: entries, 2: [(2, 0, 300, 600, LIMIT, 1), *exits]}),
        {"kind": "insurance_fund", "venue": "x", "wealth": 420.0},
    ]
    rules = config(
        venue(waterfall=({"kind": "fund"}, {"kind": "socialised", "base": "equity"})), steps=2
    )
    market = build(rules, people)
    for _ in range(2):
        market.step()
    assert market.recorder.frames()["losses"]["layer"].tolist() == ["fund", "socialised"]
    assert market.venues[0].pool_states[0].assessment.equity.min() >= 0


def test_a_close_out_that_takes_the_last_quote_leaves_the_mark_that_others_see():
    """Bare books are marked without the last trade, and so is `mark_after` (MARK-1, LIQ-4)."""
    entries = [
        (0, 0, 100, 1000, LIMIT, 0),
        (2, 0, 50, 1000, LIMIT, 0),
        (1, 0, -150, 1000, LIMIT, 0),
    ]
    people = [
        script(
            [51.0, 1e5, 30.0],
            {1: entries, 2: [(1, 0, 60, 960, LIMIT, 1), (1, 0, 40, 955, LIMIT, 2)]},
        )
    ]
    market = build(config(steps=2, stresses=[move(2, -0.06)]), people)
    for _ in range(2):
        market.step()
    frames = market.recorder.frames()
    seen = frames["closeouts"][["owner", "filled", "mark_before", "mark_after"]]
    assert seen.to_numpy().tolist() == [[0, 100, 970, 940], [2, 0, 940, 940]]
    pushed = market.state.cause_logs[0].collect_causes(
        np.array([2])
    )  # nothing of it was filled, so no row is recorded
    harm = pushed.amount[pushed.kind == CAUSE_KINDS.index("close_out")]
    assert harm.tolist() == [50 * (940 - 970) + 38]  # 1,213 of maintenance fall to 1,175


def test_orders_beyond_all_bounds_are_refused():
    """Four times 2^62 lots overflow to zero in 64 bits, yet exceed 1,000 units of money (MAR-1)."""
    huge = [(0, 0, 2**62, 900, LIMIT, slot) for slot in range(4)]
    people = [script([10.0, 1e6], {1: huge, 2: [(1, 0, -10_000, 900, LIMIT, 0)]})]
    market = build(config(steps=2), people)
    for _ in range(2):
        market.step()
    assert not market.ledger.position.any()


def test_a_step_with_more_orders_than_keys_is_refused():
    """BOOK-2: beyond 2^22 orders the first ones would be sent twice, and the last ones never."""
    market = build(config(steps=1), [script([10.0], {})])
    owners = np.zeros(2**PLACE_BITS + 1, dtype=np.int64)
    places = make_arrival_keys(market.state, owners[1:], owners[1:]) & (2**PLACE_BITS - 1)
    assert (places == np.arange(2**PLACE_BITS)).all()
    with pytest.raises(ValueError, match="4194305 orders"):
        make_arrival_keys(market.state, owners, owners)


def test_a_twin_without_close_outs_keeps_no_causes():
    """Accounts stay under maintenance to the end, so causes are not needed (LIQ-6)."""
    entries = {1: [(0, 0, 100, 1000, LIMIT, 0), (1, 0, -100, 1000, LIMIT, 0)]}
    rules = config(steps=9, stresses=[move(2, -0.1), move(4, -0.1)], suppress_closeouts=True)
    market = build(rules, [script([60.0, 1e5], entries)])
    for _ in range(9):
        market.step()
    assert market.venues[0].pool_states[0].assessment.liquidatable[0]
    assert not market.state.cause_logs[0].collect_causes(np.array([0])).row.size


def test_a_fund_bears_what_unwinding_costs_under_any_netting():
    """The fund takes over 100 long: no ADL while its wallet covers the loss (LIQ-3)."""
    entries = {1: [(0, 0, 100, 1000, LIMIT, 0), (1, 0, -100, 1000, LIMIT, 0)]}
    people = [
        script([60.0, 1e4], entries),
        {"kind": "insurance_fund", "venue": "x", "wealth": 5000.0},
    ]
    for netting, deficit in (
        ("cross", 4_000),
        ("isolated", 5_000),
    ):  # 1,000 of the isolated long stayed in its wallet
        rules = venue(
            instruments=(BTC, ETH),
            netting={"kind": netting},
            waterfall=({"kind": "fund"}, {"kind": "adl_queue"}),
        )
        market = build(config(rules, steps=4, stresses=[move(2, -0.1), move(3, -0.25)]), people)
        for _ in range(4):
            market.step()
        assert market.recorder.frames()["losses"]["layer"].tolist() == ["fund"]
        assert market.ledger.position[0].tolist()[:3] == [0, -100, 100]
        assert market.equity_of(2) == 500_000 - deficit - 22_500

"""The compiled loss waterfall: the same bits as its plain twin (LOSS-1 to LOSS-3)."""

from functools import partial
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markets import BTC, BTC_B, ETH, NETTINGS, build, config, script, tiers, venue, worlds

from agents.insurance_fund import InsuranceFund
from sim.attribution import VOLUNTARY
from sim.component import Component
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.market import Market
from sim.records import LossEvents
from sim.step import loss_waterfall
from sim.step.assessment import assess_accounts
from sim.step.plain_waterfall import PlainWaterfall
from sim.step.waterfall import division, driver
from sim.step.waterfall.driver import CompiledWaterfall
from sim.step.waterfall.tables import Queues
from sim.step.waterfall.tree import (
    build_queue,
    find_first_able,
    insert_account,
    remove_account,
)
from sim.types import MISSING, Fills, Transfers
from sim.waterfall.adl_pro_rata import AdlProRata
from sim.waterfall.adl_queue import AdlQueue
from sim.waterfall.allocation import allocate_capped, allocate_largest_remainder
from sim.waterfall.fund import FundLayer
from sim.waterfall.layer_results import NO_FILLS
from sim.waterfall.socialised import SocialisedLoss

many = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


class HalfPaid(Component):
    """Deficit of which the fund pays half in cash, as the README's layer of one's own."""

    kind: Literal["half_paid"] = "half_paid"

    def absorb(self, loss: Shortfall, context: LayerContext) -> LayerResult:
        fund, due = context.fund_owner, int(loss.deficit.sum()) // 2
        due = 0 if fund == MISSING else min(due, max(0, int(context.assessment.equity[fund])))
        payers = np.array([fund] if due else [], dtype=np.int64)
        return LayerResult(NO_FILLS, payers, np.array([due] if due else [], dtype=np.int64))


class OwnQueue(AdlQueue):
    """A queue of one's own, which has no kernel."""


LAYERS = (
    FundLayer(),
    FundLayer(max_share=0.05),
    AdlQueue(),
    AdlQueue(score="binance"),
    AdlQueue(score="hyperliquid"),
    AdlProRata(),
    AdlProRata(profit_only=True),
    SocialisedLoss(),
    SocialisedLoss(base="equity"),
    HalfPaid(),
    OwnQueue(),
)
ENGINES: tuple[dict[str, Any], ...] = (
    {"requirement": tiers()},
    {
        "requirement": {
            "kind": "compressed",
            "compression": 0.3,
            "inner": {
                "kind": "tiered",
                "tiers": [
                    {"floor": 0, "max_leverage": 50},
                    {"floor": 2_000, "max_leverage": 10},
                    {"floor": 9_000, "max_leverage": 3},
                ],
            },
        },
        "margin_multiplier": 1.5,
        "maintenance_ratio": 0.4,
    },
    {"requirement": {"kind": "tail", "model": {"kind": "covariance"}}},
    {"requirement": tiers(), "valuation": {"kind": "haircut"}},
)


@st.composite
def crises(draw: Any) -> dict[str, Any]:
    """Draw rules and sizes of a market many of whose accounts are bankrupt."""
    return {
        "engine": draw(st.sampled_from(ENGINES)) | {"netting": draw(st.sampled_from(NETTINGS))},
        "layers": tuple(draw(st.lists(st.sampled_from(LAYERS), max_size=4))),
        "owners": draw(st.integers(2, 60)),
        "wealth": draw(st.sampled_from([1.0, 30.0, 1_000.0])),
        "fund": draw(st.sampled_from([None, 1.0, 500.0, 100_000.0])),
        "settle": draw(st.sampled_from(["", "ALT"])),
        "lots": draw(st.sampled_from([1, 3, 200])),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def crisis(told: dict[str, Any]) -> Market:
    """Return a market with random positions, entry prices, cash and resting orders."""
    perps, owners = [BTC, ETH | {"settle": told["settle"]}, BTC_B], told["owners"]
    rules = config(
        venue(instruments=perps) | {"engine": told["engine"]},
        assets=[{"name": "USD"}, {"name": "ALT", "price": 0.9}],
    )
    people: list[Any] = [script([told["wealth"]] * owners, {})]
    if told["fund"] is not None:
        people.append(InsuranceFund(venue="x", wealth=told["fund"]))
        owners += 1
    market = build(rules, people)
    place, rng = market.venues[0], np.random.default_rng(told["seed"])
    place.config = place.config.model_copy(update={"waterfall": told["layers"]})
    count = 4 * owners
    taker, maker = rng.integers(0, owners, (2, count))
    instrument, lots = rng.integers(0, 3, count), rng.integers(1, told["lots"] + 1, count)
    price = np.rint(place.view.mark[instrument] * rng.choice([0.5, 0.9, 1.0, 1.2], count))
    none = np.full(count, MISSING)
    fills = Fills(taker, maker, instrument, lots, price.astype(np.int64), none)
    market.ledger.settle_fills(Fills(*(column[taker != maker] for column in fills)), VOLUNTARY)
    pools, unit = [pool.number for pool in market.ledger.pools if pool.venue == 0], 10_000
    source, target = rng.integers(0, owners, (2, owners))
    amounts = rng.integers(0, max(2, round(told["wealth"] * unit)), owners)
    from_pool, to_pool = rng.choice(pools, (2, owners))
    moves = Transfers(source, target, from_pool, to_pool, rng.integers(0, 2, owners), amounts)
    market.ledger.transfer(moves, VOLUNTARY)
    orders = np.zeros((owners, 8), dtype=np.int64)
    orders[:, 0], orders[:, 1] = np.arange(owners), rng.integers(0, 3, owners)
    orders[:, 2], orders[:, 3] = np.where(orders[:, 0] % 2, 5, -5), 3 - 2 * (orders[:, 0] % 2)
    orders[:, 3] = np.where(orders[:, 0] % 2, 100, 500)
    orders[:, 7] = MISSING
    market.order_books.match(orders, market.ledger.position, np.array([[1, 6000]] * 3))
    assess_accounts(market.state)
    return market


def list_events(batches: list[LossEvents]) -> list[tuple[Any, ...]]:
    """Return all columns of events, whatever their batches."""
    return [
        (events.pool.number, events.layer_names[row], *(each[row].tolist() for each in events[3:]))
        for events in batches
        for row in range(events.account.size)
    ]


@given(crises())
@many
def test_layers_of_all_kinds_give_the_same_bits_as_their_plain_twin(told: dict[str, Any]) -> None:
    plain, compiled = crisis(told), crisis(told)
    expected = loss_waterfall.allocate_losses(plain.state, PlainWaterfall)
    found = loss_waterfall.allocate_losses(compiled.state)
    assert list_events(found.events) == list_events(expected.events)
    assert found.shortfalls.tolist() == expected.shortfalls.tolist()
    for name in ("balance", "position", "entry"):
        assert np.array_equal(getattr(compiled.ledger, name), getattr(plain.ledger, name)), name
    resting = compiled.order_books.resting_totals
    assert np.array_equal(resting, plain.order_books.resting_totals)
    for one, other in zip(
        compiled.venues[0].pool_states.values(), plain.venues[0].pool_states.values(), strict=True
    ):
        for column, twin in zip(one.assessment, other.assessment, strict=True):
            assert np.array_equal(column, twin)
    compiled.ledger.check_conservation()


def play(world: Any, waterfall: type[PlainWaterfall]) -> Market:
    """Run a market to its end with one of the waterfalls."""
    market = build(*world)
    allocate = partial(loss_waterfall.allocate_losses, waterfall=waterfall)
    with patch.object(loss_waterfall, "allocate_losses", allocate):
        while market.tick < market.steps_planned:
            market.step()
    return market


@given(worlds())
@settings(many, max_examples=10)
def test_runs_record_the_same_frames_as_with_the_plain_waterfall(world: Any) -> None:
    plain, compiled = play(world, PlainWaterfall), play(world, CompiledWaterfall)
    found = compiled.recorder.frames()
    for name, frame in plain.recorder.frames().items():
        pd.testing.assert_frame_equal(found[name], frame, check_exact=True)
    assert compiled.recorder.summary() == plain.recorder.summary()


def test_tables_of_fills_and_events_grow() -> None:
    """Few rows at first, and no queue is kept when many accounts have changed."""
    told = {
        "engine": {"requirement": tiers(), "netting": {"kind": "cross"}},
        "layers": (AdlQueue(), SocialisedLoss(base="equity")),
        **{"owners": 400, "wealth": 30.0, "fund": None, "settle": "", "lots": 200, "seed": 1},
    }
    plain, compiled = crisis(told), crisis(told)
    expected = loss_waterfall.allocate_losses(plain.state, PlainWaterfall)
    found = loss_waterfall.allocate_losses(compiled.state)
    assert len(list_events(expected.events)) > 100
    assert list_events(found.events) == list_events(expected.events)
    assert np.array_equal(compiled.ledger.balance, plain.ledger.balance)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_a_queue_is_a_sorted_list(seed: int, size: int) -> None:
    """Insertion, removal and search against a plain list, ties and accounts without means."""
    rng = np.random.default_rng(seed)
    queues = Queues(
        np.zeros((1, size, 4), dtype=np.int64),
        np.zeros((1, size)),
        np.zeros((3, driver.MAX_DEPTH), dtype=np.int64),
    )
    means, score = rng.integers(0, 6, size), rng.integers(0, 5, size).astype(float)
    inside = rng.random(size) < 0.5
    rows = np.flatnonzero(inside)
    order = rows[np.argsort(-score[rows], kind="stable")]
    build_queue(queues, 0, order, score[order], means[order])
    for _ in range(60):
        row = int(rng.integers(size))
        if inside[row]:
            remove_account(queues, 0, row)
        else:
            means[row], score[row] = rng.integers(0, 6), float(rng.integers(0, 5))
            insert_account(queues, 0, row, score[row], int(means[row]))
        inside[row] = not inside[row]
        assert np.array_equal(~np.isnan(queues.score[0]), inside)
        for least in (0.0, 2.5, 5.0, 6.0):
            able = np.flatnonzero(inside & (means >= least))
            first = able[np.argsort(-score[able], kind="stable")][:1].tolist() or [MISSING]
            assert find_first_able(queues, 0, least) == first[0]


weights = st.lists(st.integers(0, 2**40), min_size=1, max_size=40)


@given(st.integers(0, 2**50), weights, st.data())
@settings(max_examples=200, deadline=None)
def test_divisions_are_those_of_the_plain_layers(amount: int, weight: Any, data: Any) -> None:
    caps = data.draw(st.lists(st.integers(0, 2**40), min_size=len(weight), max_size=len(weight)))
    shares = np.array(weight)
    found = division.divide_capped(amount, shares.copy(), np.array(caps))
    assert np.array_equal(found, allocate_capped(amount, shares, np.array(caps)))
    if any(weight):
        found = division.divide_largest_remainder(amount, shares)
        assert np.array_equal(found, allocate_largest_remainder(amount, shares))


@given(weights, st.data())
@settings(max_examples=100, deadline=None)
def test_the_nth_largest_is_found(values: Any, data: Any) -> None:
    count = data.draw(st.integers(1, len(values)))
    expected = sorted(values, reverse=True)[count - 1]
    assert division.find_nth_largest(np.array(values), count) == expected

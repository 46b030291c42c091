"""Contracts of whole engines, for every registered kind and every preset, new ones included.

An engine is built for all instruments of a book at once, as under cross netting: netting only
decides the columns of a pool. Worlds are those of test_margin_contract.py: every third has futures
and options.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import UNIT, close, equal, exposure, seeds
from contracts.test_margin_contract import examples, world
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.generated.presets import PRESETS
from sim.liquidation.prices import find_liquidation_ticks, make_excess_function
from sim.margin import leg_values
from sim.margin.engine import EngineConfig, MarginEngine
from sim.margin.scenarios.scenarios import ScenarioMargin
from sim.protocols import Requirement
from sim.reading.loading import load_config
from sim.types import MISSING, Exposure, Margins

FEW = settings(max_examples=4, deadline=None)
LOOKED_AT = 20
"""Marks tried on each side of an account's own."""

AVERAGED = {"scaled", "avsl_inspired", "clocked", "floored", "stressed", "buffered"}
"""Wrappers with the mean factor of a portfolio's legs, or with the parameters of a model."""
MODELLED = {"tail", "learned"}
"""Quantiles, which no law makes sub-additive."""
TOGETHER = {"wrong_way"}
"""Add-ons that charge what legs and collateral are together."""


def presets() -> list[Any]:
    return [
        pytest.param(load_config(f"engines/{name}", (), EngineConfig), id=name) for name in PRESETS
    ]


def engines() -> list[Any]:
    """Every kind in some settings, and every preset."""
    kinds = [
        pytest.param(EngineConfig(requirement=each.values[0]), id=each.id) for each in examples()
    ]
    return [*kinds, *presets()]


every = pytest.mark.parametrize("config", engines())
every_preset = pytest.mark.parametrize("config", presets())


def built(config: EngineConfig, book: Exposure) -> MarginEngine:
    """The engine for a book's instruments, after one step of learning."""
    engine = config.build_engine(book.market.contracts, UNIT)
    engine.observe(book.market)
    return engine


def kinds(config: EngineConfig) -> set[str]:
    """All kinds of requirement that an engine is made of."""
    return {node["kind"] for node in nodes(config.requirement.model_dump()) if "kind" in node}


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """All mappings in a configuration."""
    if isinstance(value, dict):
        yield value
    items = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else ()
    )
    for item in items:
        yield from nodes(item)


def scans(requirement: Requirement) -> bool:
    return isinstance(requirement, ScenarioMargin) or any(map(scans, inside(requirement)))


def inside(requirement: Requirement) -> list[Requirement]:
    """Return the requirements inside a wrapper."""
    parts = getattr(requirement, "parts", [getattr(requirement, "inner", None)])
    found = [part[0] if isinstance(part, tuple) else part for part in parts]
    return [part for part in found if part is not None]


# Presets: the contracts of kinds in test_margin_contract.py


@every_preset
@FEW
@given(seed=seeds)
def test_a_preset_keeps_the_promises_of_its_kind(config: EngineConfig, seed: int) -> None:
    """Pure, ordered, zero for an empty account, and independent of other accounts."""
    rng, book = world(seed)
    engine = built(config, book)
    together, haircuts = engine.assess(book), engine.valuation.compute_haircuts(book)
    assert (together.initial >= together.maintenance).all()
    assert (together.maintenance >= haircuts.maintenance).all()
    assert (haircuts.initial >= haircuts.maintenance).all()
    assert (haircuts.maintenance >= 0).all()
    flat = engine.requirement.compute_margins(book._replace(position=np.zeros_like(book.position)))
    equal(flat, Margins(*np.zeros((2, len(book.position)))))
    order = rng.permutation(len(book.position))
    asked = engine.requirement.compute_margins(book)
    close(
        engine.requirement.compute_margins(book.take(order)),
        Margins(*(column[order] for column in asked)),
    )
    for row in range(len(order)):
        alone = engine.requirement.compute_margins(book.take(slice(row, row + 1)))
        close(alone, Margins(*(column[row : row + 1] for column in asked)))
    equal(engine.requirement.compute_margins(book), asked)


# Every engine


@every
@FEW
@given(seed=seeds, kappa=st.floats(-3, 0.99))
def test_the_dial_scales_exactly(config: EngineConfig, seed: int, kappa: float) -> None:
    """Margins times 1 - kappa; haircuts are not margins."""
    _, book = world(seed)
    whole, cut = built(config, book), built(config.model_copy(update={"compression": kappa}), book)
    factor = config.margin_multiplier * (1.0 - kappa)
    plain = built(
        config.model_copy(update={"margin_multiplier": 1.0}), book
    ).requirement.compute_margins(book)
    equal(cut.requirement.compute_margins(book), Margins(*(factor * column for column in plain)))
    equal(cut.valuation.compute_haircuts(book), whole.valuation.compute_haircuts(book))
    np.testing.assert_array_equal(cut.compute_leg_shares(book), whole.compute_leg_shares(book))


@every
@FEW
@given(seed=seeds)
def test_legs_add_up_or_offset_and_never_more(config: EngineConfig, seed: int) -> None:
    """Cross margin is the sum of isolated margins; where scenarios are scanned, at most that."""
    found = kinds(config)
    if found & (AVERAGED | MODELLED | TOGETHER):
        return
    _, book = world(seed)
    sure = {
        "confidence": np.ones_like(book.market.confidence),
        "feed": np.ones_like(book.market.feed),
    }
    book = book._replace(
        market=book.market._replace(**sure)
    )  # doubt in one oracle may be charged on all legs
    requirement, columns = built(config, book).requirement, np.arange(book.position.shape[1])
    whole = requirement.compute_margins(book)
    alone = [requirement.compute_margins(leg_values.keep_legs(book, columns == k)) for k in columns]
    for i, asked in enumerate(whole):
        apart = np.sum([each[i] for each in alone], axis=0)
        if scans(requirement) or "gap" in found:
            assert (asked <= apart * (1 + 1e-9) + 1e-6).all()
        else:
            np.testing.assert_allclose(
                asked, apart, rtol=1e-9, atol=len(columns)
            )  # levels are whole units


def edges(config: EngineConfig) -> list[float]:
    """Notionals at which brackets meet, and some at which none do."""
    floors = {float(node["floor"]) for node in nodes(config.model_dump()) if "max_leverage" in node}
    return sorted(floors - {0.0} | {3e3, 7e5, 4e8})


@every
def test_nothing_jumps_where_brackets_meet(config: EngineConfig) -> None:
    """A price 1e-7 higher raises the margin of longs and shorts by a few millionths of notional.

    Where a bracket's rate applies to the whole position (``step``), margin jumps upwards only.
    """
    found = list(nodes(config.model_dump()))
    steps = [
        any(node.get(name) == "step" for node in found)
        for name in ("initial_rule", "maintenance_rule")
    ]
    for edge in edges(config):
        for side in (1, -1):
            lots = side * round(edge * UNIT / 1_000)
            at = edge * UNIT / abs(lots)
            pair = [priced(config, lots, at * (1 + move)) for move in (-1e-7, 1e-7)]
            for below, above, jumps in zip(*pair, steps, strict=True):
                moved, grain = above[0] - below[0], 3e-6 * max(edge * UNIT, below[0]) + 2
                assert -grain <= moved, (edge, side)
                assert jumps or moved <= grain, (edge, side)


def priced(config: EngineConfig, lots: int, mark: float) -> Margins:
    """Margins of an account that bought at a mark."""
    book = exposure([lots])
    market = book.market._replace(mark=np.array([mark]), funding=np.zeros(1), vol=np.array([0.6]))
    book = book._replace(market=market, entry=np.array([[round(lots * mark)]]))
    return built(config, book).requirement.compute_margins(book)


@every
@settings(max_examples=3, deadline=None)
@given(seed=seeds)
def test_liquidation_prices_are_the_nearest_and_none_is_none(
    config: EngineConfig, seed: int
) -> None:
    """The excess of an account changes sign at the reported tick, and nowhere before it."""
    rng, book = world(seed)
    contracts = book.market.contracts._replace(max_price=np.full(book.market.mark.size, 10**6))
    book = book._replace(market=book.market._replace(contracts=contracts)).take(slice(0, 1))
    engine = built(config, book)
    short = int(np.minimum(engine.assess(book).excess[0], 0))
    healthy = book.balance.copy()
    healthy[0, 0] += -short + int(rng.integers(0, 10**7))
    book = book._replace(balance=healthy)
    leg = int(rng.integers(0, book.market.mark.size))
    excess, mark = make_excess_function(engine.assess, book, leg), int(book.market.mark[leg])
    below, above = find_liquidation_ticks(engine.assess, book, leg)
    if below != MISSING:
        assert excess(below) < 0 <= excess(below + 1)
    if above != MISSING:
        assert excess(above) < 0 <= excess(above - 1)
    low, high = (
        0 if below == MISSING else below + 1,
        max(10**6, mark) if above == MISSING else above - 1,
    )
    looked = [
        *rng.integers(low, mark + 1, LOOKED_AT),
        low,
        *rng.integers(mark, high + 1, LOOKED_AT),
        high,
    ]
    assert [price for price in looked if excess(float(price)) < 0] == []

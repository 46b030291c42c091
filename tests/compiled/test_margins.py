"""Margins, haircuts and learning in compiled code are those of the plain classes, to the bit."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sim.checks.margin_worlds import UNIT, make_accounts, make_contracts, make_market
from sim.component import has_own_rules
from sim.margin import REQUIREMENTS, VALUATIONS
from sim.margin.compiled import (
    CompiledRequirement,
    CompiledValuation,
    LearningArrays,
    LearningStep,
    MarginArrays,
    MarketArrays,
    bind_leg_shares,
)
from sim.margin.engine import EngineConfig
from sim.pricing.instrument_values import find_seconds_per_year
from sim.protocols import Requirement
from sim.types import SPOT, Exposure, MarketView

TIERS = {
    "kind": "tiered",
    "tiers": [{"floor": 0, "max_leverage": 50}, {"floor": 20_000, "max_leverage": 10}],
}
TAIL = {"kind": "tail", "every": 60, "floor": 0.01}
FILTERED = {"kind": "filtered", "window": 1200, "least": 300, "seed": 4}
SCALED = {"kind": "scaled", "half_life": 300, "inner": TIERS}
STEADY = {"every": 120, "inner": TIERS | {"maintenance_rule": "step"}}

REQUIREMENT_EXAMPLES: list[dict[str, Any]] = [
    TIERS,
    TIERS | {"initial_rule": "marginal", "instruments": {"i1": [{"floor": 0, "max_leverage": 3}]}},
    {"kind": "at_entry", "inner": TIERS},
    {"kind": "closing_fee", "inner": TIERS, "fee": 0.01},
    {"kind": "open_interest"},
    {"kind": "open_interest", "lower": 1e5, "upper": 1e9},
    {"kind": "lognormal", "sigma": 0.8, "funding_factor": 0.7},
    {"kind": "lognormal", "slippage": 0.002},
    {"kind": "lognormal", "factors": [0.1, 0.2]},
    {"kind": "size_weighted"},
    {"kind": "per_contract", "initial": 20, "maintenance": 10, "size": 5},
    {"kind": "span", "commodity": {"calendar": 0.01, "short_option": 0.005}},
    {"kind": "span", "round_to": 0.1, "arrays": {"i0": [float(n - 8) for n in range(16)]}},
    {"kind": "grid"},
    {"kind": "grid", "contingencies": {"futures": 0.02}, "fee": 0.001, "initial": 1.3},
    {"kind": "grid", "net_delta": 0, "hedged_delta": 0},
    {"kind": "derive_pmrm2"},
    TAIL | {"model": FILTERED},
    TAIL | {"model": FILTERED, "measure": "es", "every": 120},
    TAIL | {"model": {"kind": "historical", "window": 600, "least": 240}, "convention": "order"},
    {"kind": "compressed", "compression": 0.3, "inner": TIERS},
    {"kind": "sum", "parts": [TIERS, {"kind": "size_weighted"}]},
    {"kind": "sum", "parts": [TIERS, {"kind": "liquidity"}, {"kind": "concentration"}]},
    {"kind": "liquidity", "least": 2000},
    {"kind": "concentration", "least": 1, "threshold": 0.0001},
    {"kind": "gap", "jumps": {"x": 0.2}},
    {"kind": "wrong_way", "correlated_assets": {"ALT": "x"}},
    {"kind": "floored", "window": 720, "least": 240, **STEADY},
    {"kind": "stressed", "weight": 0.3, **STEADY},
    {"kind": "buffered", "window": 720, "least": 240, **STEADY},
    {"kind": "stressed", "every": 60, "inner": TAIL | {"model": FILTERED}},
    {"kind": "scaled", "half_life": 300, "inner": TIERS},
    {"kind": "clocked", "every": 180, "delay": 60, "inner": {"kind": "scaled", "inner": TIERS}},
    {"kind": "clocked", "every": 120, "inner": TAIL | {"model": FILTERED}},
    {
        "kind": "clocked",
        "every": 60,
        "inner": {
            "kind": "sum",
            "parts": [TAIL, {"kind": "scaled", "half_life": 300, "inner": TIERS}],
        },
    },
    {"kind": "scaled", "half_life": 300, "exponent": 0.7, "inner": {"kind": "grid"}},
    {"kind": "avsl_inspired", "half_life": 300, "inner": TIERS},
    {"kind": "liquidation_buffer", "inner": TIERS, "half_life": 300, "cap": 0.5},
    {"kind": "liquidation_buffer", "inner": {"kind": "scaled", "inner": TIERS}},
    {"kind": "standalone", "inner": {"kind": "grid"}},
    {"kind": "standalone", "inner": TAIL | {"model": FILTERED}},
]
WEIGHTS = {"initial": 0.7, "maintenance": 0.8, "owed_initial": 1.3, "imf": 0.001}
LADDER = [{"cap": 1_000, "counted_share": 0.9}, {"cap": 50_000, "counted_share": 0.5}]

VALUATION_EXAMPLES: list[dict[str, Any]] = [
    {"kind": "cash"},
    {"kind": "haircut", "maintenance": {"ALT": 0.1, "i1": 0.2}, "initial": {"ALT": 0.3}},
    {"kind": "brackets", "brackets": {"ALT": LADDER, "i0": LADDER[:1]}},
    {"kind": "weighted", "tokens": {"ALT": WEIGHTS, "i0": {}, "i1": WEIGHTS}},
    {"kind": "dynamic", "price_instruments": {"ALT": "i0"}},
    {"kind": "delta_adjusted", "unhedged": {"i0": 0.3}},
]

UNBOUND = {"learned", "standard_options"}
"""Requirements that have no kernels: learned models, and options, which no market lists."""


def name_example(example: dict[str, Any]) -> str:
    return str(example["kind"])


def bind_accounts(accounts: Exposure) -> MarginArrays:
    """The accounts as the compiled step keeps them."""
    market, contracts = accounts.market, accounts.market.contracts
    count, mark = len(accounts.position), market.mark.copy()
    shown = MarketArrays(
        contracts=contracts,
        mark=mark,
        bid=market.bid.copy(),
        ask=market.ask.copy(),
        depth=market.depth.copy(),
        funding=market.funding.copy(),
        volatility=market.vol.copy(),
        open_interest=market.open_interest.copy(),
        oracle=market.oracle.copy(),
        confidence=market.confidence.copy(),
        seconds_per_year=find_seconds_per_year(market),
        dt=market.dt,
    )
    return MarginArrays(
        n_accounts=np.array([count]),
        position=np.ascontiguousarray(accounts.position.T),
        entry=np.ascontiguousarray(accounts.entry.T),
        leverage=np.ascontiguousarray(accounts.leverage.T),
        balance=np.ascontiguousarray(np.ascontiguousarray(accounts.balance.T)[:, None]),
        pool=0,
        mark=mark,
        lot_value=market.lot_value(),
        is_spot=contracts.kind == SPOT,
        settle=contracts.settle,
        price=market.price.copy(),
        initial=np.full(count, np.nan),
        maintenance=np.full(count, np.nan),
        market=shown,
    )


def allocate_probe(live: MarginArrays) -> MarginArrays:
    """Accounts of one lot, as the compiled step keeps them."""
    count = live.lot_value.size
    probe = MarginArrays.allocate(live, 2 * count)
    probe.position[:] = np.concatenate([np.eye(count), -np.eye(count)]).T
    return probe


def show_market(arrays: MarginArrays, market: MarketView) -> None:
    """Write a view into arrays that kernels are bound to."""
    arrays.lot_value[:], arrays.price[:] = market.lot_value(), market.price
    shown = arrays.market
    for name in ("mark", "bid", "ask", "depth", "funding", "open_interest", "oracle", "confidence"):
        getattr(shown, name)[:] = getattr(market, name)
    shown.volatility[:] = market.vol


def make_steps(rng: np.random.Generator, market: MarketView, steps: int) -> Iterator[MarketView]:
    """Views of one market in consecutive steps, with books that empty."""
    returns = rng.normal(0, 0.01, (steps, market.oracle.size))
    for tick in range(1, steps + 1):
        other = make_market(rng, market.contracts, market.price.size, tick)
        is_empty = rng.random(other.mark.size) < 0.3
        yield other._replace(
            bid=np.where(is_empty, np.nan, other.bid),
            depth=np.where(is_empty, 0.0, other.depth),
            open_interest=np.where(is_empty, 0, other.open_interest),
            price=market.price * rng.uniform(0.9, 1.1),
            returns=returns[:tick],
        )


def bind_example(example: dict[str, Any], accounts: Exposure) -> Requirement:
    """A requirement with a state of its own."""
    rule = EngineConfig.model_validate({"requirement": example}).requirement
    requirement = rule.bind(accounts.market.contracts, UNIT)
    assert not has_own_rules(requirement, "bind_margins", "bind_learning")
    return requirement


def learn_bound(steps: Iterable[LearningStep], view: MarketView) -> None:
    """Let a bound requirement learn; a part whose kernel has done nothing learns plainly."""
    for step in steps:
        if step.bound.call(view.tick):
            assert step.plain is not None
            step.plain(view)


def make_world(seed: int) -> tuple[np.random.Generator, Exposure]:
    """Random accounts of perpetuals and spot in one or two assets."""
    rng = np.random.default_rng(seed)
    assets = int(rng.integers(1, 3))
    contracts = make_contracts(rng, int(rng.integers(2, 5)), assets)
    contracts = contracts._replace(underlyings=("x", "y"))
    market = make_market(rng, contracts, assets)
    return rng, make_accounts(rng, market, int(rng.integers(1, 30)))


def compare_shares(
    bound: Requirement, plain: Requirement, accounts: Exposure, live: MarginArrays
) -> None:
    """Fail unless both divide margin over the legs alike."""
    shares = np.full(live.position.shape, np.nan)
    kernels = bind_leg_shares(bound, live, shares)
    assert kernels is not None
    for kernel in kernels:
        assert kernel.call(accounts.market.tick) == 0
    assert_array_equal(shares.T, plain.compute_leg_shares(accounts))


@pytest.mark.parametrize("example", REQUIREMENT_EXAMPLES, ids=name_example)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_requirements_ask_and_learn_the_same(example: dict[str, Any], seed: int) -> None:
    """Step by step, whichever of both learns, and then for the same accounts."""
    rng, accounts = make_world(seed)
    plain, bound = (bind_example(example, accounts) for _ in range(2))
    assert isinstance(bound, CompiledRequirement)
    live = bind_accounts(accounts)
    returns = np.zeros((12, accounts.market.oracle.size))
    learning = bound.bind_learning(LearningArrays(returns, allocate_probe(live)))
    margins = bound.bind_margins(live)
    assert learning is not None
    assert margins is not None
    for view in make_steps(rng, accounts.market, len(returns)):
        returns[: view.tick] = view.returns
        show_market(live, view)
        plain.observe(view)
        if rng.random() < 0.2:
            bound.observe(view)
        else:
            learn_bound(learning, view)
        seen = accounts._replace(market=view)
        compare_shares(bound, plain, seen, live)
        for kernel in margins:
            assert kernel.call(view.tick) == 0
        found = (live.initial, live.maintenance)
        asked, handed = plain.compute_margins(seen), bound.compute_margins(seen)
        for written, plainly, later in zip(found, asked, handed, strict=True):
            assert_array_equal(written, plainly)
            assert_array_equal(later, plainly)


@pytest.mark.parametrize("example", VALUATION_EXAMPLES, ids=name_example)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_valuations_cut_the_same(example: dict[str, Any], seed: int) -> None:
    rng, accounts = make_world(seed)
    valuation = EngineConfig.model_validate({"valuation": example}).valuation
    assert isinstance(valuation, CompiledValuation)
    live = bind_accounts(accounts)
    haircuts = valuation.bind_haircuts(live)
    assert haircuts is not None
    for view in make_steps(rng, accounts.market, 3):
        show_market(live, view)
        live.initial[:], live.maintenance[:] = 0.0, 0.0
        for kernel in haircuts:
            assert kernel.call(view.tick) == 0
        cut = valuation.compute_haircuts(accounts._replace(market=view))
        assert_array_equal(live.initial, cut.initial)
        assert_array_equal(live.maintenance, cut.maintenance)


def test_every_component_has_an_example() -> None:
    assert {example["kind"] for example in REQUIREMENT_EXAMPLES} | UNBOUND == set(REQUIREMENTS)
    assert {example["kind"] for example in VALUATION_EXAMPLES} == set(VALUATIONS)

"""Portfolio margin of books with options and several underlyings; sums of each engine by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts import plain_pmrm2
from contracts.margin_worlds import close, equal, seeds
from contracts.scan_worlds import DAY, account_book, holding, view, world
from hypothesis import given, settings
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

import configs
from experiments.generated.presets import PRESETS
from sim.errors import ConfigError
from sim.margin import REQUIREMENTS
from sim.margin.base import AnyRequirement, RequirementComponent
from sim.margin.breakdown import break_down_margins
from sim.margin.engine import EngineConfig
from sim.margin.scenarios.derive_pmrm2 import DerivePmrm2
from sim.margin.scenarios.grid import ScenarioGrid
from sim.margin.scenarios.pmrm2 import Skew, StaticDiscount
from sim.margin.scenarios.scenarios import (
    SCANNING_RISK,
    PeriodicRevaluation,
    ScenarioMargin,
    VolShock,
    build_shocked_states,
    compute_scenario_pnl,
    find_worst_gain,
    sum_and_minimise,
    sum_leg_gains,
)
from sim.margin.scenarios.span import SpanRequirement
from sim.pricing import instrument_values
from sim.reading.loading import load_config
from sim.types import FUTURE, OPTION, PERPETUAL, SPOT, Exposure, Margins, MarketView

UNIT = 100
few = settings(max_examples=8, deadline=None)
CHARGES = {"short_options": 0.01, "options": 0.002, "futures": 0.01, "vega": 0.25}
FREE = {
    "perp_maintenance": 0,
    "perp_initial": 0,
    "option_maintenance": 0,
    "option_initial": 0,
    "doubt_factor": 0,
}

SETTINGS: dict[str, dict[str, Any]] = {
    "span": {"kind": "span"},
    "span-credits": {
        "kind": "span",
        "commodities": {
            "eth": {"scan": 0.15, "vol_scan": 0.2, "calendar": 0.02, "short_option": 0.01}
        },
        "credits": [{"underlyings": ["btc", "eth"], "deltas": [1, 15], "rate": 0.5}],
    },
    "grid": {"kind": "grid"},
    "grid-charges": {
        "kind": "grid",
        "contingencies": CHARGES,
        "fee": 0.001,
        "initial": 1.3,
        "maintenance": 1,
    },
    "derive_pmrm2": {"kind": "derive_pmrm2"},
    "derive_pmrm2-free": {"kind": "derive_pmrm2", "charges": FREE},
}


def scanning() -> dict[str, RequirementComponent]:
    """The settings above, other registered kinds that scan, and presets that do."""
    found = {
        name: TypeAdapter(AnyRequirement).validate_python(setting)
        for name, setting in SETTINGS.items()
    }
    alone = {
        kind: cls
        for kind, cls in REQUIREMENTS.items()
        if not any(f.is_required() for f in cls.model_fields.values())
    }
    found = {kind: cls() for kind, cls in alone.items()} | found
    found |= {
        f"preset-{name}": load_config(f"engines/{name}", (), EngineConfig).requirement
        for name in PRESETS
    }
    contracts = view(np.random.default_rng(0)).contracts
    return {
        name: rule
        for name, rule in found.items()
        if isinstance(rule.bind(contracts, UNIT), ScenarioMargin)
    }


SCANS = scanning()
CLEAN = ("span", "grid", "derive_pmrm2-free")
"""Without charges that grow with the size of legs."""

every = pytest.mark.parametrize("rule", SCANS.values(), ids=SCANS.keys())
clean = pytest.mark.parametrize("rule", [SCANS[name] for name in CLEAN], ids=CLEAN)


def margins(rule: RequirementComponent, book: Exposure) -> Margins:
    requirement = rule.bind(book.market.contracts, UNIT)
    requirement.observe(book.market)
    return requirement.compute_margins(book)


def moved(book: Exposure, position: np.ndarray) -> Exposure:
    return book._replace(position=position)


# Every engine, books with options


@every
@few
@given(seed=seeds)
def test_initial_covers_maintenance_covers_nil(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    initial, maintenance = margins(rule, book)
    assert (initial >= maintenance).all()
    assert (maintenance >= 0).all()
    equal(
        margins(rule, moved(book, np.zeros_like(book.position))),
        Margins(*np.zeros((2, len(book.position)))),
    )


@every
@few
@given(seed=seeds)
def test_accounts_do_not_see_one_another(rule: RequirementComponent, seed: int) -> None:
    rng, book = world(seed)
    requirement = rule.bind(book.market.contracts, UNIT)
    together = requirement.compute_margins(book)
    order = rng.permutation(len(book.balance))
    close(
        requirement.compute_margins(book.take(order)),
        Margins(*(column[order] for column in together)),
    )
    for row in range(len(book.balance)):
        one = slice(row, row + 1)
        close(
            requirement.compute_margins(book.take(one)),
            Margins(*(column[one] for column in together)),
        )


@every
@few
@given(seed=seeds)
def test_twice_the_book_is_margined_twice(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    twice = margins(rule, moved(book, book.position * 2))
    close(twice, Margins(*(2 * column for column in margins(rule, book))), rtol=1e-9)


@every
@few
@given(seed=seeds)
def test_shares_are_parts_of_one(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    shares = rule.bind(book.market.contracts, UNIT).compute_leg_shares(book)
    assert (shares >= 0).all()
    assert (shares[book.position == 0] == 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), (book.position != 0).any(axis=1), rtol=1e-12)


@every
@few
@given(seed=seeds)
def test_parts_are_named_and_add_up(rule: RequirementComponent, seed: int) -> None:
    _, book = world(seed)
    requirement = rule.bind(book.market.contracts, UNIT)
    parts, whole = break_down_margins(requirement, book), requirement.compute_margins(book)
    assert (parts[SCANNING_RISK].maintenance >= 0).all()
    for i in range(2):
        np.testing.assert_allclose(
            sum(part[i] for part in parts.values()), whole[i], rtol=1e-9, atol=1e-6
        )


@clean
@few
@given(seed=seeds)
def test_a_portfolio_is_margined_no_more_than_its_parts(
    rule: RequirementComponent, seed: int
) -> None:
    """Sub-additive: margins of two books, and of all legs alone, bound that of the whole."""
    rng, book = world(seed)
    other = account_book(rng, book.market, len(book.position))
    whole = margins(rule, moved(book, book.position + other.position))
    parts = [margins(rule, book), margins(rule, other)]
    columns = np.arange(len(book.market.mark))
    legs = [margins(rule, moved(book, np.where(columns == k, book.position, 0))) for k in columns]
    for part in (0, 1):
        assert (whole[part] <= sum(each[part] for each in parts) * (1 + 1e-9) + 1e-6).all()
        assert (parts[0][part] <= sum(each[part] for each in legs) * (1 + 1e-9) + 1e-6).all()


@every
@few
@given(seed=seeds)
def test_an_opposite_leg_on_the_same_underlying_raises_nothing(
    rule: RequirementComponent, seed: int
) -> None:
    """A perpetual, then part of it sold in futures: charges on offsets are below the scan range."""
    rng, book = world(seed)
    market = book.market._replace(confidence=np.ones(2), feed=np.ones_like(book.market.mark))
    names = market.contracts.names
    coin = str(rng.choice(["btc", "eth"]))
    lots = int(rng.integers(1, 1_000)) * int(rng.choice([-1, 1]))
    hedge = -int(rng.integers(0, abs(lots) + 1)) * np.sign(lots)
    position = np.zeros((2, len(names)), dtype=np.int64)
    position[:, names.index(f"{coin}-perpetual")] = lots
    position[1, names.index(f"{coin}-{5 * DAY:g}")] = int(
        hedge * 0.95
    )  # by value, whatever the basis
    pair = account_book(rng, market, 2)._replace(position=position)
    for column in margins(rule, pair):
        assert column[1] <= column[0] * (1 + 1e-12)


# The kernel and the grids


@few
@given(seed=seeds)
def test_the_kernel_is_a_sum_over_legs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accounts, count, scenarios = (
        int(rng.integers(1, 300)),
        int(rng.integers(1, 23)),
        int(rng.integers(1, 9)),
    )
    position = rng.integers(-1_000, 1_000, (count, accounts)).T
    table = rng.normal(0, 1, (scenarios, count))
    legs = np.flatnonzero(rng.random(count) < 0.8)
    got = sum_leg_gains(position, table, legs)
    np.testing.assert_array_equal(find_worst_gain(position, table, legs), got.min(axis=0))
    np.testing.assert_array_equal(got, sum_and_minimise.py_func(position, table, legs, True)[0])  # type: ignore[attr-defined]
    in_order = sum(
        (table[:, k, None] * position[:, k] for k in legs), np.zeros((scenarios, accounts))
    )
    np.testing.assert_array_equal(got, in_order)


@few
@given(seed=seeds)
def test_scenarios_revalue_the_whole_book(seed: int) -> None:
    """The gain of an account on a grid is its equity in the moved market minus its equity now."""
    _, book = world(seed)
    grid = ScenarioGrid().all_scenarios()
    got = compute_scenario_pnl(
        book, build_shocked_states(book.market, grid, VolShock(up=0, down=0))
    )
    for row, scenario in zip(got, grid, strict=True):
        there = instrument_values.shift_underlying(
            instrument_values.shift_underlying(book.market, 0, 1 + scenario.move),
            1,
            1 + scenario.move,
        )
        gained = book._replace(market=there).equity() - book.equity()
        np.testing.assert_allclose(row, gained * scenario.weight, rtol=1e-9, atol=1e-4)


def test_volatility_moves_by_time_to_expiry() -> None:
    """0.4 x (30 / 15)^0.3 at 15 days, 0.4 x (30 / 60)^0.13 at 60, with a minimum and a floor."""
    rule = VolShock(up=0.4, down=0.9, floor=86_400.0, least=0.5)
    years = np.array([15.0, 60.0, 0.01]) / 365
    got = rule.shock_volatility(np.array([1.0, 0.1, 1.0]), years, ["up", "none", "down"])
    np.testing.assert_allclose(got[0], [1 + 0.4 * 2**0.3, 0.5, 1 + 0.4 * 30**0.3])
    np.testing.assert_allclose(got[1], [1.0, 0.1, 1.0])
    np.testing.assert_allclose(got[2], [0.0, 0.1 * (1 - 0.9 * 0.5**0.13), 0.0])


@every
def test_risk_arrays_age_between_revaluations(rule: RequirementComponent) -> None:
    """Arrays are published hourly; in between the margin is that of the old market, and marked."""
    _, book = world(5)
    settings = {**rule.model_dump(), "revalue": 3_600.0} | (
        {"fee": 0.0} if isinstance(rule, ScenarioGrid) else {}
    )
    clocked: Any = (
        TypeAdapter(AnyRequirement).validate_python(settings).bind(book.market.contracts, UNIT)
    )
    at_once: Any = TypeAdapter(AnyRequirement).validate_python(settings | {"revalue": 0.0})
    at_once = at_once.bind(book.market.contracts, UNIT)
    clocked.observe(book.market)
    assert clocked.risk_array_age(book.market) == 0
    later, hour = (
        book._replace(
            market=instrument_values.shift_underlying(book.market, 0, 0.7)._replace(
                seconds=book.market.seconds + passed
            )
        )
        for passed in (1_800, 3_600)
    )
    clocked.observe(later.market)
    assert clocked.risk_array_age(later.market) == 1_800
    assert at_once.risk_array_age(later.market) == 0
    assert np.any(at_once.compute_margins(later).initial != at_once.compute_margins(book).initial)
    equal(clocked.compute_margins(later), at_once.compute_margins(book))
    clocked.observe(hour.market)
    assert clocked.risk_array_age(hour.market) == 0
    equal(clocked.compute_margins(hour), at_once.compute_margins(hour))


def test_nothing_is_kept_without_a_clock() -> None:
    _, book = world(1)
    kept: PeriodicRevaluation[float] = PeriodicRevaluation(
        lambda market: float(market.mark.sum()), 0.0
    )
    kept.observe(book.market)
    assert (
        kept.get_current(book.market.replace_mark(0, 0.0))
        == book.market.mark.sum() - book.market.mark[0]
    )


# By hand: one underlying at 100 ticks of a dollar, lots of one unit, cents


def plain_market() -> MarketView:
    """Bitcoin at 50,000 and ether at 2,000, sure oracles, no rates, marks at the oracle."""
    market = view(np.random.default_rng(3))
    still = np.zeros_like(market.mark)
    oracle = np.array([50_000.0, 2_000.0])
    flat = oracle[market.contracts.underlying] / market.contracts.tick
    columns = {"oracle": oracle, "mark": flat, "rate": still, "feed": still + 1, "vol": still + 0.5}
    return instrument_values.mark_at_model(
        market._replace(**columns, confidence=np.ones(2), price=np.ones(3), seconds=0.0)
    )


LOT = 100.0 * UNIT
"""What a lot of linear legs is worth in the plain market, in cents."""


def test_span_of_a_future_is_the_scan_range() -> None:
    got = margins(SpanRequirement(), holding(plain_market(), btc_perpetual=-50))
    close(got, Margins(np.array([1.1 * 5.0 * LOT]), np.array([5.0 * LOT])))


def test_span_charges_calendar_spreads_and_credits_others() -> None:
    """50 against 30 lots in months: 20 x 10% and 2% of 30; btc 1 against eth 15: 50 and 30."""
    market = plain_market()
    rule = SpanRequirement.model_validate(
        SETTINGS["span-credits"] | {"commodity": {"calendar": 0.02}, "initial": 1}
    )
    alone = margins(
        rule, holding(market, btc_perpetual=50, **{f"btc_{5 * DAY:g}": -30})
    ).maintenance
    np.testing.assert_allclose(alone, (20 * 0.1 + 30 * 0.02) * LOT)
    # 50 lots of btc are 0.1 units, 60 of eth 3: 0.1 spreads of 1 and 15 take half of the eth
    pair = margins(rule, holding(market, btc_perpetual=50, eth_perpetual=-60)).maintenance
    spared = 0.5 * (50 * 0.1 + 30 * 0.15)
    np.testing.assert_allclose(pair, (50 * 0.1 + 60 * 0.15 - spared) * LOT)
    same_side = margins(rule, holding(market, btc_perpetual=50, eth_perpetual=60)).maintenance
    np.testing.assert_allclose(same_side, (50 * 0.1 + 60 * 0.15) * LOT)


def test_span_asks_a_minimum_for_short_options() -> None:
    """A far put sold risks nothing in the scan but 5% of the underlying by rule."""
    market = plain_market()
    name = next(
        n for n in market.contracts.names if n.endswith("put") and n.startswith(f"btc-{5 * DAY:g}")
    )
    rule = SpanRequirement.model_validate(
        {"commodity": {"scan": 1e-6, "vol_scan": 0, "short_option": 0.05}}
    )
    got = margins(rule, holding(market, **{name.replace("-", "_"): -10})).maintenance
    np.testing.assert_allclose(got, 10 * 0.05 * LOT)


def test_paradex_charges_net_and_hedged_delta() -> None:
    """Net -0.5 and hedged 1 of 70,000 cost 1,400 (docs.paradex.trade, risk/portfolio-margin)."""
    market = plain_market()
    rule = ScenarioGrid.model_validate(
        {"scenarios": [{"move": 0}], "tails": {}, "net_delta": 0.02, "hedged_delta": 0.01}
    )
    # in place of calls of delta 0.3, futures: 1 long against 1.5 short
    got = margins(rule, holding(market, btc_perpetual=20, **{f"btc_{5 * DAY:g}": -30})).initial
    np.testing.assert_allclose(got / LOT * 70_000 / 20, 1_400)


def test_underlyings_of_a_grid_do_not_offset() -> None:
    market = plain_market()
    both = margins(ScenarioGrid(), holding(market, btc_perpetual=50, eth_perpetual=-50)).initial
    np.testing.assert_allclose(both, 2 * 0.16 * 50 * LOT)


def test_dampened_tails_decide_for_options_far_from_the_money() -> None:
    """For a call sold at 1.5 times the price a fifth of a tripled price is worse than +16%."""
    market = plain_market()
    names = [
        n
        for n in market.contracts.names
        if n.startswith("btc-5") or n.startswith(f"btc-{5 * DAY:g}")
    ]
    strikes = {n: float(n.split("-")[2]) for n in names if n.endswith("call")}
    far = max(strikes, key=lambda name: strikes[name])
    book = holding(market, **{far.replace("-", "_"): -100})
    pnl = compute_scenario_pnl(
        book, build_shocked_states(market, ScenarioGrid().all_scenarios(), VolShock())
    )[:, 0]
    assert pnl.argmin() >= len(ScenarioGrid().scenarios)
    np.testing.assert_allclose(
        margins(ScenarioGrid(net_delta=0, hedged_delta=0), book).initial, -pnl.min()
    )


def test_pmrm_of_a_perpetual() -> None:
    """Short one: 18% up, 1.5% of contingency; at the opening 0.5% more."""
    got = margins(DerivePmrm2(), holding(plain_market(), btc_perpetual=-100))
    close(
        got,
        Margins(
            np.array([(0.18 + 0.02) * 100 * LOT]), np.array([(0.8 * 0.18 + 0.015) * 100 * LOT])
        ),
    )


def test_pmrm_doubts_oracles_and_the_peg() -> None:
    market = plain_market()._replace(confidence=np.array([0.4, 1.0]), peg=0.9)
    got = margins(DerivePmrm2(), holding(market, btc_perpetual=-100, eth_perpetual=100))
    factor = 1 + (0.98 - 0.9) * 2
    close(got, Margins(
        np.array([(2 * (0.18 * factor + 0.02) + 0.6) * 100 * LOT]),
        np.array([2 * (0.8 * 0.18 + 0.015) * 100 * LOT]),
    ))  # fmt: skip


def test_pmrm_counts_collateral_that_moves_with_the_underlying() -> None:
    """In a covered short coins gain what the perpetual loses; other coins get their haircut."""
    market = plain_market()
    short = holding(market, btc_perpetual=-100)
    covered = short._replace(balance=np.array([[0, int(100 * LOT), 0]]))
    asked = {
        which: margins(DerivePmrm2(collateral={"BTC": which}), covered).maintenance / (100 * LOT)
        for which in ("btc", "", "eth")
    }
    np.testing.assert_allclose(asked["btc"], 0.015, atol=1e-12)
    np.testing.assert_allclose(asked[""], 0.8 * 0.18 + 0.015)
    np.testing.assert_allclose(asked["eth"], 2 * 0.8 * 0.18 + 0.015)


def test_tilts_and_static_discounts_by_hand() -> None:
    """At a quarter of a year, k = 0.1: cap 0.15 - 0.05 / 2, k* = 0.5 x 4 x 0.55."""
    years, k = np.array([0.25, 0.25, 0.25]), np.array([0.1, -0.1, 5.0])
    tilt = 0.1 * 0.125 / 1.1
    got = Skew().tilt_volatility(np.ones(3), k, years, "linear")
    np.testing.assert_allclose(got, [1 + tilt, 1 - tilt, 1.125])
    np.testing.assert_allclose(
        Skew().tilt_volatility(np.ones(3), k, years, "abs"), [1 + tilt, 1 + tilt, 1.125]
    )
    owned, owed = StaticDiscount().compute_factors(rate=0.1, years=0.5)
    assert owned == pytest.approx(0.95 * math.exp(-0.5 * 0.18))
    assert owed == pytest.approx(
        math.exp(0.05)
    )  # the markup 1.04 e^(0.065) is capped at what undoes discounting


# Configuration


@pytest.mark.parametrize("name", ["span", "paradex", "deribit", "derive"])
def test_presets_differ_from_defaults_where_they_say_so(name: str) -> None:
    reported = OmegaConf.to_container(
        OmegaConf.load(Path(configs.__file__).parent / "engines" / f"{name}.yaml")
    )
    engine = EngineConfig.model_validate(reported)
    rule: Any = engine.requirement
    defaults = {
        "paradex": ScenarioGrid(fee=0.0003),
        "derive": DerivePmrm2(),
        "span": None,
        "deribit": None,
    }
    if defaults[name] is not None:
        assert rule == defaults[name]
    assert margins(rule, holding(plain_market(), btc_perpetual=1)).maintenance > 0


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"kind": "span", "commodities": {"bitcoin": {}}},
            "'bitcoin' is not an underlying of this market, use one of btc",
        ),
        (
            {"kind": "span", "credits": [{"underlyings": ["btc", "btc"], "rate": 0.5}]},
            "'btc' twice",
        ),
        (
            {"kind": "derive_pmrm2", "collateral": {"DOGE": ""}},
            "'DOGE' is not an asset beside the numeraire",
        ),
        (
            {"kind": "derive_pmrm2", "collateral": {"BTC": "doge"}},
            "collateral.BTC: 'doge' is not an underlying",
        ),
    ],
)
def test_strangers_are_refused(rule: dict[str, Any], message: str) -> None:
    component = TypeAdapter(AnyRequirement).validate_python(rule)
    with pytest.raises(ConfigError, match=message):
        component.bind(plain_market().contracts, UNIT)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"kind": "span", "arrays": {"F": [1, 2]}}, "arrays.F: 2 numbers, must be 16"),
        ({"kind": "grid", "maintenance": 2}, "may not exceed initial"),
        ({"kind": "grid", "scenarios": [{"move": -1.1}]}, "greater than or equal to -1"),
        ({"kind": "derive_pmrm2", "initial": 0.5}, "may not exceed initial"),
        (
            {"kind": "derive_pmrm2", "scenarios": [{"move": 0.1, "vol": "abs"}]},
            "a tilt of the smile has none",
        ),
    ],
)
def test_rules_that_cannot_be_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(AnyRequirement).validate_python(rule)


# PMRM_2 against its plain twin


def any_rule(rng: np.random.Generator) -> DerivePmrm2:
    """Parameters from all that the contract lets its owner set."""
    rule = DerivePmrm2().model_dump()
    rule["vol"] |= {
        "up": rng.uniform(0, 3),
        "down": rng.uniform(0, 3),
        "floor": rng.uniform(0, 400) * DAY,
    }
    rule["vol"] |= {
        "short_power": rng.uniform(0, 3),
        "long_power": rng.uniform(0, 3),
        "least": rng.uniform(0, 2),
    }
    rule["skew"] |= {
        "linear_base": rng.uniform(0, 4),
        "linear_slope": rng.uniform(-4, 4),
        "level": rng.uniform(0, 3),
    }
    rule["skew"] |= {
        "abs_base": rng.uniform(0, 4),
        "abs_slope": rng.uniform(-4, 4),
        "term": rng.uniform(-5, 5),
    }
    rule["skew"] |= {"least": rng.uniform(1e-3, 3), "width": rng.uniform(0, 10)}
    rule["discount"] = {name: float(rng.uniform(0, 4)) for name in rule["discount"]}
    rule["basis"] = {
        "up": rng.uniform(0.01, 1.9),
        "down": rng.uniform(-1, -0.01),
        "add": rng.uniform(0, 20),
        "mult": 3.0,
    }
    rule["charges"] = {name: float(rng.uniform(0, 1)) for name in rule["charges"]}
    rule |= {"initial": 2.0, "maintenance": rng.uniform(0, 2)}
    for scenario in rule["scenarios"]:
        scenario["weight"] = float(rng.uniform(0, 2))
    return DerivePmrm2.model_validate(rule)


def as_plain(book: Exposure, account: int, underlying: int) -> plain_pmrm2.Book:
    """Return an account's holdings on one underlying, in its units and the quote currency."""
    market, contracts = book.market, book.market.contracts
    forward, perps, options = instrument_values.find_forwards(market), [], []
    for k in np.flatnonzero(contracts.underlying == underlying):
        held = float(book.position[account, k] * contracts.lot[k])
        if contracts.kind[k] in (PERPETUAL, FUTURE):
            perps.append((held, float(market.mark[k] * contracts.tick[k]), float(market.feed[k])))
        elif contracts.kind[k] == OPTION:
            left = float(max(contracts.expiry[k] - market.seconds, 0.0))
            terms = (
                left,
                float(forward[k]),
                float(market.rate[k]),
                float(market.feed[k]),
                float(contracts.strike[k]),
            )
            options.append(
                plain_pmrm2.Option(*terms, contracts.side[k] > 0, float(market.vol[k]), held)
            )
    sure = float(market.confidence[underlying])
    return plain_pmrm2.Book(float(market.oracle[underlying]), sure, market.peg, perps, options)


@few
@given(seed=seeds)
def test_pmrm_is_what_the_contract_says_in_plain_numbers(seed: int) -> None:
    rng, book = world(seed)
    contracts = book.market.contracts
    near = float(np.nanmin(contracts.expiry[np.isfinite(contracts.expiry)]))
    when = rng.choice([book.market.seconds, near - float(rng.uniform(0, 1_800)), near + 60])
    rate = (
        rng.choice([-0.05, 0.1, 0.6], 2)[contracts.underlying] + 0 * contracts.tick
    )  # one for all of an expiry
    market = book.market._replace(seconds=float(when), peg=float(rng.uniform(0.5, 1.1)), rate=rate)
    lots = np.where(contracts.kind == SPOT, 0, book.position)[:4]
    book = book.take(slice(0, 4))._replace(market=market, position=lots)
    rule = any_rule(rng) if rng.random() < 0.7 else DerivePmrm2()
    got = margins(rule, book)
    for account in range(len(lots)):
        sides = [plain_pmrm2.margins(as_plain(book, account, u), rule.model_dump()) for u in (0, 1)]
        for column, expected in zip(got, np.sum(sides, axis=0) * UNIT, strict=True):
            assert column[account] == pytest.approx(expected, rel=1e-9, abs=1e-3)

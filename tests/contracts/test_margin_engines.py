"""The margin engines that exist: tiers, netting, cash, the verdict, and how they are configured."""

from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from contracts.margin_worlds import (
    TIERED,
    UNIT,
    close,
    contracts_of,
    exposure,
    few,
    market_of,
    seeds,
    world,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from pydantic import Field, TypeAdapter, ValidationError

import configs
from sim import margin
from sim.errors import ConfigError
from sim.margin import leg_values
from sim.margin.base import AnyNetting
from sim.margin.engine import EngineConfig, MarginEngine
from sim.margin.rounding import round_up_sum
from sim.margin.tiers.tiered import (
    Tier,
    TieredRequirement,
    compute_cumulative_amounts,
    compute_tiered_margins,
    tabulate_ladder,
)
from sim.reading.loading import load_config
from sim.types import PERPETUAL, SPOT, Exposure, Margins

ENGINES = Path(configs.__file__).parent / "engines"

# Tiers


def plain(book: Exposure, rule: TieredRequirement) -> Margins:
    """The tier that holds the notional, found by search, one leg at a time (margin.md §1)."""
    contracts, totals = book.market.contracts, np.zeros((2, len(book.balance)))
    for account, leg in np.ndindex(book.position.shape):
        ladder = rule.instruments.get(contracts.names[leg], rule.tiers)
        table = tabulate_ladder(ladder, rule.maintenance_ratio, UNIT)
        lots = int(book.position[account, leg])
        if contracts.kind[leg] == SPOT and lots > 0:
            continue
        worth = (
            book.market.mark[leg]
            * contracts.multiplier[leg]
            * book.market.price[contracts.settle[leg]]
        )
        notional = abs(lots) * worth
        tier = max(t for t in range(len(ladder)) if t == 0 or ladder[t].floor * UNIT < notional)
        off = (rule.initial_rule == "marginal", rule.maintenance_rule == "marginal")
        opened, kept = (
            notional * table[2 * i, tier] - off[i] * table[2 * i + 1, tier] for i in (0, 1)
        )
        opened = max(opened, kept)
        totals[:, account] += max(opened, notional / book.leverage[account, leg]), kept
    return Margins(*totals)


RULES = [
    {"initial_rule": first, "maintenance_rule": then}
    for first, then in product(("step", "marginal"), repeat=2)
]
rules = pytest.mark.parametrize("how", RULES, ids=lambda how: "-".join(how.values()))


@rules
@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_kernel_equals_its_plain_twins(how: dict[str, str], seed: int) -> None:
    _, book = world(seed)
    rule = TieredRequirement.model_validate(TIERED | how)
    got = rule.bind(book.market.contracts, UNIT).compute_margins(book)
    close(got, plain(book, rule))
    contracts = book.market.contracts
    worth = book.market.mark * contracts.multiplier * book.market.price[contracts.settle]
    table = rule.bind(contracts, UNIT).table
    twin = compute_tiered_margins.py_func(
        book.position, book.leverage, worth, contracts.kind == SPOT, table
    )  # type: ignore[attr-defined]
    close(got, Margins(*twin), rtol=1e-15)
    close(
        rule.bind(contracts, UNIT).compute_margins(book.take(np.arange(len(book.balance)))),
        got,
        rtol=1e-15,
    )
    charged = rule.bind(contracts, UNIT).compute_charges(
        leg_values.compute_margined_notional(book), book.leverage
    )
    close(Margins(*(column.sum(axis=1) for column in charged)), got)


@few
@given(seed=seeds)
def test_tiers_add_up_over_positions(seed: int) -> None:
    """Cross margin under tiers is the sum of isolated margins."""
    _, book = world(seed)
    rule = TieredRequirement.model_validate(TIERED)
    total = np.zeros((2, len(book.balance)))
    for k in range(len(book.market.mark)):
        leg = slice(k, k + 1)
        alone = book._replace(
            position=book.position[:, leg],
            leverage=book.leverage[:, leg],
            market=book.market.select_instruments(leg),
        )
        total += np.stack(rule.bind(alone.market.contracts, UNIT).compute_margins(alone))
    close(rule.bind(book.market.contracts, UNIT).compute_margins(book), Margins(*total))


ladders = st.lists(
    st.tuples(st.integers(1, 10**7), st.integers(1, 200)), min_size=1, max_size=8
).map(
    lambda rows: tuple(
        Tier(floor=floor, max_leverage=leverage)
        for floor, leverage in zip(
            np.cumsum([0] + [row[0] for row in rows[1:]]).tolist(),
            sorted((row[1] for row in rows), reverse=True),
            strict=True,
        )
    )
)


@given(ladder=ladders, ratio=st.floats(0, 1))
def test_margin_is_continuous_where_tiers_meet(ladder: tuple[Tier, ...], ratio: float) -> None:
    table = tabulate_ladder(ladder, ratio, UNIT)
    edges = np.array([tier.floor * UNIT for tier in ladder])
    for row in (0, 2):
        rate, amount = table[row], table[row + 1]
        below, above = edges[1:] * rate[:-1] - amount[:-1], edges[1:] * rate[1:] - amount[1:]
        np.testing.assert_allclose(below, above, rtol=1e-12, atol=1e-6)


def test_worked_ladder() -> None:
    """50,000 at 100x, then 50x; 1000 lots x 1000 = 10,000.00 (100 minor units each): by hand."""
    rule = TieredRequirement(
        tiers=(
            Tier(floor=0, max_leverage=100),
            Tier(floor=50_000, max_leverage=50, maintenance=0.015),
        )
    )
    book = exposure([0, 1_000, -5_000, 5_000, 10_000])
    initial, maintenance = rule.bind(book.market.contracts, UNIT).compute_margins(book)
    np.testing.assert_allclose(initial, [0, 10_000, 50_000, 50_000, 200_000])
    np.testing.assert_allclose(maintenance, [0, 5_000, 25_000, 25_000, 100_000])
    other = rule.model_copy(update={"initial_rule": "marginal", "maintenance_rule": "step"})
    initial, maintenance = other.bind(book.market.contracts, UNIT).compute_margins(book)
    np.testing.assert_allclose(maintenance, [0, 5_000, 25_000, 25_000, 150_000])
    np.testing.assert_allclose(initial, [0, 10_000, 50_000, 50_000, 150_000])


PUBLISHED = [
    ("binance", 50_000, 400, 200),
    ("binance", 50_010, 500.1, 200.05),
    ("binance", 300_000, 6_000, 1_700),
    ("binance", 1_200_000, 60_000, 13_700),
    ("binance", 15_000_000, 1_500_000, 483_700),
    ("bybit", 2_000_000, 20_000, 10_000),
    ("bybit", 2_300_000, 2_300_000 / 90, 2_300_000 * 0.0056 - 1_200),
    ("bybit", 9_000_000, 9_000_000 / 45, 9_000_000 * 0.013 - 46_000),
    ("hyperliquid", 150_000_000, 3_750_000, 1_875_000),
    ("hyperliquid", 160_000_000, 8_000_000, 160_000_000 / 40 - 1_875_000),
    ("okx", 300_000, 3_000 + 0.0005 * 297_000, 300_000 * 0.0055),
    ("okx", 400_000, 400_000 / 66.66 + 0.0005 * (400_000 - 400_000 / 66.66), 400_000 * 0.0105),
    (
        "okx",
        5_000_000,
        5_000_000 / 28.57 + 0.0005 * (5_000_000 - 5_000_000 / 28.57),
        5_000_000 * 0.0305,
    ),
]


@pytest.mark.parametrize(("preset", "notional", "initial", "maintenance"), PUBLISHED)
@pytest.mark.parametrize("side", [1, -1])
def test_presets_ask_what_their_venues_publish(
    preset: str, notional: float, initial: float, maintenance: float, side: int
) -> None:
    """A bracket's leverage applies to the whole notional; maintenance as in each YAML file."""
    engine: EngineConfig = load_config(f"engines/{preset}", [], EngineConfig)
    book = exposure(
        [round(side * notional / 10)]
    )  # a lot is worth 1,000 minor units, of which 100 are one unit
    book = book._replace(entry=book.position * 1_000)
    got = engine.build_engine(book.market.contracts, UNIT).assess(book)
    if side < 0 and preset == "okx":  # closing a short at its bankruptcy price costs more
        initial += 0.0005 * 2 * (initial - 0.0005 * notional) / (1 - 0.0005)
    assert got.initial[0] / UNIT == pytest.approx(initial, abs=0.02)
    assert got.maintenance[0] / UNIT == pytest.approx(maintenance, abs=0.02)


@pytest.mark.parametrize("preset", ["binance", "okx"])
def test_a_step_refuses_what_grows_over_an_edge_and_lets_it_shrink(preset: str) -> None:
    """Equity for the lower bracket covers its edge, not a lot more; resting orders count."""
    engine: EngineConfig = load_config(f"engines/{preset}", [], EngineConfig)
    book = exposure([5_000, 5_000, 5_001, 5_001])
    built = engine.build_engine(book.market.contracts, UNIT)
    equity = built.assess(book).initial[0]
    paid = -book.position * 1_000
    orders = np.array([[0], [1], [0], [0]]), np.array([[0], [0], [0], [1]])
    book = book._replace(balance=paid + int(equity), entry=-paid, bids=orders[0], asks=orders[1])
    assert (built.assess_admission(book).initial <= equity).tolist() == [True, False, False, False]
    smaller = book.take(slice(3, 4))._replace(position=np.array([[5_000]]), asks=np.array([[0]]))
    assert built.assess_admission(smaller).initial[0] <= equity


def test_a_chosen_cap_raises_initial_only() -> None:
    rule = TieredRequirement(tiers=(Tier(floor=0, max_leverage=100),))
    free, capped = exposure([1_000, -2_000]), exposure([1_000, -2_000], cap=5.0)
    requirement = rule.bind(free.market.contracts, UNIT)
    np.testing.assert_allclose(requirement.compute_margins(capped).initial, [200_000, 400_000])
    np.testing.assert_allclose(
        requirement.compute_margins(capped).maintenance,
        requirement.compute_margins(free).maintenance,
    )


@few
@given(seed=seeds)
def test_each_leg_is_margined_more_as_it_grows(seed: int) -> None:
    rng, book = world(seed)
    requirement = TieredRequirement.model_validate(TIERED).bind(book.market.contracts, UNIT)
    more = np.sign(book.position) * rng.integers(0, 10**5, book.position.shape)
    small, large = (
        requirement.compute_margins(book),
        requirement.compute_margins(book._replace(position=book.position + more)),
    )
    assert (large.initial >= small.initial).all()
    assert (large.maintenance >= small.maintenance).all()


def test_amounts_of_one_tier_are_nil() -> None:
    np.testing.assert_array_equal(compute_cumulative_amounts([0.0], [0.1]), [0.0])


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ([{"floor": 5, "max_leverage": 10}], "floor 0"),
        ([{"floor": 0, "max_leverage": 0.5}], "max_leverage 0.5 at floor 0 .* raise it to 1"),
        ([{"floor": 0, "max_leverage": 10}, {"floor": 0, "max_leverage": 5}], "sort the tiers"),
        (
            [{"floor": 0, "max_leverage": 10}, {"floor": 9, "max_leverage": 20}],
            "max_leverage 20 at floor 9 is more than the 10 before it: lower it",
        ),
        ([{"floor": 0, "max_leverage": 10, "maintenance": 0.2}], "exceeds the initial rate"),
        ([], "at least 1"),
        ([{"floor": 0, "max_leverage": float("inf")}], "finite"),
    ],
)
def test_ladders_that_do_not_climb_are_refused(tiers: list[dict[str, float]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TieredRequirement.model_validate({"tiers": tiers})
    with pytest.raises(ValidationError):
        TieredRequirement.model_validate({"instruments": {"i0": tiers}})


# Netting


def test_pools_by_name() -> None:
    contracts = contracts_of(np.random.default_rng(0), 4, 1)._replace(
        underlying=np.array([1, 0, 1, 2])
    )
    pools = {
        kind: TypeAdapter(AnyNetting).validate_python({"kind": kind})
        for kind in ("cross", "isolated", "by_underlying")
    }
    assert pools["cross"].build_pools(contracts) == [[0, 1, 2, 3]]
    assert pools["isolated"].build_pools(contracts) == [[0], [1], [2], [3]]
    assert pools["by_underlying"].build_pools(contracts) == [[0, 2], [1], [3]]
    groups = TypeAdapter(AnyNetting).validate_python(
        {"kind": "groups", "groups": [["i3", "i1"], ["i0", "i2"]]}
    )
    assert groups.build_pools(contracts) == [[0, 2], [1, 3]]


def test_groups_name_each_instrument_once() -> None:
    contracts = contracts_of(np.random.default_rng(0), 3, 1)
    rule = TypeAdapter(AnyNetting).validate_python(
        {"kind": "groups", "groups": [["i0", "i9"], ["i0", "i1"]]}
    )
    with pytest.raises(ConfigError) as caught:
        rule.build_pools(contracts)
    assert len(caught.value.problems) == 3  # i9 unknown, i0 twice, i2 nowhere


# Valuation


def test_cash_counts_cash_only() -> None:
    book = exposure([0, 3, -3], kind=SPOT)
    market = book.market._replace(price=np.array([1.0, 0.5]))
    balance = np.array([[10, 0], [-3_000, 8], [5, -8]])
    disallowed = (
        margin.CashValuation()
        .compute_haircuts(book._replace(balance=balance, market=market))
        .maintenance
    )
    np.testing.assert_array_equal(disallowed, [0, 3_000 + 4, 0])
    numeraire = exposure([3])._replace(balance=np.array([[7]]))
    np.testing.assert_array_equal(margin.CashValuation().compute_haircuts(numeraire).initial, [0])


# Engine


def test_whole_amounts_are_not_rounded_up_by_dust() -> None:
    margins = np.array([0.0, 0.1 + 0.2, 3.0 * (1 + 1e-15), 3.001, 1e15 + 0.5, 7.0])
    expected = np.array([0.0, 1.0, 3.0, 4.0, np.rint(1e15 + 0.5), 7.0])
    np.testing.assert_array_equal(round_up_sum(np.zeros(6), margins), expected)
    assert round_up_sum(np.array([0.1]), np.array([0.2 + 0.7]))[0] == 1.0


@few
@given(seed=seeds)
def test_the_verdict_is_equity_and_requirements_in_whole_units(seed: int) -> None:
    _, book = world(seed)
    engine = EngineConfig.model_validate({"requirement": TIERED}).build_engine(
        book.market.contracts, UNIT
    )
    engine.observe(book.market)
    risk = engine.assess(book)
    haircuts, margins = (
        engine.valuation.compute_haircuts(book),
        engine.requirement.compute_margins(book),
    )
    np.testing.assert_array_equal(risk.equity, book.equity())
    for got, part in ((risk.initial, 0), (risk.maintenance, 1)):
        exact = haircuts[part] + margins[part]
        np.testing.assert_array_equal(got, np.rint(got))
        assert (got >= exact * (1 - 1e-12)).all()
        assert (got <= np.ceil(exact)).all()


@few
@given(seed=seeds)
def test_admission_is_assessment_when_nothing_rests(seed: int) -> None:
    _, book = world(seed)
    nothing = np.zeros_like(book.position)
    quiet = book._replace(bids=nothing, asks=nothing, reserved=nothing)
    engine = EngineConfig.model_validate({"requirement": TIERED}).build_engine(
        book.market.contracts, UNIT
    )
    for got, expected in zip(engine.assess_admission(quiet), engine.assess(quiet), strict=True):
        np.testing.assert_array_equal(got, expected)
    resting, still = engine.assess_admission(book), engine.assess(book)
    assert (resting.equity <= still.equity).all()


def test_admission_takes_the_worse_side_and_what_is_reserved() -> None:
    """Long 10 with 5 bid and 40 offered: worst is short 30. Filling at the mark moves no equity."""
    engine = MarginEngine(
        margin.CashValuation(),
        TieredRequirement(tiers=(Tier(floor=0, max_leverage=10),)).bind(exposure([0])[-1][1], UNIT),
    )
    book = exposure([10])._replace(
        balance=np.array([[90]]), bids=np.array([[5]]), asks=np.array([[40]])
    )
    risk = engine.assess_admission(book._replace(reserved=np.array([[7]])))
    assert (risk.equity[0], risk.initial[0], risk.maintenance[0]) == (10_090 - 7, 3_000, 1_500)


def test_highest_leverage() -> None:
    rule = TieredRequirement(
        tiers=(Tier(floor=0, max_leverage=40),),
        instruments={"i1": (Tier(floor=0, max_leverage=8),)},
    )
    contracts = contracts_of(np.random.default_rng(0), 3, 1)._replace(
        kind=np.array([PERPETUAL, PERPETUAL, SPOT])
    )
    market = market_of(np.random.default_rng(0), contracts, 1)
    np.testing.assert_allclose(
        EngineConfig(requirement=rule).build_engine(contracts, UNIT).max_leverage(market)[0],
        [40, 8, 1],
    )


def test_ladders_of_strangers_are_refused() -> None:
    config = EngineConfig.model_validate(
        {"requirement": {"kind": "compressed", "compression": 0.1, "inner": TIERED}}
    )
    assert config.build_pools(contracts_of(np.random.default_rng(0), 2, 1)) == [[0, 1]]
    with pytest.raises(ConfigError, match="'i1' is not an instrument"):
        config.build_pools(contracts_of(np.random.default_rng(0), 1, 1))


# Configuration


def preset(name: str) -> EngineConfig:
    return EngineConfig.model_validate(
        OmegaConf.to_container(OmegaConf.load(ENGINES / f"{name}.yaml"))
    )


def test_presets_differ_in_netting_only() -> None:
    isolated, cross = preset("isolated"), preset("cross")
    assert (isolated.netting.kind, cross.netting.kind) == ("isolated", "cross")  # type: ignore[attr-defined]
    assert isolated.requirement == cross.requirement == TieredRequirement()
    assert isolated.valuation == cross.valuation


class Late(TieredRequirement):
    """A plug-in."""

    kind: Literal["late"] = Field(default="late", description="a plug-in (name)")  # type: ignore[assignment]


def test_plugins_may_register_at_any_time(monkeypatch: pytest.MonkeyPatch) -> None:
    nested = {
        "kind": "compressed",
        "compression": 0.1,
        "inner": {"kind": "compressed", "compression": 0.2, "inner": {"kind": "late"}},
    }
    with pytest.raises(ValidationError, match="'late'"):
        EngineConfig.model_validate({"requirement": nested})
    monkeypatch.setitem(margin.REQUIREMENTS, "late", Late)
    config = EngineConfig.model_validate({"requirement": nested})
    assert config.model_dump()["requirement"]["inner"]["inner"]["kind"] == "late"
    assert EngineConfig.model_validate(config.model_dump()) == config


def test_all_mistakes_are_told_at_once() -> None:
    wrong = {
        "netting": {"kind": "crossed"},
        "requirement": {
            "kind": "compressed",
            "compression": 2,
            "inner": {"kind": "tiered", "ratio": 1},
        },
        "delay": 1,
    }
    with pytest.raises(ValidationError) as caught:
        EngineConfig.model_validate(wrong)
    places = {".".join(map(str, error["loc"])) for error in caught.value.errors()}
    assert places == {
        "netting",
        "requirement.compressed.compression",
        "requirement.compressed.inner.tiered.ratio",
        "delay",
    }

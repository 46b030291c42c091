"""Valuations by hand; their common contracts are in test_margin_contract.py."""

from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import contracts_of, few, market_of, seeds, world
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sim import margin
from sim.checks.law import Law
from sim.checks.margin_worlds import make_margin_world
from sim.checks.valuations import LAWS
from sim.errors import ConfigError
from sim.margin.base import AnyValuation, ValuationComponent
from sim.margin.engine import EngineConfig
from sim.margin.valuations.brackets import CollateralBracket, compute_counted_share
from sim.types import PERPETUAL, SPOT, Exposure, Margins

STEPS = [{"cap": 1e3, "counted_share": 0.9}, {"cap": 1e6, "counted_share": 0.1}]
SETTINGS: list[dict[str, Any]] = [
    {"kind": "cash"},
    {
        "kind": "haircut",
        "maintenance": {"ALT": 0.1, "i0": 0.2},
        "initial": {"ALT": 0.3},
        "other": 0.5,
    },
    {
        "kind": "brackets",
        "brackets": {
            n: [{"cap": 1e3, "counted_share": 0.9}, {"cap": 1e6, "counted_share": 0.1}]
            for n in ("ALT", "i0")
        },
    },
    {"kind": "dynamic", "price_instruments": {"ALT": "i0"}},
    {"kind": "delta_adjusted", "unhedged": {"i0": 0.4}},
    {"kind": "weighted", "tokens": {"ALT": {"owed_initial": 1, "owed_maintenance": 1, "imf": 0}}},
]
every = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting["kind"])


def rule(setting: dict[str, Any]) -> ValuationComponent:
    made: ValuationComponent = TypeAdapter(AnyValuation).validate_python(setting)
    return made


def basket(position: list[int], alt: int = 0) -> Exposure:
    """Return an account with spot i0, perpetual i1 (both at 100) and some ALT."""
    rng = np.random.default_rng(0)
    zero = np.zeros(2, dtype=np.int64)
    contracts = contracts_of(rng, 2, 2)._replace(
        kind=np.array([SPOT, PERPETUAL]),
        underlying=zero,
        settle=zero,
        multiplier=zero + 1,
        units=(1, 1),
    )
    market = market_of(rng, contracts, 2)._replace(
        mark=np.array([100.0, 100.0]),
        price=np.array([1.0, 2.0]),
        vol=np.array([0.5, 0.5]),
        depth=np.array([100.0, 50.0]),
    )
    none = np.zeros((1, 2), dtype=np.int64)
    cash, lots = np.array([[0, alt]]), np.array([position])
    return Exposure(cash, 0 * cash, lots, none, none, none, none, np.full((1, 2), np.inf), market)


def cut(setting: dict[str, Any], book: Exposure) -> tuple[float, float]:
    initial, maintenance = rule(setting).compute_haircuts(book)
    return float(initial[0]), float(maintenance[0])


def test_every_kind_is_tested() -> None:
    assert {setting["kind"] for setting in SETTINGS} == set(margin.VALUATIONS)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
@every
@few
@given(seed=seeds)
def test_every_valuation_keeps_every_law(setting: dict[str, Any], law: Law, seed: int) -> None:
    law.check(rule(setting), make_margin_world(seed))


@every
@few
@given(seed=seeds)
def test_haircuts_are_at_most_those_of_cash(setting: dict[str, Any], seed: int) -> None:
    """With these settings, debts included."""
    _, book = world(seed)
    found = rule(setting).compute_haircuts(book)
    whole = rule({"kind": "cash"}).compute_haircuts(book).maintenance
    assert (found.initial >= found.maintenance * (1 - 1e-12)).all()
    assert (found.initial <= whole * (1 + 1e-12)).all()


@pytest.mark.parametrize("edge", [1e3, 1e6])
def test_what_counts_does_not_jump_at_a_bracket(edge: float) -> None:
    """One more unit of ALT, two dollars, adds 0 to 2 dollars on both sides of a cap."""
    setting = {"kind": "brackets", "brackets": {"ALT": STEPS}}
    counts = [
        2 * units - cut(setting, basket([0, 0], alt=units))[1]
        for units in range(int(edge) - 2, int(edge) + 3)
    ]
    assert all(0 <= step <= 2 + 1e-6 for step in np.diff(counts))


@every
@few
@given(seed=seeds, factor=st.integers(2, 20))
def test_more_of_the_same_counts_no_less(setting: dict[str, Any], seed: int, factor: int) -> None:
    """A larger holding counts at least as much as a smaller one."""
    _, book = world(seed)
    held = book._replace(position=np.abs(book.position), balance=np.abs(book.balance))
    held = held._replace(position=np.where(held.market.contracts.kind == SPOT, held.position, 0))

    def counts(many: Exposure) -> Any:
        return many.equity() - rule(setting).compute_haircuts(many).maintenance

    more = held._replace(position=held.position * factor, balance=held.balance * factor)
    if setting["kind"] != "dynamic":  # its impact grows with size: selling very much brings less
        assert (counts(more) >= counts(held) * (1 - 1e-12) - 1e-3).all()
    assert (counts(more) >= -1e-3).all()


def test_static_haircuts_by_hand() -> None:
    """3 lots of spot at 100 and 50 ALT at 2; initial is more for ALT only."""
    setting = SETTINGS[1]
    assert cut(setting, basket([3, 0], alt=50)) == (pytest.approx(60 + 30), pytest.approx(60 + 10))
    assert cut({"kind": "haircut", "other": 0.5}, basket([3, 0], alt=50)) == (200, 200)
    assert cut(setting, basket([-3, 0], alt=-50)) == (0, 0)


def test_weights_of_what_is_held_and_owed_by_hand() -> None:
    """900 ALT at 2: 90% and 80% count, 1.1 / (1 + 0.02 x 30) by size; debts add 10% and 20%."""
    weights: dict[str, Any] = {"kind": "weighted", "tokens": {"ALT": {}}}
    assert cut(weights, basket([0, 0], alt=900)) == (pytest.approx(360), pytest.approx(180))
    assert cut(weights, basket([0, 0], alt=-900)) == (pytest.approx(360), pytest.approx(180))
    large: dict[str, Any] = {"kind": "weighted", "tokens": {"ALT": {"imf": 0.02}}}
    assert cut(large, basket([0, 0], alt=900)) == (pytest.approx(1_800 * (1 - 1.1 / 1.6)),) * 2
    owed = (0.8 * 1.2 + 0.6 - 1, 0.8 * 1.1 + 0.6 - 1)
    assert cut(large, basket([0, 0], alt=-900)) == tuple(
        pytest.approx(1_800 * each) for each in owed
    )
    assert cut({"kind": "weighted"}, basket([3, 0], alt=50)) == (400, 400)
    assert cut({"kind": "weighted"}, basket([0, 0], alt=-50)) == (0, 0)


def test_marginal_brackets_by_hand() -> None:
    ladder = (
        CollateralBracket(cap=120, counted_share=0.85),
        CollateralBracket(cap=200, counted_share=0.79),
    )
    np.testing.assert_allclose(
        compute_counted_share(np.array([0.0, 100.0, 120.0, 160.0, 400.0]), ladder)
        * [1, 100, 120, 160, 400],
        [1, 85, 102, 102 + 0.79 * 40, 102 + 0.79 * 80],
    )
    setting = {
        "kind": "brackets",
        "brackets": {"i0": [{"cap": 2, "counted_share": 0.9}, {"cap": 3, "counted_share": 0.5}]},
    }
    assert cut(setting, basket([4, 0])) == (pytest.approx(20 + 50 + 100),) * 2


def test_dynamic_haircuts_follow_the_market() -> None:
    """2% + 2.33 x 50% x sqrt(1 / 365) + 1% x sqrt(25 / 100); a fifth more to open."""
    share = 0.02 + 2.33 * 0.5 / np.sqrt(365) + 0.01 * 0.5
    setting, book = {"kind": "dynamic"}, basket([25, 0])
    assert cut(setting, book) == (pytest.approx(2_500 * share * 1.2), pytest.approx(2_500 * share))
    wilder = book._replace(market=book.market._replace(vol=2 * book.market.vol))
    thinner = book._replace(market=book.market._replace(depth=book.market.depth / 10))
    assert min(cut(setting, wilder)[1], cut(setting, thinner)[1]) > cut(setting, book)[1]
    priced = {"kind": "dynamic", "price_instruments": {"ALT": "i1"}}
    alt = 0.02 + 2.33 * 0.5 / np.sqrt(365) + 0.01 * np.sqrt(50 / 50)
    assert cut(priced, basket([0, 0], alt=50))[1] == pytest.approx(100 * alt)
    assert cut(setting, basket([0, 0], alt=50)) == (100, 100)


@pytest.mark.parametrize(("short", "part"), [(0, 0.0), (-1, 0.25), (-4, 1.0), (-9, 1.0), (3, 0.0)])
def test_hedged_collateral_is_cut_for_its_basis_only(short: int, part: float) -> None:
    setting = {"kind": "delta_adjusted", "unhedged": {"i0": 0.4}, "hedged": 0.05}
    assert cut(setting, basket([4, short]))[0] == pytest.approx(400 * (0.4 - 0.35 * part))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "haircut", "maintenance": {"ALT": 1.5}}, "not between 0 and 1"),
        (
            {"kind": "haircut", "maintenance": {"ALT": 0.5}, "initial": {"ALT": 0.4}},
            r"below the 0\.5 of maintenance",
        ),
        (
            {
                "kind": "brackets",
                "brackets": {
                    "A": [{"cap": 2, "counted_share": 0.5}, {"cap": 1, "counted_share": 0.5}]
                },
            },
            "sort by cap",
        ),
        (
            {
                "kind": "brackets",
                "brackets": {
                    "A": [{"cap": 2, "counted_share": 0.5}, {"cap": 3, "counted_share": 0.6}]
                },
            },
            "of the bracket before",
        ),
        ({"kind": "dynamic", "price_instruments": {"A": "A"}}, "cannot stand for itself"),
        ({"kind": "delta_adjusted", "hedged": 0.5}, "not between hedged"),
    ],
)
def test_what_makes_no_sense_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rule(setting)


def test_names_of_strangers_are_refused() -> None:
    config = EngineConfig.model_validate(
        {"valuation": {"kind": "haircut", "maintenance": {"ALT": 0.1, "EUR": 0.1}}}
    )
    with pytest.raises(ConfigError, match=r"'EUR' is neither .* of this venue, use one of ALT, i0"):
        config.build_pools(contracts_of(np.random.default_rng(0), 1, 2))
    assert config.valuation.compute_haircuts(basket([0, 0])) == Margins(*(np.zeros(1),) * 2)

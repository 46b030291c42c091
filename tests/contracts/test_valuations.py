"""The valuations that exist, by hand; what all of them promise stands in test_margin_contract.py."""

from typing import Any

import numpy as np
import pytest
from contracts.margin_worlds import contracts_of, few, market_of, seeds, world
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sim import margin
from sim.errors import ConfigError
from sim.margin.base import AnyValuation, ValuationComponent
from sim.margin.brackets import Bracket, counted
from sim.margin.engine import EngineConfig
from sim.types import PERPETUAL, SPOT, Exposure, Margins

STEPS = [{"cap": 1e3, "counted": 0.9}, {"cap": 1e6, "counted": 0.1}]
SETTINGS: list[dict[str, Any]] = [
    {"kind": "cash"},
    {"kind": "haircut", "maintenance": {"ALT": 0.1, "i0": 0.2}, "initial": {"ALT": 0.3}, "other": 0.5},
    {
        "kind": "brackets",
        "brackets": {n: [{"cap": 1e3, "counted": 0.9}, {"cap": 1e6, "counted": 0.1}] for n in ("ALT", "i0")},
    },
    {"kind": "dynamic", "priced_by": {"ALT": "i0"}},
    {"kind": "delta_adjusted", "unhedged": {"i0": 0.4}},
    {"kind": "weighted", "tokens": {"ALT": {"owed_initial": 1, "owed_maintenance": 1, "imf": 0}}},
]
every = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting["kind"])


def rule(setting: dict[str, Any]) -> ValuationComponent:
    made: ValuationComponent = TypeAdapter(AnyValuation).validate_python(setting)
    return made


def basket(position: list[int], alt: int = 0) -> Exposure:
    """One account: spot i0 and perpetual i1 on one underlying at 100, a lot a unit, a unit a dollar; some ALT."""
    rng = np.random.default_rng(0)
    zero = np.zeros(2, dtype=np.int64)
    contracts = contracts_of(rng, 2, 2)._replace(
        kind=np.array([SPOT, PERPETUAL]), underlying=zero, settle=zero, multiplier=zero + 1, units=(1, 1)
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
    initial, maintenance = rule(setting).haircuts(book)
    return float(initial[0]), float(maintenance[0])


def test_every_kind_is_tested() -> None:
    assert {setting["kind"] for setting in SETTINGS} == set(margin.VALUATIONS)


@every
@few
@given(seed=seeds)
def test_haircuts_lie_between_nil_and_what_is_held(setting: dict[str, Any], seed: int) -> None:
    _, book = world(seed)
    found = rule(setting).haircuts(book)
    whole = rule({"kind": "cash"}).haircuts(book).maintenance
    assert (found.initial >= found.maintenance * (1 - 1e-12)).all()
    assert (found.maintenance >= 0).all()
    assert (found.initial <= whole * (1 + 1e-12)).all()


@every
@few
@given(seed=seeds)
def test_haircuts_are_pure(setting: dict[str, Any], seed: int) -> None:
    _, book = world(seed)
    columns = [*book[:-1], book.market.mark, book.market.price, book.market.depth]
    before = [column.copy() for column in columns]
    valuation = rule(setting)
    first = Margins(*(each.copy() for each in valuation.haircuts(book)))
    valuation.haircuts(book.take(slice(0, 1)))
    for got, expected in zip((*valuation.haircuts(book), *columns), (*first, *before), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("edge", [1e3, 1e6])
def test_what_counts_does_not_jump_at_a_bracket(edge: float) -> None:
    """A unit of ALT more, two dollars, counts nothing to two dollars more, on both sides of a cap."""
    setting = {"kind": "brackets", "brackets": {"ALT": STEPS}}
    counts = [2 * units - cut(setting, basket([0, 0], alt=units))[1] for units in range(int(edge) - 2, int(edge) + 3)]
    assert all(0 <= step <= 2 + 1e-6 for step in np.diff(counts))


@every
@few
@given(seed=seeds)
def test_accounts_do_not_see_one_another(setting: dict[str, Any], seed: int) -> None:
    _, book = world(seed)
    together = rule(setting).haircuts(book)
    for row in range(len(book.balance)):
        alone = rule(setting).haircuts(book.take(slice(row, row + 1)))
        for got, expected in zip(alone, together, strict=True):
            np.testing.assert_allclose(got, expected[row : row + 1], rtol=1e-12)


@every
@few
@given(seed=seeds, factor=st.integers(2, 20))
def test_more_of_the_same_counts_no_less(setting: dict[str, Any], seed: int, factor: int) -> None:
    """What counts of a larger holding is at least what counts of a smaller one."""
    _, book = world(seed)
    held = book._replace(position=np.abs(book.position), balance=np.abs(book.balance))
    held = held._replace(position=np.where(held.market.contracts.kind == SPOT, held.position, 0))

    def counts(many: Exposure) -> Any:
        return many.equity() - rule(setting).haircuts(many).maintenance

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
    """900 ALT at 2: 90% and 80% count, 1.1 / (1 + .02 x 30) where size decides; owed, 10% and 20% are asked on top."""
    weights: dict[str, Any] = {"kind": "weighted", "tokens": {"ALT": {}}}
    assert cut(weights, basket([0, 0], alt=900)) == (pytest.approx(360), pytest.approx(180))
    assert cut(weights, basket([0, 0], alt=-900)) == (pytest.approx(360), pytest.approx(180))
    large: dict[str, Any] = {"kind": "weighted", "tokens": {"ALT": {"imf": 0.02}}}
    assert cut(large, basket([0, 0], alt=900)) == (pytest.approx(1_800 * (1 - 1.1 / 1.6)),) * 2
    owed = (0.8 * 1.2 + 0.6 - 1, 0.8 * 1.1 + 0.6 - 1)
    assert cut(large, basket([0, 0], alt=-900)) == tuple(pytest.approx(1_800 * each) for each in owed)
    assert cut({"kind": "weighted"}, basket([3, 0], alt=50)) == (400, 400)
    assert cut({"kind": "weighted"}, basket([0, 0], alt=-50)) == (0, 0)


def test_marginal_brackets_by_hand() -> None:
    ladder = (Bracket(cap=120, counted=0.85), Bracket(cap=200, counted=0.79))
    np.testing.assert_allclose(
        counted(np.array([0.0, 100.0, 120.0, 160.0, 400.0]), ladder) * [1, 100, 120, 160, 400],
        [1, 85, 102, 102 + 0.79 * 40, 102 + 0.79 * 80],
    )
    setting = {"kind": "brackets", "brackets": {"i0": [{"cap": 2, "counted": 0.9}, {"cap": 3, "counted": 0.5}]}}
    assert cut(setting, basket([4, 0])) == (pytest.approx(20 + 50 + 100),) * 2


def test_dynamic_haircuts_follow_the_market() -> None:
    """2% + 2.33 x 50% x sqrt(1 / 365) + 1% x sqrt(25 / 100); a fifth more to open."""
    share = 0.02 + 2.33 * 0.5 / np.sqrt(365) + 0.01 * 0.5
    setting, book = {"kind": "dynamic"}, basket([25, 0])
    assert cut(setting, book) == (pytest.approx(2_500 * share * 1.2), pytest.approx(2_500 * share))
    wilder = book._replace(market=book.market._replace(vol=2 * book.market.vol))
    thinner = book._replace(market=book.market._replace(depth=book.market.depth / 10))
    assert min(cut(setting, wilder)[1], cut(setting, thinner)[1]) > cut(setting, book)[1]
    priced = {"kind": "dynamic", "priced_by": {"ALT": "i1"}}
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
        ({"kind": "haircut", "maintenance": {"ALT": 0.5}, "initial": {"ALT": 0.4}}, r"below the 0\.5 of maintenance"),
        (
            {"kind": "brackets", "brackets": {"A": [{"cap": 2, "counted": 0.5}, {"cap": 1, "counted": 0.5}]}},
            "sort by cap",
        ),
        (
            {"kind": "brackets", "brackets": {"A": [{"cap": 2, "counted": 0.5}, {"cap": 3, "counted": 0.6}]}},
            "of the bracket before",
        ),
        ({"kind": "dynamic", "priced_by": {"A": "A"}}, "cannot stand for itself"),
        ({"kind": "delta_adjusted", "hedged": 0.5}, "not between hedged"),
    ],
)
def test_what_makes_no_sense_is_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        rule(setting)


def test_names_of_strangers_are_refused() -> None:
    config = EngineConfig.model_validate({"valuation": {"kind": "haircut", "maintenance": {"ALT": 0.1, "EUR": 0.1}}})
    with pytest.raises(ConfigError, match=r"'EUR' is neither .* of this venue, use one of ALT, i0"):
        config.pools(contracts_of(np.random.default_rng(0), 1, 2))
    assert config.valuation.haircuts(basket([0, 0])) == Margins(*(np.zeros(1),) * 2)

"""Entries and exits respond to the capital that a position ties up (AGT-1)."""

import json
from typing import Any

import numpy as np
import pytest
from bazaar import SETTING, accounts, outlook
from hypothesis import given
from hypothesis import strategies as st

from agents.compiled.participation import scale_probability
from agents.leveraged import LeveragedPopulation
from agents.traders import NoiseTraders
from experiments.config import load_run
from experiments.simulation import simulate_run
from sim.types import AccountView, Orders

COUNT, DAY = 4000, 86_400.0
HAZARD = -np.expm1(-24 * 60 / DAY)
"""Probability of an entry in a step at 24 a day."""


def people(**fields: Any) -> LeveragedPopulation:
    plain = {"venue": "alpha", "count": COUNT, "instruments": ("BTC-PERP",), "wealth_sigma": 0}
    population = NoiseTraders.model_validate(plain | {"entries_per_day": 24} | fields)
    population.start(SETTING, np.random.default_rng(3).random((COUNT, 3)))
    return population


def ask(
    population: LeveragedPopulation, leverage: float, held: AccountView | None = None
) -> Orders:
    draws = np.random.default_rng(1).random((COUNT, 4))
    return population.decide(outlook(leverage=leverage), held or accounts(COUNT, 1e9), draws)


def entrants(leverage: float, **fields: Any) -> set[int]:
    return set(ask(people(**fields), leverage).owner.tolist())


@pytest.mark.parametrize(("leverage", "elasticity"), [(80.0, 1.0), (80.0, 0.5), (5.0, 2.0)])
def test_the_hazard_of_entry_is_a_power_of_the_margin(leverage: float, elasticity: float) -> None:
    """Members enter whose draw is below 1 - (1 - p) ** f, with f = (20 / leverage) ** -eta."""
    found = entrants(leverage, reference_leverage=20, entry_elasticity=elasticity)
    p = 1 - (1 - HAZARD) ** ((leverage / 20) ** elasticity)
    draws = np.random.default_rng(1).random((COUNT, 4))[:, 0]
    assert found == set(np.flatnonzero(draws < p).tolist())
    assert found != entrants(leverage)


def test_at_the_reference_nothing_changes() -> None:
    fields = {"initial_entry_share": 0.3, "warm_up": 60.0}
    plain = ask(people(**fields), 20.0)
    elastic = ask(people(**fields, entry_elasticity=2, exit_elasticity=2), 20.0)
    for column, other in zip(plain, elastic, strict=True):
        np.testing.assert_array_equal(column, other)


def test_the_first_entries_respond_once() -> None:
    """Of a share s of members who enter in the warm-up, 1 - (1 - s) ** f do."""
    fields = {"initial_entry_share": 0.3, "warm_up": 60.0, "entries_per_day": 0}
    population = people(**fields, entry_elasticity=1)
    first = ask(population, 60.0)
    assert len(first.owner) == pytest.approx(COUNT * (1 - 0.7**3), rel=0.05)
    assert len(entrants(60.0, **fields)) == pytest.approx(COUNT * 0.3, rel=0.05)
    np.testing.assert_array_equal(ask(population, 20.0).owner, first.owner)


@pytest.mark.parametrize(("leverage", "factor"), [(80.0, 0.25), (5.0, 4.0)])
def test_members_keep_a_position_longer_that_ties_up_less(leverage: float, factor: float) -> None:
    position = np.zeros((COUNT, 5), dtype=np.int64)
    position[:, 0] = 4
    held = accounts(COUNT, 1e9, position)
    left = ask(people(holding_time=3600.0, exit_elasticity=1), leverage, held).owner
    p = -np.expm1(-60 / 3600 * factor)
    draws = np.random.default_rng(1).random((COUNT, 4))[:, 3]
    np.testing.assert_array_equal(left, np.flatnonzero(draws < p))


SHARES, FACTORS = st.floats(1e-9, 1 - 1e-9), st.floats(1e-3, 1e3)


@given(SHARES, FACTORS, FACTORS)
def test_scaling_is_that_of_hazards(p: float, one: float, other: float) -> None:
    """Twice scaled is scaled by the product; probabilities stay in [0, 1] and rise."""
    scaled = scale_probability(p, one)
    assert 0 <= scaled <= 1
    assert (scaled > p) == (one > 1) or scaled == pytest.approx(p, rel=1e-12)
    if scaled < 1 - 1e-9:
        joint = scale_probability(p, one * other)
        assert scale_probability(scaled, other) == pytest.approx(joint, rel=1e-5)


PEOPLE = {"count": 150, "venue": "exchange", "wealth": 5_000, "entries_per_day": 30}
KINDS: dict[str, dict[str, Any]] = {
    "traders": {},
    "trend": {"threshold": 0},
    "fundamental": {"value_half_life": 3600},
    "kelly": {"drift_half_life": 7200, "belief_sigma": 3},
    "diversified": {},
    "pairs": {"pairs": [["BTC-PERP", "ETH-PERP"]], "entry_threshold": 0.02, "exit_threshold": 0.0}
    | {"spread_half_life": 1800},
    "carry": {"spot_venue": "outside", "entry_threshold": 1e-6, "exit_threshold": -1e9},
}


@pytest.mark.parametrize("kind", KINDS)
def test_half_the_margin_brings_more_members_of_every_kind(kind: str) -> None:
    """Members with a position after half an hour, at a compression of one half."""

    def count(elasticity: float) -> int:
        crowd = PEOPLE | KINDS[kind] | {"kind": kind, "elasticity": 0, "reference_leverage": 40}
        crowd |= {"entry_elasticity": elasticity}
        makers = {"kind": "makers", "count": 4, "venue": "exchange", "wealth": 4_000_000}
        given = ["duration=1800", "venues.0.engine.compression=0.5"]
        name = "two_coins" if kind in ("diversified", "pairs") else "baseline"
        run = load_run(name, [*given, f"populations={json.dumps([makers, crowd])}"])
        rows = simulate_run(run)["accounts"].query("moment == 'end' and venue == 'exchange'")
        return int((rows.loc[rows["population"] == kind, "gross"] > 0).sum())

    assert count(1.0) > 1.2 * count(0.0) > 0

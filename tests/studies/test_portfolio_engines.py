"""The study of engines in a market of portfolios: equal capital, controls, and its division."""

import json

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from agents import populate
from experiments.config import load_run
from experiments.generated.reference_books import load_reference_book
from experiments.studies.portfolio_engines import HARM, PARTS, WORDS, divide_differences, tables
from experiments.sweep.config import load_study
from sim.margin.efficiency import measure_capital
from sim.market import Market
from sim.metrics.cascades import Frames

ENGINE = "venues.0.engine"
CROWD = ["duration=5400", "populations.*.warm_up=900", "profile_every=0"]
SPAN = (
    "{include: engines/span.yaml, margin_multiplier: 0.28, "
    "requirement: {credits: [{underlyings: [btc, eth], deltas: [1, 20], rate: 0.6}]}}"
)
FALL = "stresses=[{kind: move, at: 3600, duration: 600, size: -0.2, underlyings: [btc]}]"


def test_every_arm_requires_the_same_capital_on_the_reference_book() -> None:
    books, unit = load_reference_book("portfolio_market")
    axis = load_study("portfolio_engines").axes[0]
    asked = {}
    for value in axis.values:
        given = f"{ENGINE}={json.dumps(value.set[ENGINE])}"
        engine = load_run("portfolio_market", [given]).venues[0].engine
        asked[value.label] = measure_capital(engine, books, unit).total
    # a copy that is applied from a clock has learned nothing on frozen books
    known = {name: total for name, total in asked.items() if "fhs_es" not in name}
    assert known == pytest.approx(dict.fromkeys(known, asked["isolated"]), rel=1e-4)
    assert asked["fhs_es"] == pytest.approx(asked["isolated"], rel=1e-4)


def run_market(name: str, *overrides: str) -> Frames:
    config = load_run(name, overrides, quick=True)
    market = Market(config, populate(config.populations), seed=3)
    market.advance(market.steps_planned)
    return market.recorder.frames()


def test_offsets_matter_where_members_hold_portfolios_and_only_there() -> None:
    """One listed perpetual has nothing to offset; its market is the same to the byte."""
    for name, span, is_same in (
        ("small_crash", ["engine=span"], True),
        ("portfolio_market", [f"venues.0.engine={SPAN}", *CROWD, FALL], False),
    ):
        whole, alone = (
            run_market(name, *span, f"venues.0.engine.offsets={word}") for word in ("true", "false")
        )
        assert whole["steps"].equals(alone["steps"]) == is_same
        if is_same:
            assert_frame_equal(whole["accounts"], alone["accounts"])


def test_rules_that_differ_in_what_one_instrument_cannot_show_coincide_there() -> None:
    """The same ladder at small sizes, and weights by size that no account reaches (drift)."""
    cross = run_market("small_crash", "engine=cross")["steps"]
    for same in (
        ["engine=hyperliquid"],
        ["engine=drift", f"{ENGINE}.margin_multiplier=0.25"],
        [f"{ENGINE}.netting=by_underlying"],
    ):
        assert_frame_equal(run_market("small_crash", *same)["steps"], cross)
    assert not run_market("small_crash", "engine=isolated")["steps"].equals(cross)


def make_runs() -> pd.DataFrame:
    """Runs of one engine with all its arms, with made-up figures."""
    rng = np.random.default_rng(1)
    arms = ["isolated", "cross", *(f"fhs_es{word}" for word in ("_isolated", "_standalone"))]
    return pd.DataFrame(
        {"kappa": 0.0, "engine": arm, "seed": seed} | {name: rng.random() for name in WORDS}
        for arm in [*arms, "fhs_es_fixed", "fhs_es"]
        for seed in range(5)
    )


def test_parts_add_up_to_the_difference_from_isolated_tiers() -> None:
    runs = make_runs()
    made = tables(runs)
    parts = made["parts"].pivot(index="measure", columns="part", values="mean")
    whole = made["differences"].query("engine == 'fhs_es'").set_index("measure")["mean"]
    assert set(parts.columns) == set(PARTS)
    np.testing.assert_allclose(parts.sum(axis=1)[list(HARM)], whole[list(HARM)], rtol=1e-12)


def test_each_part_is_the_effect_of_one_switch() -> None:
    """If arms with offsets alone differ, the difference is that of offsets alone."""
    runs = make_runs().assign(closed_out=0.0, deleveraged=0.0, system_loss=0.0)
    runs.loc[runs["engine"].isin(["fhs_es", "fhs_es_fixed"]), "closed_out"] = 0.25
    parts = divide_differences(runs).query("measure == 'closed_out'").set_index("part")["mean"]
    assert parts.to_dict() == {"account": 0, "rates": 0, "volatility": 0, "offsets": 0.25}

"""What every process and every stress promises (IDX-1, RNG-1)."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from sim.component import build_union
from sim.numerics.rng import RandomStreams
from sim.prices import PROCESSES, STRESSES
from sim.prices.bars import validate_bars
from sim.prices.process import ProcessInputs

PARAMETERS = {
    "gbm": {"volatility": 0.6, "drift": 0.1},
    "merton_jump": {"volatility": 0.5, "intensity": 2.0, "jump_mean": -0.01, "jump_sd": 0.02},
    "garch_t": {"volatility": 0.6},
    "heston": {"volatility": 0.6},
    "variance_index": {"volatility": 0.6, "premium": 0.02},
    "replay": {"source": "none.csv", "day": 86_400},
}
EFFECTS = {
    "move": {"at": 600, "size": -0.1},
    "volatility": {"at": 600, "duration": 600, "multiplier": 3},
    "withdrawal": {"at": 600, "duration": 600, "share": 0.1},
    "depeg": {"at": 600, "duration": 600, "asset": "USDT", "floor": 0.9},
}
DAY = 1_440


def test_every_registered_component_is_covered():
    assert set(PARAMETERS) == set(PROCESSES)
    assert set(EFFECTS) == set(STRESSES)


@pytest.mark.parametrize("registry", [PROCESSES, STRESSES], ids=["processes", "stresses"])
def test_schema_names_its_kind_and_describes_every_field(registry):
    for name, cls in registry.items():
        assert cls.model_fields["kind"].default == name
        for field, info in cls.model_fields.items():
            assert field == "kind" or (info.description and "(" in info.description), (
                f"{name}.{field} lacks a unit"
            )


@pytest.mark.parametrize("kind", PROCESSES)
def test_increments_are_finite_one_per_step_and_prefixes_of_longer_ones(kind):
    process = TypeAdapter(build_union(PROCESSES)).validate_python(
        {"kind": kind, **PARAMETERS[kind]}
    )
    rows = 5 * DAY - 1
    z = np.random.default_rng(1).standard_normal(rows)
    day = np.arange("2020-01-01", "2020-01-06", dtype="datetime64[D]")
    bars = validate_bars("made", day, np.tile([100.0, 104.0, 97.0, 101.0], (5, 1)))
    long = process.compute_log_returns(z, ProcessInputs(60.0, RandomStreams(5), "A", bars))
    short = process.compute_log_returns(
        z[: 2 * DAY - 1], ProcessInputs(60.0, RandomStreams(5), "A", bars.take(day[:2]))
    )
    assert long.shape == (rows,)
    assert np.isfinite(long).all()
    np.testing.assert_array_equal(short, long[: len(short)])
    assert np.corrcoef(long, z)[0, 1] > 0.5


@pytest.mark.parametrize("kind", STRESSES)
def test_a_stress_is_neutral_before_it_begins_and_for_others(kind):
    stress = TypeAdapter(build_union(STRESSES)).validate_python({"kind": kind, **EFFECTS[kind]})
    seconds = np.arange(0.0, 3_600.0, 60.0)
    effects = np.stack(
        [
            stress.return_multiplier(seconds, "A") - 1,
            stress.log_price_shift(seconds, "A"),
            stress.depth_share(seconds) - 1,
            stress.price_factor(seconds, "USDT") - 1,
        ]
    )
    assert not effects[:, seconds < 600].any()
    assert (effects[:, seconds >= 600].any(axis=1)).sum() == 1
    assert not (stress.price_factor(seconds, "USD") - 1).any()

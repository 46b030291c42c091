"""Contracts of every registered price process and stress (IDX-1, RNG-1)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sim.checks import processes, stresses
from sim.component import build_union
from sim.prices import PROCESSES, STRESSES

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


@pytest.mark.parametrize("law", processes.LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("kind", PROCESSES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_process_keeps_every_law(kind, law, seed):
    given_settings = {"kind": kind, **PARAMETERS[kind]}
    process = TypeAdapter(build_union(PROCESSES)).validate_python(given_settings)
    law.check(process, processes.make_path_world(seed))


@pytest.mark.parametrize("kind", PROCESSES)
def test_returns_follow_their_normals(kind):
    """Correlation itself, which a jump would hide in some worlds, where laws look at ranks."""
    given_settings = {"kind": kind, **PARAMETERS[kind]}
    process = TypeAdapter(build_union(PROCESSES)).validate_python(given_settings)
    found = processes.make_path_world(1)
    returns = process.compute_log_returns(found.normals, found.inputs)
    assert np.corrcoef(returns, found.normals)[0, 1] > 0.5


@pytest.mark.parametrize("law", stresses.LAWS, ids=lambda law: law.name)
@pytest.mark.parametrize("kind", STRESSES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_stress_keeps_every_law(kind, law, seed):
    stress = TypeAdapter(build_union(STRESSES)).validate_python({"kind": kind, **EFFECTS[kind]})
    law.check(stress, stresses.make_stress_world(seed))


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

"""Old names of configuration keys are refused with the new ones, and are used nowhere."""

import pydantic
import pytest

from experiments.config import RunConfig
from experiments.generated.parameters import find_reachable_components
from sim.reading.renamed_keys import RENAMED_KEYS

FIELDS = {
    name for component in find_reachable_components(RunConfig) for name in component.model_fields
}
OTHER_SENSES = {
    *("at", "cap", "maintenance", "power", "scale", "small"),
}
"""Old names that are still keys of other components."""


@pytest.mark.parametrize("old", sorted(RENAMED_KEYS))
def test_an_old_name_is_no_key_any_more_and_the_new_one_is(old: str) -> None:
    assert old not in FIELDS or old in OTHER_SENSES
    models = [each for each in find_reachable_components(RunConfig)]
    is_reachable = any(RENAMED_KEYS[old] in each.model_fields for each in models)
    assert is_reachable or (issubclass(RunConfig, pydantic.BaseModel) and old in ("vols", "whole"))

"""The contract suites by registry, and the classes that plug-ins have added."""

from collections.abc import Iterator, Mapping
from typing import Any

from sim.checks import (
    fundings,
    liquidation_policies,
    loss_layers,
    marks,
    nettings,
    processes,
    requirements,
    return_models,
    smiles,
    stresses,
    valuations,
)
from sim.checks.law import Suite
from sim.component import Component
from sim.exchange import FUNDINGS, MARKS
from sim.liquidation import LIQUIDATIONS
from sim.margin import MODELS, NETTINGS, REQUIREMENTS, VALUATIONS
from sim.prices import PROCESSES, STRESSES
from sim.pricing.smiles import SMILES
from sim.waterfall import LAYERS

PROJECT_PACKAGES = ("sim", "agents", "experiments", "configs")
"""Packages whose classes are held to the laws by the tests of the project."""

Registry = Mapping[str, Any]

SUITES: tuple[tuple[Suite, Registry], ...] = (
    (requirements.SUITE, REQUIREMENTS),
    (valuations.SUITE, VALUATIONS),
    (nettings.SUITE, NETTINGS),
    (return_models.SUITE, MODELS),
    (liquidation_policies.SUITE, LIQUIDATIONS),
    (loss_layers.SUITE, LAYERS),
    (processes.SUITE, PROCESSES),
    (stresses.SUITE, STRESSES),
    (marks.SUITE, MARKS),
    (fundings.SUITE, FUNDINGS),
    (smiles.SUITE, SMILES),
)
"""Each suite with the registry of its components; populations are registered in ``agents``."""


def is_plugin_class(cls: type) -> bool:
    """Return whether a class is defined outside the project."""
    return cls.__module__.partition(".")[0] not in PROJECT_PACKAGES


def find_suite(component: Component) -> Suite | None:
    """Return the suite of a component that a plug-in has registered; None of any other."""
    cls = type(component)
    if not is_plugin_class(cls):
        return None
    return next((suite for suite, registry in SUITES if cls in registry.values()), None)


def iterate_components(value: object, path: str = "") -> Iterator[tuple[str, Component]]:
    """Yield all components within a configuration, with their paths."""
    if isinstance(value, Component):
        if path:
            yield path, value
        parts = [
            (field.alias or name, value.__dict__[name])
            for name, field in type(value).model_fields.items()
        ]
    elif isinstance(value, tuple | list):
        parts = [(str(number), each) for number, each in enumerate(value)]
    elif isinstance(value, dict):
        parts = [(str(key), each) for key, each in value.items()]
    else:
        return
    for name, part in parts:
        if isinstance(part, Component | tuple | list | dict):
            yield from iterate_components(part, f"{path}.{name}" if path else name)

"""The JSON Schema of a run's configuration, for editors: what a file may say, described field by field."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.stress import StressConfig
from experiments.config import RunConfig
from experiments.sweep.config import StudyConfig
from sim.component import Component
from sim.margin import MODELS, NETTINGS, REQUIREMENTS, VALUATIONS

Node = dict[str, Any]

LATE_REGISTRIES: dict[str, Mapping[str, type[Component]]] = {
    "NettingComponent": NETTINGS,
    "ValuationComponent": VALUATIONS,
    "RequirementComponent": REQUIREMENTS,
    "ModelComponent": MODELS,
}
"""Abstract components whose registry is looked up when a configuration is read, hence unknown to pydantic's schema."""

MODE: JsonSchemaMode = "validation"


def build_schema_text() -> str:
    """The schema with every kind registered by now, as the same bytes each time.

    It describes files: any mapping may ``include`` others, and nothing is required, because an include here or above
    may hold it; what is missing the loader tells. References ``${a.b}`` in place of numbers are beyond it.
    """
    components: list[type[Component]] = [RunConfig, StudyConfig, PortfolioConfig, StressConfig]
    components += [kind for registry in LATE_REGISTRIES.values() for kind in registry.values()]
    places, whole = models_json_schema([(each, MODE) for each in components])
    definitions: dict[str, Node] = whole["$defs"]
    for name, registry in LATE_REGISTRIES.items():
        refs = {kind: places[each, MODE]["$ref"] for kind, each in registry.items()}
        definitions[name] = _build_choice(definitions[name], refs)
    definitions["Populations"] = copy.deepcopy(
        definitions["RunConfig"]["properties"]["populations"]
    )
    definitions["Populations"]["description"] = (
        "a list of who trades, to be included by an item of such a list"
    )
    definitions["AxisValues"] = copy.deepcopy(definitions["StudyAxis"]["properties"]["values"])
    definitions["AxisValues"]["description"] = (
        "a list of settings, to be included by the values of an axis"
    )
    _relax_for_files(definitions)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of deleverage",
    }
    schema |= places[RunConfig, MODE]
    return (
        json.dumps(
            schema | {"$defs": dict(sorted(definitions.items()))}, indent=1, ensure_ascii=False
        )
        + "\n"
    )


def _build_choice(abstract: Node, refs: Mapping[str, Any]) -> Node:
    """The choice among the kinds of a registry, in the form of pydantic's own unions."""
    choice = {"discriminator": {"mapping": dict(refs), "propertyName": "kind"}}
    return {
        "description": abstract["description"],
        **choice,
        "oneOf": [{"$ref": ref} for ref in refs.values()],
    }


def _relax_for_files(node: Any) -> None:
    """Lift what holds for a configuration, but need not for the file that is a part of it."""
    if isinstance(node, list):
        for item in node:
            _relax_for_files(item)
    if not isinstance(node, dict):
        return
    if "discriminator" in node:
        node["anyOf"] = node.pop(
            "oneOf"
        )  # without its kind, which an include may hold, a node may fit several
    if node.get("additionalProperties") is False:
        node.pop("required", None)
        node["properties"]["include"] = {
            "description": "files whose content stands here, below this mapping's own keys (paths)",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        }
    for item in node.values():
        _relax_for_files(item)

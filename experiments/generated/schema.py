"""JSON Schema of configuration files, for editors."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.stress import StressConfig
from experiments.config import RunConfig
from experiments.mechanisms.catalogue import MechanismFile
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
"""Registries of abstract components, which pydantic's own schema does not contain."""

PARTS = {
    "Populations": (
        "RunConfig",
        "populations",
        "a list of populations, to be included by an item of such a list",
    ),
    "AxisValues": (
        "StudyAxis",
        "values",
        "a list of settings, to be included by the values of an axis",
    ),
    "Mechanisms": ("MechanismFile", "mechanisms", "entries of the catalogue of mechanisms"),
    "LiquidationPolicy": ("VenueConfig", "liquidation", "a liquidation policy of a venue"),
    "LossLayers": ("VenueConfig", "waterfall", "the loss layers of a venue in their order"),
}
"""Class, field and description of the parts that files of their own hold, by name."""

MODE: JsonSchemaMode = "validation"


def build_schema_text() -> str:
    """Return the schema of all registered kinds, with the same bytes each time.

    It describes files: any mapping may ``include`` others, and no key is required, because an
    include may hold it. The loader reports missing keys. A component, or a list of them, may be a
    text, the name of a file or of a kind. The schema does not cover references ``${a.b}`` in place
    of numbers.
    """
    components: list[type[Component]] = [RunConfig, StudyConfig, PortfolioConfig, StressConfig]
    components.append(MechanismFile)
    components += [kind for registry in LATE_REGISTRIES.values() for kind in registry.values()]
    places, whole = models_json_schema([(each, MODE) for each in components])
    definitions: dict[str, Node] = whole["$defs"]
    for name, registry in LATE_REGISTRIES.items():
        refs = {kind: places[each, MODE]["$ref"] for kind, each in registry.items()}
        definitions[name] = _build_choice(definitions[name], refs)
    for name, (owner, field, description) in PARTS.items():
        definitions[name] = copy.deepcopy(definitions[owner]["properties"][field])
        definitions[name]["description"] = description
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
    """Return the choice among the kinds of a registry, in the form of pydantic's unions."""
    choice = {"discriminator": {"mapping": dict(refs), "propertyName": "kind"}}
    return {
        "description": abstract["description"],
        **choice,
        "oneOf": [{"$ref": ref} for ref in refs.values()],
    }


def _relax_for_files(node: Any) -> None:
    """Remove conditions of a configuration that its partial files need not meet."""
    if isinstance(node, list):
        for item in node:
            _relax_for_files(item)
    if not isinstance(node, dict):
        return
    if "discriminator" in node:
        # without its kind, which an include may hold, a node may match several variants
        node["anyOf"] = node.pop("oneOf")
    if node.get("additionalProperties") is False:
        node.pop("required", None)
        node["type"] = ["object", "string"]
        node["properties"]["include"] = {
            "description": "files included here; this mapping's own keys take precedence (paths)",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        }
    if node.get("type") == "array" and {"$ref", "anyOf", "oneOf"} & set(node.get("items", ())):
        node["type"] = ["array", "string"]
    for item in node.values():
        _relax_for_files(item)

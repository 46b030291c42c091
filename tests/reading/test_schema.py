"""The packaged JSON Schema is that of the code, and every configuration names it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents import POPULATIONS
from experiments.cli import app
from experiments.generated.schema import LATE_REGISTRIES, build_schema_text
from sim.prices import PROCESSES
from sim.reading.packaged import PACKAGED, list_packaged

SCHEMA: dict[str, Any] = json.loads(build_schema_text())
DEFINITIONS = SCHEMA["$defs"]


def test_the_packaged_schema_is_current() -> None:
    """If not: deleverage schema --out configs/schema.json."""
    assert (PACKAGED / "schema.json").read_text(encoding="utf-8") == build_schema_text()


def test_the_command_writes_it(tmp_path: Path) -> None:
    done = CliRunner().invoke(app.app, ["schema"])
    assert (done.exit_code, done.stdout) == (0, build_schema_text())
    done = CliRunner().invoke(app.app, ["schema", "--out", str(tmp_path / "s.json")])
    assert (done.exit_code, done.output) == (0, "")
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == build_schema_text()
    done = CliRunner().invoke(app.app, ["schema", "--out", str(tmp_path / "no" / "s.json")])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)


def test_every_reference_leads_to_a_definition() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [each for item in node for each in references(item)]
        if not isinstance(node, dict):
            return []
        return ([node["$ref"]] if "$ref" in node else []) + references(list(node.values()))

    wanted = {each.removeprefix("#/$defs/") for each in references(SCHEMA)}
    assert wanted <= set(DEFINITIONS)


def test_every_kind_is_a_choice() -> None:
    for name, registry in LATE_REGISTRIES.items():
        assert set(DEFINITIONS[name]["discriminator"]["mapping"]) == set(registry)
    people = DEFINITIONS["RunConfig"]["properties"]["populations"]["items"]
    assert set(people["discriminator"]["mapping"]) == set(POPULATIONS)
    assert set(
        DEFINITIONS["Underlying"]["properties"]["process"]["discriminator"]["mapping"]
    ) == set(PROCESSES)


def test_every_field_is_described() -> None:
    bare = [
        f"{name}.{field}"
        for name, each in DEFINITIONS.items()
        for field, about in each.get("properties", {}).items()
        if field != "kind" and not about.get("description")
    ]
    assert bare == []


@pytest.mark.parametrize("name", list_packaged())
def test_every_configuration_names_it_first(name: str) -> None:
    first = (PACKAGED / f"{name}.yaml").read_text(encoding="utf-8").split("\n", 1)[0]
    path, _, inside = first.removeprefix("# yaml-language-server: $schema=").partition("#/$defs/")
    assert ((PACKAGED / f"{name}.yaml").parent / path).resolve() == PACKAGED / "schema.json"
    assert inside in ("", *DEFINITIONS)

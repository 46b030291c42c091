"""The catalogue of mechanisms is complete, and every mechanism changes a recorded measure."""

from typing import Any

import pytest
from typer.testing import CliRunner

from experiments.calculator.portfolio import PortfolioConfig
from experiments.cli import app
from experiments.config import load_run
from experiments.mechanisms.catalogue import Mechanism, list_kinds, load_catalogue
from experiments.mechanisms.pairs import run_pair
from sim.reading.includes import IncludeReader
from sim.reading.loading import load_config
from sim.reading.packaged import find_packaged, list_packaged

CATALOGUE = load_catalogue()
KINDS = {kind for _, kind in list_kinds()}
ENTRIES = pytest.mark.parametrize("entry", list(CATALOGUE.values()), ids=list(CATALOGUE))


def load(entry: Mechanism, changes: tuple[str, ...]) -> dict[str, Any]:
    if entry.is_account:
        config = load_config(entry.base, [*entry.shared, *changes], PortfolioConfig)
        return config.model_dump(mode="json")
    return load_run(entry.base, [*entry.shared, *changes], quick=True).model_dump(mode="json")


def kinds_in(node: Any) -> set[str]:
    """The kinds of all components of a configuration."""
    if isinstance(node, list | tuple):
        return {kind for item in node for kind in kinds_in(item)}
    if not isinstance(node, dict):
        return set()
    own = {node["kind"]} if isinstance(node.get("kind"), str) else set()
    return own | kinds_in(list(node.values()))


def test_every_registered_kind_has_an_entry() -> None:
    missing = [f"{registry}: {kind}" for registry, kind in list_kinds() if kind not in CATALOGUE]
    assert missing == [], "add each to a list in configs/mechanisms"


@ENTRIES
def test_an_entry_is_what_it_says(entry: Mechanism) -> None:
    """Both configurations are valid and differ, and the second one has the kind."""
    before, after = load(entry, entry.before), load(entry, entry.after)
    assert before != after
    if entry.name in KINDS:
        assert entry.name in kinds_in(after)
    assert entry.effect.endswith(".")
    assert entry.effect.count(". ") == 0, "one sentence"


@ENTRIES
def test_a_packaged_file_that_an_entry_names_uses_it(entry: Mechanism) -> None:
    for name in filter(None, entry.used_in.split(", ")):
        assert name in list_packaged()
        if entry.name not in KINDS or name.startswith("studies/"):
            continue
        if "/" in name:
            path = find_packaged(name)
            found = IncludeReader().read_override("x", [{"include": str(path)}], None)
        else:
            found = load_run(name).model_dump(mode="json")
        assert entry.name in kinds_in(found)


def test_the_command_lists_all_and_shows_one() -> None:
    done = CliRunner().invoke(app.app, ["mechanisms"])
    assert (done.exit_code, done.stderr) == (0, "")
    for name, entry in CATALOGUE.items():
        assert f"{name}: {entry.effect}" in done.stdout
        assert f"deleverage mechanisms {name}\n" in done.stdout
    done = CliRunner().invoke(app.app, ["mechanisms", "standalone"])
    assert (done.exit_code, done.stderr) == (0, "")
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("own initial")]
    without, with_it = (float(text.replace(",", "")) for text in row[2:])
    assert with_it > without, "the hedge is no longer netted"
    done = CliRunner().invoke(app.app, ["mechanisms", "oracle_outrage"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "did you mean 'oracle_outage'?" in done.stderr


@pytest.mark.slow
@ENTRIES
def test_a_mechanism_changes_a_recorded_measure(entry: Mechanism) -> None:
    assert run_pair(entry).list_differences()

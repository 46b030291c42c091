"""README and the files around it say what is true."""

import re
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from golden import figure
from PIL import Image
from typer.testing import CliRunner

import agents
from agents import POPULATIONS, populate
from experiments.cli import app
from experiments.config import load_run
from sim.market import Market

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    return re.findall(r"```sh\n(.*?)\n```", README, flags=re.DOTALL)


def code(begins: str) -> str:
    """The one Python block of the page that begins so."""
    (found,) = [
        each
        for each in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
        if each.startswith(begins)
    ]
    return found


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 105


def test_the_account_is_judged_as_shown() -> None:
    """The printed lines begin with those shown."""
    command, shown = re.findall(
        r"```console\n\$ deleverage (margin .*?)\n(.*?)```", README, flags=re.DOTALL
    )[0]
    done = CliRunner().invoke(app.app, command.split())
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{shown}\n")


def test_the_crash_from_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """More owners are closed out under a higher cap."""
    exec(code("import deleverage"), {})
    printed = capsys.readouterr().out
    owners = list(map(int, re.findall(r"(\d+) owners", printed)))
    assert len(owners) == 3
    assert owners == sorted(set(owners))
    assert printed.count("the mark fell 1") == 3


def test_an_agent_of_ones_own_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "POPULATIONS", dict(POPULATIONS))
    monkeypatch.delitem(sys.modules, "experiments.config")  # as in a fresh process
    exec(code("from typing"), {"__name__": "bargain"})
    bargain = agents.POPULATIONS["bargain"]
    config = load_run("baseline", ["populations.0.count=50"], quick=True)
    people = [*config.populations, bargain(venue="exchange", count=2, latency=8, wealth=100_000)]
    market = Market(config, populate(people), seed=1)
    for _ in range(30):
        market.step()
    market.ledger.check_conservation()
    last = sum(each.count for each in people) - 1
    assert market.position_of(last).max() > 0


@pytest.mark.slow
def test_the_figure_is_what_the_first_command_makes(tmp_path: Path) -> None:
    """But for a few pixels; if not: python tests/golden/figure.py."""
    now = np.asarray(figure.made(tmp_path), dtype=np.int64)
    with Image.open(figure.KEPT) as image:
        kept = np.asarray(image.convert("RGB"), dtype=np.int64)
    assert now.shape == kept.shape
    assert (np.abs(now - kept).max(axis=2) > 64).mean() < 0.002


def test_the_figure_is_there_and_small() -> None:
    assert 10_000 < figure.KEPT.stat().st_size < 150_000


def test_readme_has_two_commands_of_one_line_each() -> None:
    assert len(commands()) == 2
    assert not any("\n" in command for command in commands())


def test_ci_runs_the_second_command_word_for_word() -> None:
    assert commands()[1] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", re.findall(r"deleverage run (\w+)", README))
def test_the_configurations_it_names_are_packaged(name: str) -> None:
    assert name == "CONFIG" or (ROOT / "configs" / f"{name}.yaml").is_file()


@pytest.mark.parametrize("name", re.findall(r"deleverage sweep (\w+)", README))
def test_the_studies_it_names_are_packaged(name: str) -> None:
    assert name == "STUDY" or (ROOT / "configs" / "studies" / f"{name}.yaml").is_file()


@pytest.mark.parametrize("folder", re.findall(r"^\| `(\w+)/`", README, flags=re.MULTILINE))
def test_the_folders_it_names_exist(folder: str) -> None:
    assert (ROOT / folder).is_dir()


def test_pins_name_no_host_and_cover_what_is_declared() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert not any("://" in line or "@" in line or line.startswith(("-", "#")) for line in lines)
    pinned = {re.split("==", line)[0] for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert {re.split(r"[^\w-]", name)[0].lower() for name in declared} <= pinned


def test_hashed_pins_are_the_same_pins() -> None:
    """The hashes are those of all files that pip may fetch, the extra ``peers`` apart.

    The packages that build the project are among them.
    """
    pinned = set((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    text = (ROOT / ".ci" / "requirements-hashed.txt").read_text(encoding="utf-8")
    entries = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace(" \\\n", "").splitlines()
    hashed = {
        entry.split(" --hash")[0].split("    --hash")[0].strip(): entry.count("--hash=sha256:")
        for entry in entries
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    peers = {
        re.split(r"[^\w-]", name)[0].lower()
        for name in project["project"]["optional-dependencies"]["peers"]
    }
    assert {pin for pin in pinned if pin.split("==")[0] not in peers} == set(hashed)
    assert min(hashed.values()) >= 1
    assert "://" not in text
    (backend,) = project["build-system"]["requires"]
    assert re.fullmatch(r"hatchling>=[\d.]+,<\d+", backend)
    assert f"'{backend}'" in text


def test_citation_agrees_with_the_project() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])

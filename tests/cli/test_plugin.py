"""A user's own kinds, and a Mesa user's way to the agents: the examples of agents/README.md run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bazaar import SETTING, accounts, outlook

from agents import POPULATIONS
from agents.single import IndividualPopulation, MemberAccount, MemberOrder
from sim.types import Orders

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "agents" / "README.md").read_text(encoding="utf-8")


def example(begins: str, language: str = "python") -> str:
    """The one block of the page that begins so."""
    (found,) = [
        code
        for code in re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
        if code.startswith(begins)
    ]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's working folder with the plugin and the configuration of the page."""
    (tmp_path / "contrarian.py").write_text(example("from typing"), encoding="utf-8")
    mine = example("include: [crash_2008]", "yaml") + "duration: 1800\nquick: {}\n"
    (tmp_path / "mine.yaml").write_text(mine, encoding="utf-8")
    return tmp_path


def deleverage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: schemas are made once in each."""
    code = "from experiments.cli.app import main; main()"
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)


def test_a_kind_of_ones_own_runs_when_its_plugin_is_named(folder: Path) -> None:
    done = deleverage(folder, "run", "mine.yaml", "--plugin", "contrarian", "--out", "result")
    assert (done.returncode, done.stderr) == (0, "")
    accounts = pd.read_parquet(folder / "result" / "accounts.parquet")
    mine = accounts[(accounts["population"] == "contrarian") & (accounts["venue"] == "exchange")]
    assert len(mine[mine["moment"] == "end"]) == 20
    assert mine.loc[mine["moment"] == "end", "gross"].sum() > 0


KINDS = """
from typing import Literal
from sim.margin import REQUIREMENTS
from sim.margin.tiers.tiered import TieredRequirement
from sim.prices import PROCESSES
from sim.prices.gbm import Gbm

class Mine(Gbm):
    kind: Literal["mine"] = "mine"

class Own(TieredRequirement):
    kind: Literal["own"] = "own"

PROCESSES["mine"] = Mine
REQUIREMENTS["own"] = Own
"""


@pytest.mark.slow
def test_processes_and_requirements_of_ones_own_are_in_the_schema_and_run(folder: Path) -> None:
    (folder / "kinds.py").write_text(KINDS)
    plugins = ("--plugin", "kinds", "--plugin", "contrarian")
    done = deleverage(folder, "schema", *plugins, "--out", "schema.json")
    assert (done.returncode, done.stderr) == (0, "")
    definitions = json.loads((folder / "schema.json").read_text())["$defs"]
    assert {"Contrarian", "Mine", "Own"} <= set(definitions)
    assert "own" in definitions["RequirementComponent"]["discriminator"]["mapping"]
    index = "underlyings=[{name: sp500, start: 1000, process: {kind: mine, volatility: 1}}]"
    rule = "venues.0.engine.requirement={kind: own, tiers: [{floor: 0, max_leverage: 20}]}"
    done = deleverage(
        folder, "run", "mine.yaml", index, rule, "duration=300", *plugins, "--out", "x"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_plugin_may_import_engines_before_it_registers_a_process() -> None:
    """The field of an underlying's process is made from the registry on import."""
    seen = "import sys, sim.margin; sys.exit('sim.prices.underlying' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", seen], check=False).returncode == 0


def test_a_plugin_is_never_imported_unless_named(folder: Path) -> None:
    done = deleverage(folder, "run", "mine.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("populations.2.kind: 'contrarian' is not one of traders, ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["run", "mine.yaml"], ["configs"]])
@pytest.mark.parametrize("text", [None, "import nothing_of_that_name", "from agents import absent"])
def test_a_plugin_that_cannot_be_imported_is_told_in_a_line(
    folder: Path, command: list[str], text: str | None
) -> None:
    if text:
        (folder / "wrong.py").write_text(text)
    done = deleverage(folder, *command, "--plugin", "wrong")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"--plugin wrong: {'fails when' if text else 'cannot be'} imported ("
    )
    assert done.stderr.count("\n") == 1


def test_the_working_folder_is_the_last_place_looked_in(folder: Path) -> None:
    (folder / "yaml.py").write_text("raise SystemExit('the wrong yaml ran')")
    done = deleverage(folder, "configs", "--plugin", "contrarian")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_mesa_user_selects_and_collects() -> None:
    names: dict[str, Any] = {}
    exec(example("import mesa"), names)
    assert len(names["marks"]) == 30
    traders = names["traders"]
    left = len(names["market"].agents_by_type[names["LeveragedTrader"]])
    assert len(traders) == 30 * (left + 5), "five flat ones have left"
    assert traders["lots"].abs().sum() > 0
    assert (traders["equity"] > 0).all()
    last = traders["lots"].xs(30, level="Step")
    assert len(names["longs"]) == (last > 0).sum()


class Echo(IndividualPopulation):
    """As many orders as the member's number, of sizes that identify the member."""

    n_decision_draws = 1
    kind: str = "echo"

    def decide_member(self, outlook: Any, account: MemberAccount, draws: Any) -> list[MemberOrder]:
        return [
            MemberOrder(slot, 10 * account.member + int(draws[0] * 10), 7, slot=slot)
            for slot in range(account.member)
        ]


def test_members_decide_one_by_one() -> None:
    population = Echo(name="echo", count=3, venue="alpha", wealth=50.0)
    assert population.start(SETTING, np.empty((3, 0))).tolist() == [[5000, 0]] * 3
    orders = population.decide(outlook(), accounts(3), np.array([[0.1], [0.2], [0.3]]))
    assert np.stack(orders, axis=1).tolist() == [
        [1, 0, 12, 7, 0, 0, 0],
        [2, 0, 23, 7, 0, 0, 0],
        [2, 1, 23, 7, 0, 1, 0],
    ]
    first = Echo(name="echo", count=1, venue="alpha")
    first.start(SETTING, np.empty((1, 0)))
    none = first.decide(outlook(), accounts(1), np.array([[0.5]]))
    assert all(column.shape == (0,) and column.dtype == np.int64 for column in none)
    assert isinstance(none, Orders)
    assert "echo" not in POPULATIONS

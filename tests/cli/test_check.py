"""`deleverage check`, and what other commands say of a plug-in that breaks a law."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from experiments.cli import app

ROOT = Path(__file__).parents[2]

MINE = """
from typing import Literal

import numpy as np
from pydantic import Field

from sim.margin import REQUIREMENTS
from sim.margin.base import RequirementComponent
from sim.types import Margins


class Root(RequirementComponent):
    kind: Literal["root"] = Field(default="root", description="root of notional (name)")
    initial: float = Field(default=2.0, description="initial over maintenance (ratio)")

    def bind(self, contracts, unit):
        return RootMargin(self.initial)


class RootMargin:
    def __init__(self, initial):
        self.initial = initial

    def observe(self, market):
        pass

    def compute_margins(self, book):
        maintenance = np.sqrt(np.abs(book.position_value())).sum(axis=1)
        return Margins(self.initial * maintenance, maintenance)

    def compute_leg_shares(self, book):
        legs = np.sqrt(np.abs(book.position_value()))
        total = legs.sum(axis=1, keepdims=True)
        return legs / np.where(total > 0, total, 1.0)


REQUIREMENTS["root"] = Root
"""
LACKS = """
from typing import Literal
from sim.margin import REQUIREMENTS
from sim.margin.base import RequirementComponent

class Lacks(RequirementComponent):
    kind: Literal["lacks"] = "lacks"

REQUIREMENTS["lacks"] = Lacks
"""
CROWD = """
from typing import Literal
from agents import POPULATIONS
from agents.traders import NoiseTraders

class Crowd(NoiseTraders):
    kind: Literal["crowd"] = "crowd"

    def decide(self, outlook, accounts, draws):
        orders = super().decide(outlook, accounts, draws)
        return orders._replace(quantity=orders.quantity * 1.0)

POPULATIONS["crowd"] = Crowd
"""
STUDY = """
name: own
description: what does a requirement of too little margin do?
base: small_crash
overrides: {duration: 300, venues.0.engine.requirement: {kind: root}}
axes: [{name: initial, values: [0.5, 2.0], paths: {venues.0.engine.requirement.initial: 1}}]
seeds: 1
metrics: [low]
"""
SCORES = """
import pandas as pd

def score(config, frames, twin):
    return pd.DataFrame({"low": [float(frames["steps"]["mark"].min())]})

def tables(runs):
    return {}

def figures(runs, folder):
    pass

def report(runs):
    return ""
"""
UNBUILT = {
    "class Own: pass": "REQUIREMENTS['mine']: Own is not a subclass of Component, ",
    "from sim.margin.tiers.tiered import TieredRequirement as Own": (
        "REQUIREMENTS['mine']: the field kind of TieredRequirement does not name 'mine', "
        'write kind: Literal["mine"] = "mine"'
    ),
}


SEVERAL = """
import json, sys
from typer.testing import CliRunner
from experiments.cli.app import app

answers = [CliRunner().invoke(app, call) for call in json.loads(sys.argv[1])]
print(json.dumps([[done.exit_code, done.stdout, done.stderr] for done in answers]))
"""


class Answer(NamedTuple):
    """What a command answers."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's working folder with plug-ins and a study."""
    place = tmp_path_factory.mktemp("mine")
    for name, text in (("mine", MINE), ("lacks", LACKS), ("crowd", CROWD), ("own", SCORES)):
        (place / f"{name}.py").write_text(text)
    (place / "own.yaml").write_text(STUDY)
    (place / "half.yaml").write_text("requirement: {kind: root, initial: 0.5}\n")
    return place


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own: a plug-in stays registered in the one that imports it."""
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", *arguments]
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)


def deleverage(folder: Path, *arguments: str) -> Answer:
    """Return what one command answers in a process of its own."""
    done = start(folder, "from experiments.cli.app import main; main()", *arguments)
    return Answer(done.returncode, done.stdout, done.stderr)


def call_each(folder: Path, calls: Sequence[Sequence[str]]) -> list[Answer]:
    """Return what commands answer, one after another in one process."""
    done = start(folder, SEVERAL, json.dumps(calls))
    return [Answer(*each) for each in json.loads(done.stdout)]


REQUIREMENT = "venues.0.engine.requirement"
RIGHT = ("check", "--worlds", "20")
BROKEN = ("check", "--kind", "root", "initial=0.5", "--worlds", "20")
REFUSED = {
    ("run", "small_crash", f"{REQUIREMENT}={{kind: root, initial: 0.5}}"): REQUIREMENT,
    ("run", "small_crash", "--engine", "half.yaml"): REQUIREMENT,
    ("margin", "portfolios/hedged_basis", "--engines", "half.yaml"): (
        "--engines half.yaml: requirement"
    ),
    ("backtest", "--data", "arch:sp500", "--engines", "half.yaml"): (
        "engines: half.yaml: requirement"
    ),
    ("sweep", "own.yaml", "--executor", "serial"): f"own at initial=0.5: {REQUIREMENT}",
}
"""Commands that meet a requirement below its maintenance, and the place that they name."""


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[tuple[str, ...], Answer]:
    """Answers to commands with the plug-in ``mine``, which one process imports."""
    calls = [RIGHT, BROKEN, *REFUSED]
    given = [(*call, "--plugin", "mine") for call in calls]
    return dict(zip(calls, call_each(folder, given), strict=True))


Answers = dict[tuple[str, ...], Answer]


def test_a_right_component_passes_in_a_table(answers: Answers) -> None:
    done = answers[RIGHT]
    assert (done.code, done.stderr) == (0, "")
    header, *rows = done.stdout.splitlines()
    assert header.split() == ["component", "law", "rule", "worlds", "result"]
    laws = [row for row in rows if row.startswith("requirement root")]
    assert len(laws) == 10
    assert {row[header.index("result") :] for row in laws} == {"holds"}
    assert rows[-1] == "10 laws of 1 component: all hold"


def test_a_broken_law_is_printed_with_its_counterexample(answers: Answers) -> None:
    done = answers[BROKEN]
    assert (done.code, done.stderr) == (1, "")
    assert re.search(
        r"^requirement root  initial covers maintenance +MAR-1 +1 +fails$", done.stdout, re.M
    )
    expected = done.stdout.split("initial covers maintenance: ")[1].splitlines()
    assert expected[0] == "Initial margin is at least maintenance margin, and neither is negative."
    assert re.fullmatch(r"  account 0 \(-?1 \S+\) has initial \S+ and maintenance \S+", expected[1])
    assert done.stdout.endswith("10 laws of 1 component: 1 of them fails\n")


def test_a_missing_method_is_found(folder: Path) -> None:
    run = ("run", "small_crash", "--plugin", "lacks", f"{REQUIREMENT}={{kind: lacks}}")
    checked, refused = call_each(folder, [("check", "--plugin", "lacks"), run])
    assert (checked.code, checked.stderr) == (1, "")
    assert "its class Lacks must have bind(contracts, unit), write it" in checked.stdout
    assert (refused.code, refused.stdout) == (2, "")
    expected = "its class Lacks must have bind(contracts, unit), write it"
    assert refused.stderr == f"{REQUIREMENT}: 'lacks', {expected}\n"


@pytest.mark.parametrize(("call", "place"), REFUSED.items(), ids=lambda value: value[0])
def test_a_broken_component_is_refused_in_a_line(
    answers: Answers, call: tuple[str, ...], place: str
) -> None:
    """By a sweep before its first run."""
    done = answers[call]
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"{place}: 'root' breaks MAR-1 (initial margin is at least ")
    assert done.stderr.endswith(", correct it, or run deleverage check --plugin mine for more\n")


def test_a_broken_population_is_refused_in_a_line(folder: Path) -> None:
    mine = "populations.0={kind: crowd, venue: exchange, count: 5}"
    done = deleverage(folder, "run", "small_crash", mine, "--plugin", "crowd")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("populations.0: 'crowd' breaks BOOK-2 (orders are whole numbers")
    assert "quantity is an array of shape" in done.stderr


@pytest.mark.parametrize(("text", "expected"), UNBUILT.items())
def test_a_class_that_no_configuration_could_name_is_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    lines = ["from sim.margin import REQUIREMENTS", text, "REQUIREMENTS['mine'] = Own"]
    (tmp_path / "wrong.py").write_text("\n".join(lines))
    for done in call_each(tmp_path, [(name, "--plugin", "wrong") for name in ("check", "configs")]):
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith(f"--plugin wrong: {expected}")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ((), "--plugin: none given, name a module, or a packaged kind with --kind"),
        (("--kind", "tierd"), "--kind: 'tierd' is not one of "),
        (("--plugin", "nothing_of_that_name"), "--plugin nothing_of_that_name: cannot be imported"),
        (("initial=2",), "initial=2: is of no component, name one with --kind"),
        (("--kind", "cash", "initial"), "'initial': is no setting, write FIELD=VALUE"),
        (("--kind", "cash", "initial=3"), "valuation cash: initial: unknown key"),
        (("--kind", "merton_jump"), "index process merton_jump: intensity: missing, "),
    ],
)
def test_bad_names_are_refused(call: tuple[str, ...], expected: str) -> None:
    done = CliRunner().invoke(app.app, ["check", *call])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(expected)


def test_a_packaged_kind_can_be_checked_by_name() -> None:
    done = CliRunner().invoke(app.app, ["check", "--kind", "cash", "--worlds", "3"])
    assert done.exit_code == 0, done.stderr
    assert "valuation cash" in done.stdout


def test_every_command_takes_plug_ins() -> None:
    group = typer.main.get_group(app.app)
    lacking = [
        name
        for name, command in group.commands.items()
        if not any("--plugin" in option.opts for option in command.params)
    ]
    assert lacking == []
    wanted = "run sweep verify margin backtest train explain tables figures report schema"
    assert {*wanted.split(), "configs", "tails", "studies", "check"} <= set(group.commands)

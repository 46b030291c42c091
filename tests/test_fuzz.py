"""Mutated configurations through the real command: each runs, or is refused in lines that a user can act on."""

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutants
import numpy as np
import pytest
from mutants import Mutant
from typer.testing import CliRunner, Result

from experiments import cli, run
from sim.market import Market

REMEDY = re.compile(
    r"\b(add|bring|change|check|choose|convert|correct|did you mean|drop|give|keep|lengthen|let|list it|lower|make|"
    r"name|put|quote|raise|remove|rename|rewrite|round|set|shorten|sort|swap|use|widen|write)\b"
)
LINE = re.compile(r"[^\s:]\S*( [\w-]+)?: \S.*")
FOREIGN = re.compile(r"Traceback|Input should|Value error|validation error|\btype=|<class|0x[0-9a-f]{6}|numpy|pydantic")
STEPS = 3
ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, runs of a few steps, no figures."""

    def few(market: Market, *_: object) -> str:
        for _step in range(min(STEPS, market.steps_planned)):
            market.step()
        market.ledger.check()
        market.recorder.accounts("end")
        return run.COMPLETE

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_advance", few)
    monkeypatch.setattr(run, "FIGURES", {})


def call(mutant: Mutant) -> Result:
    Path("mine.yaml").write_bytes(mutant.text)
    Path("days.csv").write_bytes(mutant.days)
    return CliRunner().invoke(cli.app, ["run", "mine.yaml", "--overwrite", *mutant.arguments])


def faults(done: Result, mutant: Mutant) -> list[str]:
    """What is wrong with an answer."""
    if done.exit_code == 0:
        return [f"runs, though {mutant.names} is wrong"] if mutant.names else []
    if done.exit_code != 2 or done.stdout:
        return [f"exit code {done.exit_code}, {done.exception!r}: {done.output}"]
    lines = done.stderr.splitlines()
    wrong = [line for line in lines if not LINE.fullmatch(line) or not REMEDY.search(line) or FOREIGN.search(line)]
    wrong += [line for line in lines if len(line) > 900]
    if not lines or (mutant.names and not any(mutant.names in line for line in lines)):
        wrong.append(f"nothing about {mutant.names}: {done.stderr}")
    return wrong


BLOCKS = [pytest.param(range(n, n + 100), marks=[pytest.mark.slow] * (n > 0), id=str(n)) for n in range(0, 1200, 100)]
"""Hundreds of numbers; those beyond the first are slow."""


@pytest.mark.parametrize("numbers", BLOCKS)
def test_mutants_run_or_are_refused_in_so_many_words(numbers: range) -> None:
    """With what was done to each that is not."""
    found, codes = [], set()
    for number in numbers:
        mutant = mutants.mutant(number)
        done = call(mutant)
        codes.add(done.exit_code)
        found += [f"mutant {number}, {mutant.about}: {fault}" for fault in faults(done, mutant)]
    assert found == []
    assert codes == {0, 2}


@pytest.mark.parametrize("numbers", [range(12), pytest.param(range(12, 200), marks=pytest.mark.slow)], ids=str)
def test_harmless_changes_run(numbers: range) -> None:
    answers = {number: call(mutants.harmless(number)) for number in numbers}
    assert {number: done.stderr for number, done in answers.items() if done.exit_code} == {}


@pytest.mark.parametrize("kind", [mutants.rubbish, mutants.misnamed], ids=lambda kind: kind.__name__)
def test_the_installed_command_says_the_same(kind: Callable[..., Any]) -> None:
    rng, data = np.random.default_rng(1), copy.deepcopy(mutants.bases()[0])
    made = kind(rng, data)
    mutant = made if isinstance(made, Mutant) else Mutant(made.about, mutants.dumped(data), names=made.names)
    told = call(mutant)
    code = "from experiments.cli import main; main()"
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "mine.yaml"], env=settings, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", told.stderr)
    assert faults(told, mutant) == []

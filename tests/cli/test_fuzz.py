"""Mutated configurations in the real command: each runs, or is refused in lines with remedies."""

import copy
import itertools
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

from experiments import run
from experiments.cli import app
from experiments.figures import overview
from sim.market import Market

REMEDY = re.compile(
    r"\b(add|bring|change|check|choose|convert|correct|did you "
    r"mean|drop|give|keep|lengthen|let|list it|lower|make|"
    r"name|put|quote|raise|remove|rename|rewrite|round|save|set|shorten|sort|swap|use|widen|write)\b"
)
LINE = re.compile(r"[^\s:]\S*( [\w-]+)?: \S.*|\S.*: unknown key\b.*")
"""Form of a line: subject, colon, problem. An unknown key may hold anything."""
FOREIGN = re.compile(
    r"Traceback|Input should|Value error|validation "
    r"error|\btype=|<class|0x[0-9a-f]{6}|numpy|pydantic"
)
STEPS = 3
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, runs of a few steps, no figures."""

    def few(market: Market, *_: object, **__: object) -> str:
        market.step()
        market.advance(STEPS - 1)
        market.ledger.check_conservation()
        market.recorder.record_accounts("end")
        return run.COMPLETE

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_advance", few)
    monkeypatch.setattr(overview, "FIGURES", {})


def call(mutant: Mutant) -> Result:
    Path("mine.yaml").write_bytes(mutant.text)
    Path("days.csv").write_bytes(mutant.days)
    return CliRunner().invoke(app.app, ["run", "mine.yaml", "--overwrite", *mutant.arguments])


def faults(done: Result, mutant: Mutant) -> list[str]:
    """Return the faults of an answer."""
    if done.exit_code == 0:
        return [f"runs, though {mutant.names} is wrong"] if mutant.names else []
    if done.exit_code != 2 or done.stdout:
        return [f"exit code {done.exit_code}, {done.exception!r}: {done.output}"]
    lines = done.stderr.splitlines()
    wrong = [
        line
        for line in lines
        if not LINE.fullmatch(line) or not REMEDY.search(line) or FOREIGN.search(line)
    ]
    wrong += [line for line in lines if len(line) > 900]
    if not lines or (mutant.names and not any(mutant.names in line for line in lines)):
        wrong.append(f"nothing about {mutant.names}: {done.stderr}")
    return wrong


BLOCKS = [
    pytest.param(range(begin, end), marks=[pytest.mark.slow] * (begin > 0), id=str(begin))
    for begin, end in itertools.pairwise((0, 50, *range(100, 1300, 100)))
]
"""Numbers up to 1200; those beyond the first fifty are slow."""


@pytest.mark.parametrize("numbers", BLOCKS)
def test_mutants_run_or_are_refused_in_so_many_words(numbers: range) -> None:
    """With what was done to each that is not."""
    found, ran = [], 0
    for number in numbers:
        mutant = mutants.mutant(number)
        done = call(mutant)
        ran += done.exit_code == 0
        found += [f"mutant {number}, {mutant.about}: {fault}" for fault in faults(done, mutant)]
    assert found == []
    assert len(numbers) / 10 <= ran < len(numbers), (
        "a mutant that is refused at load is no evidence about runs"
    )


@pytest.mark.parametrize(
    "numbers", [range(12), pytest.param(range(12, 200), marks=pytest.mark.slow)], ids=str
)
def test_harmless_changes_run(numbers: range) -> None:
    answers = {number: call(mutants.harmless(number)) for number in numbers}
    assert {number: done.stderr for number, done in answers.items() if done.exit_code} == {}


@pytest.mark.parametrize(
    "kind", [mutants.rubbish, mutants.misnamed], ids=lambda kind: kind.__name__
)
def test_the_installed_command_says_the_same(kind: Callable[..., Any]) -> None:
    rng, data = np.random.default_rng(1), copy.deepcopy(mutants.bases()[0])
    made = kind(rng, data)
    mutant = (
        made
        if isinstance(made, Mutant)
        else Mutant(made.about, mutants.dumped(data), names=made.names)
    )
    expected = call(mutant)
    code = "from experiments.cli.app import main; main()"
    settings = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "mine.yaml"],
        env=settings,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected.stderr)
    assert faults(expected, mutant) == []


SHAPES = [
    "",
    "\0",
    "x" * 5000,
    "a/" * 3000,
    "\udcff",
    "a\nb",
    "~user",
    "~",
    "/dev/zero",
    "/",
    ".",
    "..",
    "folder",
    "loop",
]
SHAPES += [
    "folder.yaml",
    "mine.yaml",
    "mine.yaml/x",
    "-",
    "--",
    "-1",
    "1e999",
    "nan",
    "9" * 200,
    "a=b",
    "=",
    "a.b=[",
]
SHAPES += [
    "${x}",
    "[/]",
    "\u202e",
    "\x1b[31m",
    "arch:",
    "arch:../x",
    "span",
    ",",
    "1,,2",
    "a.csv",
    "a.parquet",
    "a.npz",
]
SHAPES += [
    "tcp://",
    "dask",
    "os",
    "planted",
    "deep.yaml",
    "laughs.yaml",
    "empty.yaml",
    "result",
    "study",
    "result/x",
]
FORMS = [
    *(
        ("run", "@"),
        ("run", "small_crash", "@"),
        ("run", "small_crash", "@=1"),
        ("run", "small_crash", "--seed", "@", "dt=x"),
    ),
    *(
        ("run", "small_crash", "--engine", "@", "dt=x"),
        ("run", "small_crash", "dt=x", "--out", "@"),
    ),
    *(
        ("run", "small_crash", "--plugin", "@", "dt=x"),
        ("sweep", "@"),
        ("sweep", "compression", "@", "dt=x"),
    ),
    *(
        ("sweep", "compression", "--executor", "@", "dt=x"),
        ("sweep", "compression", "--known", "@", "dt=x"),
    ),
    *(
        ("sweep", "compression", "--time-limit", "@", "dt=x"),
        ("sweep", "compression", "--engine", "@", "dt=x"),
    ),
    *(
        ("verify", "@"),
        ("verify", "study", "--sample", "@"),
        ("configs", "--plugin", "@"),
        ("studies", "--jobs", "@"),
    ),
    *(("margin", "@"), ("margin", "portfolios/single_perp", "--engines", "@")),
    *(
        ("margin", "portfolios/single_perp", "--stress", "@"),
        ("backtest", "--data", "@", "--engines", "flat"),
    ),
    *(
        ("backtest", "--data", "a.csv", "--engines", "@"),
        ("backtest", "--run", "@"),
        ("train", "--data", "@", "--out", "o"),
    ),
    *(
        ("backtest", "--data", "a.csv", "--confidence", "@"),
        ("backtest", "--data", "a.csv", "--horizon", "@"),
    ),
    *(
        ("backtest", "--data", "a.csv", "--weights", "@"),
        ("explain", "@"),
        ("explain", "result", "--cascade", "@"),
    ),
    *(
        ("explain", "result", "--without", "@"),
        ("explain", "result", "--engine", "@"),
        ("figures", "@"),
        ("tables", "@"),
    ),
    *(
        ("tables", "study", "--metric", "@"),
        ("tables", "study", "--against", "@"),
        ("report", "@"),
        ("tails", "@"),
        ("@",),
    ),
]
"""Command lines; ``@`` is what is mutated."""

JSONS = [
    "null",
    "[]",
    "{}",
    "3",
    "{",
    "[" * 3000,
    '{"sha256": null}',
    '{"sha256": {}}',
    '{"sha256": {"../x": "0"}}',
]
JSONS += [
    '{"version": "0.0.0"}',
    '{"config": 3, "version": 3, "data": 3}',
    '{"files": 3}',
    '{"a": "\\ud800"}',
    "\0",
]
YAMLS = [
    "",
    "null",
    "[]",
    "3",
    "[" * 3000,
    "a: &a [*a]",
    "name: x",
    "name: [1]\nbase: 3",
    "!!python/name:os.system ''",
]


def planted() -> None:
    """A result of a run, one of a study, and files that must never run or end the interpreter."""
    for name in ("folder", "folder.yaml", "result", "study/runs/r"):
        Path(name).mkdir(parents=True, exist_ok=True)
    if not Path("loop").is_symlink():
        Path("loop").symlink_to("loop")
    trap = "from pathlib import Path\nPath('ran').write_text('code ran')\n"
    for name in ("study/compression.py", "study/mine.py", "result/mine.py", "sitecustomize.py"):
        Path(name).write_text(trap)
    Path("mine.yaml").write_text("include: small_crash\nduration: 60\ndt: x\n")
    Path("deep.yaml").write_text("[" * 40_000)
    Path("laughs.yaml").write_text(
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    )
    Path("empty.yaml").write_text("")
    Path("a.csv").write_text(
        "date,close\n" + "".join(f"2020-01-{n:02d},{100 + n}\n" for n in range(1, 9))
    )
    for name in ("a.parquet", "a.npz"):
        Path(name).write_bytes(b"PAR1" if name.endswith("t") else b"PK\x03\x04")
    for name in (
        "result/steps.parquet",
        "study/scores.parquet",
        "study/runs.parquet",
        "study/runs/r/steps.parquet",
    ):
        Path(name).write_bytes(b"PAR1" + bytes(20) + b"PAR1")
    for name in (
        "result/summary.json",
        "result/manifest.json",
        "study/manifest.json",
        "study/runs/r/summary.json",
    ):
        Path(name).write_text("{}")
    for name in ("result/config.resolved.yaml", "study/study.resolved.yaml"):
        Path(name).write_text("name: compression\n")


def spoilt(rng: np.random.Generator) -> str:
    """Spoil one file of the results; returns which, and how."""
    held = [
        path
        for place in ("result", "study")
        for path in sorted(Path(place).rglob("*"))
        if path.is_file()
    ]
    held += [Path("a.csv"), Path("a.parquet"), Path("a.npz")]
    path = mutants.pick(rng, [each for each in held if each.suffix != ".py"])
    texts = JSONS if path.suffix == ".json" else YAMLS
    content = (
        rng.bytes(60)
        if path.suffix in (".parquet", ".npz") or rng.random() < 0.2
        else mutants.pick(rng, texts).encode()
    )
    path.write_bytes(content)
    return f"{path} = {content[:40]!r}"


ARGUMENTS = [
    pytest.param(range(begin, end), marks=[pytest.mark.slow] * (begin > 0), id=str(begin))
    for begin, end in itertools.pairwise((0, 150, *range(300, 3300, 300)))
]


@pytest.mark.parametrize("numbers", ARGUMENTS)
def test_mutated_arguments_and_results_are_refused_in_lines(numbers: range) -> None:
    """Over all commands: no traceback, no code run, nothing beside exit codes of the project."""
    found, refused = [], 0
    for number in numbers:
        rng = np.random.default_rng([2028, number])
        planted()
        expected = [spoilt(rng) for _ in range(int(rng.integers(3)))]
        words = [word.replace("@", mutants.pick(rng, SHAPES)) for word in mutants.pick(rng, FORMS)]
        done = CliRunner().invoke(app.app, words)
        refused += done.exit_code == 2
        about = f"mutant {number}, {words!r:.200}, {expected}"
        if done.exit_code not in (0, 1, 2) or not isinstance(done.exception, SystemExit | None):
            found.append(f"{about}: exit code {done.exit_code}, {done.exception!r}")
        if "Traceback" in done.output or len(done.stderr.splitlines()) > 40:
            found.append(f"{about}: {done.output[-500:]}")
        if Path("ran").exists():
            found.append(f"{about}: ran code")
            Path("ran").unlink()
    assert found == []
    assert refused > len(numbers) / 2

"""Mutated portfolios and shocks: the calculator judges each or refuses it with a remedy."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mutants
import numpy as np
import pytest
from cli.test_fuzz import FOREIGN, LINE, REMEDY
from mutants import Change, Node, Rng, at, dotted, dumped, is_number, pick, places
from typer.testing import CliRunner, Result

from experiments.cli import app
from sim.reading.loading import resolve_config
from sim.reading.packaged import list_packaged

SHOCKS = "portfolios/shocks"
BASES = [
    resolve_config(name)
    for name in list_packaged()
    if name.startswith("portfolios/") and name != SHOCKS
]
PRESETS = [name.removeprefix("engines/") for name in list_packaged() if name.startswith("engines/")]

EXTREME = [
    *(1e308, -1e308, 1e-308, 5e-324, 1e15, 1e100, 2**53 + 1, 10**400),
    *(0.1 + 0.2, 1 / 3, 1e-9, -0.0, 0),
]
"""Numbers that overflow, vanish or are finer than any grain."""


class Mutant(NamedTuple):
    """Input of ``deleverage margin mine.yaml``."""

    about: str
    text: bytes  # of mine.yaml
    shocks: bytes  # of shocks.yaml
    arguments: tuple[str, ...]


def extreme(rng: Rng, data: Node) -> Change:
    """A number of the file, or one that it leaves to a default."""
    found = [path for path in places(data) if is_number(at(data, path))] + [
        (name,) for name in ("cash", "rate")
    ]
    for name, keys in ITEMS.items():
        items = data.get(name) if isinstance(data.get(name), list) else []
        found += [
            (name, n, key) for n, item in enumerate(items) if isinstance(item, dict) for key in keys
        ]
    found += [
        (name, "X")
        for name in ("collateral", "marks", "volatilities")
        if isinstance(data.setdefault(name, {}), dict)
    ]
    path, value = pick(rng, found), pick(rng, EXTREME)
    at(data, path[:-1])[path[-1]] = value
    return Change(f"{dotted(path)} = {value!r}")


ITEMS = {
    "assets": ("price", "decimals"),
    "instruments": (
        "tick",
        "lot",
        "max_price",
        "max_lots",
        "expiry",
        "strike",
        "kind",
        "option",
        "settle",
    ),
    "positions": ("entry", "quantity"),
    "underlyings": ("price", "volatility", "confidence"),
}
"""Numbers that a file may leave out."""


def unpriced(rng: Rng, data: Node) -> Change:
    """Market data taken away."""
    found = [("underlyings", n) for n in range(len(data["underlyings"]))]
    found += [
        (name,)
        for name in ("volatilities", "smiles", "marks", "instruments", "assets")
        if name in data
    ]
    path = pick(rng, found)
    del at(data, path[:-1])[path[-1]]
    return Change(f"without {dotted(path)}")


def renamed(rng: Rng, data: Node) -> Change:
    """An instrument, underlying or asset of a name that nothing else knows."""
    path = pick(
        rng,
        [path for path in places(data) if path[-1] in ("name", "instrument", "underlying", "kind")],
    )
    at(data, path[:-1])[path[-1]] = value = pick(
        rng, ["missing", "", "x" * 300, "a.b", "USD", 5, "own\n"]
    )
    return Change(f"{dotted(path)} = {value!r}")


def expired(rng: Rng, data: Node) -> Change:
    data["seconds"] = value = pick(rng, [1e6, 2_592_000, 2_591_999, 1e9, -1, 1_209_599.999])
    return Change(f"seconds = {value}")


def misspelt(rng: Rng, data: Node) -> Change:
    path = pick(rng, [path for path in places(data) if isinstance(path[-1], str)])
    at(data, path[:-1])[path[-1] + "s"] = at(data, path[:-1]).pop(path[-1])
    return Change(f"{dotted(path)} misspelt")


CHANGES: list[Callable[[Rng, Node], Change]] = [
    *(
        mutants.deleted,
        mutants.replaced,
        mutants.replaced,
        mutants.scaled,
        mutants.scaled,
        mutants.repeated,
    ),
    *(
        mutants.dropped,
        extreme,
        extreme,
        extreme,
        unpriced,
        renamed,
        expired,
        misspelt,
        mutants.included,
    ),
]


def mutant(number: int) -> Mutant:
    """The mutant of that number, which alone decides it."""
    rng = np.random.default_rng([4, number])
    data, shocks = copy.deepcopy(pick(rng, BASES)), resolve_config(SHOCKS)
    engines = [*rng.choice(PRESETS, 2, replace=False).tolist(), *list(data.get("own", {}))[:1]]
    arguments = (
        "--stress",
        "shocks.yaml",
        "--engines",
        ",".join(engines),
        *(["--json"] if rng.random() < 0.5 else []),
    )
    if rng.random() < 0.1:
        whole = pick(rng, [mutants.noisy, mutants.noisy, mutants.rubbish])(rng, data)
        return Mutant(whole.about, whole.text, dumped(shocks), arguments)
    target = shocks if rng.random() < 0.15 else data
    told = []
    for _ in range(1 + int(rng.random() < 0.3)):
        change = pick(rng, CHANGES if target is data else SHOCK_CHANGES)(rng, target)
        told.append(change.about)
    return Mutant("; ".join(told), dumped(data), dumped(shocks), arguments)


def shocked(rng: Rng, shocks: Node) -> Change:
    path = pick(rng, [path for path in places(shocks) if is_number(at(shocks, path))])
    at(shocks, path[:-1])[path[-1]] = value = pick(
        rng, [*EXTREME, -1, -0.999999, -2, 1e6, float("nan")]
    )
    return Change(f"{dotted(path)} = {value!r}")


SHOCK_CHANGES: list[Callable[[Rng, Node], Change]] = [
    shocked,
    shocked,
    mutants.deleted,
    mutants.replaced,
    misspelt,
]


def call(made: Mutant) -> Result:
    Path("mine.yaml").write_bytes(made.text)
    Path("shocks.yaml").write_bytes(made.shocks)
    return CliRunner().invoke(app.app, ["margin", "mine.yaml", *made.arguments])


def faults(done: Result, made: Mutant) -> list[str]:
    """List the faults of an answer."""
    if done.exit_code == 0:
        if "--json" not in made.arguments:
            return [] if done.stdout and not done.stderr else [done.stderr or "prints nothing"]
        judged = json.loads(done.stdout)["engines"].values()
        return (
            []
            if all(each["initial"] >= each["maintenance"] >= 0 for each in judged)
            else [done.stdout]
        )
    if done.exit_code != 2 or done.stdout:
        return [f"exit code {done.exit_code}, {done.exception!r}: {done.output}"]
    lines = done.stderr.splitlines()
    wrong = [
        line
        for line in lines
        if not LINE.fullmatch(line) or not REMEDY.search(line) or FOREIGN.search(line)
    ]
    return (
        [*wrong, *(line for line in lines if len(line) > 900)]
        if lines
        else ["refused without a word"]
    )


BLOCKS = [
    pytest.param(range(n, n + 40), marks=[pytest.mark.slow] * (n > 0), id=str(n))
    for n in range(0, 1200, 40)
]
"""Hundreds of numbers; those beyond the first are slow."""


@pytest.mark.parametrize("numbers", BLOCKS)
def test_mutated_accounts_are_judged_or_refused(
    numbers: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was done to each that is not."""
    monkeypatch.chdir(tmp_path)
    found, judged = [], 0
    for number in numbers:
        made = mutant(number)
        done = call(made)
        judged += done.exit_code == 0
        found += [f"mutant {number}, {made.about}: {fault}" for fault in faults(done, made)]
    assert found == []
    assert len(numbers) / 10 <= judged < len(numbers)

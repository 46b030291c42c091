"""Messages of wrong backtests, trainings and replays: each is raised, and the remedy that it names is tried."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.backtest import judge
from experiments.backtest_engines import Scope, engines_of
from experiments.series import Series
from experiments.train import train
from sim.errors import ConfigError, DataError
from sim.margin.features import NAMES
from sim.margin.forest import grown
from sim.margin.learned import Learned
from sim.margin.trained import read_trained, write_trained
from sim.margin.walk import contracts_of
from sim.prices.bars import Bars, common, validated
from sim.prices.replay import Replay

DAY = 86_400.0


def refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except (ConfigError, DataError, ValueError) as error:
        return str(error)
    return ""


def series(rows: int, columns: int = 1, unit: float = 0.0) -> Series:
    moves = np.random.default_rng(5).standard_t(4, (rows, columns)) / 100
    return Series(tuple("ab"[:columns]), np.empty(0, dtype="datetime64[D]"), moves, unit)


ENGINES: list[tuple[str, Scope, str, str, Scope]] = [
    ("", Scope(), "engines: none given, name some", "flat", Scope()),
    ("hsx", Scope(), "engines: 'hsx' is no engine, use ewma_NN, hs_DAYS, ", "hs_20", Scope()),
    (
        "ewma_979x",
        Scope(),
        "engines: 'ewma_979x' is no engine (did you mean 'ewma_99'?), use ewma_NN",
        "ewma_97",
        Scope(),
    ),
    ("hs_1", Scope(), "engines: 'hs_1' looks back 1 days, must be at least 10: write hs_10", "hs_10", Scope()),
    ("ewma_0", Scope(), "engines: 'ewma_0' weighs the past by 0.0, must be above 0: write ewma_97", "ewma_97", Scope()),
    (
        "hs",
        Scope(window=5),
        "engines: 'hs' looks back as far as --window, 5 days, must be at least 10: write hs_10, or give a --window of "
        "at least 10",
        "hs",
        Scope(window=10),
    ),
    (
        "garcht",
        Scope(window=4),
        "engines: 'garcht' looks back as far as --window, 4 days, must be at least 10: write garcht_10",
        "garcht_10",
        Scope(window=4),
    ),
    (
        "none.npz",
        Scope(),
        "engines: trained: none.npz: cannot be read (No such file or directory), name a ",
        "learned",
        Scope(),
    ),
    ("engines/spam", Scope(), "engines/spam: no such file or packaged configuration (did", "engines/span", Scope()),
]


@pytest.mark.parametrize(("wrong", "scope", "told", "mended", "then"), ENGINES)
def test_the_remedy_of_a_wrong_engine_works(wrong: str, scope: Scope, told: str, mended: str, then: Scope) -> None:
    found = refusal(lambda: engines_of([wrong] if wrong else [], scope))
    assert found.startswith(told), found
    assert not refusal(lambda: engines_of([mended], then))


Call = tuple[str, int, int, tuple[float, ...] | None]
"""Engine, rows, window, weights."""

JUDGED: list[tuple[Call, str, Call]] = [
    (
        ("hs_12", 20, 500, None),
        "hs_12: 20 returns are too little history for its look-back of 500 and 2 to judge: give at least 502, or a "
        "--window of at most 18",
        ("hs_12", 20, 18, None),
    ),
    (
        ("ewma_97", 20, 5, None),
        "ewma_97: 20 returns are too little history for its look-back of 100 and 2 to judge: give at least 102, or an "
        "engine that looks back less",
        ("ewma_97", 102, 5, None),
    ),
    (
        ("ewma_97", 20, 5, None),
        "ewma_97: 20 returns are too little history for its look-back of 100 and 2 to judge: give at least 102, or an "
        "engine that looks back less",
        ("hs_10", 20, 5, None),
    ),
    (("flat", 20, 5, (1, 1)), "weights: 2 given, must be one each of a: give 1", ("flat", 20, 5, (1,))),
    (("flat", 20, 5, (0,)), "weights: 0: all are 0, raise one", ("flat", 20, 5, (1,))),
]


@pytest.mark.parametrize(("wrong", "told", "mended"), JUDGED)
def test_the_remedy_of_a_backtest_that_cannot_be_works(wrong: Call, told: str, mended: Call) -> None:
    def judged(engine: str, rows: int, window: int, weights: tuple[float, ...] | None) -> object:
        return judge(engines_of([engine], Scope(window)), series(rows), window=window, weights=weights)

    assert refusal(lambda: judged(*wrong)) == told
    assert not refusal(lambda: judged(*mended))


def test_columns_that_cancel_have_no_risk() -> None:
    two = series(20, 2)
    two.returns[:, 1] = -two.returns[:, 0]
    flat = engines_of(["flat"], Scope(5))
    told = "weights: the portfolio never moves, columns cancel or stand still; there is no risk to margin: change them"
    assert refusal(lambda: judge(flat, two, window=5)) == told
    assert not refusal(lambda: judge(flat, two, window=5, weights=(1, 2)))


def test_differences_have_no_shares_of_a_price() -> None:
    spread, prices = series(20, unit=2.0), series(20)
    table = engines_of(["engines/cross"], Scope(5))
    told = "engines: 'engines/cross' has 'tiered', in shares of a price, which differences lack; leave it out, or give "
    assert refusal(lambda: judge(table, spread, window=5)).startswith(told)
    assert not refusal(lambda: judge(table, prices, window=5))
    assert not refusal(lambda: judge(engines_of(["hs_10"], Scope(5)), spread, window=5))


def test_training_needs_history() -> None:
    rule = Learned(least=DAY * 30, horizon=DAY, refit=DAY * 60, trees=1)
    few = "returns are too few for any example, at least 101 are needed: give a longer series"
    assert refusal(lambda: train(series(5), rule)) == f"train: 5 {few}"
    assert refusal(lambda: train(series(100), rule)) == f"train: 100 {few}"
    told = "train: 101 returns leave 1 days to learn from, at least 60 are needed to train and to judge: give a longer "
    assert refusal(lambda: train(series(101), rule)) == f"{told}series"
    assert not refusal(lambda: train(series(160), rule))


def test_training_for_a_long_horizon_needs_what_lies_before_it() -> None:
    """The models that judge know nothing of losses that are not over: the horizon counts too."""
    rule = Learned(least=DAY * 30, horizon=DAY * 60, refit=DAY * 60, trees=1)
    told = (
        "train: 249 returns leave 90 days to learn from, at least 91 are needed to train and to judge: give a longer "
    )
    assert refusal(lambda: train(series(249), rule)) == f"{told}series or a shorter --horizon"
    assert not refusal(lambda: train(series(250), rule))
    assert not refusal(lambda: train(series(249), rule.model_copy(update={"horizon": DAY})))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model for one day at 95%."""
    path = tmp_path_factory.mktemp("trained") / "model.npz"
    rng = np.random.default_rng(1)
    forest = grown(rng.normal(size=(200, len(NAMES))), rng.normal(size=200), 0.95, 1)
    write_trained(path, forest, (0.95, DAY, DAY))
    return path


@pytest.mark.parametrize(
    ("wrong", "told", "mended"),
    [
        ({"level": 0.99}, "was trained for level 0.95, not 0.99: set level to 0.95, or train it again", {}),
        (
            {"horizon": 2 * DAY},
            "was trained for horizon 86400, not 172800: set horizon to 86400, or train it again",
            {},
        ),
        ({"every": 3_600.0}, "was trained for every 86400, not 3600: set every to 86400", {}),
        (
            {"every": 3_600.0, "level": 0.99},
            "was trained for level 0.95, not 0.99, and every 86400, not 3600: set level to 0.95 and every to 86400",
            {},
        ),
    ],
)
def test_a_model_for_something_else_names_what(
    model: Path, wrong: dict[str, Any], told: str, mended: dict[str, Any]
) -> None:
    def bound(**changes: float) -> object:
        return Learned(**{"trained": str(model), "level": 0.95, **changes}).bind(contracts_of(1), unit=1)

    assert refusal(lambda: bound(**wrong)) == f"requirement.trained: {model}: {told}"
    assert not refusal(lambda: bound(**mended))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"names": np.array(["mood"])}, "was trained on other features ("),
        ({"base": np.float64(np.inf)}, "its trees are broken (values are not finite), train it again"),
        ({"format": np.array("x")}, "is no trained model, name a file that deleverage train wrote"),
    ],
)
def test_a_broken_model_is_named_and_another_one_is_read(
    model: Path, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    file = tmp_path / "other.npz"
    np.savez(file, **{**dict(np.load(model)), **change})
    found = refusal(lambda: read_trained(str(file), (0.95, DAY, DAY)))
    assert found.startswith(f"requirement.trained: {file}: {told}"), found
    file.write_bytes(b"PK")
    found = refusal(lambda: read_trained(str(file), (0.95, DAY, DAY)))
    told = "cannot be read (File is not a zip file), name a file that deleverage train wrote"
    assert found == f"requirement.trained: {file}: {told}"
    assert not refusal(lambda: read_trained(str(model), (0.95, DAY, DAY)))


def test_a_model_that_has_changed_may_be_taken_as_it_is(model: Path) -> None:
    wrong = {"trained": str(model), "level": 0.95, "digest": "0" * 64}
    found = refusal(lambda: Learned.model_validate(wrong))
    assert f"digest: {model} has changed since it was 000000000000..., is " in found, found
    assert "now: bring the file back, or remove digest" in found, found
    assert not refusal(lambda: Learned.model_validate(wrong | {"digest": ""}))


def bars(first: str, count: int = 4, length: float = DAY) -> Bars:
    unit = "D" if length == DAY else "s"
    step = np.timedelta64(1 if unit == "D" else round(length), unit)
    days = np.datetime64(first).astype(f"datetime64[{unit}]") + np.arange(count) * step
    prices = np.full((count, 4), np.nan)
    prices[:, 3] = 100 + np.arange(count)
    return validated("mine.csv", days, prices, length)


def test_bars_of_several_files_must_fit() -> None:
    day, later, hour = bars("2024-01-02"), bars("2024-02-02"), bars("2024-01-02T10:00", length=3_600.0)
    told = "replay: bars differ in length (a 86400 s, b 3600 s); replays of one run need the same: convert one file"
    assert refusal(lambda: common({"a": day, "b": hour})) == told
    told = (
        "replay: no day is in all of a 2024-01-02 to 2024-01-05, b 2024-02-02 to 2024-02-05; replays need common days"
    )
    assert refusal(lambda: common({"a": day, "b": later})) == f"{told}: choose overlapping dates"
    assert not refusal(lambda: common({"a": day, "b": bars("2024-01-03")}))
    assert refusal(lambda: bars("2024-01-02", count=0)).startswith(
        "mine.csv: 0 rows, at least one day is needed: widen"
    )


@pytest.mark.parametrize(
    ("day", "dt", "told", "then"),
    [
        (
            1_000.0,
            60.0,
            "process.day: 1000 s is not a whole number, at least 4, of steps of 60 s: set dt to 58.8235294118",
            58.8235294118,
        ),
        (
            23_400.0,
            23_400.0,
            "process.day: 23400 s is not a whole number, at least 4, of steps of 23400 s: set dt to 5850",
            5_850.0,
        ),
    ],
)
def test_the_step_that_divides_a_day_is_named(day: float, dt: float, told: str, then: float) -> None:
    replay = Replay(source="mine.csv", day=day)
    assert refusal(lambda: replay.steps_per_day(dt)) == told
    assert not refusal(lambda: replay.steps_per_day(then))


def test_the_step_that_divides_a_bar_is_named() -> None:
    replay, hour = Replay(source="mine.csv"), bars("2024-01-02T10:00", length=3_600.0)
    told = "dt: 7000 s does not divide the bars of 'mine.csv', which are of 3600 s: set dt to 3600 or a part of it"
    assert refusal(lambda: replay.steps_per_bar(hour, 7_000.0)) == told
    assert not refusal(lambda: replay.steps_per_bar(hour, 3_600.0))
    assert not refusal(lambda: replay.steps_per_bar(hour, 900.0))


def test_dates_in_the_wrong_order_are_swapped() -> None:
    found = refusal(lambda: Replay(source="mine.csv", start="2024-02-01", end="2024-01-01"))
    assert "start 2024-02-01 is after end 2024-01-01: swap them, or set both for other data" in found
    assert not refusal(lambda: Replay(source="mine.csv", start="2024-01-01", end="2024-02-01"))

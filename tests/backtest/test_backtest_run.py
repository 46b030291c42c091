"""``deleverage backtest --run``: margins of a run against the losses of its market."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.backtest.coverage import backtest_engines
from experiments.backtest.engines import DAY, BacktestEngine
from experiments.backtest.finished_run import (
    CoverageTarget,
    backtest_run,
    find_level_and_horizon,
    summarise_outcome,
)
from experiments.cli.app import app
from experiments.config import load_run
from experiments.price_files.return_series import ReturnSeries
from experiments.run import execute_run
from sim.margin.learned.learned import LearnedRequirement
from sim.margin.tail.margin_path import compute_margin_path
from sim.margin.tail.tail import TailRisk
from sim.margin.tiers.lognormal import LognormalRequirement
from sim.margin.tiers.tiered import TieredRequirement
from sim.margin.wrappers.stressed import StressWeight

pytestmark = pytest.mark.usefixtures("without_figures")

RUNNER = CliRunner()
MODEL = "{kind: filtered, window: 3600, least: 1800, seed: 10, decay: 0.97}"
TAIL = f"{{kind: tail, level: 0.98, every: 60, horizon: 300, opening_rate: 0.03, model: {MODEL}}}"
RULE = f"venues.0.engine.requirement={{kind: stressed, every: 60, inner: {TAIL}}}"
FALL = [
    "stresses.0.at=5400",
    "stresses.1.at=5400",
    "duration=9000",
    "profile_every=0",
    "populations.0.count=200",
]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = load_run("flash_crash", [RULE, *FALL, "underlyings.0.impact.depth=1_000_000"])
    return execute_run(config, out=tmp_path_factory.mktemp("runs") / "crash").folder


def invoke(*words: str) -> tuple[int, str, str]:
    done = RUNNER.invoke(app, ["backtest", *words])
    return done.exit_code, done.stdout, done.stderr


def test_recorded_margins_are_those_of_a_backtest_on_the_oracle_returns(result: Path) -> None:
    """At the same clock, to 1e-9; long and short alike."""
    assert backtest_run(result).outcome["gap_to_backtest"] < 1e-9
    steps = pd.read_parquet(result / "steps.parquet").query("instrument == 'BTC-PERP'")
    start = load_run(result / "config.resolved.yaml").underlyings[0].start
    moves = np.diff(np.log(np.append(start, steps["oracle"])), append=0.0)[
        :, None
    ]  # the last is not known yet
    rule = load_run(result / "config.resolved.yaml").venues[0].engine.requirement
    for lots, column in ((1, "margin_long"), (-1, "margin_short")):
        path = compute_margin_path(rule, moves, dt=60, lots=np.array([lots]))[1:]
        np.testing.assert_allclose(steps[column], path, rtol=1e-9)
        assert np.unique(np.round(path, 9)).size > 20


@pytest.mark.slow
def test_dials_of_an_engine_are_part_of_its_backtest(tmp_path: Path) -> None:
    """Recorded margins and their path include compression by 30% and scaling by 1.5."""
    short = [RULE, *FALL, "duration=5400", "stresses=[]"]
    turned = execute_run(
        load_run("flash_crash", [*short, "venues.0.engine.compression=0.3"]),
        out=tmp_path / "turned",
    )
    plain = execute_run(load_run("flash_crash", short), out=tmp_path / "plain")
    one, other = (backtest_run(ran.folder) for ran in (turned, plain))
    assert one.outcome["gap_to_backtest"] < 1e-9
    for cut, whole in zip(one.backtests, other.backtests, strict=True):
        if cut.engine.name.endswith("untouched"):
            np.testing.assert_allclose(cut.margin, 0.7 * whole.margin, rtol=1e-9)


def test_figures_are_those_of_the_same_tests_on_the_same_returns(result: Path) -> None:
    """As if the oracle's minutes were days of a series."""
    judged = {
        each.engine.name: each for each in backtest_run(result, CoverageTarget(0.98, 60)).backtests
    }
    found = judged["BTC-PERP long: oracle"]
    steps = pd.read_parquet(result / "steps.parquet").query("instrument == 'BTC-PERP'")
    start = load_run(result / "config.resolved.yaml").underlyings[0].start
    moves = np.diff(np.log(np.append(start, steps["oracle"])))
    in_days = StressWeight(
        inner=TailRisk.model_validate(
            {
                "model": {"kind": "filtered", "window": 60 * DAY, "least": 30 * DAY, "seed": 10},
                "level": 0.98,
            }
            | {"horizon": 5 * DAY, "opening_rate": 0.03}
        )
    )
    series = ReturnSeries(("a",), np.empty(0, dtype="datetime64[D]"), moves[:, None])
    (same,) = backtest_engines([BacktestEngine("same", in_days, 0.98, 1)], series, window=30)
    np.testing.assert_allclose(found.margin, same.margin, rtol=1e-9)
    np.testing.assert_allclose(found.lost, same.lost, rtol=1e-9, atol=1e-12)
    for name in ("breach_rate", "mean_margin", "peak_to_trough", "kupiec_pof", "acerbi_szekely_z2"):
        assert found.figures[name] == pytest.approx(same.figures[name], rel=1e-9), name


def test_what_nobody_moved_is_judged_apart(result: Path) -> None:
    """Without price impact the oracle equals the exogenous index, and so do the margins."""
    names = [
        f"BTC-PERP {side}: {price}"
        for side in ("long", "short")
        for price in ("mark", "oracle", "untouched")
    ]
    run = backtest_run(result)
    assert [each.engine.name for each in run.backtests] == names
    apart = {each.engine.name: each for each in run.backtests}
    assert np.abs(apart[names[1]].margin - apart[names[2]].margin).max() > 1e-4
    alone = execute_run(
        load_run(
            result / "config.resolved.yaml", ["underlyings.0.impact.depth=null", "duration=7200"]
        ),
        out=result.with_name("alone"),
    )
    same = {each.engine.name: each for each in backtest_run(alone.folder).backtests}
    np.testing.assert_allclose(same[names[1]].margin, same[names[2]].margin, rtol=1e-9)
    np.testing.assert_allclose(same[names[1]].lost, same[names[2]].lost, atol=1e-12)


def test_the_outcome_is_beside_it(result: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged"
    code, printed, _ = invoke("--run", str(result), "--json", "--out", str(out))
    told = json.loads(printed)
    frames = {
        name: pd.read_parquet(result / f"{name}.parquet")
        for name in ("steps", "closeouts", "losses", "venues")
    }
    assert code == 0
    assert told["outcome"]["closed_out_notional"] == frames["closeouts"]["notional"].sum() > 0
    assert told["outcome"]["adl_notional"] == frames["steps"]["adl_notional"].sum()
    assert told["outcome"]["system_loss"] == frames["losses"]["absorbed"].sum()
    assert told["outcome"]["mark_fall"] < told["outcome"]["exogenous_fall"] < -0.08
    assert set(told["covers"]) == {"mark", "oracle", "untouched"}
    assert told["outcome"] == summarise_outcome(frames) | {
        "gap_to_backtest": told["outcome"]["gap_to_backtest"]
    }
    files = {
        "backtest.json",
        "backtest.csv",
        "backtest.tex",
        "outcome.csv",
        "figures",
        "manifest.json",
    }
    assert {path.name for path in out.iterdir()} == files
    drawn = pd.read_csv(out / "figures" / "margins.csv")
    assert (drawn["breach"] == (drawn["loss"] > drawn["margin"])).all()
    assert (out / "backtest.tex").read_text().count(r"\toprule") == 2
    code, printed, _ = invoke("--run", str(result), "--horizon", "600", "--confidence", "0.95")
    assert code == 0
    assert "owners closed out" in printed
    assert "the untouched index" in printed


def test_bad_input_is_told(result: Path, tmp_path: Path) -> None:
    older, cut = tmp_path / "older", tmp_path / "cut"
    for folder in (older, cut):
        folder.mkdir()
        for path in result.iterdir():
            if path.is_file():
                (folder / path.name).write_bytes(path.read_bytes())
    steps = pd.read_parquet(result / "steps.parquet")
    steps.drop(columns="margin_long").to_parquet(older / "steps.parquet")
    (cut / "losses.parquet").write_bytes(b"not parquet")
    for words, told in (
        ((str(tmp_path / "none"),), "is no result of a run"),
        ((str(older),), "has no margin_long"),
        ((str(cut),), "cannot be read"),
        ((str(result), "--horizon", "5000"), "too few for any perpetual"),
        ((str(result), "--horizon", "soon"), "--horizon: 'soon'"),
        ((str(result), "--confidence", "0.9,0.99"), "takes one number here"),
        ((str(result), "--data", "arch:sp500"), "--data: has no meaning for a run"),
    ):
        code, _, err = invoke("--run", *words)
        assert (code, told in err, "Traceback" in err) == (2, True, False), err


def test_what_an_engine_says_it_covers() -> None:
    assert find_level_and_horizon(StressWeight(inner=TailRisk(level=0.97, horizon=600))) == (
        0.97,
        600,
    )
    assert find_level_and_horizon(LognormalRequirement(level=1e-6, horizon=60)) == (1 - 1e-6, 60)
    assert find_level_and_horizon(LearnedRequirement(level=0.95, horizon=900)) == (0.95, 900)
    assert find_level_and_horizon(TieredRequirement()) == (0.99, 3600)

"""Every packaged configuration runs when hurried, and shows what it was made for."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from experiments.config import load_run
from experiments.figures.overview import FIGURES
from experiments.run import COMPLETE, execute_run
from experiments.simulation import simulate_run
from sim.metrics.cascades import Frames
from sim.reading.packaged import list_packaged

RUNS = [name for name in list_packaged() if "/" not in name]


@cache
def hurried(name: str, *overrides: str) -> Frames:
    return simulate_run(load_run(name, overrides, quick=True))


@pytest.mark.parametrize("name", RUNS)
def test_it_runs_and_people_trade(name: str) -> None:
    assert hurried(name)["steps"]["trades"].sum() > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_its_results_and_figures_are_whole(tmp_path: Path, name: str) -> None:
    outcome = execute_run(load_run(name, quick=True), out=tmp_path / name)
    assert outcome.status == COMPLETE
    assert {path.stem for path in (outcome.folder / "figures").iterdir()} >= set(FIGURES)


def test_a_list_of_ones_own_is_not_changed_by_quick() -> None:
    """flash_crash moves its own stresses when hurried; a user's list stays as it was given."""
    given = "stresses=[{kind: move, at: 600, duration: 60, size: -0.05}]"
    (only,) = load_run("flash_crash", [given], quick=True).stresses
    assert only.at == 600
    assert load_run("flash_crash", ["stresses=[]"], quick=True).stresses == ()
    assert load_run("flash_crash", ["stresses.0.size=-0.2", "stresses=[]"]).stresses == ()


def test_the_calm_market_is_calm() -> None:
    frames = hurried("baseline")
    assert not frames["venues"]["shortfall"].any()
    steps = frames["steps"]
    assert steps["index"].max() / steps["index"].min() < 1.1


def test_the_flash_crash_falls_by_a_tenth_and_closes_out_at_100_times() -> None:
    config = load_run("flash_crash", quick=True)
    steps = hurried("flash_crash")["steps"].query("kind == 'perpetual'").set_index("seconds")
    at = config.stresses[0].at
    fall = np.log(steps["exogenous"][at + 1800] / steps["exogenous"][at])
    assert fall == pytest.approx(np.log(0.9), abs=0.02)  # half an hour's own volatility is .4%
    tiers = "venues.0.engine.requirement.tiers=[{floor: 0, max_leverage: 100}]"
    closed = hurried("flash_crash", tiers)["closeouts"]
    assert len(closed) > 20 > len(hurried("flash_crash")["closeouts"])
    assert (closed["step"] * config.dt > at).mean() > 0.9


def test_oil_meets_its_closes() -> None:
    steps = hurried("oil_2014")["steps"].query("kind == 'perpetual'")
    days = steps.groupby(steps["stamp"].dt.date)["exogenous"].last()
    assert days.to_numpy() == pytest.approx([73.70, 65.94, 68.98])


def test_two_coins_are_the_same_coins_under_either_netting() -> None:
    cross, alone = (
        hurried("two_coins"),
        hurried("two_coins", "venues.0.engine.netting.kind=isolated"),
    )
    one, other = (each["steps"].set_index(["instrument", "step"]) for each in (cross, alone))
    assert one["exogenous"].equals(other["exogenous"])
    returns = (
        np.log(one["exogenous"].unstack("instrument")[["BTC-PERP", "ETH-PERP"]]).diff().dropna()
    )
    assert returns.corr().iloc[0, 1] == pytest.approx(0.8, abs=0.1)
    pools = [
        each["accounts"].query("venue == 'exchange'")["pool"].nunique() for each in (cross, alone)
    ]
    assert pools[0] < pools[1]

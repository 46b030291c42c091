"""Every packaged configuration runs when hurried, and shows what it was made for."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.config import load_run
from experiments.run import COMPLETE, Outcome, execute
from sim.packaged import packaged

RUNS = [name for name in packaged() if "/" not in name]


def hurried(folder: Path, name: str, *overrides: str) -> Outcome:
    return execute(load_run(name, overrides, quick=True), out=folder / name / str(len(overrides)))


def frame(outcome: Outcome, name: str) -> pd.DataFrame:
    return pd.read_parquet(outcome.folder / f"{name}.parquet")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Every run, by name."""
    folder = tmp_path_factory.mktemp("runs")
    return {name: hurried(folder, name) for name in RUNS}


@pytest.mark.parametrize("name", RUNS)
def test_it_runs_and_people_trade(outcomes: dict[str, Outcome], name: str) -> None:
    assert outcomes[name].status == COMPLETE
    assert outcomes[name].summary["trades"] > 100


def test_the_calm_market_is_calm(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["baseline"].summary["shortfall"] == 0
    steps = frame(outcomes["baseline"], "steps")
    assert steps["index"].max() / steps["index"].min() < 1.1


def test_the_flash_crash_falls_by_a_tenth_and_closes_out_at_100_times(
    outcomes: dict[str, Outcome], tmp_path: Path
) -> None:
    config = load_run("flash_crash", quick=True)
    steps = frame(outcomes["flash_crash"], "steps").query("kind == 'perpetual'").set_index("seconds")
    at = config.stresses[0].at
    fall = np.log(steps["exogenous"][at + 1800] / steps["exogenous"][at])
    assert fall == pytest.approx(np.log(0.9), abs=0.02)  # half an hour's own volatility is .4%
    tiers = "venues.0.engine.requirement.tiers=[{floor: 0, max_leverage: 100}]"
    closed = frame(hurried(tmp_path, "flash_crash", tiers), "closeouts")
    assert len(closed) > 20 > len(frame(outcomes["flash_crash"], "closeouts"))
    assert (closed["step"] * config.dt > at).mean() > 0.9


def test_oil_meets_its_closes(outcomes: dict[str, Outcome]) -> None:
    steps = frame(outcomes["oil_2014"], "steps").query("kind == 'perpetual'")
    days = steps.groupby(steps["stamp"].dt.date)["exogenous"].last()
    assert days.to_numpy() == pytest.approx([73.70, 65.94, 68.98])


def test_two_coins_are_the_same_coins_under_either_netting(outcomes: dict[str, Outcome], tmp_path: Path) -> None:
    cross, alone = outcomes["two_coins"], hurried(tmp_path, "two_coins", "venues.0.engine.netting.kind=isolated")
    one, other = (frame(each, "steps").set_index(["instrument", "step"]) for each in (cross, alone))
    assert one["exogenous"].equals(other["exogenous"])
    returns = np.log(one["exogenous"].unstack("instrument")[["BTC-PERP", "ETH-PERP"]]).diff().dropna()
    assert returns.corr().iloc[0, 1] == pytest.approx(0.8, abs=0.1)
    pools = [frame(each, "accounts").query("venue == 'exchange'")["pool"].nunique() for each in (cross, alone)]
    assert pools[0] < pools[1]

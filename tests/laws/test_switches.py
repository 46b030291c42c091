"""Switches with no effect where they were tried: a case in which each acts, or a warning."""

from typing import Any

import pytest
from markets import BTC, BTC_SPOT, build, config, move, script, tiers, venue
from typer.testing import CliRunner

from experiments.cautions import find_idle_settings
from experiments.cli import app
from experiments.config import RunConfig
from sim.market import Market
from sim.types import LIMIT

pytestmark = pytest.mark.usefixtures("without_figures")

LOW, HIGH, LATE, EARLY = range(4)
"""Who sells at 940, who sells at 1000, who buys at 1000, who buys at 940."""


def rebound(profit_only: bool) -> Market:
    """Run shorts of 100 lots at 940 and 1000; the long at 1000 is bankrupt at 945, without bids."""
    orders = {
        2: [(LOW, 0, -100, 940, LIMIT, 0)],
        3: [(EARLY, 0, 100, 940, LIMIT, 0)],
        5: [(HIGH, 0, -100, 1000, LIMIT, 0)],
        6: [(LATE, 0, 100, 1000, LIMIT, 0)],
    }
    # the late long has 52 on a notional of 1000, and lacks 3 at 945
    people = [script([1000.0, 1000.0, 52.0, 1000.0], orders)]
    moves = [move(1, -0.06), move(4, 0.06 / 0.94), move(8, -0.055)]
    layers = [{"kind": "adl_pro_rata", "profit_only": profit_only}]
    return build(
        config(
            venue(waterfall=layers, mark={"kind": "median", "clamp": 0.0005}),
            steps=10,
            stresses=moves,
        ),
        people,
    )


@pytest.mark.parametrize(
    ("profit_only", "expected"), [(False, [-50, -50, 0, 100]), (True, [-100, 0, 0, 100])]
)
def test_profit_only_spares_a_short_that_was_entered_below_the_mark(
    profit_only: bool, expected: list[int]
) -> None:
    market = rebound(profit_only)
    while market.tick < market.steps_planned:
        market.step()
    assert market.recorder.frames()["losses"]["layer"].tolist() == ["adl_pro_rata"]
    assert market.ledger.position[0, :4].tolist() == expected


def hedger(valuation: dict[str, Any], lots: int) -> Market:
    """Run an owner of 1,000 who buys spot and sells ``lots`` times 10 of the perpetual."""
    trades = {
        1: [(1, 1, 2000, 1000, LIMIT, 0)],
        2: [(0, 0, lots, 1002, 1, 0), (0, 1, -lots, 1000, 1, 1)],
    }
    place = venue(instruments=[BTC_SPOT, BTC], requirement=tiers(20.0))
    place["engine"]["valuation"] = valuation
    falls = [move(6, -0.02)]
    return build(config(place, steps=8, stresses=falls), [script([1000.0, 100_000.0], trades)])


def held(market: Market) -> list[int]:
    while market.tick < market.steps_planned:
        market.step()
    return [int(lots) for lots in market.ledger.position[:, 0]]


def test_delta_adjusted_admits_a_hedged_position_that_a_haircut_refuses() -> None:
    """For 5,000 of spot against a short of 5,000, 2% and 5% are 350; a 20% haircut needs 1,250."""
    adjusted, cut = {"kind": "delta_adjusted", "other": 0.2}, {"kind": "haircut", "other": 0.2}
    assert held(hedger(adjusted, 500)) == [500, -500]
    assert held(hedger(cut, 500)) != [500, -500]
    assert held(hedger(cut, 300)) == [300, -300] == held(hedger(adjusted, 300))


def run(kind: str, **engine: Any) -> RunConfig:
    place = venue("x", [BTC_SPOT, BTC], liquidation={"kind": kind})
    place["engine"] |= engine
    people = [{"kind": "liquidators", "count": 2, "venue": "x"}]
    plain = config(place, steps=3).model_dump(mode="json")
    return RunConfig.model_validate(plain | {"name": "switches", "seed": 1, "populations": people})


@pytest.mark.parametrize("kind", ["full", "fraction"])
def test_liquidators_without_an_auction_are_told_of(kind: str) -> None:
    (line,) = find_idle_settings(run(kind))
    assert line.startswith("populations.0: 'liquidators' bid for lots that an auction has on offer")
    assert "venues.0.liquidation.kind to auction" in line
    assert find_idle_settings(run("auction")) == []


def test_delta_adjusted_without_anything_to_hedge_in_one_account_is_told_of() -> None:
    adjusted = {"valuation": {"kind": "delta_adjusted"}}
    assert find_idle_settings(run("auction", **adjusted)) == []
    (line,) = find_idle_settings(run("auction", **adjusted, netting={"kind": "isolated"}))
    assert line.startswith("venues.0.engine.valuation: 'delta_adjusted' cuts spot less")


def test_the_command_line_says_so_before_the_run(tmp_path: Any) -> None:
    args = [
        "run",
        "crash_2008",
        "--quick",
        "--quiet",
        "duration=600",
        "venues.0.liquidation={kind: full}",
    ]
    done = CliRunner().invoke(
        app.app, [*args, "populations.0.count=5", "--out", str(tmp_path / "r")]
    )
    assert done.exit_code == 0, done.output
    assert "'liquidators' bid for lots that an auction has on offer" in done.stderr

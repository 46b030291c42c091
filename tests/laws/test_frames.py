"""Frames: what is counted stands in one row, so that sums over a frame are the market's totals."""

import numpy as np
import pandas as pd
import pytest
from markets import BTC, ETH, Hostile, build, config, move, venue

from sim.market import Market
from sim.metrics import overview
from sim.metrics.venues import join_venue, select_venues

STEPS = 40
FLOWS = ("shortfall", "deposits", "withdrawals", "calls", "calls_met", "calls_missed")
LEVELS = ("fund", "equity", "initial", "maintenance")


@pytest.fixture(scope="module", params=["cross", "isolated"])
def market(request: pytest.FixtureRequest) -> Market:
    """Run two venues of two perpetuals in a fall that ruins many, with calls and capital flows."""
    rules = {
        "netting": {"kind": request.param},
        "calls": {"response_probability": 0.7, "delay": 60.0},
    }
    rules |= {"waterfall": [{"kind": "fund"}, {"kind": "adl_queue"}]}
    names = [{**BTC, "name": "BTC-Y"}, {**ETH, "name": "ETH-Y"}]
    places = [venue("x", [BTC, ETH], **rules), venue("y", names, **rules)]
    falls = [move(15, -0.15, duration=300.0), move(28, 0.2)]
    crowd = {
        "kind": "traders",
        "count": 60,
        "wealth": 1000.0,
        "initial_entry_share": 0.9,
        "warm_up": 300.0,
        "leverage": 15.0,
    }
    crowd |= {"elasticity": 1.0, "entries_per_day": 300.0, "holding_time": 300.0}
    crowd["capital"] = {
        "margin_buffer": 0.5,
        "reaction": 60.0,
        "withdrawal_threshold": 1.01,
        "withdrawal_time": 30.0,
    }
    people = [Hostile(count=8, venue="x", wealth=500.0)]
    for place in "xy":
        people.append(
            {"kind": "insurance_fund", "name": f"fund_{place}", "venue": place, "wealth": 1000.0}
        )
        people.append(
            {
                "kind": "makers",
                "name": f"makers_{place}",
                "count": 2,
                "venue": place,
                "wealth": 20_000.0,
            }
        )
        people.append(crowd | {"name": f"traders_{place}", "venue": place})
    process = {"kind": "gbm", "volatility": 1.5}
    made = build(config(*places, steps=STEPS, process=process, stresses=falls), people, seed=5)
    while made.tick < STEPS:
        made.step()
    made.recorder.record_accounts("end")
    return made


@pytest.fixture(scope="module")
def frames(market: Market) -> dict[str, pd.DataFrame]:
    return market.recorder.frames()


def test_flows_of_venues_add_up_to_the_market(
    market: Market, frames: dict[str, pd.DataFrame]
) -> None:
    total, losses = frames["venues"][list(FLOWS)].sum(), frames["losses"]
    first = losses.drop_duplicates(["step", "venue", "pool", "owner"])
    assert total["shortfall"] == first["shortfall"].sum() == losses["absorbed"].sum() > 0
    assert min(first.groupby("venue")["shortfall"].sum().reindex(["x", "y"])) > 0, "at both venues"
    assert min(total[["deposits", "withdrawals", "calls", "calls_met", "calls_missed"]]) > 0
    cash = frames["accounts"].query("moment == 'start'")["equity"].sum()
    brought = -int(market.ledger.balance[0, :, market.state.external_owner].sum()) - cash
    assert total["deposits"] - total["withdrawals"] == brought
    for place in market.venues:
        flows = frames["venues"].query("venue == @place.config.name")
        paid = flows["deposits"].sum() - flows["withdrawals"].sum()
        assert place.net_paid_in.sum() == paid != 0
    summary = market.recorder.summary()
    for name in ("shortfall", "calls", "calls_met", "calls_missed"):
        assert total[name] == summary[name]
    assert frames["market"]["rounds"].sum() == summary["rounds"] > 0


def test_flows_of_instruments_add_up_to_the_events(frames: dict[str, pd.DataFrame]) -> None:
    steps, closeouts, losses = frames["steps"], frames["closeouts"], frames["losses"]
    by_name = closeouts.groupby("instrument")[["filled", "notional"]].sum()
    reported = (
        steps.groupby("instrument")[["liquidated", "liquidated_notional"]]
        .sum()
        .reindex(by_name.index)
    )
    assert (by_name.to_numpy() == reported.to_numpy()).all()
    assert steps["closeouts"].sum() == len(closeouts)
    adl = losses[losses["layer"].str.startswith("adl")]
    assert steps["adl_notional"].sum() == adl["notional"].sum() > 0
    assert steps["adl"].sum() == adl["lots"].sum()


def test_levels_are_those_of_the_ledger(market: Market, frames: dict[str, pd.DataFrame]) -> None:
    """Levels of accounts at their moments, wallets once, and of venues after the last step."""
    everyone = market.state.account_view(slice(0, market.state.external_owner))
    end, last = (
        frames["accounts"].query("moment == 'end'"),
        frames["venues"].query(f"step == {STEPS}"),
    )
    assert end["equity"].sum() == everyone.equity.sum()
    assert end["wallet"].sum() == everyone.wallet.sum()
    assert not end.duplicated(["venue", "pool", "owner"]).any()
    margined = end.groupby("venue")[["equity", "initial", "maintenance"]].sum()
    assert (last.set_index("venue")[["equity", "initial", "maintenance"]] == margined).all(
        axis=None
    )
    for place in "xy":
        funds = end[(end["population"] == f"fund_{place}") & (end["venue"] == place)]
        assert last.set_index("venue").loc[place, "fund"] == funds["equity"].sum()


def test_the_opening_is_the_first_row_of_each_venue(frames: dict[str, pd.DataFrame]) -> None:
    reported = frames["venues"]
    opening = reported.query("step == 0").set_index("venue")
    assert reported.groupby("venue")["step"].apply(list).tolist() == [list(range(STEPS + 1))] * 2
    assert opening["fund"].tolist() == [1000_00, 1000_00]
    assert overview.compare_funds(frames)[0] == 2000_00, "what the file gives both funds"
    assert not opening[list(FLOWS)].any(axis=None)


def test_no_amount_of_an_instrument_is_repeated_on_another(frames: dict[str, pd.DataFrame]) -> None:
    """Counts and payments that are not all zero differ between two instruments of one venue."""
    steps = frames["steps"]
    wide = steps.pivot(index="step", columns="instrument")
    numbers = steps.select_dtypes(["int64", "float64"]).columns.difference(
        ["step", "seconds", "index", "exogenous"]
    )
    assert not set(numbers) & {*FLOWS, *LEVELS, "rounds"}
    for name in numbers:
        for pair in (("BTC-PERP", "ETH-PERP"), ("BTC-Y", "ETH-Y")):
            one, two = (wide[name][each].fillna(0) for each in pair)
            assert not one.any() or not np.array_equal(one, two), name


def test_results_of_earlier_versions_are_read(frames: dict[str, pd.DataFrame]) -> None:
    """Their `steps` repeated the venue's columns on the row of every instrument."""
    old = {
        "steps": frames["steps"].merge(
            frames["venues"].drop(columns="seconds"), on=["step", "venue"]
        )
    }
    assert select_venues(old)["shortfall"].sum() == frames["venues"]["shortfall"].sum()
    own = frames["steps"].query("instrument == 'ETH-Y'")
    known = join_venue(own, frames, ["equity"])
    assert (
        known["equity"].tolist()
        == frames["venues"].query("venue == 'y' and step > 0")["equity"].tolist()
    )
    assert join_venue(old["steps"].query("instrument == 'ETH-Y'"), old, ["equity"])[
        "equity"
    ].tolist() == list(known["equity"])
    assert known.index.tolist() == own.index.tolist()

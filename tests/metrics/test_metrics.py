"""Metrics on frames small enough to work by hand."""

import numpy as np
import pandas as pd
import pytest

from sim.metrics import overview
from sim.metrics.cascades import measure_amplification, measure_fall
from sim.metrics.losses import sum_adl_lots, sum_by_layer, sum_system_loss
from sim.metrics.overview import (
    compare_funds,
    compare_wealth,
    count_margin_calls,
    count_one_sided,
    find_deepest_fall,
    find_largest_basis,
    find_largest_feedback,
    find_peak_open_interest,
    find_worst_step,
    measure_liquidity,
    measure_margin_return,
    select_perpetuals,
    sum_close_outs,
    sum_losses_by_payer,
)


def run(marks: list[float]) -> dict[str, pd.DataFrame]:
    count = len(marks)
    steps = {
        "step": range(1, count + 1),
        "instrument": "P",
        "mark": marks,
        "adl": [0, 3, 0, 4][:count],
    }
    losses = {"layer": ["fund", "adl_queue", "fund", "bad_debt"], "absorbed": [5, 7, 1, 2]}
    return {"steps": pd.DataFrame(steps), "losses": pd.DataFrame(losses)}


def test_the_fall_is_from_the_mark_before_to_the_lowest() -> None:
    assert measure_fall(run([100.0, 90.0, 81.0, 95.0]), "P", 2) == pytest.approx(2 * np.log(0.9))


def test_amplification_is_against_the_twin() -> None:
    assert measure_amplification(
        run([100.0, 90.0, 81.0, 95.0]), run([100.0, 95.0, 90.0, 90.0]), "P", 2
    ) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("instrument", "since", "message"),
    [
        ("Q", 2, "'Q' is not one of P"),
        ("P", 1, "since: 1, 'P' has no marks at it and"),
        ("P", 9, "since: 9, 'P' has no marks at it and"),
    ],
)
def test_what_is_not_there_is_named(instrument: str, since: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_fall(run([100.0, 90.0, 81.0, 95.0]), instrument, since)


def test_losses_add_up_by_layer_and_in_lots() -> None:
    frames = run([100.0, 90.0, 81.0, 95.0])
    assert sum_by_layer(frames) == {"adl_queue": 7, "bad_debt": 2, "fund": 6}
    assert sum_system_loss(frames) == sum(sum_by_layer(frames).values()) == 15
    assert sum_adl_lots(frames) == 7


def venue() -> dict[str, pd.DataFrame]:
    """Two perpetuals and a spot at one venue, two steps."""
    steps = {"step": [1, 1, 1, 2, 2, 2], "venue": "V", "instrument": ["P", "Q", "S"] * 2}
    steps |= {
        "kind": ["perpetual", "perpetual", "spot"] * 2,
        "oracle": 100.0,
        "index": 100.0,
        "gross": [60, 40, 9] * 2,
    }
    steps |= {
        "mark": [100.0, 102.0, 100.0, 95.0, 98.0, 50.0],
        "fallback": [False, True, True, False, False, True],
    }
    steps |= {
        "feedback": [0.5, np.nan, np.nan, 0.2, 0.7, np.nan],
        "liquidated_notional": [3, 4, 0, 5, 0, 0],
    }
    steps |= {"adl_notional": [0, 0, 0, 2, 1, 0]}
    reported = {"step": [0, 1, 2], "venue": "V", "fund": [90, 70, 40]}
    reported |= {"calls": [0, 2, 2], "calls_met": [0, 1, 1], "calls_missed": 0}
    ends = {"step": [1, 1, 2], "venue": "V", "pool": 0, "owner": [5, 5, 6]}
    closeouts = ends | {"filled": [3, 0, 2], "notional": [30, 0, 20], "equity": [8.0, 2.0, 4.0]}
    losses = {
        "step": 1,
        "venue": "V",
        "pool": 0,
        "owner": 5,
        "layer": ["fund", "bad_debt"],
        "absorbed": [9, 1],
    }
    frames = {"steps": steps, "venues": reported, "closeouts": closeouts, "losses": losses}
    return {name: pd.DataFrame(each) for name, each in frames.items()}


def test_worst_moves_are_those_of_perpetuals() -> None:
    frames = venue()
    assert set(select_perpetuals(frames)["instrument"]) == {"P", "Q"}
    assert find_deepest_fall(frames, "mark") == (pytest.approx(-0.05), "P", 2)
    assert find_largest_basis(frames) == (pytest.approx(-0.05), "P", 2)
    frames["steps"]["mark"] = np.nan
    assert find_deepest_fall(frames, "mark") is None


def test_totals_count_venues_once() -> None:
    frames = venue()
    assert compare_funds(frames) == (90, 40)
    assert count_margin_calls(frames) == {"made": 4, "met": 2, "missed": 0}
    assert count_one_sided(frames) == (1, 2)
    assert find_peak_open_interest(frames) == 50


def test_the_worst_of_all_instruments_together() -> None:
    frames = venue()
    assert find_worst_step(frames) == (7, "", 1)
    assert find_largest_feedback(frames) == (0.7, "Q", 2)
    assert overview.sum_adl_notional(frames) == 3
    frames["steps"]["liquidated_notional"] = 0
    assert find_worst_step(frames) is None


def test_wealth_counts_a_wallet_once_and_only_beside_separate_accounts() -> None:
    """Owner 0 has one account with its wallet; owner 1 has two and a wallet (2); the fund has 0."""
    rows = [
        ("a", 0, 0, 10, 10, 7),
        ("a", 1, 0, 5, 3, 4),
        ("a", 1, 1, 6, 3, 4),
        ("fund", 2, 0, 2, 2, 0),
    ]
    rows.append(("a", 1, 2, 3, 3, 3))
    columns = ["population", "owner", "pool", "equity", "wallet", "end"]
    start = pd.DataFrame(rows, columns=columns).assign(moment="start", venue="V")
    end = start.assign(moment="end", equity=start["end"])
    frames = {"accounts": pd.concat([start, end])}
    assert compare_wealth(frames) == {"a": (10 + 5 + 6 + 3, 7 + 4 + 4 + 3), "fund": (2, 0)}


def test_close_outs_that_filled_and_who_paid() -> None:
    frames = venue()
    assert sum_close_outs(frames) == {"count": 2, "owners": 2, "notional": 50}
    assert sum_losses_by_payer(frames) == {"own margin": 8, "fund": 9, "bad_debt": 1}
    assert sum_losses_by_payer(frames | {"losses": frames["losses"].iloc[:0]}) == {"own margin": 0}


def test_liquidity_is_per_side_and_turnover_per_day() -> None:
    """Half a day in which 30 lots trade, at open interest of 20: 3 times a day."""
    steps = pd.DataFrame(
        {
            "kind": ["perpetual", "perpetual", "spot"],
            "instrument": ["P", "P", "S"],
            "seconds": [21_600, 43_200, 43_200],
            "open_interest": [10, 30, 0],
            "volume": [5, 25, 99],
            "depth_near": [1.0, 2.0, 9.0],
            "depth": [10.0, 30.0, 9.0],
        }
    )
    assert measure_liquidity({"steps": steps}) == {"P": (1.5, 20.0, 20.0, 3.0)}
    steps["open_interest"] = 0
    assert np.isnan(measure_liquidity({"steps": steps})["P"].turnover)


def test_return_on_margin_leaves_out_capital_that_came() -> None:
    """100 becomes 150 of which 20 came: 30 on margin of 15 on average, of a and b together."""
    accounts = pd.DataFrame(
        {
            "moment": ["start", "start", "start", "end"],
            "population": ["a", "b", "c", "a"],
            "equity": [60, 40, 7, 999],
        }
    )
    readings = pd.DataFrame(
        {
            "step": [10, 10, 10, 20, 20, 20],
            "population": ["a", "b", "c"] * 2,
            "equity": [61, 41, 7, 100, 50, 8],
            "initial": [4, 6, 1, 12, 8, 0],
            "net_paid_in": [0, 0, 0, 25, -5, 0],
        }
    )
    frames = {"accounts": accounts, "populations": readings}
    assert measure_margin_return(frames, ["a", "b"]) == (30.0, 15.0, 2.0)
    assert measure_margin_return(frames, ["c"]) == (1.0, 0.5, 2.0)
    assert np.isnan(measure_margin_return(frames, ["d"]).share)
    older = frames | {"populations": readings.drop(columns="net_paid_in")}
    assert np.isnan(measure_margin_return(older, ["a"]).share)

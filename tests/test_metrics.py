"""Metrics on frames small enough to work by hand."""

import numpy as np
import pandas as pd
import pytest

from sim.metrics import overview
from sim.metrics.cascades import amplification, fall
from sim.metrics.losses import by_layer, deleveraged, system_loss
from sim.metrics.overview import (
    calls,
    closed_out,
    deepest_fall,
    fund,
    largest_basis,
    largest_feedback,
    one_sided,
    peak_open_interest,
    perpetuals,
    wealth,
    who_paid,
    worst_step,
)


def run(marks: list[float]) -> dict[str, pd.DataFrame]:
    count = len(marks)
    steps = {"step": range(1, count + 1), "instrument": "P", "mark": marks, "adl": [0, 3, 0, 4][:count]}
    losses = {"layer": ["fund", "adl_queue", "fund", "bad_debt"], "absorbed": [5, 7, 1, 2]}
    return {"steps": pd.DataFrame(steps), "losses": pd.DataFrame(losses)}


def test_the_fall_is_from_the_mark_before_to_the_lowest() -> None:
    assert fall(run([100.0, 90.0, 81.0, 95.0]), "P", 2) == pytest.approx(2 * np.log(0.9))


def test_amplification_is_against_the_twin() -> None:
    assert amplification(run([100.0, 90.0, 81.0, 95.0]), run([100.0, 95.0, 90.0, 90.0]), "P", 2) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("instrument", "since", "told"),
    [
        ("Q", 2, "'Q' is not one of P"),
        ("P", 1, "since: 1, 'P' has no marks at it and"),
        ("P", 9, "since: 9, 'P' has no marks at it and"),
    ],
)
def test_what_is_not_there_is_named(instrument: str, since: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fall(run([100.0, 90.0, 81.0, 95.0]), instrument, since)


def test_losses_add_up_by_layer_and_in_lots() -> None:
    frames = run([100.0, 90.0, 81.0, 95.0])
    assert by_layer(frames) == {"adl_queue": 7, "bad_debt": 2, "fund": 6}
    assert system_loss(frames) == sum(by_layer(frames).values()) == 15
    assert deleveraged(frames) == 7


def venue() -> dict[str, pd.DataFrame]:
    """Two perpetuals and a spot at one venue, two steps."""
    steps = {"step": [1, 1, 1, 2, 2, 2], "venue": "V", "instrument": ["P", "Q", "S"] * 2}
    steps |= {"kind": ["perpetual", "perpetual", "spot"] * 2, "oracle": 100.0, "index": 100.0, "gross": [60, 40, 9] * 2}
    steps |= {"mark": [100.0, 102.0, 100.0, 95.0, 98.0, 50.0], "fallback": [False, True, True, False, False, True]}
    steps |= {"feedback": [0.5, np.nan, np.nan, 0.2, 0.7, np.nan], "liquidated_notional": [3, 4, 0, 5, 0, 0]}
    steps |= {"adl_notional": [0, 0, 0, 2, 1, 0]}
    told = {"step": [0, 1, 2], "venue": "V", "fund": [90, 70, 40]}
    told |= {"calls": [0, 2, 2], "calls_met": [0, 1, 1], "calls_missed": 0}
    ends = {"step": [1, 1, 2], "venue": "V", "pool": 0, "owner": [5, 5, 6]}
    closeouts = ends | {"filled": [3, 0, 2], "notional": [30, 0, 20], "equity": [8.0, 2.0, 4.0]}
    losses = {"step": 1, "venue": "V", "pool": 0, "owner": 5, "layer": ["fund", "bad_debt"], "absorbed": [9, 1]}
    frames = {"steps": steps, "venues": told, "closeouts": closeouts, "losses": losses}
    return {name: pd.DataFrame(each) for name, each in frames.items()}


def test_worst_moves_are_those_of_perpetuals() -> None:
    frames = venue()
    assert set(perpetuals(frames)["instrument"]) == {"P", "Q"}
    assert deepest_fall(frames, "mark") == (pytest.approx(-0.05), "P", 2)
    assert largest_basis(frames) == (pytest.approx(-0.05), "P", 2)
    frames["steps"]["mark"] = np.nan
    assert deepest_fall(frames, "mark") is None


def test_totals_count_venues_once() -> None:
    frames = venue()
    assert fund(frames) == (90, 40)
    assert calls(frames) == {"made": 4, "met": 2, "missed": 0}
    assert one_sided(frames) == (1, 2)
    assert peak_open_interest(frames) == 50


def test_the_worst_of_all_instruments_together() -> None:
    frames = venue()
    assert worst_step(frames) == (7, "", 1)
    assert largest_feedback(frames) == (0.7, "Q", 2)
    assert overview.deleveraged_notional(frames) == 3
    frames["steps"]["liquidated_notional"] = 0
    assert worst_step(frames) is None


def test_wealth_counts_a_wallet_once_and_only_beside_separate_accounts() -> None:
    """Owner 0 has one account, whose wallet it is; owner 1 has two and a wallet (2); the fund ends with nothing."""
    rows = [("a", 0, 0, 10, 10, 7), ("a", 1, 0, 5, 3, 4), ("a", 1, 1, 6, 3, 4), ("fund", 2, 0, 2, 2, 0)]
    rows.append(("a", 1, 2, 3, 3, 3))
    columns = ["population", "owner", "pool", "equity", "wallet", "end"]
    start = pd.DataFrame(rows, columns=columns).assign(moment="start", venue="V")
    end = start.assign(moment="end", equity=start["end"])
    frames = {"accounts": pd.concat([start, end])}
    assert wealth(frames) == {"a": (10 + 5 + 6 + 3, 7 + 4 + 4 + 3), "fund": (2, 0)}


def test_close_outs_that_filled_and_who_paid() -> None:
    frames = venue()
    assert closed_out(frames) == {"count": 2, "owners": 2, "notional": 50}
    assert who_paid(frames) == {"own margin": 8, "fund": 9, "bad_debt": 1}
    assert who_paid(frames | {"losses": frames["losses"].iloc[:0]}) == {"own margin": 0}

"""What a shock took, on frames small enough to work by hand."""

import numpy as np
import pandas as pd
import pytest

from sim.metrics.cascades import Frames, amplification, fall, untouched
from sim.metrics.toll import toll

MARKS = [100.0, 90.0, 81.0, 70.0]


def venue(*, other: str = "spot") -> Frames:
    """Four steps of a perpetual, 50 lots open at the first, and of another instrument beside it."""
    own = {"step": [1, 2, 3, 4], "mark": MARKS, "open_interest": [50, 40, 20, 20], "gross": [10_000, 1, 1, 1]}
    own |= {"liquidated": [3, 10, 5, 1], "adl": [9, 0, 20, 2], "venue": "V", "instrument": "P", "kind": "perpetual"}
    beside = {name: value for name, value in own.items() if name != "mark"} | {"mark": 1.0}
    beside |= {"instrument": "S", "kind": other}
    losses = {
        "step": [1, 2, 3, 3, 4, 3],
        "venue": ["V", "V", "V", "V", "V", "W"],
        "layer": ["fund", "fund", "fund", "adl_queue", "bad_debt", "fund"],
        "lots": [8, 5, 10, 20, 0, 99],
        "absorbed": [7, 50, 25, 100, 75, 999],
    }
    closeouts = {"step": [1, 2, 3, 3], "venue": "V", "route": ["auction", "book", "auction", "auction"]}
    closeouts |= {"filled": [3, 10, 4, 1]}
    steps = pd.concat([pd.DataFrame(own), pd.DataFrame(beside)], ignore_index=True)
    return {"steps": steps, "losses": pd.DataFrame(losses), "closeouts": pd.DataFrame(closeouts)}


def test_shares_are_of_what_was_open_before() -> None:
    found = toll(venue(), "P", 2)
    assert found.closed_out == pytest.approx(16 / 50)
    assert found.auctioned == pytest.approx(5 / 50)
    assert found.deleveraged == pytest.approx(22 / 50)
    assert (found.taken_over, found.take_overs) == (pytest.approx(15 / 50), 2)
    assert found.bad_debt == pytest.approx(75 / 5_000)
    assert found.system_loss == pytest.approx(250 / 5_000)


def test_a_window_ends() -> None:
    found = toll(venue(), "P", 2, 2)
    assert (found.closed_out, found.deleveraged, found.take_overs) == (pytest.approx(10 / 50), 0, 1)
    assert found.system_loss == pytest.approx(50 / 5_000)
    assert fall(venue(), "P", 2, 3) == pytest.approx(np.log(0.81))


def test_amplification_of_a_window() -> None:
    twin = venue()
    twin["steps"].loc[:3, "mark"] = [100.0, 95.0, 90.0, 60.0]
    assert amplification(venue(), twin, "P", 2, 3) == pytest.approx(np.log(0.81) / np.log(0.9))
    assert amplification(venue(), twin, "P", 2) == pytest.approx(np.log(0.7) / np.log(0.6))


def test_a_twin_that_does_not_fall_is_no_measure() -> None:
    twin = venue()
    twin["steps"].loc[:3, "mark"] = [100.0, 101.0, 102.0, 103.0]
    with pytest.raises(ValueError, match="does not fall from step 2 on in the twin"):
        amplification(venue(), twin, "P", 2)


@pytest.mark.parametrize(
    ("instrument", "since", "told"),
    [("Q", 2, "is not one of P"), ("P", 1, "no step before"), ("P", 9, "no step before")],
)
def test_what_is_not_there_is_named(instrument: str, since: int, told: str) -> None:
    with pytest.raises(ValueError, match=f"'{instrument}' .*{told}|'{instrument}' {told}"):
        toll(venue(), instrument, since)


def test_lots_of_two_perpetuals_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="'V' lists P, S"):
        toll(venue(other="perpetual"), "P", 2)


def test_nothing_open_has_no_shares() -> None:
    frames = venue()
    frames["steps"]["open_interest"] = 0
    with pytest.raises(ValueError, match="no open interest at step 1"):
        toll(frames, "P", 2)


def test_a_run_without_close_outs_and_losses_is_its_own_twin() -> None:
    frames = venue()
    assert not untouched(frames)
    assert not untouched(frames | {"closeouts": frames["closeouts"].iloc[:0]})
    assert untouched({"closeouts": frames["closeouts"].iloc[:0], "losses": frames["losses"].iloc[:0]})

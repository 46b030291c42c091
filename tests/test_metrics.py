"""Metrics on frames small enough to work by hand."""

import numpy as np
import pandas as pd
import pytest

from sim.metrics.cascades import amplification, fall
from sim.metrics.losses import by_layer, deleveraged, system_loss


def run(marks: list[float]) -> dict[str, pd.DataFrame]:
    count = len(marks)
    steps = {"step": range(1, count + 1), "instrument": "P", "mark": marks, "adl": [0, 3, 0, 4][:count]}
    losses = {"layer": ["fund", "adl_queue", "fund", "bad_debt"], "absorbed": [5, 7, 1, 2]}
    return {"steps": pd.DataFrame(steps), "losses": pd.DataFrame(losses)}


def test_the_fall_is_from_the_mark_before_to_the_lowest() -> None:
    assert fall(run([100.0, 90.0, 81.0, 95.0]), "P", 2) == pytest.approx(2 * np.log(0.9))


def test_amplification_is_against_the_twin() -> None:
    assert amplification(run([100.0, 90.0, 81.0, 95.0]), run([100.0, 95.0, 90.0, 90.0]), "P", 2) == pytest.approx(2.0)


@pytest.mark.parametrize(("instrument", "since"), [("Q", 2), ("P", 1), ("P", 9)])
def test_what_is_not_there_is_named(instrument: str, since: int) -> None:
    with pytest.raises(ValueError, match=f"{instrument}.*no marks at steps {since - 1} and {since}"):
        fall(run([100.0, 90.0, 81.0, 95.0]), instrument, since)


def test_losses_add_up_by_layer_and_in_lots() -> None:
    frames = run([100.0, 90.0, 81.0, 95.0])
    assert by_layer(frames) == {"adl_queue": 7, "bad_debt": 2, "fund": 6}
    assert system_loss(frames) == sum(by_layer(frames).values()) == 15
    assert deleveraged(frames) == 7

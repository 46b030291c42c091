"""LIQ-6: what attribution owes to the order in which a round's close-outs are matched.

The same crashes with close-outs in the policy's order (most distressed first) and in drawn order.
Causes are shares of the harm done to the accounts acted on; the table is printed:
``pytest -m slow -rP``.
"""

import numpy as np
import pandas as pd
import pytest
from papers import crash

SEEDS = range(8)


def harm(seed: int, shuffled: bool) -> pd.Series:
    """Share of each kind of event in the harm to acted accounts."""
    causes = crash.run(
        crash.market(seed, crash.config(shuffle_closeouts=shuffled))
    ).recorder.frames()["causes"]
    worse = causes[causes.amount < 0].groupby("kind").amount.sum()
    return worse / worse.sum()


@pytest.mark.slow
def test_attribution_by_kind_hardly_depends_on_the_order_within_a_round() -> None:
    shares = {
        order: pd.DataFrame([harm(s, order) for s in SEEDS]).fillna(0) for order in (False, True)
    }
    table = pd.DataFrame({"by distress": shares[False].mean(), "drawn": shares[True].mean()})
    gap = (shares[True] - shares[False]).fillna(0)
    table["mean abs. difference"], table["largest"] = gap.abs().mean(), gap.abs().max()
    print(table.round(4).to_string())
    assert np.isclose(table["by distress"].sum(), 1)
    assert table.loc["close_out", "by distress"] > 0.05
    assert table["mean abs. difference"].max() < 0.05

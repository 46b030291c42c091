"""BOOK-2: makers with slow quotes are picked off, and by how much; printed by ``-m slow -rP``.

Pairs of runs of the baseline, four hours with a fifth of the noise, that differ in one field:
makers send a ladder every step, before takers do, or every ten minutes. The loss is the oracle's
move against a quote that traded since it was sent. At the mark there is none, because the mark
follows the trades, and these are at stale quotes.
"""

from functools import partial

import pandas as pd
import pytest
from papers import calm, picked_off

from experiments.statistics import estimate_mean

SEEDS = range(6)
SLOW = tuple(f"populations.{makers}.refresh_time=600" for makers in (5, 6))


def table(runs: pd.DataFrame, title: str) -> str:
    lines = [f"{title}: mean of {len(runs)} seeds [95% interval]"]
    for name in runs:
        found = estimate_mean(runs[name].to_numpy())
        lines.append(f"{name:20}{found.mean:12.4g} [{found.low:.4g}, {found.high:.4g}]")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def pairs() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Figures by seed with fresh and with slow quotes."""
    fresh, slow = (calm.over_seeds(partial(picked_off.figures, how), SEEDS) for how in ((), SLOW))
    for runs, title in ((fresh, "fresh"), (slow, "slow"), (slow - fresh, "slow less fresh")):
        print(table(runs, title))
    return fresh, slow


@pytest.mark.slow
def test_slow_quotes_are_picked_off(pairs: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Slow quotes lose to the index, mostly through arbitrageurs, who trade more with makers.

    The remaining gain is reported: arbitrageurs take what stands far from the oracle, so slow
        quotes that trade had a larger spread.
    """
    fresh, slow = pairs
    assert (fresh["moved"] == 0).all(), "quotes sent first in every step are never late"
    lost, to_arbitrageurs = (
        estimate_mean(slow[name].to_numpy()) for name in ("moved", "to_arbitrageurs")
    )
    assert lost.high < 0
    assert to_arbitrageurs.high < 0
    assert to_arbitrageurs.mean < 0.5 * lost.mean
    assert estimate_mean((slow["their_volume"] - fresh["their_volume"]).to_numpy()).low > 0

"""Impact of an order worked over 60 steps, against its size; concave with latent liquidity.

In the baseline makers quote about the oracle with more capital than an order uses up. Impact then
comes from their inventory and the basis they learn, and no exponent below one is expected. Toth et
al. (2011) reason from another market: makers hold little, nearly all liquidity is latent, and the
price has eaten what was nearest to it. ``LATENT`` is that market: makers of $100,000 each who hold
no more than that, and slow traders with thousands of times as much. The exponent is required to be
below one there, and only there. ``THIN`` is the same market without them. Every size has the same
twin. Printed by ``-m slow -rP``.
"""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from papers import calm, impacts

from sim.metrics.impact import ImpactExponent, estimate_impact_exponent

SEEDS = range(8)
SIZES = (2_000, 8_000, 32_000)
"""Lots; $1m to $16m."""

SMALL = tuple(
    f"populations.{makers}.{field}"
    for makers in (5, 6)
    for field in ("wealth=100_000", "max_inventory=1")
)

BASELINE = impacts.Setup()
THIN = impacts.Setup(SMALL)
LATENT = impacts.Setup(SMALL, {"count": 2000, "wealth": 250_000})


def measured(setup: impacts.Setup, name: str) -> tuple[ImpactExponent, pd.DataFrame]:
    """The exponent over all seeds, printed, and the runs it comes from."""
    runs = calm.over_seeds(partial(impacts.impacts, setup, SIZES), SEEDS)
    found = estimate_impact_exponent(
        np.array(SIZES, dtype=np.float64), runs[[str(size) for size in SIZES]].to_numpy()
    )
    print(
        f"{name}: exponent {found.value:.2f} [{found.low:.2f}, {found.high:.2f}], {len(runs)} seeds"
    )
    for size in SIZES:
        moved, filled = 1e4 * runs[str(size)].mean(), runs[f"filled_{size}"].mean()
        print(f"  {size:6} lots: {moved:6.1f} bp, {filled:.0%} filled")
    return found, runs


@pytest.mark.slow
def test_impact_of_the_baseline_has_an_exponent() -> None:
    found, runs = measured(BASELINE, "baseline")
    assert 0 < found.low <= found.value <= found.high < np.inf
    assert (runs[[f"filled_{size}" for size in SIZES]] == 1).all(axis=None)


@pytest.mark.slow
def test_impact_is_concave_where_latent_liquidity_outweighs_makers() -> None:
    measured(THIN, "small makers")
    found, runs = measured(LATENT, "small makers and latent liquidity")
    assert found.high < 1
    assert (runs[[f"filled_{size}" for size in SIZES]] == 1).all(axis=None)

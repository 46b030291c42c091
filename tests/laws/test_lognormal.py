"""Risk factors of lognormal prices: the closed form, its integral, and a figure of Vega's own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from sim.margin.tiers.lognormal import compute_risk_factors

VEGA = {"level": 1e-6, "horizon": 0.1}
"""Risk aversion 0.000001, tau 0.1, mu 0, sigma 1: the setting of vega's published risk factors."""


def by_integral(level: float, horizon: float, sigma: float, drift: float) -> tuple[float, float]:
    """Expected shortfall of one unit long and short, integrated over the tails."""
    spread, mean = sigma * np.sqrt(horizon), (drift - sigma**2 / 2) * horizon
    tail = float(norm.ppf(level))

    def weighted(z: float) -> float:
        return float(np.exp(mean + spread * z) * norm.pdf(z))

    low, _ = quad(weighted, -40, tail, epsabs=0, epsrel=1e-11)
    high, _ = quad(weighted, -tail, 40, epsabs=0, epsrel=1e-11)
    return 1 - low / level, high / level - 1


def test_vega_prints_the_short_factor() -> None:
    """Vega prints a short factor of 3.55690359157934.

    Its 0.801225765 for the long differs from the integral, 0.8007282, which this code returns.
    """
    long, short = compute_risk_factors(sigma=np.array([1.0]), **VEGA)
    assert short[0] == pytest.approx(3.55690359157934, rel=1e-9)
    assert (long[0], short[0]) == pytest.approx(by_integral(**VEGA, sigma=1.0, drift=0.0), rel=1e-8)
    assert long[0] == pytest.approx(0.8007282, abs=1e-7)


@settings(max_examples=8, deadline=None)
@given(
    level=st.floats(1e-6, 0.2),
    days=st.floats(0.01, 30),
    sigma=st.floats(0.05, 3),
    drift=st.floats(-0.5, 0.5),
)
def test_closed_form_is_the_integral(level: float, days: float, sigma: float, drift: float) -> None:
    got = compute_risk_factors(level, days / 365, np.array([sigma]), drift)
    expected = by_integral(level, days / 365, sigma, drift)
    for factor, exact in zip(got, expected, strict=True):
        assert factor[0] == pytest.approx(exact, rel=1e-6, abs=1e-9)


@settings(max_examples=8, deadline=None)
@given(level=st.floats(1e-4, 0.1), sigma=st.floats(0.1, 2))
def test_longer_or_wilder_asks_more(level: float, sigma: float) -> None:
    day = compute_risk_factors(level, 1 / 365, np.array([sigma, 2 * sigma]))
    week = compute_risk_factors(level, 7 / 365, np.array([sigma]))
    for calm, long in zip(day, week, strict=True):
        assert calm[0] < calm[1]
        assert calm[0] < long[0]

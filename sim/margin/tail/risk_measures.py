"""Value at risk and expected shortfall: closed forms, and the tail of a sample.

Losses are positive; ``level`` is the confidence, 0.99 for a loss exceeded on one day in a hundred.
"""

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import chdtri, gammaln, ndtr, ndtri, stdtrit

from sim.numerics.jit import kernel
from sim.types import F8

Measure = Literal["var", "es"]
Convention = Literal["linear", "order"]

SOBOL_SEED = 1967
"""Seed of the scrambled Sobol points."""


class ReturnLaw(NamedTuple):
    """Standardised return law with mean zero and variance one: normal, or scaled Student's t."""

    df: float = math.inf  # degrees of freedom, above 2

    def quantile(self, u: F8) -> F8:
        """Return the quantile of the standardised return at probability u (standard deviations)."""
        return np.asarray(
            ndtri(u) if math.isinf(self.df) else stdtrit(self.df, u) * self._scale, dtype=np.float64
        )

    def value_at_risk(self, level: float) -> float:
        """Return the value at risk (standard deviations)."""
        return float(self.quantile(np.asarray(level)))

    def expected_shortfall(self, level: float) -> float:
        """Return the expected shortfall (standard deviations).

        Source: McNeil, Frey and Embrechts, Quantitative Risk Management, 2.2.4.
        """
        if math.isinf(self.df):
            return compute_normal_density(float(ndtri(level))) / (1 - level)
        q, df = float(stdtrit(self.df, level)), self.df
        half = (df + 1) / 2
        log_constant = gammaln(half) - gammaln(df / 2) - math.log(df * math.pi) / 2
        log_density = log_constant - half * math.log1p(q * q / df)
        density_over_tail = math.exp(log_density) / (1 - level)
        unscaled = density_over_tail * (df + q * q) / (df - 1)
        return float(unscaled) * self._scale

    def measure_tail(self, measure: Measure, level: float) -> float:
        """Return the value at risk or the expected shortfall (standard deviations)."""
        return self.value_at_risk(level) if measure == "var" else self.expected_shortfall(level)

    def generate_points(self, columns: int, count: int) -> F8:
        """Return uncorrelated outcomes with this joint law, (count, columns).

        They are the same at every call.
        """
        uniform = generate_sobol_points(count, columns + (not math.isinf(self.df)))
        normal = np.asarray(ndtri(uniform[:, :columns]), dtype=np.float64)
        if math.isinf(self.df):
            return normal
        # one shared mixing variable makes extreme outcomes coincide
        shared = chdtri(self.df, uniform[:, columns]) / self.df
        return normal / np.sqrt(shared)[:, None] * self._scale

    @property
    def _scale(self) -> float:
        return math.sqrt((self.df - 2) / self.df)


@lru_cache(maxsize=8)
def generate_sobol_points(count: int, columns: int) -> F8:
    """Return Sobol points in (0, 1), (count, columns), scrambled with a fixed seed."""
    from scipy.stats import qmc  # loading takes half a second, and only options need it

    points: F8 = qmc.Sobol(columns, scramble=True, rng=np.random.default_rng(SOBOL_SEED)).random(
        count
    )
    points.flags.writeable = False
    return points


def compute_normal_density(x: float) -> float:
    """Return the density of the standard normal law at x."""
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def compute_lognormal_var(mean: float, sigma: float, tail: float) -> float:
    """Return the value at risk of holding X = exp(mean + sigma Z) at zero cost.

    It is minus the quantile of X at ``tail``.
    """
    return -math.exp(mean + sigma * float(ndtri(tail)))


def compute_lognormal_es(mean: float, sigma: float, tail: float) -> float:
    """Return the expected shortfall of the same holding.

    It is minus the mean of X below that quantile.
    """
    return -math.exp(mean + sigma * sigma / 2) * float(ndtr(ndtri(tail) - sigma)) / tail


def compute_parametric_var(
    values: F8, volatilities: F8, correlation: F8, days: float, z: float
) -> tuple[float, float, float]:
    """Return the value at risk of a portfolio under joint normality.

    It is z times the standard deviation, scaled by the root of time.

    Args:
        values: (K,) money, signed.
        volatilities: (K,) of one day.
        correlation: (K, K).
        days: horizon.
        z: standard deviations.

    Returns:
        Standard deviation of one day; value at risk; the diversification benefit, which is the sum
            of the parts' values at risk less that of the portfolio.
    """
    spread = values * volatilities
    deviation = math.sqrt(float(spread @ correlation @ spread))
    root = z * math.sqrt(days)
    return deviation, root * deviation, root * (float(np.abs(spread).sum()) - deviation)


def compute_tail_weights(count: int, level: float, measure: Measure, convention: Convention) -> F8:
    """Return the weights of a sample's largest losses that form its tail, (m,), largest loss first.

    The weights sum to one. ``var`` depends on the convention: ``linear`` interpolates between order
    statistics at (n-1) level, as NumPy does by default (Hyndman and Fan's type 7). ``order`` is the
    ceil(n level)-th smallest loss. ``es`` is the mean of the worst n (1 - level) losses, the last
    in part (Acerbi and Tasche 2002); it is coherent and at least as large as either value at risk.

    Args:
        count: n, size of the sample.
        level: confidence.
        measure: var or es.
        convention: definition of var.
    """
    return weigh_sample_tail(count, float(level), measure == "es", convention == "order")


@kernel
def weigh_sample_tail(count: int, level: float, is_es: bool, is_order: bool) -> F8:
    """Return the weights of :func:`compute_tail_weights`."""
    if is_es:
        mass = count * (1 - level)
        if mass <= 1:
            return np.ones(1)
        ranks = np.arange(max(math.ceil(mass - 1e-9), 1))
        return np.minimum(np.maximum(mass - ranks, 0.0), 1.0) / mass
    if is_order:
        # float noise must not turn 495 into 496
        smallest = max(math.ceil(count * level - 1e-9), 1)
        weights = np.zeros(count - min(smallest, count) + 1)
        weights[-1] = 1.0
        return weights
    place = (count - 1) * level
    low = min(math.floor(place), count - 1)
    weights = np.zeros(count - low)
    weights[-1] = 1 - (place - low)
    if low + 1 < count:
        weights[-2] = place - low
    return weights


def measure_sample_tail(
    losses: F8, level: float, measure: Measure = "var", convention: Convention = "linear"
) -> float:
    """Return the tail of a sample of losses, (n,); a single loss is its own tail."""
    weights = compute_tail_weights(losses.size, level, measure, convention)
    return float(np.sort(losses)[::-1][: weights.size] @ weights)

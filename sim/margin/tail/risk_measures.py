"""Value at risk and expected shortfall: closed forms, and how a sample's tail is read.

Losses are positive; ``level`` is the confidence, .99 for a loss exceeded on one day in a hundred.
"""

import math
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from scipy.special import chdtri, gammaln, ndtr, ndtri, stdtrit

from sim.types import F8

Measure = Literal["var", "es"]
Convention = Literal["linear", "order"]

SOBOL_SEED = 1967
"""Of the scrambling of points."""


class ReturnLaw(NamedTuple):
    """Mean nil, variance one: normal, or Student's t scaled to it."""

    df: float = math.inf  # degrees of freedom, above 2

    def quantile(self, u: F8) -> F8:
        """Of outcomes, standard deviations."""
        return np.asarray(
            ndtri(u) if math.isinf(self.df) else stdtrit(self.df, u) * self._scale, dtype=np.float64
        )

    def value_at_risk(self, level: float) -> float:
        """Value at risk, standard deviations."""
        return float(self.quantile(np.asarray(level)))

    def expected_shortfall(self, level: float) -> float:
        """Expected shortfall, standard deviations (McNeil, Frey and Embrechts, Quantitative Risk Management, 2.2.4)."""
        if math.isinf(self.df):
            return compute_normal_density(float(ndtri(level))) / (1 - level)
        q, df = float(stdtrit(self.df, level)), self.df
        log_density = gammaln((df + 1) / 2) - gammaln(df / 2) - math.log(df * math.pi) / 2
        log_density -= (df + 1) / 2 * math.log1p(q * q / df)
        return float(math.exp(log_density) / (1 - level) * (df + q * q) / (df - 1)) * self._scale

    def measure_tail(self, measure: Measure, level: float) -> float:
        """The measure asked for, standard deviations."""
        return self.value_at_risk(level) if measure == "var" else self.expected_shortfall(level)

    def generate_points(self, columns: int, count: int) -> F8:
        """Uncorrelated outcomes of several quantities with this joint law, (count, columns), the same every time."""
        uniform = generate_sobol_points(count, columns + (not math.isinf(self.df)))
        normal = np.asarray(ndtri(uniform[:, :columns]), dtype=np.float64)
        if math.isinf(self.df):
            return normal
        shared = (
            chdtri(self.df, uniform[:, columns]) / self.df
        )  # one mixing variable makes the tails come together
        return normal / np.sqrt(shared)[:, None] * self._scale

    @property
    def _scale(self) -> float:
        return math.sqrt((self.df - 2) / self.df)


@lru_cache(maxsize=8)
def generate_sobol_points(count: int, columns: int) -> F8:
    """Sobol's points, scrambled once and for all, within (0, 1): (count, columns)."""
    from scipy.stats import qmc  # half a second to load, and only options need it

    points: F8 = qmc.Sobol(columns, scramble=True, rng=np.random.default_rng(SOBOL_SEED)).random(
        count
    )
    points.flags.writeable = False
    return points


def compute_normal_density(x: float) -> float:
    """Of the standard normal."""
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def compute_lognormal_var(mean: float, sigma: float, tail: float) -> float:
    """Of holding X = exp(mean + sigma Z), which costs nothing: minus its quantile at ``tail``."""
    return -math.exp(mean + sigma * float(ndtri(tail)))


def compute_lognormal_es(mean: float, sigma: float, tail: float) -> float:
    """Likewise minus the mean of X below that quantile."""
    return -math.exp(mean + sigma * sigma / 2) * float(ndtr(ndtri(tail) - sigma)) / tail


def compute_parametric_var(
    values: F8, volatilities: F8, correlation: F8, days: float, z: float
) -> tuple[float, float, float]:
    """Of a portfolio under joint normality: z times the standard deviation, by the root of time.

    Args:
        values: (K,) money, signed.
        volatilities: (K,) of one day.
        correlation: (K, K).
        days: horizon.
        z: standard deviations.

    Returns:
        Standard deviation of one day, value at risk, and what diversification saves of the sum of the parts' own.
    """
    spread = values * volatilities
    deviation = math.sqrt(float(spread @ correlation @ spread))
    root = z * math.sqrt(days)
    return deviation, root * deviation, root * (float(np.abs(spread).sum()) - deviation)


def compute_tail_weights(count: int, level: float, measure: Measure, convention: Convention) -> F8:
    """Weights of a sample's largest losses, largest first, that make its tail: (m,), summing to one.

    ``var`` by convention: ``linear`` interpolates between order statistics at (n-1) level, as NumPy does by default
    (Hyndman and Fan's type 7); ``order`` is the ceil(n level)-th smallest loss. ``es`` is the mean of the worst n (1 -
    level) losses, the last in part (Acerbi and Tasche 2002), which is coherent and no less than either of them.

    Args:
        count: n, size of the sample.
        level: confidence.
        measure: var or es.
        convention: how var is read.
    """
    if measure == "es":
        mass = count * (1 - level)
        ranks = np.arange(max(math.ceil(mass - 1e-9), 1))
        return np.clip(mass - ranks, 0.0, 1.0) / mass if mass > 1 else np.ones(1)
    if convention == "order":
        rank = count - min(
            max(math.ceil(count * level - 1e-9), 1), count
        )  # float dust must not make 495 into 496
        return np.append(np.zeros(rank), 1.0)
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
    """The tail of a sample of losses, (n,); of a single one, that one."""
    weights = compute_tail_weights(losses.size, level, measure, convention)
    return float(np.sort(losses)[::-1][: weights.size] @ weights)

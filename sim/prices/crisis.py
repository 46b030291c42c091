"""Correlations that rise in a common fall (IDX-1).

Correlation of returns is higher in falling markets than in rising ones. Longin and Solnik (2001,
Journal of Finance 56(2), 649-676) find that it increases in bear markets but not in bull markets,
and that the trend matters, not volatility as such. Ang and Chen (2002, Journal of Financial
Economics 63(3), 443-494) find correlations of stocks with the market conditional on the downside
11.6% away from those of a normal distribution, and that regime-switching models in particular
perform better at capturing the asymmetry.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from sim.component import Component
from sim.numerics.jit import kernel
from sim.types import B1, F8


class Crisis(Component):
    """Regime in which the innovations of the indices have another correlation.

    It begins when the indices have fallen together, and ends when they have recovered. Their common
    fall is measured on innovations before the step, equally weighted, as an exponentially weighted
    sum with unit variance in calm. So it depends on draws alone, never on the market, and a longer
    run begins with the shorter one. A dated crisis begins and ends at given times as well.
    """

    correlation: tuple[tuple[float, ...], ...] = Field(
        description="correlation matrix of the index innovations in a crisis"
    )
    threshold: float | None = Field(
        default=1.5,
        gt=0,
        description="common fall that begins a crisis; none = dated only (standard deviations)",
    )
    recovery: float = Field(
        default=0.5, ge=0, description="common fall below which a crisis ends (standard deviations)"
    )
    half_life: float = Field(
        default=3600.0, gt=0, description="half-life of the weights of past innovations (s)"
    )
    at: float | None = Field(
        default=None, ge=0, description="beginning of a dated crisis; none = without (s)"
    )
    duration: float = Field(default=3600.0, gt=0, description="length of a dated crisis (s)")

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.threshold is not None and self.recovery > self.threshold:
            raise ValueError(
                f"recovery: {self.recovery:g}, a crisis that begins at {self.threshold:g} would "
                "end at once: lower it to at most the threshold"
            )
        if self.threshold is None and self.at is None:
            raise ValueError("threshold: none, and no dated crisis either: give one, or at")
        return self

    def find_dated_rows(self, seconds: F8) -> B1:
        """Return the rows of a dated crisis, (rows,)."""
        if self.at is None:
            return np.zeros(seconds.size, dtype=np.bool_)
        is_dated: B1 = (seconds >= self.at) & (seconds < self.at + self.duration)
        return is_dated

    def correlate(self, normals: Sequence[F8], roots: tuple[F8, F8], seconds: F8) -> list[F8]:
        """Return normals with the correlation of the regime of each row, (rows,) each.

        Args:
            normals: independent standard normals of each underlying, (rows,).
            roots: (U, U) lower-triangular roots of the correlation in calm and in a crisis.
            seconds: (rows,) times at which the rows begin.
        """
        calm, crisis = roots
        dt = float(seconds[1] - seconds[0]) if seconds.size > 1 else self.half_life
        decay = 0.5 ** (dt / self.half_life)
        threshold = np.inf if self.threshold is None else self.threshold
        limits = np.array([threshold, self.recovery, decay, _measure_common_sd(calm)])
        mixed, _ = mix_by_regime(
            np.ascontiguousarray(normals), calm, crisis, limits, self.find_dated_rows(seconds)
        )
        return list(mixed)


def _measure_common_sd(root: F8) -> float:
    """Return the standard deviation of the mean of normals with a root of correlation."""
    return float(np.sqrt(np.square(root.sum(axis=0)).sum())) / len(root)


@kernel
def mix_by_regime(normals: F8, calm: F8, crisis: F8, limits: F8, is_dated: B1) -> tuple[F8, B1]:
    """Return correlated normals, (U, rows), and whether each row is in a crisis.

    Args:
        normals: (U, rows) independent standard normals.
        calm, crisis: (U, U) roots of the correlation of each regime.
        limits: fall that begins a crisis and fall below which it ends, decay of a step, and the
            standard deviation of the common innovation in calm.
        is_dated: (rows,) rows of a dated crisis.
    """
    threshold, recovery, decay, common_sd = limits
    mixed, in_crisis = np.zeros_like(normals), np.zeros(normals.shape[1], dtype=np.bool_)
    fall, fallen, weight = 0.0, False, np.sqrt(1.0 - decay * decay)
    for row in range(normals.shape[1]):
        fallen = fall >= threshold or (fallen and fall > recovery)
        in_crisis[row] = fallen or is_dated[row]
        root, common = crisis if in_crisis[row] else calm, 0.0
        for i in range(len(normals)):
            for j in range(i + 1):
                if root[i, j] != 0:
                    mixed[i, row] += root[i, j] * normals[j, row]
            common += mixed[i, row]
        if common_sd > 0:
            fall = decay * fall - weight * common / (len(normals) * common_sd)
    return mixed, in_crisis

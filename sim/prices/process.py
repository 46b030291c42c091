"""Base of the index processes, and their inputs beside their own parameters."""

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy.special import ndtri

from sim.component import Component
from sim.numerics.rng import RandomStreams
from sim.prices.bars import Bars
from sim.types import F8

MAX_PARAMETER = 1e6
"""Largest drift, volatility, speed or intensity of a process: squares and sums stay finite."""


class ProcessInputs(NamedTuple):
    """Inputs of a process beside its normals: its clock, its own uniforms, its bars.

    Row i of every draw belongs to step i, so a longer path begins with the shorter one (RNG-1).
    """

    dt: float  # seconds per step
    streams: RandomStreams
    name: str  # the underlying; names the streams, so draws of others never change
    bars: Bars | None = None  # replay only
    stream: str = "price"  # first part of the names of streams
    is_backward: bool = False  # True for a past: row i is the i-th before the last

    def draw_uniform(self, part: str, rows: int, width: int) -> F8:
        """Draw uniforms, never zero, of the stream ``price/NAME/PART``, shape ``(rows, width)``."""
        draws = self.streams.draw_uniform(f"{self.stream}/{self.name}/{part}", 0, rows, width)
        draws = np.maximum(draws, 2.0**-54)  # a draw of exactly 0 has no finite quantile
        return np.ascontiguousarray(draws[::-1]) if self.is_backward else draws


def invert_normal(uniform: F8) -> F8:
    """Return standard normals by inversion, one uniform each.

    The addresses of draws therefore never shift.
    """
    inverse: F8 = ndtri(uniform)
    return inverse


class PriceProcess(Component):
    """Base of the processes of IDX-1, which move the log price x of one underlying.

    They do not depend on the market.
    """

    days_per_year: float = Field(
        default=365,
        ge=0.001,
        le=1e9,
        description="trading days in a year (1); crypto 365, stocks 252",
    )
    day: float = Field(
        default=86_400,
        ge=0.001,
        le=1e9,
        description="time the market is open a day (s); crypto 86400, stocks 23400",
    )

    def years_per_step(self, dt: float) -> float:
        """Return the years in a step of ``dt`` seconds of open market."""
        return dt / (self.day * self.days_per_year)

    def seconds_per_year(self, bars: Bars | None = None) -> float:
        """Return the seconds of open market in a year, on the run's clock (IDX-3)."""
        return self.day * self.days_per_year

    @abstractmethod
    def compute_log_returns(self, z: F8, inputs: ProcessInputs) -> F8:
        """Return log returns per step, (steps,), from standard normals.

        Return i may depend on rows 0..i only of ``z`` and of the draws of ``inputs``, never on
        their number.

        Args:
            z: (steps,) standard normals that carry the correlation.
            inputs: clock, draws and bars.
        """

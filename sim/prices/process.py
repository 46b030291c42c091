"""What every index process is, and what it may use beside its own parameters."""

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
"""Largest drift, volatility, speed or intensity that a process takes: their squares and sums stay finite."""


class ProcessInputs(NamedTuple):
    """What a process is given beside its normals: its clock, its own uniforms, its bars.

    Row i of every draw belongs to step i, so a longer path begins with the shorter one (RNG-1).
    """

    dt: float  # seconds per step
    streams: RandomStreams
    name: str  # the underlying; names the streams, so another underlying's draws never move
    bars: Bars | None = None  # replay only

    def draw_uniform(self, part: str, rows: int, width: int) -> F8:
        """Open-interval uniforms of the stream ``price/NAME/PART``, shape ``(rows, width)``."""
        draws = self.streams.draw_uniform(f"price/{self.name}/{part}", 0, rows, width)
        return np.maximum(draws, 2.0**-54)  # a draw of exactly 0 has no finite quantile


def invert_normal(uniform: F8) -> F8:
    """Standard normals by inversion: one uniform each, so that the address of a draw never shifts."""
    inverse: F8 = ndtri(uniform)
    return inverse


class PriceProcess(Component):
    """Base of the processes of IDX-1: how the log price x of one underlying moves, whatever the market does."""

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
        """Years in a step of ``dt`` seconds of open market."""
        return dt / (self.day * self.days_per_year)

    def seconds_per_year(self, bars: Bars | None = None) -> float:
        """Seconds of open market in a year: what a year has of the run's clock (IDX-3)."""
        return self.day * self.days_per_year

    @abstractmethod
    def compute_log_returns(self, z: F8, tape: ProcessInputs) -> F8:
        """Log returns per step, (steps,), from standard normals ``z`` (steps,) that carry the correlation.

        Return i may depend on rows 0..i only of ``z`` and of the tape's draws, never on how many there are.
        """

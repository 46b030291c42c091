"""Stresses applied to the processes (IDX-1): price moves, volatile regimes, thin books, a depeg."""

import math
from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.types import B1, F8


class Stress(Component):
    """Base of the stresses, with four neutral effects; a stress overrides the effect it has.

    ``seconds`` is time since the start. Effects of several stresses add up (shift) or multiply (the
    others).
    """

    def return_multiplier(self, seconds: F8, underlying: str) -> F8:
        """Return the multiplier of the increments of the steps that begin at ``seconds`` (1)."""
        return np.ones_like(seconds)

    def log_price_shift(self, seconds: F8, underlying: str) -> F8:
        """Return the addition to the log price at ``seconds`` (1)."""
        return np.zeros_like(seconds)

    def depth_share(self, seconds: F8) -> F8:
        """Return the share of normal depth that makers show at ``seconds`` (1)."""
        return np.ones_like(seconds)

    def price_factor(self, seconds: F8, asset: str) -> F8:
        """Return the multiplier of the price of an asset at ``seconds`` (1)."""
        return np.ones_like(seconds)

    def referenced_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the underlyings and the assets that the stress names, for the loader to check."""
        return (), ()


class PriceMove(Stress):
    """Lasting move of the price, even in logs over its duration.

    With a duration of 0 s the move is made at once, in the first row from ``at`` on.
    """

    kind: Literal["move"] = "move"
    at: float = Field(ge=0, description="time of its beginning after the start of the run (s)")
    duration: float = Field(default=0.0, ge=0, description="time the move takes (s)")
    size: float = Field(
        gt=-1, description="change as a fraction of the price: -0.10 is a fall by a tenth (1)"
    )
    underlyings: tuple[str, ...] = Field(
        default=(), description="underlyings that move (names); none = all"
    )

    def log_price_shift(self, seconds: F8, underlying: str) -> F8:
        """Return the addition to the log price at ``seconds`` (1)."""
        if self.underlyings and underlying not in self.underlyings:
            return np.zeros_like(seconds)
        if self.duration == 0:
            return np.where(seconds >= self.at, math.log1p(self.size), 0.0)
        return math.log1p(self.size) * np.clip((seconds - self.at) / self.duration, 0.0, 1.0)

    def referenced_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the underlyings that the move names."""
        return self.underlyings, ()


class VolatilityRegime(Stress):
    """Period in which the log returns of the processes, drift included, are multiplied."""

    kind: Literal["volatility"] = "volatility"
    at: float = Field(ge=0, description="time of its beginning after the start of the run (s)")
    duration: float = Field(gt=0, description="length of the regime (s)")
    multiplier: float = Field(ge=0, description="multiplier of log returns (1)")
    underlyings: tuple[str, ...] = Field(
        default=(), description="underlyings affected (names); none = all"
    )

    def return_multiplier(self, seconds: F8, underlying: str) -> F8:
        """Return the multiplier of the increments of the steps that begin at ``seconds`` (1)."""
        if self.underlyings and underlying not in self.underlyings:
            return np.ones_like(seconds)
        return np.where(is_during(seconds, self.at, self.duration), self.multiplier, 1.0)

    def referenced_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the underlyings that the regime names."""
        return self.underlyings, ()


class DepthWithdrawal(Stress):
    """Period in which makers show only a share of their depth."""

    kind: Literal["withdrawal"] = "withdrawal"
    at: float = Field(ge=0, description="time of its beginning after the start of the run (s)")
    duration: float = Field(gt=0, description="length (s)")
    share: float = Field(ge=0, le=1, description="share of normal depth that makers still show (1)")

    def depth_share(self, seconds: F8) -> F8:
        """Return the share of normal depth that makers show at ``seconds`` (1)."""
        return np.where(is_during(seconds, self.at, self.duration), self.share, 1.0)


class Depeg(Stress):
    """Loss of an asset's peg: down to a floor, a time at the floor, then recovery or none."""

    kind: Literal["depeg"] = "depeg"
    asset: str = Field(min_length=1, description="asset that loses its peg (name)")
    at: float = Field(ge=0, description="time of its beginning after the start of the run (s)")
    fall: float = Field(default=0.0, ge=0, description="time from the peg down to the floor (s)")
    duration: float = Field(gt=0, description="time at the floor (s)")
    floor: float = Field(gt=0, description="lowest price as a share of the peg (1)")
    recovery: float | None = Field(
        default=0.0, ge=0, description="time from the floor back to the peg (s); none = never"
    )

    def price_factor(self, seconds: F8, asset: str) -> F8:
        """Return the multiplier of the price of an asset at ``seconds`` (1)."""
        if asset != self.asset:
            return np.ones_like(seconds)
        corners = self.at + np.cumsum([0.0, self.fall, self.duration, self.recovery or 0.0])
        back = 1.0 if self.recovery is not None else self.floor
        return np.interp(seconds, corners, [1.0, self.floor, self.floor, back])

    def referenced_names(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the asset that the depeg names."""
        return (), (self.asset,)


def is_during(seconds: F8, at: float, duration: float) -> B1:
    """Return whether a time lies in [at, at + duration)."""
    return (seconds >= at) & (seconds < at + duration)

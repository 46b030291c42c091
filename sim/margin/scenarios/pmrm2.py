"""Parameters of Derive's portfolio margin, PMRM_2; what is done with them is in ``derive_pmrm2.py``.

Defaults are those of the contract's published portfolio cases (github.com/derivexyz/v2-core, test/risk-managers/
unit-tests/PMRM_2/portfolio_cases, 2025). A live market has its own.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.margin.scenarios.scenarios import Scenario, TailScenarios
from sim.types import F8


class SkewScenario(Scenario):
    """One move of the underlying, or one tilt of the smile with the price as it is."""

    vol: Literal["up", "none", "down", "linear", "abs"] = Field(  # type: ignore[assignment]
        default="none", description="volatility with it: a direction, or a tilt of the smile"
    )


class Skew(Component):
    """Tilts of the smile: a factor 1 + k x cap / k* on volatility, k = ln(strike / forward), within 1 ± cap.

    cap = base + slope x √T; k* = max(least, width x √T x (level + term x √T)), where the smile flattens out. Linear
    raises one wing and lowers the other; abs takes |k| and raises or lowers both.
    """

    linear_base: float = Field(default=0.15, description="cap of the linear tilt at expiry (share)")
    linear_slope: float = Field(default=-0.05, description="its change per root of a year (share)")
    abs_base: float = Field(
        default=0.15, description="cap of the tilt of both wings at expiry (share)"
    )
    abs_slope: float = Field(default=-0.05, description="its change per root of a year (share)")
    least: float = Field(default=0.01, ge=0, description="smallest k* (log-moneyness)")
    width: float = Field(default=4.0, ge=0, description="k* in standard deviations (ratio)")
    level: float = Field(
        default=0.6, ge=0, description="volatility that a standard deviation is of (annualised)"
    )
    term: float = Field(
        default=-0.1, description="its change per root of a year (annualised volatility)"
    )

    def tilt_volatility(self, vol: F8, k: F8, years: F8, how: str) -> F8:
        """Volatilities (n,) of options at log-moneynesses k after a tilt, linear or abs."""
        root = np.sqrt(years)
        linear = how == "linear"
        cap = (self.linear_slope if linear else self.abs_slope) * root + (
            self.linear_base if linear else self.abs_base
        )
        turn = np.maximum(self.least, root * self.width * (self.level + root * self.term))
        k = k if linear else np.abs(k)
        slope = k * cap / np.where(turn > 0, turn, 1.0)
        # a cap below nil turns the tilt round, as in the contract; without a k* the whole cap stands
        tilt = np.where(k >= 0, np.minimum(cap, slope), np.maximum(-cap, slope))
        tilt = np.where(turn > 0, tilt, np.sign(k) * cap)
        return vol * np.maximum(1.0 + tilt, 0.0)


class StaticDiscount(Component):
    """What shocked values of an expiry count: less where they are owned, more where they are owed.

    Owned: long x e^(-T (rate x long_scale + long_add)); owed: min(1 / discount factor,
    short x e^(T (rate x short_scale + short_add))).
    """

    long: float = Field(default=0.95, ge=0, description="factor on what is owned (ratio)")
    short: float = Field(default=1.04, ge=0, description="factor on what is owed (ratio)")
    long_scale: float = Field(
        default=1.0, ge=0, description="factor on the rate, of what is owned (ratio)"
    )
    long_add: float = Field(
        default=0.08, ge=0, description="added to the rate, of what is owned (per year)"
    )
    short_scale: float = Field(
        default=0.5, ge=0, description="factor on the rate, of what is owed (ratio)"
    )
    short_add: float = Field(
        default=0.08, ge=0, description="added to the rate, of what is owed (per year)"
    )

    def compute_factors(self, rate: float, years: float) -> tuple[float, float]:
        """Of what is owned and of what is owed."""
        owned = self.long * np.exp(-years * (rate * self.long_scale + self.long_add))
        owed = self.short * np.exp(years * (rate * self.short_scale + self.short_add))
        return float(owned), float(min(np.exp(rate * years), owed))


class BasisContingency(Component):
    """Loss of each expiry by the worse of two moves of its forward alone, x (add + mult x T); gains count nothing."""

    up: float = Field(default=0.045, gt=0, description="rise of the forward (share)")
    down: float = Field(default=-0.045, ge=-1, lt=0, description="fall of the forward (share)")
    add: float = Field(default=0.5, ge=0, description="factor on the loss (ratio)")
    mult: float = Field(
        default=2.0, ge=0, description="factor on the loss per year to expiry (ratio)"
    )


class PmrmCharges(Component):
    """What is asked beside the worst scenario, of the underlying's value at the oracle; initial comes on top."""

    perp_maintenance: float = Field(
        default=0.015, ge=0, description="of perpetuals and futures, either way (share)"
    )
    perp_initial: float = Field(
        default=0.005, ge=0, description="more of it at the opening (share)"
    )
    option_maintenance: float = Field(
        default=0.003, ge=0, description="of options short net at a strike (share)"
    )
    option_initial: float = Field(
        default=0.002, ge=0, description="more of it at the opening (share)"
    )
    confidence: float = Field(
        default=0.55, ge=0, le=1, description="oracles less sure than this are charged for"
    )
    unsure: float = Field(
        default=1.0, ge=0, description="charge per doubt 1 - confidence, at the opening (ratio)"
    )
    peg: float = Field(
        default=0.98,
        ge=0,
        description="the numeraire's price below which losses weigh more (price)",
    )
    peg_factor: float = Field(
        default=2.0, ge=0, description="how much more, per unit that the peg is off (ratio)"
    )


def build_standard_grid() -> tuple[SkewScenario, ...]:
    """The published grid: moves of 18% and less, tails dampened to a fifth, two tilts of the smile."""
    moves = (0.135, 0.09, 0.045, 0.0, -0.045, -0.09, -0.135)
    inner = [SkewScenario(move=m, vol=v) for m in moves for v in ("down", "none", "up")]
    tails = TailScenarios(moves=(-0.66, -0.33, 0.5, 1.0, 2.0, 3.0), dampening=0.2).build_scenarios(
        0.18
    )
    outer = [SkewScenario(move=tail.move, vol="up", weight=tail.weight) for tail in tails]
    edges = SkewScenario(move=0.18, vol="up"), SkewScenario(move=-0.18, vol="up")
    return (
        edges[0],
        *inner,
        edges[1],
        *outer,
        SkewScenario(vol="linear", move=0.0),
        SkewScenario(vol="abs", move=0.0),
    )

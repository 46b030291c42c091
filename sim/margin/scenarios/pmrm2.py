"""Parameters of Derive's portfolio margin, PMRM_2; ``derive_pmrm2.py`` applies them.

Defaults are those of the contract's published portfolio cases (github.com/derivexyz/v2-core,
test/risk-managers/ unit-tests/PMRM_2/portfolio_cases, 2025). A live market has its own.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from sim.component import Component
from sim.margin.scenarios.scenarios import Scenario, TailScenarios
from sim.types import F8


class SkewScenario(Scenario):
    """Move of the underlying, or tilt of the smile at an unchanged price."""

    vol: Literal["up", "none", "down", "linear", "abs"] = Field(  # type: ignore[assignment]
        default="none", description="volatility move: a direction, or a tilt of the smile"
    )


class Skew(Component):
    """Tilts of the smile: a factor 1 + k x cap / k* on volatility, k = ln(strike / forward).

    The factor stays within 1 ± cap, where cap = base + slope x √T. The smile flattens out at k* =
    max(least, width x √T x (level + term x √T)). The linear tilt raises one wing and lowers the
    other. The tilt abs takes |k| and raises or lowers both.
    """

    linear_base: float = Field(default=0.15, description="cap of the linear tilt at expiry (share)")
    linear_slope: float = Field(
        default=-0.05, description="change of that cap per root of a year (share)"
    )
    abs_base: float = Field(
        default=0.15, description="cap of the tilt of both wings at expiry (share)"
    )
    abs_slope: float = Field(
        default=-0.05, description="change of that cap per root of a year (share)"
    )
    least: float = Field(default=0.01, ge=0, description="smallest k* (log-moneyness)")
    width: float = Field(default=4.0, ge=0, description="k* in standard deviations (ratio)")
    level: float = Field(
        default=0.6, ge=0, description="volatility of one standard deviation (annualised)"
    )
    term: float = Field(
        default=-0.1,
        description="change of that volatility per root of a year (annualised volatility)",
    )

    def tilt_volatility(self, vol: F8, k: F8, years: F8, how: str) -> F8:
        """Return volatilities, (n,), of options at log-moneynesses k after a linear or abs tilt."""
        root = np.sqrt(years)
        linear = how == "linear"
        cap = (self.linear_slope if linear else self.abs_slope) * root + (
            self.linear_base if linear else self.abs_base
        )
        turn = np.maximum(self.least, root * self.width * (self.level + root * self.term))
        k = k if linear else np.abs(k)
        slope = k * cap / np.where(turn > 0, turn, 1.0)
        # a negative cap reverses the tilt, as in the contract; without a k* the whole cap applies
        tilt = np.where(k >= 0, np.minimum(cap, slope), np.maximum(-cap, slope))
        tilt = np.where(turn > 0, tilt, np.sign(k) * cap)
        return vol * np.maximum(1.0 + tilt, 0.0)


class StaticDiscount(Component):
    """Discount factors on shocked values of an expiry: below one for assets, above one for debts.

    Assets: long x e^(-T (rate x long_scale + long_add)). Debts: min(1 / discount factor, short x
    e^(T (rate x short_scale + short_add))).
    """

    long: float = Field(default=0.95, ge=0, description="factor on assets (ratio)")
    short: float = Field(default=1.04, ge=0, description="factor on debts (ratio)")
    long_scale: float = Field(
        default=1.0, ge=0, description="multiplier of the rate for assets (ratio)"
    )
    long_add: float = Field(
        default=0.08, ge=0, description="addition to the rate for assets (per year)"
    )
    short_scale: float = Field(
        default=0.5, ge=0, description="multiplier of the rate for debts (ratio)"
    )
    short_add: float = Field(
        default=0.08, ge=0, description="addition to the rate for debts (per year)"
    )

    def compute_factors(self, rate: float, years: float) -> tuple[float, float]:
        """Return the factors on assets and on debts."""
        owned = self.long * np.exp(-years * (rate * self.long_scale + self.long_add))
        owed = self.short * np.exp(years * (rate * self.short_scale + self.short_add))
        return float(owned), float(min(np.exp(rate * years), owed))

    def tabulate(self, rate: F8, years: F8) -> F8:
        """Return the factors on assets and on debts of instruments, (2, K)."""
        pairs = zip(rate.tolist(), years.tolist(), strict=True)
        factors = [self.compute_factors(*pair) for pair in pairs]
        return np.array(factors).reshape(-1, 2).T


class BasisContingency(Component):
    """Loss of each expiry from the worse of two moves of its forward alone, x (add + mult x T).

    Gains count nothing.
    """

    up: float = Field(default=0.045, gt=0, description="rise of the forward (share)")
    down: float = Field(default=-0.045, ge=-1, lt=0, description="fall of the forward (share)")
    add: float = Field(default=0.5, ge=0, description="factor on the loss (ratio)")
    mult: float = Field(
        default=2.0, ge=0, description="factor on the loss per year to expiry (ratio)"
    )


class PmrmCharges(Component):
    """Charges in addition to the worst scenario, as shares of the underlying's value at the oracle.

    The initial charges are added to those of maintenance.
    """

    perp_maintenance: float = Field(
        default=0.015, ge=0, description="charge on perpetuals and futures, long or short (share)"
    )
    perp_initial: float = Field(
        default=0.005, ge=0, description="further charge on them for initial margin (share)"
    )
    option_maintenance: float = Field(
        default=0.003, ge=0, description="charge on net short options at a strike (share)"
    )
    option_initial: float = Field(
        default=0.002, ge=0, description="further charge on them for initial margin (share)"
    )
    confidence: float = Field(
        default=0.55, ge=0, le=1, description="oracle confidence below which a charge applies"
    )
    doubt_factor: float = Field(
        default=1.0, ge=0, description="initial charge per unit of 1 - confidence (ratio)"
    )
    peg: float = Field(
        default=0.98,
        ge=0,
        description="price of the numeraire below which losses weigh more (price)",
    )
    peg_factor: float = Field(
        default=2.0, ge=0, description="additional weight per unit below the peg (ratio)"
    )

    def list_shares(self) -> tuple[float, float, float, float]:
        """Return initial and maintenance charge on perpetuals, least confidence, its factor."""
        perpetuals = (self.perp_maintenance + self.perp_initial, self.perp_maintenance)
        return (*perpetuals, self.confidence, self.doubt_factor)


def build_standard_grid() -> tuple[SkewScenario, ...]:
    """Return the published grid: moves up to 18%, tails dampened to 0.2, two tilts of the smile."""
    moves = (0.135, 0.09, 0.045, 0.0, -0.045, -0.09, -0.135)
    inner = [SkewScenario(move=move, vol=vol) for move in moves for vol in ("down", "none", "up")]
    far = TailScenarios(moves=(-0.66, -0.33, 0.5, 1.0, 2.0, 3.0), dampening=0.2)
    tails = far.build_scenarios(0.18)
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

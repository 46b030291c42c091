"""Volatility from the past: exponential weights and GARCH(1,1)."""

import math
from typing import TypeVar

from sim.types import F8

Number = TypeVar("Number", float, F8)


def ewma(variance: Number, square: Number, decay: float) -> Number:
    """σ² ← λ σ² + (1 - λ) r² (RiskMetrics 1996); of covariances with r r' in place of r²."""
    return decay * variance + (1 - decay) * square


def half_life(decay: float) -> float:
    """Steps in which a weight halves."""
    return math.log(0.5) / math.log(decay)


def garch(variance: Number, square: Number, parameters: tuple[Number, Number, Number]) -> Number:
    """σ² ← w + a r² + b σ² (Bollerslev 1986), ``parameters`` being w, a, b."""
    omega, alpha, beta = parameters
    return omega + alpha * square + beta * variance


def long_run(parameters: tuple[float, float, float]) -> float:
    """The variance a GARCH(1,1) returns to, w / (1 - a - b); infinite if it returns to none."""
    omega, alpha, beta = parameters
    return omega / (1 - alpha - beta) if alpha + beta < 1 else math.inf

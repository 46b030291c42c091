"""European options: values, Greeks and implied volatility by Black's formula of 1976.

An option is a right on the forward price F of its underlying at expiry; with the forward of a spot price S,
F = S e^((r - q) T), these are the numbers of Black and Scholes (1973) and Merton (1973), too. Volatility, rate and
time are per year (of 365 days), rates continuously compounded. Every argument may be a number or an array; results
have the shape they broadcast to.

Source: F. Black, "The pricing of commodity contracts", J. Financial Economics 3 (1976), 167-179; Hull, "Options,
Futures, and Other Derivatives", 10th ed., ch. 18 and 19.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.numerics.jit import kernel

F8 = NDArray[np.float64]

CALL, PUT = 1, -1
"""Sides of an option."""


class OptionTerms(NamedTuple):
    """Options, as their value sees them."""

    forward: (
        ArrayLike  # price of the underlying for delivery at expiry, quote currency, at least nil
    )
    strike: ArrayLike  # quote currency, above nil
    years: ArrayLike  # to expiry
    rate: ArrayLike = 0.0  # of discounting, per year
    side: ArrayLike = CALL


class Greeks(NamedTuple):
    """Value of one option on one unit of the underlying, and how it moves."""

    value: F8  # quote currency
    delta: F8  # per unit of quote currency in spot, the ratio of forward to spot held
    gamma: F8  # of delta, per unit of quote currency in spot
    vega: F8  # per 1.00 of volatility; a point is a hundredth of it
    theta: F8  # per year that passes, spot, rate and yield held; a day is a 365th of it
    rho: F8  # per 1.00 of the rate, spot and yield held; where the forward is held instead it is -years x value


def price_options(option: OptionTerms, vol: ArrayLike) -> F8:
    """Value of options at a volatility, quote currency per unit of the underlying.

    Without volatility or time it is the discounted intrinsic value.
    """
    columns, shape = _flatten_arguments(*option, vol)
    return compute_black76(*columns).reshape(shape)


def compute_greeks(option: OptionTerms, vol: ArrayLike, spot: ArrayLike | None = None) -> Greeks:
    """Value and sensitivities.

    Args:
        option: its terms.
        vol: annualised volatility.
        spot: price that delta and gamma refer to; the forward, if it is not given: then theta holds the forward, too.
    """
    columns, shape = _flatten_arguments(*option, vol, option.forward if spot is None else spot)
    return Greeks(*(row.reshape(shape) for row in compute_black76_greeks(*columns)))


def solve_implied_vol(option: OptionTerms, price: ArrayLike) -> F8:
    """The volatility at which options have these prices; NaN where there is none.

    There is none at or below the discounted intrinsic value, at or above what the option can be worth at most, and at
    expiry.
    """
    columns, shape = _flatten_arguments(*option, price)
    return solve_black76_vol(*columns).reshape(shape)


def _flatten_arguments(*values: ArrayLike) -> tuple[list[F8], tuple[int, ...]]:
    """Arguments as columns of one length, and the shape they broadcast to."""
    arrays = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in values))
    return [np.array(each, order="C").reshape(-1) for each in arrays], arrays[0].shape


@kernel
def compute_black76(forward: F8, strike: F8, years: F8, rate: F8, side: F8, vol: F8) -> F8:
    """Values, (n,)."""
    out = np.empty(forward.size)
    for i in range(forward.size):
        discount, spread = math.exp(-rate[i] * years[i]), vol[i] * math.sqrt(years[i])
        if spread <= 0.0 or forward[i] <= 0.0:
            out[i] = discount * max(side[i] * (forward[i] - strike[i]), 0.0)
            continue
        d1 = math.log(forward[i] / strike[i]) / spread + spread / 2
        up = 0.5 * math.erfc(-side[i] * d1 / math.sqrt(2.0))
        down = 0.5 * math.erfc(-side[i] * (d1 - spread) / math.sqrt(2.0))
        out[i] = discount * max(side[i] * (forward[i] * up - strike[i] * down), 0.0)
    return out


@kernel
def compute_black76_greeks(
    forward: F8, strike: F8, years: F8, rate: F8, side: F8, vol: F8, spot: F8
) -> F8:
    """Value, delta, gamma, vega, theta and rho, (6, n)."""
    out = np.zeros((6, forward.size))
    for i in range(forward.size):
        discount, root = math.exp(-rate[i] * years[i]), math.sqrt(years[i])
        spread, ratio = vol[i] * root, forward[i] / spot[i]
        if spread <= 0.0:
            held = 1.0 if side[i] * (forward[i] - strike[i]) > 0.0 else 0.0
            up, down, density = held, held, 0.0
        else:
            d1 = math.log(forward[i] / strike[i]) / spread + spread / 2
            up = 0.5 * math.erfc(-side[i] * d1 / math.sqrt(2.0))
            down = 0.5 * math.erfc(-side[i] * (d1 - spread) / math.sqrt(2.0))
            density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
            out[2, i] = discount * density / (forward[i] * spread) * ratio * ratio
            out[3, i] = discount * forward[i] * density * root
        worth = discount * side[i] * (forward[i] * up - strike[i] * down)
        slope = discount * side[i] * up  # per unit of the forward
        growth = math.log(ratio) / years[i] if years[i] > 0.0 else 0.0
        out[0, i], out[1, i] = worth, slope * ratio
        out[4, i] = rate[i] * worth - growth * forward[i] * slope
        if spread > 0.0:
            out[4, i] -= discount * forward[i] * density * vol[i] / (2 * root)
        out[5, i] = years[i] * discount * side[i] * strike[i] * down
    return out


@kernel
def solve_black76_vol(forward: F8, strike: F8, years: F8, rate: F8, side: F8, price: F8) -> F8:
    """Volatilities, (n,): Newton's steps on the logarithm of the out-of-the-money value, kept in a bracket.

    The value in the money differs from that of the option of the other side by what parity says, which leaves only
    the part that volatility moves. Steps start where the value is steepest (Manaster and Koehler 1982).
    """
    out = np.full(price.size, np.nan)
    for i in range(price.size):
        if not (years[i] > 0.0 and forward[i] > 0.0 and strike[i] > 0.0):
            continue
        scale = math.exp(-rate[i] * years[i]) * forward[i]
        moneyness = strike[i] / forward[i]
        turn = (
            1.0 if moneyness >= 1.0 else -1.0
        )  # a call is out of the money above the forward, a put below
        target = price[i] / scale - max(side[i] * (1.0 - moneyness), 0.0)
        if (
            not 1e-15 * price[i] / scale < target < min(1.0, moneyness)
        ):  # less is the dust of a difference
            continue
        x = math.log(moneyness)
        low, high = 0.0, 80.0
        spread = max(math.sqrt(2 * abs(x)), 1e-3)
        for _ in range(200):
            d1 = -x / spread + spread / 2
            up = 0.5 * math.erfc(-turn * d1 / math.sqrt(2.0))
            down = 0.5 * math.erfc(-turn * (d1 - spread) / math.sqrt(2.0))
            worth = turn * (up - moneyness * down)
            slope = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
            if worth > target:
                high = spread
            else:
                low = spread
            trial = (low + high) / 2
            if worth > 0.0 and slope > 0.0:
                step = spread - math.log(worth / target) * worth / slope
                if low < step < high:
                    trial = step
            moved = abs(trial - spread)
            spread = trial
            if moved <= 1e-15 * spread or high - low <= 1e-15 * high:
                break
        out[i] = spread / math.sqrt(years[i])
    return out

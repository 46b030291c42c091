"""European options: values, Greeks and implied volatility by Black's formula of 1976.

An option is a right on the forward price F of its underlying at expiry. With the forward of a spot
price S, F = S e^((r - q) T), the results are also those of Black and Scholes (1973) and Merton
(1973). Volatility, rate and time are per year (of 365 days), rates continuously compounded. Every
argument may be a number or an array; results have the shape to which they broadcast.

Source: F. Black, "The pricing of commodity contracts", J. Financial Economics 3 (1976), 167-179;
Hull, "Options, Futures, and Other Derivatives", 10th ed., ch. 18 and 19.
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
    """Terms of options on which their value depends."""

    forward: ArrayLike  # price of the underlying for delivery at expiry, quote currency, >= 0
    strike: ArrayLike  # quote currency, > 0
    years: ArrayLike  # time to expiry
    rate: ArrayLike = 0.0  # discount rate, per year
    side: ArrayLike = CALL


class Greeks(NamedTuple):
    """Value of one option on one unit of the underlying, and its sensitivities."""

    value: F8  # quote currency
    delta: F8  # per unit of quote currency in spot, at a fixed ratio of forward to spot
    gamma: F8  # of delta, per unit of quote currency in spot
    vega: F8  # per 1.00 of volatility; a point is a hundredth of it
    theta: F8  # per year that passes, at fixed spot, rate and yield; a day is a 365th of it
    rho: F8  # per 1.00 of the rate, at fixed spot and yield; -years x value at a fixed forward


def price_options(option: OptionTerms, vol: ArrayLike) -> F8:
    """Return the value of options at a volatility, quote currency per unit of the underlying.

    Without volatility or time it is the discounted intrinsic value.
    """
    columns, shape = _flatten_arguments(*option, vol)
    return compute_black76(*columns).reshape(shape)


def compute_greeks(option: OptionTerms, vol: ArrayLike, spot: ArrayLike | None = None) -> Greeks:
    """Return the value and the sensitivities of options.

    Args:
        option: terms of the options.
        vol: annualised volatility.
        spot: price to which delta and gamma refer; none = the forward, which theta then holds
            fixed.
    """
    columns, shape = _flatten_arguments(*option, vol, option.forward if spot is None else spot)
    return Greeks(*(row.reshape(shape) for row in compute_black76_greeks(*columns)))


def solve_implied_vol(option: OptionTerms, price: ArrayLike) -> F8:
    """Return the volatility at which options have these prices; NaN where there is none.

    There is none at or below the discounted intrinsic value, at or above the largest possible value
    of the option, and at expiry.
    """
    columns, shape = _flatten_arguments(*option, price)
    return solve_black76_vol(*columns).reshape(shape)


def _flatten_arguments(*values: ArrayLike) -> tuple[list[F8], tuple[int, ...]]:
    """Return the arguments as columns of one length, and the shape to which they broadcast."""
    arrays = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in values))
    return [np.array(each, order="C").reshape(-1) for each in arrays], arrays[0].shape


@kernel
def compute_black76(forward: F8, strike: F8, years: F8, rate: F8, side: F8, vol: F8) -> F8:
    """Return the values of options, (n,)."""
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
    """Return value, delta, gamma, vega, theta and rho, (6, n)."""
    out = np.zeros((6, forward.size))
    for i in range(forward.size):
        f, k, t, sign = forward[i], strike[i], years[i], side[i]
        discount = math.exp(-rate[i] * t)
        root = math.sqrt(t)
        spread = vol[i] * root
        ratio = f / spot[i]
        if spread <= 0.0:
            exercised = 1.0 if sign * (f - k) > 0.0 else 0.0
            up, down, density = exercised, exercised, 0.0
        else:
            d1 = math.log(f / k) / spread + spread / 2
            up = 0.5 * math.erfc(-sign * d1 / math.sqrt(2.0))
            down = 0.5 * math.erfc(-sign * (d1 - spread) / math.sqrt(2.0))
            density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
            out[2, i] = discount * density / (f * spread) * ratio * ratio
            out[3, i] = discount * f * density * root
        value = discount * sign * (f * up - k * down)
        forward_delta = discount * sign * up
        growth = math.log(ratio) / t if t > 0.0 else 0.0
        out[0, i] = value
        out[1, i] = forward_delta * ratio
        out[4, i] = rate[i] * value - growth * f * forward_delta
        if spread > 0.0:
            out[4, i] -= discount * f * density * vol[i] / (2 * root)
        out[5, i] = t * discount * sign * k * down
    return out


@kernel
def solve_black76_vol(forward: F8, strike: F8, years: F8, rate: F8, side: F8, price: F8) -> F8:
    """Return the volatilities, (n,), by Newton's steps on the log of the out-of-the-money value.

    The steps are kept in a bracket. By parity the value in the money differs from that of the
    option of the other side by an amount without volatility. Only the out-of-the-money part
    therefore depends on volatility. Steps start where the value is steepest (Manaster and Koehler
    1982).
    """
    out = np.full(price.size, np.nan)
    for i in range(price.size):
        if not (years[i] > 0.0 and forward[i] > 0.0 and strike[i] > 0.0):
            continue
        scale = math.exp(-rate[i] * years[i]) * forward[i]
        moneyness = strike[i] / forward[i]
        # a call is out of the money above the forward, a put below
        sign = 1.0 if moneyness >= 1.0 else -1.0
        target = price[i] / scale - max(side[i] * (1.0 - moneyness), 0.0)
        # a smaller target is the rounding error of a difference
        if not 1e-15 * price[i] / scale < target < min(1.0, moneyness):
            continue
        x = math.log(moneyness)
        low, high = 0.0, 80.0
        spread = max(math.sqrt(2 * abs(x)), 1e-3)
        for _ in range(200):
            d1 = -x / spread + spread / 2
            up = 0.5 * math.erfc(-sign * d1 / math.sqrt(2.0))
            down = 0.5 * math.erfc(-sign * (d1 - spread) / math.sqrt(2.0))
            value = sign * (up - moneyness * down)
            slope = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
            if value > target:
                high = spread
            else:
                low = spread
            trial = (low + high) / 2
            if value > 0.0 and slope > 0.0:
                step = spread - math.log(value / target) * value / slope
                if low < step < high:
                    trial = step
            moved = abs(trial - spread)
            spread = trial
            if moved <= 1e-15 * spread or high - low <= 1e-15 * high:
                break
        out[i] = spread / math.sqrt(years[i])
    return out

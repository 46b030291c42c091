"""PMRM_2 account by account and option by option, in plain numbers: the twin of the engine.

As in the contract (derivexyz/v2-core, PMRMLib_2.sol), one underlying, its collateral left out.
"""

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Any, NamedTuple

DAY, YEAR = 86_400.0, 365 * 86_400.0


class Option(NamedTuple):
    """A position in one option."""

    seconds: float  # to expiry
    forward: float
    rate: float
    sure: float
    strike: float
    call: bool
    vol: float
    quantity: float


class Book(NamedTuple):
    """One account on one underlying."""

    spot: float
    sure: float
    peg: float
    perps: list[tuple[float, float, float]]  # quantity, price, confidence
    options: list[Option]


def black(option: Option, forward: float, vol: float) -> float:
    """Value of one option."""
    discount = math.exp(-max(option.rate, 0) * option.seconds / YEAR)
    sign, spread = (1 if option.call else -1), vol * math.sqrt(option.seconds / YEAR)
    if spread == 0 or forward == 0:
        return discount * max(sign * (forward - option.strike), 0.0)
    d1 = math.log(forward / option.strike) / spread + spread / 2
    cdf = NormalDist().cdf
    return discount * sign * (forward * cdf(sign * d1) - option.strike * cdf(sign * (d1 - spread)))


def worth(options: Iterable[Option], rule: Any, move: float, how: str) -> float:
    """Value of the options of one expiry after a move."""
    return sum(each.quantity * black(each, *after(each, rule, move, how)) for each in options)


def after(option: Option, rule: Any, move: float, how: str) -> tuple[float, float]:
    """Forward and volatility of an option after a move."""
    open_part = min(1.0, option.seconds / 1_800)
    forward = option.forward * open_part * (1 + move) + option.forward * (1 - open_part)
    years, shock = option.seconds / YEAR, rule["vol"]
    if how in ("up", "down"):
        power = shock["short_power"] if option.seconds <= 30 * DAY else shock["long_power"]
        scale = (30 * DAY / max(option.seconds, shock["floor"])) ** power
        if how == "up":
            return forward, max(shock["least"], option.vol * (1 + shock["up"] * scale))
        return forward, option.vol * max(0.0, 1 - shock["down"] * scale)
    if how == "none":
        return forward, option.vol
    skew, root = rule["skew"], math.sqrt(years)
    cap = skew["linear_base" if how == "linear" else "abs_base"]
    cap += root * skew["linear_slope" if how == "linear" else "abs_slope"]
    turn = max(skew["least"], root * skew["width"] * (skew["level"] + root * skew["term"]))
    k = math.log(option.strike / forward)
    k = k if how == "linear" else abs(k)
    tilt = min(cap, k * cap / turn) if k >= 0 else max(-cap, k * cap / turn)
    return forward, option.vol * max(0.0, 1 + tilt)


def gain(book: Book, rule: Any, scenario: Any) -> float:
    """Return the gain of the account in one scenario."""
    total = sum(
        quantity * price * scenario["move"] * scenario["weight"]
        for quantity, price, _ in book.perps
    )
    for expiry in {option.seconds for option in book.options}:
        its = [option for option in book.options if option.seconds == expiry]
        moved, terms, years = (
            worth(its, rule, scenario["move"], scenario["vol"]),
            rule["discount"],
            expiry / YEAR,
        )
        rate = max(its[0].rate, 0.0)
        owned = terms["long"] * math.exp(-years * (rate * terms["long_scale"] + terms["long_add"]))
        owed = terms["short"] * math.exp(years * (rate * terms["short_scale"] + terms["short_add"]))
        moved *= owned if moved >= 0 else min(math.exp(rate * years), owed)
        change = scenario["weight"] * (moved - worth(its, rule, 0.0, "none"))
        total += -abs(change) if scenario["vol"] in ("linear", "abs") else change
    return total


def margins(book: Book, rule: Any) -> tuple[float, float]:
    """Initial and maintenance."""
    charges, lowest = rule["charges"], 0.0
    for expiry in {option.seconds for option in book.options}:
        its = [option for option in book.options if option.seconds == expiry]
        now, basis = worth(its, rule, 0.0, "none"), rule["basis"]
        drop = min(worth(its, rule, basis[way], "none") - now for way in ("up", "down"))
        lowest += min(drop, 0.0) * (basis["add"] + basis["mult"] * expiry / YEAR)
    loss = -min(lowest, *(gain(book, rule, scenario) for scenario in rule["scenarios"]))
    held = [each for each in book.perps if each[0]]
    perps = sum(abs(quantity) for quantity, _, _ in held) * book.spot
    sure = min([book.sure, *(confidence for _, _, confidence in held)])
    keep, more = (
        charges["perp_maintenance"] * perps,
        charges["perp_initial"] * perps + doubt(sure, perps, charges),
    )
    for expiry in {option.seconds for option in book.options}:
        its = [option for option in book.options if option.seconds == expiry and option.quantity]
        gross = sum(abs(option.quantity) for option in its) * book.spot
        more += doubt(min([sure, *(option.sure for option in its)]), gross, charges)
        for strike in {option.strike for option in its}:
            naked = (
                max(0.0, -sum(option.quantity for option in its if option.strike == strike))
                * book.spot
            )
            keep, more = (
                keep + charges["option_maintenance"] * naked,
                more + charges["option_initial"] * naked,
            )
    factor = rule["initial"] + max(0.0, charges["peg"] - book.peg) * charges["peg_factor"]
    return factor * loss + keep + more, rule["maintenance"] * loss + keep


def doubt(sure: float, amount: float, charges: Any) -> float:
    """Return the charge for an oracle below the confidence threshold."""
    return (1 - sure) * charges["doubt_factor"] * amount if sure < charges["confidence"] else 0.0

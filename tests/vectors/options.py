"""Option values and Greeks of textbooks."""

import math

from vectors.runner import Case, Engine

from sim.pricing.black import CALL, PUT, OptionTerms, compute_greeks, price_options

SIDES = {"call": CALL, "put": PUT}


def black76(inputs: Case) -> Case:
    """Values with and without discounting (margin.md §16)."""
    forward, strike, vol, years, rate = (inputs[name] for name in ("F", "K", "sigma", "T", "r"))
    found = {}
    for name, side in SIDES.items():
        discounted = float(price_options(OptionTerms(forward, strike, years, rate, side), vol))
        found |= {
            f"discounted_{name}": discounted,
            f"undiscounted_{name}": discounted * math.exp(rate * years),
        }
        found[name] = discounted
    return found | (
        _moves(OptionTerms(forward, strike, years, rate, SIDES[inputs["type"]]), vol)
        if "type" in inputs
        else {}
    )


def black_scholes(inputs: Case) -> Case:
    """Values of both sides and the Greeks of one, on spot without dividends (margin.md §16)."""
    spot, strike, years, rate, vol = (inputs[name] for name in ("S", "K", "T", "r", "sigma"))
    forward = spot * math.exp(rate * years)
    found = {
        name: float(price_options(OptionTerms(forward, strike, years, rate, side), vol))
        for name, side in SIDES.items()
    }
    if "type" in inputs:
        found |= _moves(OptionTerms(forward, strike, years, rate, SIDES[inputs["type"]]), vol, spot)
    return found


def _moves(terms: OptionTerms, vol: float, spot: float | None = None) -> Case:
    """Value and Greeks by spot, or by the forward where there is no spot."""
    its = compute_greeks(terms, vol, spot)
    found = {name: float(each) for name, each in zip(its._fields, its, strict=True)}
    found |= {"theta_annual": found["theta"], "theta_daily": found["theta"] / 365}
    return found | {f"{name}_per_1pct": found[name] / 100 for name in ("vega", "rho")}


ENGINES: dict[str, Engine] = {
    "black76": black76,
    "black_scholes": black_scholes,
}

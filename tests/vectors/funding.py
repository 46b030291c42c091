"""Funding rates and payments (margin.md §2 to §4, §11)."""

from typing import Any

import numpy as np
from vectors.runner import Case, Engine

from sim.exchange.funding import EIGHT_HOURS, PremiumFunding, annualise_rate
from sim.exchange.funding_interest import InterestGapFunding, compute_time_average
from sim.exchange.funding_margin import MILLION, compute_index_change, compute_max_rate_ppm
from sim.exchange.funding_spread import compute_spread_payment
from sim.margin.tiers.open_interest import OpenInterestRequirement


def hyperliquid(inputs: Case) -> Case:
    """Without a premium only interest is paid, an eighth of it every hour."""
    interest, even = inputs["interest_8h"], np.array([100.0])
    rule = PremiumFunding(
        interval=3600, period=EIGHT_HOURS, interest=interest, clamp=0.0005, cap=0.04
    )
    rule.add_sample(even, even, even)
    rate = rule.close_interval()
    assert rate is not None
    return {"interest_1h": float(rate[0]), "apr_pct": 100 * annualise_rate(interest, EIGHT_HOURS)}


def dydx(inputs: Case) -> Case:
    if "clamp_factor_ppm" in inputs:
        margin = OpenInterestRequirement(
            initial=inputs["imf_ppm"] / MILLION,
            fraction=inputs["maintenance_fraction_ppm"] / MILLION,
        )
        return {
            "max_abs_ppm": compute_max_rate_ppm(
                inputs["clamp_factor_ppm"], inputs["imf_ppm"], margin.maintenance_ppm
            )
        }
    exponent = inputs["price_exp"] + inputs["atomic_resolution"]
    return {
        "index_delta": compute_index_change(
            inputs["rate8h_ppm"], inputs["dt_s"], inputs["price"], exponent
        )
    }


def drift(inputs: Case) -> Case:
    mark, oracle = np.array(float(inputs["mark_twap"])), np.array(float(inputs["oracle_twap"]))
    owed = compute_spread_payment(
        mark, oracle, np.array(float(inputs["clamp"])), inputs["period_s"]
    )
    return {"funding_rate": float(np.trunc(owed * inputs["buffer"]))}


def vega(inputs: Case) -> Case:
    """Averages where prices are given, and the payment of an interval where averages are."""
    got: Case = {}
    for side, name in (("internal", "mark_obs"), ("external", "spot_obs")):
        if name in inputs:
            times, prices = zip(*inputs[name], strict=True)
            got[f"{side}_twap"] = compute_time_average(
                times, prices, inputs["period"], _auction(inputs)
            )
        if side in inputs:  # prices and how long each held
            prices, lengths = zip(*inputs[side], strict=True)
            ends = np.cumsum(lengths, dtype=float).tolist()
            got[f"{side}_twap"] = compute_time_average([0.0, *ends[:-1]], prices, ends[-1])
    internal = inputs.get("internal_twap", inputs.get("f_twap", got.get("internal_twap")))
    external = inputs.get("external_twap", inputs.get("s_twap", got.get("external_twap")))
    paid = float(
        _rule(inputs).compute_payment(
            internal, external, inputs.get("delta_t", 0.0), _trading(inputs)
        )
    )
    got |= {"funding_payment": paid, "funding_rate": paid / external}
    return got | {"payments": [-lots * paid for lots in inputs.get("positions", {}).values()]}


def _rule(inputs: Case) -> InterestGapFunding:
    width = inputs.get("clamp", 0.0)
    return InterestGapFunding(
        interest=inputs.get("interest_rate", inputs.get("interest", 0.0)),
        clamp_lower=inputs.get("clamp_lower", -width),
        clamp_upper=inputs.get("clamp_upper", width),
        scaling=inputs.get("scaling", 1.0),
        rate_lower=inputs.get("rate_lower"),
        rate_upper=inputs.get("rate_upper"),
    )


def _auction(inputs: Case) -> tuple[float, float]:
    start, end = inputs.get("auction", (0.0, 0.0))
    return start, end


def _trading(inputs: Case) -> Any:
    """Share of the period outside its auction."""
    start, end = _auction(inputs)
    return 1.0 - (end - start) / inputs.get("period", 1.0)


ENGINES: dict[str, Engine] = {
    "funding_hyperliquid": hyperliquid,
    "funding_dydx": dydx,
    "funding_drift": drift,
    "funding_vega": vega,
}

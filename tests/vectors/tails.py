"""Coverage tests, closed forms of VaR and ES, EWMA and GARCH (margin.md §6, §13).

A list in place of a number expects a list; inputs that follow from others are filled in.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from vectors.runner import Case, Engine

from sim.margin.tail import risk_measures, volatility
from sim.margin.tiers import lognormal
from sim.metrics import coverage, shortfall
from sim.metrics.coverage import BacktestResult, BreachTransitions
from sim.metrics.traffic_light import TABLE_P, classify_breaches, compute_breach_probability


def columns(told: Callable[..., Case], *inputs: Any) -> Case:
    """One value a key where every input is a number, a list a key where one is a list."""
    if not any(isinstance(each, (list, tuple)) for each in inputs):
        return told(*inputs)
    count = max(len(each) for each in inputs if isinstance(each, (list, tuple)))
    rows = [told(*row) for row in zip(*(_repeated(each, count) for each in inputs), strict=True)]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _repeated(value: Any, count: int) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value] * count


def _told(verdict: BacktestResult, inputs: Case) -> Case:
    rejected = verdict.is_rejected(inputs.get("conf", inputs.get("test_conf", 0.95)))
    return {"LR": verdict.statistic, "pvalue": verdict.p_value, "reject": rejected}


def kupiec_pof(inputs: Case) -> Case:
    """A test, or the numbers of breaches between which it does not reject."""
    days, p = inputs["T"], inputs["p"]
    if "failures" in inputs:
        return columns(
            lambda t, x, p: _told(coverage.run_proportion_test(t, x, p), inputs),
            days,
            inputs["failures"],
            p,
        )

    def region(days: int, p: float) -> Case:
        low, high = coverage.find_accepted_range(
            days, p, inputs.get("test_conf", inputs.get("conf", 0.95))
        )
        return {
            "N_gt": low,
            "N_lt": high,
            "printed_table": f"{low}<N<{high}" if low > 0 else f"N<{high}",
        }

    return columns(region, days, p)


def kupiec_tuff(inputs: Case) -> Case:
    """By day of the first failure; none, where there was none in T days."""
    days = inputs.get("T", 0)
    return columns(
        lambda day, p: _told(coverage.run_first_failure_test(day, p, days), inputs),
        inputs.get("first_failure"),
        inputs["p"],
    )


def _counts(inputs: Case) -> BreachTransitions:
    return BreachTransitions(*(inputs[name] for name in ("N00", "N10", "N01", "N11")))


def christoffersen_cci(inputs: Case) -> Case:
    """Independence."""
    return _told(coverage.run_independence_test(_counts(inputs)), inputs)


def christoffersen_cc(inputs: Case) -> Case:
    """Coverage and independence; missing days and failures are those of the counts."""
    counts = _counts(inputs)
    days, failures = (
        inputs.get("T", sum(counts)),
        inputs.get("failures", counts.began + counts.stayed),
    )
    return columns(
        lambda p: _told(coverage.run_conditional_test(days, failures, p, counts), inputs),
        inputs["p"],
    )


def basel(inputs: Case) -> Case:
    """Zones and multipliers by number of exceptions, or errors of both kinds at a cut."""
    days = inputs["T"]
    if "cut" in inputs:
        told = {}
        for cut in np.atleast_1d(inputs["cut"]).tolist():
            for p in np.atleast_1d(inputs.get("p_true", inputs.get("p", TABLE_P))).tolist():
                below, name = compute_breach_probability(days, cut, p), f"p{_digits(p)}"
                told |= {f"P_gt{cut}_{name}": 1 - below, f"P_le{cut}_{name}": below}
        return told
    names = ("cum_prob", "zone", "multiplier_1996", "multiplier_frtb")
    return columns(
        lambda days, number, p: dict(zip(names, classify_breaches(days, number, p), strict=True)),
        *(days, inputs["exceptions"], inputs.get("p", TABLE_P)),
    )


def _digits(p: float) -> str:
    """Return the digits of a level: 01 of 0.01, 10 of 0.1, 025 of 0.025."""
    return f"{p:.2f}"[2:] if math.isclose(p, round(p, 2)) else f"{p:.10f}"[2:].rstrip("0")


def es_backtest_z2(inputs: Case) -> Case:
    """Critical values under N(0,1) or t(df), or the statistic of a given series."""
    if "X" in inputs:
        series = (np.array(inputs[name], dtype=float) for name in ("X", "VaR", "ES"))
        return {"Z2": shortfall.compute_z2(*np.broadcast_arrays(*series), inputs["alpha"])}  # type: ignore[arg-type]
    law = str(inputs.get("dist", "normal")).replace(" ", "").lower()
    digits = re.search(r"[\d.]+", law) if law.startswith(("t", "s")) else None
    df = float(inputs.get("df", inputs.get("nu", digits.group() if digits else math.inf)))
    shares = {
        "crit_10pct": 0.1,
        "crit_5pct": 0.05,
        "crit_1pct": 0.01,
        "crit_0.1pct": 1e-3,
        "crit_0.01pct": 1e-4,
    }
    return {
        name: shortfall.find_critical_z2(inputs["T"], inputs["alpha"], share, df)
        for name, share in shares.items()
    }


def var_es_closed_form(inputs: Case) -> Case:
    """Normal and Student-t per standard deviation, lognormal, and Vega's risk factors."""
    if "tau_years" in inputs:
        sigma = np.array(inputs["sigma"], dtype=float)
        long, short = lognormal.compute_risk_factors(
            inputs["lam"], inputs["tau_years"], sigma, inputs["mu"]
        )
        return {"rf_long": float(long), "rf_short": float(short)}
    if "lam" in inputs:
        law = inputs["mu"], inputs["sigma"], inputs["lam"]
        return {
            "VaR": risk_measures.compute_lognormal_var(*law),
            "ES": risk_measures.compute_lognormal_es(*law),
        }
    told, tail = {}, risk_measures.ReturnLaw(inputs.get("df", inputs.get("nu", math.inf)))
    mean, deviation = inputs.get("mu", 0.0), inputs.get("sigma", 1.0)
    for level in np.atleast_1d(inputs["alpha"]).tolist():
        name = f"{100 * level:g}".replace(".", "")
        found = {
            "VaR": deviation * tail.value_at_risk(level) - mean,
            "ES": deviation * tail.expected_shortfall(level) - mean,
        }
        told |= found | {f"{key}{name}": value for key, value in found.items()}
    return told


def parametric_var(inputs: Case) -> Case:
    """One position or several with their correlation; z defaults to the quantile of a level."""
    values = np.atleast_1d(np.array(inputs.get("values", inputs.get("value")), dtype=float))
    deviations = np.atleast_1d(np.array(inputs.get("vols", inputs.get("daily_vol")), dtype=float))
    rho = np.asarray(inputs.get("rho", 0.0), dtype=float)
    matrix = rho.copy() if rho.ndim == 2 else np.full((values.size, values.size), rho)
    np.fill_diagonal(matrix, 1.0)
    names = ("sd_1d", "var", "diversification")
    z = (
        inputs["z"]
        if "z" in inputs
        else risk_measures.ReturnLaw().value_at_risk(inputs.get("conf", inputs.get("alpha")))
    )
    told = risk_measures.compute_parametric_var(
        values, deviations, matrix, inputs.get("days", 1), z
    )
    return dict(zip(names, told, strict=True))


def _moves(inputs: Case) -> list[float]:
    """Return returns, oldest first, given or between prices; none for parameters alone."""
    if "ret" in inputs or "returns" in inputs:
        return np.atleast_1d(inputs.get("ret", inputs.get("returns"))).tolist()
    return [inputs["price"] / inputs["price_prev"] - 1] if "price" in inputs else []


def ewma(inputs: Case) -> Case:
    """Updates of volatility, and the half-life."""
    told: Case = {"half_life_days": volatility.compute_half_life(inputs["lam"])}
    if "sigma_prev" in inputs:
        variance = inputs["sigma_prev"] ** 2
        for move in _moves(inputs):
            variance = volatility.update_ewma(variance, move**2, inputs["lam"])
        told |= {"sigma": math.sqrt(variance), "variance": variance}
    return told


def garch11(inputs: Case) -> Case:
    """Updates of volatility, and where it returns to."""
    parameters = (inputs["omega"], inputs["alpha"], inputs["beta"])
    settled = volatility.compute_long_run_variance(parameters)
    told: Case = {"VL": settled, "sigma_long_run": math.sqrt(settled)}
    if "sigma_prev" in inputs:
        variance = inputs["sigma_prev"] ** 2
        for move in _moves(inputs):
            variance = volatility.update_garch(variance, move**2, parameters)
        told |= {"sigma": math.sqrt(variance), "variance": variance}
    return told


ENGINES: dict[str, Engine] = {
    "kupiec_pof": kupiec_pof,
    "kupiec_tuff": kupiec_tuff,
    "christoffersen_cci": christoffersen_cci,
    "christoffersen_cc": christoffersen_cc,
    "traffic_light": basel,
    "es_backtest_z2": es_backtest_z2,
    "var_es_closed_form": var_es_closed_form,
    "parametric_var": parametric_var,
    "ewma": ewma,
    "garch11": garch11,
}

"""Coverage tests, closed forms of VaR and ES, EWMA and GARCH (margin.md §6, §13)."""

import math
import re

import numpy as np
from vectors.runner import Case, Engine

from sim.margin import measures, volatility
from sim.metrics import coverage, shortfall
from sim.metrics.coverage import Transitions
from sim.metrics.traffic_light import at_most, traffic_light


def kupiec_pof(inputs: Case) -> Case:
    """A test at one or several levels, or the numbers of breaches between which it does not reject."""
    if "failures" not in inputs:
        low, high = coverage.accepted(inputs["T"], inputs["p"], inputs.get("test_conf", 0.95))
        return {"N_gt": low, "N_lt": high, "printed_table": f"{low}<N<{high}" if low > 0 else f"N<{high}"}
    levels = inputs["p"] if isinstance(inputs["p"], list) else [inputs["p"]]
    verdicts = [coverage.proportion(inputs["T"], inputs["failures"], p) for p in levels]
    columns = {
        "LR": [verdict.statistic for verdict in verdicts],
        "pvalue": [verdict.p_value for verdict in verdicts],
        "reject": [verdict.rejects(inputs.get("conf", 0.95)) for verdict in verdicts],
    }
    return columns if isinstance(inputs["p"], list) else {name: column[0] for name, column in columns.items()}


def _told(verdict: coverage.Verdict, inputs: Case) -> Case:
    rejected = verdict.rejects(inputs.get("conf", 0.95))
    return {"LR": verdict.statistic, "pvalue": verdict.p_value, "reject": rejected}


def kupiec_tuff(inputs: Case) -> Case:
    """By day of the first failure; none, where there was none in T days."""
    return _told(coverage.first_failure(inputs.get("first_failure"), inputs["p"], inputs.get("T", 0)), inputs)


def _counts(inputs: Case) -> Transitions:
    return Transitions(*(inputs[name] for name in ("N00", "N10", "N01", "N11")))


def christoffersen_cci(inputs: Case) -> Case:
    """Independence."""
    return _told(coverage.independence(_counts(inputs)), inputs)


def christoffersen_cc(inputs: Case) -> Case:
    """Coverage and independence."""
    verdict = coverage.conditional(inputs["T"], inputs["failures"], inputs["p"], _counts(inputs))
    return _told(verdict, inputs)


def basel(inputs: Case) -> Case:
    """Zones and multipliers by number of exceptions, or errors of both kinds at a cut."""
    days = inputs["T"]
    if "cut" in inputs:
        cut, told = inputs["cut"], {}
        for p in np.atleast_1d(inputs["p_true"]):
            below, name = at_most(days, cut, p), f"p{round(100 * p):02d}"
            told |= {f"P_gt{cut}_{name}": 1 - below, f"P_le{cut}_{name}": below}
        return told
    numbers = inputs["exceptions"]
    lights = [traffic_light(days, number, inputs["p"]) for number in np.atleast_1d(numbers).tolist()]
    names = {"cum_prob": 0, "zone": 1, "multiplier_1996": 2, "multiplier_frtb": 3}
    columns = {name: [light[place] for light in lights] for name, place in names.items()}
    return columns if isinstance(numbers, list) else {name: column[0] for name, column in columns.items()}


def es_backtest_z2(inputs: Case) -> Case:
    """Critical values under N(0,1) or t(df), or the statistic of a given series."""
    if "dist" not in inputs:
        series = (np.array(inputs[name], dtype=float) for name in ("X", "VaR", "ES"))
        return {"Z2": shortfall.z2(*np.broadcast_arrays(*series), inputs["alpha"])}  # type: ignore[arg-type]
    law = inputs["dist"].replace(" ", "").lower()
    digits = re.search(r"[\d.]+", law) if law.startswith(("t", "s")) else None
    df = float(digits.group()) if digits else math.inf
    shares = {"crit_10pct": 0.1, "crit_5pct": 0.05, "crit_1pct": 0.01, "crit_0.1pct": 1e-3, "crit_0.01pct": 1e-4}
    return {name: shortfall.critical(inputs["T"], inputs["alpha"], share, df) for name, share in shares.items()}


def var_es_closed_form(inputs: Case) -> Case:
    """Normal and Student-t per standard deviation, lognormal, and Vega's risk factors."""
    if "tau_years" in inputs:
        long, short = measures.risk_factors(inputs["mu"], inputs["sigma"], inputs["tau_years"], inputs["lam"])
        return {"rf_long": long, "rf_short": short}
    if "lam" in inputs:
        law = inputs["mu"], inputs["sigma"], inputs["lam"]
        return {"VaR": measures.lognormal_var(*law), "ES": measures.lognormal_es(*law)}
    told, tail = {}, measures.Law(inputs.get("df", math.inf))
    for level in np.atleast_1d(inputs["alpha"]).tolist():
        name = f"{100 * level:g}".replace(".", "")
        told |= {f"VaR{name}": tail.var(level), f"ES{name}": tail.es(level)}
    return told


def parametric_var(inputs: Case) -> Case:
    """One position, or several with their correlation."""
    values = np.atleast_1d(np.array(inputs.get("values", inputs.get("value")), dtype=float))
    deviations = np.atleast_1d(np.array(inputs.get("vols", inputs.get("daily_vol")), dtype=float))
    rho = np.asarray(inputs.get("rho", 0.0), dtype=float)
    matrix = rho if rho.ndim == 2 else np.full((values.size, values.size), rho)
    np.fill_diagonal(matrix, 1.0)
    names = ("sd_1d", "var", "diversification")
    told = measures.parametric_var(values, deviations, matrix, inputs["days"], inputs["z"])
    return dict(zip(names, told, strict=True))


def ewma(inputs: Case) -> Case:
    """One update of volatility, and the half-life."""
    told: Case = {"half_life_days": volatility.half_life(inputs["lam"])}
    if "sigma_prev" in inputs:
        move = inputs["ret"] if "ret" in inputs else inputs["price"] / inputs["price_prev"] - 1
        told["sigma"] = math.sqrt(volatility.ewma(inputs["sigma_prev"] ** 2, move**2, inputs["lam"]))
    return told


def garch11(inputs: Case) -> Case:
    """One update of volatility, and where it returns to."""
    parameters = (inputs["omega"], inputs["alpha"], inputs["beta"])
    move = inputs["ret"] if "ret" in inputs else inputs["price"] / inputs["price_prev"] - 1
    variance = volatility.garch(inputs["sigma_prev"] ** 2, move**2, parameters)
    settled = volatility.long_run(parameters)
    return {"sigma": math.sqrt(variance), "VL": settled, "sigma_long_run": math.sqrt(settled)}


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

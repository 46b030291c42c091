"""Variations of the published signatures of risk measures, each against a derivation of its own."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from vectors import tails

LEVELS = st.floats(0.001, 0.3)
DAYS = st.integers(2, 3000)


def likelihood_ratio(free: float, bound: float, freedom: int) -> tuple[float, float]:
    statistic = max(2 * (free - bound), 0.0)
    return statistic, float(stats.chi2.sf(statistic, freedom))


def same(told: dict[str, object], statistic: float, p_value: float, confidence: float) -> None:
    np.testing.assert_allclose(
        [told["LR"], told["pvalue"]], [statistic, p_value], rtol=1e-6, atol=1e-9
    )
    if abs(p_value - (1 - confidence)) > 1e-9:
        assert told["reject"] == (p_value < 1 - confidence)


@settings(max_examples=40, deadline=None)
@given(DAYS, st.floats(0, 1), LEVELS, st.sampled_from([0.9, 0.95, 0.99]))
def test_proportion_of_failures(days: int, share: float, p: float, conf: float) -> None:
    """Binomial likelihoods, the binomial coefficient and all."""
    x = round(share * days)
    free, bound = (stats.binom.logpmf(x, days, each) for each in (x / days, p))
    told = tails.kupiec_pof({"T": days, "failures": x, "p": p, "conf": conf})
    same(told, *likelihood_ratio(free, bound, 1), conf)


KUPIEC = {
    0.01: ((0, 7), (1, 11), (4, 17)),
    0.025: ((2, 12), (6, 21), (15, 36)),
    0.05: ((6, 21), (16, 36), (37, 65)),
    0.075: ((11, 28), (27, 51), (59, 92)),
    0.1: ((16, 36), (38, 65), (81, 120)),
}
"""Regions of 255, 510 and 1,000 days of his table (1995); the first has no lower bound in print."""


@pytest.mark.parametrize("p", KUPIEC)
def test_regions_of_no_rejection(p: float) -> None:
    told = tails.kupiec_pof({"p": p, "T": [255, 510, 1000], "test_conf": 0.95})
    assert list(zip(told["N_gt"], told["N_lt"], strict=True)) == list(KUPIEC[p])


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 400), LEVELS, st.sampled_from([0.9, 0.95, 0.99]))
def test_regions_are_where_likelihoods_are_alike(days: int, p: float, conf: float) -> None:
    x = np.arange(days + 1)
    ratio = 2 * (stats.binom.logpmf(x, days, x / days) - stats.binom.logpmf(x, days, p))
    assume(np.abs(ratio - stats.chi2.ppf(conf, 1)).min() > 1e-6)
    kept = np.flatnonzero(ratio < stats.chi2.ppf(conf, 1))
    told = tails.kupiec_pof({"p": p, "T": days, "test_conf": conf})
    assert (told["N_gt"], told["N_lt"]) == (kept.min() - 1, kept.max() + 1)


def test_lists_are_answered_by_lists_and_what_is_left_out_follows() -> None:
    """Each entry as if alone; a level for its quantile, a law by its degrees, several returns."""
    for engine, inputs, name, several in (
        (tails.kupiec_pof, {"T": 250, "p": 0.01}, "failures", [0, 3, 250]),
        (tails.kupiec_tuff, {"p": 0.01}, "first_failure", [1, 100, 58]),
        (tails.christoffersen_cc, {"N00": 240, "N10": 1, "N01": 1, "N11": 8}, "p", [0.01, 0.05]),
        (tails.basel, {"T": 500, "exceptions": 9}, "p", [0.01, 0.025]),
    ):
        told = engine({**inputs, name: several})
        alone = [engine({**inputs, name: each}) for each in several]
        assert told == {key: [each[key] for each in alone] for key in alone[0]}
    given_z = tails.parametric_var(
        {"value": 1e6, "daily_vol": 0.02, "days": 10, "z": stats.norm.ppf(0.99)}
    )
    assert tails.parametric_var(
        {"value": 1e6, "daily_vol": 0.02, "days": 10, "conf": 0.99}
    ) == pytest.approx(given_z)
    assert (
        tails.es_backtest_z2({"T": 250, "alpha": 0.025, "dist": "t", "df": 3})["crit_5pct"] < -0.75
    )
    shifted = tails.var_es_closed_form({"alpha": 0.99, "mu": 0.01, "sigma": 0.02})
    assert shifted["VaR99"] == pytest.approx(-stats.norm.ppf(0.01, 0.01, 0.02))
    twice = tails.ewma({"lam": 0.94, "sigma_prev": 0.01, "returns": [0.01, -0.02]})["variance"]
    assert twice == pytest.approx(0.94 * (0.94 * 1e-4 + 0.06 * 1e-4) + 0.06 * 4e-4)
    assert tails.basel({"T": 250, "cut": [4, 9], "p_true": 0.025}).keys() == {
        *("P_gt4_p025", "P_le4_p025", "P_gt9_p025", "P_le9_p025")
    }


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2000), LEVELS)
def test_time_until_first_failure(day: int, p: float) -> None:
    """Geometric likelihoods, at p and at one over the day."""
    told = tails.kupiec_tuff({"first_failure": day, "p": p})
    same(
        told, *likelihood_ratio(stats.geom.logpmf(day, 1 / day), stats.geom.logpmf(day, p), 1), 0.95
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 60), st.integers(0, 60), st.integers(0, 20), LEVELS)
def test_independence_and_conditional_coverage(
    n00: int, n10: int, n01: int, n11: int, p: float
) -> None:
    """Markov chains' likelihoods, state by state."""
    assume(n00 + n10 + n01 + n11 > 0)

    def chain(after_calm: float, after_hit: float) -> float:
        terms = ((n00, 1 - after_calm), (n01, after_calm), (n10, 1 - after_hit), (n11, after_hit))
        return sum(count * math.log(chance) for count, chance in terms if count)

    rows = (n00 + n01, n10 + n11)
    free = chain(
        *(hits / total if total else 0.5 for hits, total in zip((n01, n11), rows, strict=True))
    )
    pooled = (n01 + n11) / sum(rows)
    counts = {"N00": n00, "N10": n10, "N01": n01, "N11": n11}
    statistic, p_value = likelihood_ratio(free, chain(pooled, pooled), 1)
    same(tails.christoffersen_cci(counts), statistic, p_value, 0.95)
    days, failures = sum(rows) + 1, n01 + n11
    covered = likelihood_ratio(
        *(stats.binom.logpmf(failures, days, each) for each in (failures / days, p)), 1
    )[0]
    told = tails.christoffersen_cc({**counts, "T": days, "failures": failures, "p": p})
    same(told, covered + statistic, float(stats.chi2.sf(covered + statistic, 2)), 0.95)


@settings(max_examples=40, deadline=None)
@given(st.integers(50, 1000), st.integers(0, 40), st.floats(0.005, 0.06))
def test_traffic_light(days: int, exceptions: int, p: float) -> None:
    """Zones by the sum of binomial probabilities."""
    told = tails.basel({"T": days, "exceptions": exceptions, "p": p})
    below = math.fsum(stats.binom.pmf(range(exceptions + 1), days, p))
    assert abs(told["cum_prob"] - below) < 1e-9
    assume(min(abs(below - 0.95), abs(below - 0.9999)) > 1e-9)
    assert told["zone"] == ("green" if below < 0.95 else "yellow" if below < 0.9999 else "red")
    assert 3 <= told["multiplier_1996"] <= 4
    assert 1.5 <= told["multiplier_frtb"] <= 2


@settings(max_examples=8, deadline=None)
@given(st.floats(0.6, 0.999), st.floats(2.5, 60))
def test_value_at_risk_and_shortfall(level: float, df: float) -> None:
    """Quantiles of scipy's laws, shortfall by integration of the quantile."""
    name = f"{100 * level:g}".replace(".", "")
    for inputs, law in (
        ({"alpha": level}, stats.norm()),
        ({"alpha": level, "df": df}, stats.t(df, scale=math.sqrt((df - 2) / df))),
    ):
        told = tails.var_es_closed_form(inputs)
        beyond = law.expect(lb=law.ppf(level), epsabs=1e-10, limit=200) / (1 - level)
        np.testing.assert_allclose(
            [told[f"VaR{name}"], told[f"ES{name}"]], [law.ppf(level), beyond], rtol=1e-5
        )


@settings(max_examples=8, deadline=None)
@given(st.floats(-1, 1), st.floats(0.05, 1.5), st.floats(0.005, 0.3), st.floats(0.001, 1.0))
def test_lognormal_tails_and_risk_factors(
    mean: float, sigma: float, tail: float, years: float
) -> None:
    """By integration over the standard normal."""
    edge = stats.norm.ppf(tail)

    def below(spread: float, shift: float, low: float, high: float) -> float:
        return integrate.quad(
            lambda z: math.exp(shift + spread * z) * stats.norm.pdf(z), low, high, epsabs=1e-12
        )[0]

    told = tails.var_es_closed_form({"mu": mean, "sigma": sigma, "lam": tail})
    expected = -math.exp(mean + sigma * edge), -below(sigma, mean, -12, edge) / tail
    np.testing.assert_allclose([told["VaR"], told["ES"]], expected, rtol=1e-6)
    told = tails.var_es_closed_form({"mu": mean, "sigma": sigma, "lam": tail, "tau_years": years})
    spread, shift = sigma * math.sqrt(years), (mean - sigma**2 / 2) * years
    expected = (
        1 - below(spread, shift, -12, edge) / tail,
        below(spread, shift, -edge, 12) / tail - 1,
    )
    np.testing.assert_allclose([told["rf_long"], told["rf_short"]], expected, rtol=1e-5, atol=1e-8)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-1e7, 1e7), st.floats(0.001, 0.1)), min_size=1, max_size=5),
    st.floats(-0.2, 0.95),
)
def test_parametric_value_at_risk(parts: list[tuple[float, float]], rho: float) -> None:
    """Sums over pairs of parts."""
    values, vols = zip(*parts, strict=True)
    variance = sum(
        values[i] * values[j] * vols[i] * vols[j] * (1 if i == j else rho)
        for i in range(len(parts))
        for j in range(len(parts))
    )
    assume(variance > 1)
    told = tails.parametric_var(
        {"values": values, "vols": vols, "rho": rho, "days": 10, "z": 2.326}
    )
    alone = 2.326 * math.sqrt(10) * sum(abs(value) * vol for value, vol in parts)
    var = 2.326 * math.sqrt(10 * variance)
    np.testing.assert_allclose([told["sd_1d"], told["var"]], [math.sqrt(variance), var], rtol=1e-6)
    np.testing.assert_allclose(told["diversification"], alone - var, rtol=1e-6, atol=1e-6 * alone)


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.5, 0.999),
    st.floats(0.001, 0.2),
    st.floats(-0.2, 0.2),
    st.floats(0.01, 0.3),
    st.floats(1e-7, 1e-3),
)
def test_volatility_updates(
    decay: float, sigma: float, move: float, alpha: float, omega: float
) -> None:
    """From returns and from prices; where GARCH returns to is where it stays."""
    told = tails.ewma({"lam": decay, "sigma_prev": sigma, "ret": move})
    assert math.isclose(
        told["sigma"],
        math.hypot(math.sqrt(decay) * sigma, math.sqrt(1 - decay) * move),
        rel_tol=1e-9,
    )
    assert math.isclose(decay ** told["half_life_days"], 0.5, rel_tol=1e-9)
    beta = 0.95 - alpha
    inputs = {"omega": omega, "alpha": alpha, "beta": beta, "sigma_prev": sigma}
    found = tails.garch11({**inputs, "price": 100 * (1 + move), "price_prev": 100})
    expected = math.sqrt(omega + alpha * move**2 + beta * sigma**2)
    assert math.isclose(found["sigma"], expected, rel_tol=1e-6)
    rests = math.sqrt(found["VL"])
    stays = tails.garch11({**inputs, "sigma_prev": rests, "ret": rests})["sigma"]
    assert math.isclose(stays, rests, rel_tol=1e-9)
    assert found["sigma_long_run"] == rests

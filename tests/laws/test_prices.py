"""Laws of the outside world: IDX-1, IDX-2, IDX-4, RNG-1."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.errors import ConfigError, DataError
from sim.prices.bars import common, validated
from sim.prices.bridge import bridge, through, visits
from sim.prices.correlation import semidefinite_root
from sim.prices.garch_t import recurse
from sim.prices.heston import diffuse
from sim.prices.impact import Impact, Impacts
from sim.prices.path import Outside, accumulate, exogenous
from sim.prices.stress import Depeg, Move, Volatility, Withdrawal
from sim.prices.underlying import Underlying
from sim.rng import Streams

YEAR = 365 * 1_440
ANNUAL = math.sqrt(YEAR)
REPLAY = {"kind": "replay", "source": "given"}


def underlying(name, **process):
    start = {} if process["kind"] == "replay" else {"start": 100.0}
    return Underlying.model_validate({"name": name, "process": process, **start})


def gbm(name, volatility=0.6):
    return underlying(name, kind="gbm", volatility=volatility)


def path(outside, steps=2_000, seed=7, dt=60.0, **rest):
    return exogenous(outside, streams=Streams(seed), dt=dt, steps=steps, **rest)


def days(number, first="2020-01-01"):
    return np.datetime64(first) + np.arange(number)


def closes(values, first="2020-01-01"):
    prices = np.full((len(values), 4), np.nan)
    prices[:, 3] = values
    return validated("closes", days(len(values), first), prices)


def random_days(number, seed=0):
    """Bars from coarse random walks: opens, highs, lows and closes that belong together."""
    rng = np.random.default_rng(seed)
    walk = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (number, 20)), axis=None)).reshape(number, 20)
    return validated("made", days(number), np.stack([walk[:, 0], walk.max(1), walk.min(1), walk[:, -1]], axis=1))


# ── volatility: measured is what the parameters say ──


@pytest.mark.parametrize("dt", [60.0, 600.0])
def test_gbm_has_its_volatility_and_drift_at_any_step(dt):
    steps = int(YEAR * 60 / dt)
    returns = np.diff(path(Outside([underlying("A", kind="gbm", volatility=0.6, drift=0.2)]), steps, dt=dt).x[:, 0])
    # sd of an estimated sd is 1/sqrt(2n): 0.3% at 52,560 steps; four of them
    assert returns.std() * math.sqrt(YEAR * 60 / dt) == pytest.approx(0.6, rel=4 / math.sqrt(2 * steps))
    assert returns.sum() == pytest.approx(0.2 - 0.18, abs=3 * 0.6)


def test_gbm_expected_price_grows_at_the_drift():
    process = {"kind": "gbm", "volatility": 0.5, "drift": 0.4}
    growth = np.exp(np.diff(path(Outside([underlying("A", **process)]), 400_000, dt=86_400.0).x[:, 0]))
    assert growth.mean() == pytest.approx(math.exp(0.4 / 365), abs=4 * growth.std() / math.sqrt(400_000))


def test_merton_jumps_are_compensated_and_add_their_variance():
    process = {"kind": "merton_jump", "volatility": 0.3, "intensity": 1.0, "jump_mean": -0.02, "jump_sd": 0.03}
    x = path(Outside([underlying("A", **process)]), 400_000, dt=86_400.0).x
    total = math.sqrt(0.3**2 + 365 * (0.02**2 + 0.03**2))
    returns = np.diff(x, axis=0)
    assert returns.std() * math.sqrt(365) == pytest.approx(total, rel=0.01)  # sd of the estimate 0.2%
    growth = np.exp(returns)
    assert growth.mean() == pytest.approx(1.0, abs=4 * growth.std() / math.sqrt(growth.size))
    assert ((returns - returns.mean()) ** 3).mean() < 0


@pytest.mark.parametrize("dt", [60.0, 600.0, 3_600.0])
def test_garch_has_its_unconditional_volatility_at_any_step(dt):
    process = {"kind": "garch_t", "volatility": 0.6, "alpha": 0.1, "beta": 0.6, "df": 8}
    steps = int(200 * 86_400 / dt)
    x = path(Outside([underlying(f"A{i}", **process) for i in range(10)]), steps, dt=dt).x
    # 2,000 days whose variance forgets in 3
    assert np.diff(x, axis=0).std() * math.sqrt(365 * 86_400 / dt) == pytest.approx(0.6, rel=0.03)


def test_garch_clusters_over_the_same_time_at_any_step():
    """A day's squared return correlates with the next day's alike, whether the day has 24 or 144 steps."""
    process = {"kind": "garch_t", "volatility": 0.6, "alpha": 0.2, "beta": 0.7, "df": 30}
    found = []
    for dt in (3_600.0, 600.0):
        x = path(Outside([underlying(f"A{i}", **process) for i in range(10)]), int(800 * 86_400 / dt), dt=dt).x
        squares = np.abs(np.diff(x[:: round(86_400 / dt)], axis=0))
        found.append(np.mean([np.corrcoef(s[1:], s[:-1])[0, 1] for s in squares.T]))
    assert min(found) > 0.08
    assert found[0] == pytest.approx(found[1], abs=0.06)  # each has a standard error near 0.015


def test_garch_innovations_have_t_tails():
    flat = {"kind": "garch_t", "volatility": 0.6, "alpha": 0, "beta": 0, "df": 3}
    returns = np.diff(path(Outside([underlying("A", **flat)]), 400_000).x[:, 0])
    largest = np.sort(np.abs(returns))[-2_001:]
    hill = 1 / np.log(largest[1:] / largest[0]).mean()
    assert hill == pytest.approx(3, rel=0.12)  # sd of Hill's estimate is 3/sqrt(2000), and 0.5% tails bias it a little
    assert returns.std() * ANNUAL == pytest.approx(0.6, rel=0.05)


def test_garch_refuses_what_is_not_stationary():
    with pytest.raises(ValidationError, match=r"alpha \+ beta is 1.1, must be below 1"):
        underlying("A", kind="garch_t", volatility=0.6, alpha=0.2, beta=0.9)


HESTON = {"kind": "heston", "volatility": 0.5, "reversion": 20.0, "vol_of_vol": 1.5}


@pytest.mark.parametrize("dt", [600.0, 3_600.0])
def test_heston_has_its_unconditional_volatility_at_any_step(dt):
    steps = int(300 * 86_400 / dt)
    x = path(Outside([underlying(f"A{i}", **HESTON) for i in range(20)]), steps, dt=dt).x
    # 6,000 days; the mean of v over them has a standard error of vol_of_vol v^.5 / reversion / sqrt(16.4 years), 3.7%
    assert np.diff(x, axis=0).std() * math.sqrt(365 * 86_400 / dt) == pytest.approx(0.5, rel=0.05)


def test_heston_expected_price_grows_at_the_drift():
    x = path(Outside([underlying("A", **HESTON, drift=0.4)]), 400_000, dt=3_600.0).x
    growth = np.exp(np.diff(x[:, 0]))
    assert growth.mean() == pytest.approx(math.exp(0.4 / 8_760), abs=4 * growth.std() / math.sqrt(growth.size))


@pytest.mark.parametrize("correlation", [-0.7, 0.0, 0.7])
def test_heston_has_a_leverage_effect_of_the_sign_of_its_correlation(correlation):
    """A day's return against the realised variance of the next, over 20 x 400 days."""
    world = Outside([underlying(f"A{i}", **HESTON, correlation=correlation) for i in range(20)])
    returns = np.diff(path(world, 400 * 24, dt=3_600.0).x, axis=0).reshape(400, 24, 20)
    day, realised = returns.sum(axis=1), (returns**2).sum(axis=1)
    found = np.mean([np.corrcoef(day[:-1, i], realised[1:, i] - realised[:-1, i])[0, 1] for i in range(20)])
    assert abs(found) < 0.035 if correlation == 0 else found * np.sign(correlation) > 0.05


def test_heston_without_vol_of_vol_is_gbm():
    flat = underlying("A", kind="heston", volatility=0.5, vol_of_vol=0.0, drift=0.1)
    same = underlying("A", kind="gbm", volatility=0.5, drift=0.1)
    np.testing.assert_allclose(path(Outside([flat])).x, path(Outside([same])).x, rtol=1e-12)


# ── draws and correlation ──


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**63))
def test_a_longer_run_begins_with_the_shorter_one(steps, seed):
    world = Outside([gbm("A"), underlying("B", kind="garch_t", volatility=0.5)], [[1, 0.5], [0.5, 1]])
    short, long = path(world, steps, seed), path(world, 301, seed)
    np.testing.assert_array_equal(short.x, long.x[: steps + 1])


def test_an_underlying_added_changes_nothing_of_the_others():
    a, b = gbm("A"), underlying("B", kind="merton_jump", volatility=0.5, intensity=5, jump_sd=0.01)
    c = underlying("C", kind="garch_t", volatility=0.5)
    pair = path(Outside([a, b], [[1, 0.8], [0.8, 1]])).x
    triple = path(Outside([a, b, c], [[1, 0.8, 0.3], [0.8, 1, 0.1], [0.3, 0.1, 1]])).x
    np.testing.assert_array_equal(pair, triple[:, :2])
    np.testing.assert_array_equal(path(Outside([b])).x[:, 0], path(Outside([a, b])).x[:, 1])


def test_returns_have_the_correlation_asked_for():
    asked = np.array([[1, 0.7, -0.4], [0.7, 1, 0.1], [-0.4, 0.1, 1]])
    x = path(Outside([gbm("A"), gbm("B", 0.2), gbm("C")], asked.tolist()), 40_000).x
    np.testing.assert_allclose(np.corrcoef(np.diff(x, axis=0).T), asked, atol=0.02)  # four standard errors


def test_perfect_correlation_is_a_correlation():
    x = path(Outside([gbm("A"), gbm("B"), gbm("C")], [[1, 1, -1], [1, 1, -1], [-1, -1, 1]])).x
    returns = np.diff(x, axis=0)
    drift = returns.mean(axis=0)
    np.testing.assert_allclose(returns[:, 0] - drift[0], returns[:, 1] - drift[1], atol=1e-14)
    np.testing.assert_allclose(returns[:, 0] - drift[0], -(returns[:, 2] - drift[2]), atol=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
def test_the_root_of_any_semidefinite_correlation_multiplies_back(size, rank, seed):
    factors = np.random.default_rng(seed).standard_normal((size, rank))
    factors /= np.linalg.norm(factors, axis=1, keepdims=True)
    matrix = factors @ factors.T
    np.fill_diagonal(matrix, 1.0)
    root = semidefinite_root(matrix, size)
    np.testing.assert_allclose(root @ root.T, matrix, atol=1e-6)
    assert not np.triu(root, 1).any()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 0.5]], "must be 2 rows of 2"),
        ([[1, 0.5], [0.4, 1]], r"correlation\.0\.1: 0.5 is not 0.4, the entry at 1.0"),
        ([[1, 0.5], [0.5, 2]], r"correlation\.1\.1: 2, must be 1"),
        ([[1, 1.5], [1.5, 1]], r"not positive semi-definite \(smallest eigenvalue -0.5\)"),
        ([[1, math.nan], [math.nan, 1]], "must be symmetric"),
    ],
)
def test_what_is_no_correlation_is_refused(matrix, message):
    with pytest.raises(ConfigError, match=message):
        path(Outside([gbm("A"), gbm("B")], matrix))


# ── replay ──


@pytest.mark.parametrize("dt", [60.0, 300.0, 5_850.0])
def test_replay_meets_every_open_high_low_and_close(dt):
    bars = random_days(60)
    prices = np.exp(path(Outside([underlying("A", **REPLAY)]), None, dt=dt, bars={"A": bars}).x[:, 0])
    by_day = prices.reshape(60, -1)
    assert by_day.shape[1] == 23_400 / dt
    for found, real in zip(
        (by_day[:, 0], by_day.max(1), by_day.min(1), by_day[:, -1]),
        (bars.open, bars.high, bars.low, bars.close),
        strict=True,
    ):
        np.testing.assert_allclose(found, real, rtol=1e-12)


def test_the_gap_is_one_step_and_the_stamps_show_it():
    bars = random_days(3)
    found = path(Outside([underlying("A", **REPLAY)]), None, bars={"A": bars})
    assert found.x[390, 0] - found.x[389, 0] == pytest.approx(math.log(bars.open[1] / bars.close[0]), abs=1e-12)
    assert found.seconds[390] - found.seconds[389] == 60
    assert str(found.stamp[389]) == "2020-01-01T15:59:00"
    assert str(found.stamp[390]) == "2020-01-02T09:30:00"


@given(st.lists(st.integers(-500, 500), min_size=4, max_size=4), st.integers(4, 60), st.integers(0, 1_000))
@settings(max_examples=100, deadline=None)
def test_a_day_of_any_shape_is_met(levels, rows, seed):
    logs = [7 + level / 10_000 for level in levels]
    corner = np.array([logs[0], max(logs), min(logs), logs[1]])
    rng = np.random.default_rng(seed)
    found = through(corner, rng.standard_normal(rows - 1), rng.random(3))
    assert (found[0], found.max(), found.min(), found[-1]) == tuple(corner)


def test_minutes_have_the_variance_of_the_range_and_keep_the_correlation():
    bars = random_days(100)
    world = Outside([underlying("A", **REPLAY), underlying("B", kind="gbm", volatility=0.5)], [[1, 0.8], [0.8, 1]])
    x = path(world, None, bars={"A": bars}).x[: 390 * 100].reshape(100, 390, 2)
    returns = np.diff(x, axis=1)
    parkinson = np.log(bars.high / bars.low) ** 2 / (4 * math.log(2))
    realised = np.square(returns[..., 0]).sum(axis=1) / parkinson
    assert realised.mean() == pytest.approx(1.0, abs=0.1)
    by_day = [np.corrcoef(day.T)[0, 1] for day in returns]
    assert np.mean(by_day) == pytest.approx(0.8, abs=0.06)


def test_extremes_come_when_a_brownian_motion_would_visit_them():
    """A day that opens at its low and closes at its high: the high's first touch follows the law of first passage."""
    rng = np.random.default_rng(2)
    corner = np.array([0.0, 12.0, 0.0, 12.0])
    touched = np.array([visits(corner, 100, draws)[0][2] for draws in rng.random((1_000, 3))])
    walks = np.cumsum(rng.standard_normal((400_000, 100)), axis=1)
    near = walks[np.abs(walks[:, -1] - 12.0) < 0.5]  # conditioned on where the day ends
    first = (near >= 12.0 - 0.58).argmax(axis=1)[(near >= 12.0 - 0.58).any(axis=1)]  # 0.58: a walk's overshoot
    assert touched.mean() == pytest.approx(first.mean(), rel=0.06)


def test_extremes_are_ordered_and_timed_like_those_of_real_walks():
    """Within a tenth: the law is that of first touches and lets a path pass its extremes; a walk's do neither."""
    rng = np.random.default_rng(2)
    corner = np.array([2.0, 8.5, -7.0, -1.0])
    days = [visits(corner, 100, draws) for draws in rng.random((1_000, 3))]
    high, low = (np.array([rows[1 + levels.index(which)] for rows, levels in days]) for which in (1, 2))
    walks = 2 + np.cumsum(rng.standard_normal((500_000, 100)), axis=1)
    top, bottom = walks.max(axis=1) + 0.58, walks.min(axis=1) - 0.58
    alike = walks[(np.abs(top - 8.5) < 0.7) & (np.abs(bottom + 7) < 0.7) & (np.abs(walks[:, -1] + 1) < 1)]
    assert len(alike) > 300
    assert (high < low).mean() == pytest.approx((alike.argmax(axis=1) < alike.argmin(axis=1)).mean(), abs=0.1)
    assert high.mean() == pytest.approx(alike.argmax(axis=1).mean(), abs=10)
    assert low.mean() == pytest.approx(alike.argmin(axis=1).mean(), abs=10)


def test_closes_are_joined_without_a_gap():
    bars = closes([100.0, 90.0, 95.0, 80.0])
    found = path(Outside([underlying("A", **REPLAY)]), None, bars={"A": bars}).x[:, 0]
    np.testing.assert_allclose(np.exp(found[389::390]), bars.close, rtol=1e-12)
    assert math.exp(found[0]) == pytest.approx(100.0)
    assert np.abs(np.diff(found)).max() < 0.05


def test_a_run_may_be_shorter_than_its_replay_never_longer():
    world, bars = Outside([underlying("A", **REPLAY), gbm("B")], [[1, 0.5], [0.5, 1]]), {"A": random_days(5)}
    whole = path(world, None, bars=bars)
    assert len(whole.x) == len(whole.stamp) == 5 * 390
    assert len(path(world, 10**6, bars=bars).x) == 5 * 390
    short = path(world, 500, bars=bars)
    np.testing.assert_array_equal(short.x, whole.x[:501])
    np.testing.assert_array_equal(short.stamp, whole.stamp[:501])


def test_replays_run_on_their_common_days():
    first, second = closes(np.arange(100.0, 110.0)), closes(np.arange(50.0, 60.0), "2020-01-04")
    world = Outside([underlying("A", **REPLAY), underlying("B", **REPLAY)])
    found = path(world, None, bars={"A": first, "B": second})
    assert found.x.shape == (7 * 390, 2)
    np.testing.assert_allclose(np.exp(found.x[-1]), [109.0, 56.0])
    with pytest.raises(DataError, match="no day is in all of A 2020-01-01 to 2020-01-10, B 2021"):
        common({"A": first, "B": closes([1.0], "2021-01-01")})
    with pytest.raises(ConfigError, match="steps a day differ"):
        path(
            Outside([underlying("A", **REPLAY), underlying("B", **REPLAY, day=86_400)]),
            None,
            bars={"A": first, "B": second},
        )


def test_replay_says_what_it_lacks():
    world = Outside([underlying("A", **REPLAY)])
    with pytest.raises(DataError, match="A: no bars were handed over"):
        path(world, None)
    with pytest.raises(ConfigError, match="23400 s is not a whole number, at least 4, of steps of 7 s"):
        path(world, None, dt=7.0, bars={"A": random_days(2)})
    with pytest.raises(ConfigError, match="steps: None, at least 1"):
        path(Outside([gbm("A")]), None)
    with pytest.raises(ValidationError, match="a replay starts at its data's first price"):
        Underlying.model_validate({"name": "A", "start": 1.0, "process": REPLAY})
    with pytest.raises(ValidationError, match="start: missing"):
        Underlying.model_validate({"name": "A", "process": {"kind": "gbm", "volatility": 1}})


def test_long_sums_lose_nothing():
    levels = np.log(1_000 + np.cumsum(np.random.default_rng(0).normal(0, 0.1, 1_000_000)))
    np.testing.assert_allclose(accumulate(levels[0], np.diff(levels)), levels, rtol=3e-16)


# ── bars ──


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (1, 3, -5.0, r"made: row 1 \(2020-01-02\): close -5.0 must be a price above 0"),
        (1, 3, math.nan, "close nan"),
        (2, 0, math.nan, r"row 2 \(2020-01-03\): open nan"),
        (0, 2, math.inf, "low inf"),
        (1, 1, 99.0, "high 99.0 must be at least open and close"),
        (1, 2, 100.5, "low 100.5 must be at most open and close"),
    ],
)
def test_bad_prices_are_named(row, column, value, message):
    prices = np.tile([100.0, 102.0, 98.0, 101.0], (3, 1))
    prices[row, column] = value
    with pytest.raises(DataError, match=message):
        validated("made", days(3), prices)


def test_bad_days_are_named():
    prices = np.tile([100.0, 102.0, 98.0, 101.0], (3, 1))
    with pytest.raises(DataError, match="0 rows"):
        validated("made", days(0), prices[:0])
    with pytest.raises(DataError, match="row 1: 2020-01-02 comes after 2020-01-03"):
        validated("made", days(3)[[2, 1, 0]], prices)
    with pytest.raises(DataError, match="row 2: 2020-01-02 repeats 2020-01-02"):
        validated("made", days(3)[[0, 1, 1]], prices)
    with pytest.raises(DataError, match="row 1: the date is missing"):
        validated("made", np.array(["2020-01-01", "NaT", "2020-01-03"], dtype="datetime64[D]"), prices)


def test_the_digest_is_of_the_content():
    first, second = random_days(4), random_days(4)
    assert first.digest == second.digest != random_days(4, seed=1).digest
    assert first.take(first.day[:2]).digest != first.digest


# ── stresses ──


def test_a_move_adds_exactly_its_size():
    a, b = gbm("A"), gbm("B")
    calm = path(Outside([a, b]), 100).x
    ramp = Move(at=600, duration=1_800, size=-0.1, underlyings=("B",))
    moved = path(Outside([a, b], stresses=[ramp, Move(at=3_000, size=0.25)]), 100).x - calm
    np.testing.assert_allclose(moved[:50, 0], 0, atol=1e-15)
    np.testing.assert_allclose(moved[50:, 0], math.log(1.25), atol=1e-14)
    np.testing.assert_allclose(moved[:41, 1], math.log(0.9) * np.clip((np.arange(41) - 10) / 30, 0, 1), atol=1e-14)
    np.testing.assert_allclose(moved[60:, 1], math.log(0.9 * 1.25), atol=1e-14)


def test_a_volatility_regime_scales_returns_in_its_time_only():
    calm = np.diff(path(Outside([gbm("A")]), 100).x[:, 0])
    wild = np.diff(path(Outside([gbm("A")], stresses=[Volatility(at=600, duration=1_200, multiplier=4)]), 100).x[:, 0])
    np.testing.assert_allclose(wild / calm, np.where((np.arange(100) >= 10) & (np.arange(100) < 30), 4, 1), rtol=1e-8)


def test_withdrawal_and_depeg():
    stresses = [
        Withdrawal(at=600, duration=600, share=0.2),
        Depeg(asset="USDT", at=600, fall=300, duration=600, floor=0.95, recovery=300),
        Depeg(asset="EURT", at=1_200, duration=60, floor=0.9, recovery=None),
    ]
    found = path(Outside([gbm("A")], stresses=stresses, assets=("USD", "USDT", "EURT")), 60)
    minute = np.arange(61)
    np.testing.assert_array_equal(found.liquidity, np.where((minute >= 10) & (minute < 20), 0.2, 1))
    np.testing.assert_array_equal(found.asset_price[:, 0], 1)
    np.testing.assert_allclose(found.asset_price[:, 1], np.interp(minute, [10, 15, 25, 30], [1, 0.95, 0.95, 1]))
    np.testing.assert_array_equal(found.asset_price[:, 2], np.where(minute < 20, 1, 0.9))


def test_a_stress_names_what_exists():
    stresses = [Move(at=0, size=0.1, underlyings=("BTX",)), Depeg(asset="USD", at=0, duration=1, floor=0.9)]
    with pytest.raises(ConfigError) as caught:
        path(Outside([gbm("BTC"), gbm("BTC")], stresses=stresses, assets=("USD", "USDT")))
    assert caught.value.problems == [
        "underlyings: 'BTC' is named twice, names must differ: rename one",
        "stresses.0.underlyings: 'BTX' is not one of BTC, BTC (did you mean 'BTC'?)",
        "stresses.1.asset: 'USD' is the numeraire, whose price is 1: use USDT",
    ]


def test_an_asset_of_a_stress_is_declared_first():
    """Beside the numeraire alone no declared asset is a remedy."""
    stresses = [Depeg(asset=name, at=0, duration=1, floor=0.9) for name in ("EUR", "USD")]
    with pytest.raises(ConfigError) as caught:
        path(Outside([gbm("BTC")], stresses=stresses, assets=("USD",)))
    assert caught.value.problems == [
        "stresses.0.asset: 'EUR' is no asset of this market: declare it under assets",
        "stresses.1.asset: 'USD' is the numeraire, whose price is 1: declare another under assets",
    ]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kind": "gbm", "volatility": 1e300}, "volatility"),
        ({"kind": "garch_t", "volatility": 1e300}, "volatility"),
        ({"kind": "heston", "volatility": 1e160}, "volatility"),
        ({"kind": "heston", "volatility": 0.5, "reversion": 1e300}, "reversion"),
        ({"kind": "merton_jump", "volatility": 1e155, "intensity": 1}, "volatility"),
        ({"kind": "merton_jump", "volatility": 0.5, "intensity": 1e18}, "intensity"),
        ({"kind": "merton_jump", "volatility": 0.5, "intensity": 1, "jump_sd": 1000}, "jump_sd"),
        ({"kind": "gbm", "volatility": 0.5, "day": 5e-324}, "day"),
        ({"kind": "gbm", "volatility": 0.5, "drift": -1e300}, "drift"),
    ],
    ids=str,
)
def test_numbers_whose_squares_overflow_are_refused_at_load(settings: dict[str, object], named: str):
    with pytest.raises(ValidationError) as caught:
        underlying("BTC", **settings)
    assert [error["loc"][-1] for error in caught.value.errors()] == [named]


def test_more_jumps_a_step_than_can_be_drawn_are_refused():
    jumpy = underlying("BTC", kind="merton_jump", volatility=0.5, intensity=1e6, day=1)
    with pytest.raises(ConfigError, match=r"process.intensity: 1e\+06 a day are 6e\+07 jumps a step"):
        path(Outside([jumpy]), 10)


# ── spot impact ──


def test_depth_moves_spot_one_percent_and_half_lives_halve_it():
    impacts = Impacts.of([Impact(depth=1e6, half_life=600), Impact()], dt=60.0)
    state = impacts.advance(np.zeros(2), np.array([1e6, 1e9]))
    np.testing.assert_allclose(np.exp(state), [1.01, 1.0])
    for _ in range(10):
        state = impacts.advance(state, np.zeros(2))
    np.testing.assert_allclose(state, [math.log(1.01) / 2, 0.0])


def test_a_round_trip_in_one_step_leaves_no_impact():
    impacts = Impacts.of([Impact(depth=5e5)], dt=60.0)
    there = impacts.advance(np.zeros(1), np.array([2e5])) / impacts.kept
    np.testing.assert_allclose(there * impacts.kept + impacts.advance(np.zeros(1), np.array([-2e5])), 0, atol=1e-18)


def test_kernels_equal_their_plain_twins():
    z = np.random.default_rng(0).standard_normal(5_000)
    for compiled, arguments in (
        (recurse, (z, 1e-4, 0.1, 0.85)),
        (diffuse, (z, 0.04, 0.02, 0.3)),  # often below nil
        (bridge, (0.0, 1.0, z / 10, -1.0, 1.2)),
        (accumulate, (7.0, z)),
    ):
        np.testing.assert_array_equal(compiled(*arguments), compiled.py_func(*arguments))

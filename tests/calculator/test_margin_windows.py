"""Windows of moves in which an account is liquidatable or bankrupt agree with stress tests."""

import functools
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from experiments.calculator.calculator import (
    IndexMoves,
    MarginedPortfolio,
    build_curves,
    find_index_moves,
    load_engine,
    margin_portfolio,
)
from experiments.calculator.kinks import list_price_factors
from experiments.calculator.market_moves import BatchedAccount
from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.report import build_report, format_text
from experiments.calculator.stress import Shock, stress_portfolio
from sim.margin.engine import EngineConfig
from sim.reading.loading import load_config
from sim.reading.packaged import list_packaged

PRESETS = [name.removeprefix("engines/") for name in list_packaged() if name.startswith("engines/")]
PRICE, HOUR = 60_000.0, 3_600.0
PRICES = {"B": PRICE, "A": 3_000.0}
EDGE = 1e-7
"""Moves as near to an end of a window as this are on either side of it."""

PERP = {"name": "P", "underlying": "B", "tick": 1, "lot": 0.01, "max_price": 1e7}


def option(rng: np.random.Generator, number: int, expiry: float, strike: float) -> dict[str, Any]:
    side = str(rng.choice(["call", "put"]))
    return PERP | {
        "name": f"O{number}",
        "kind": "option",
        "option": side,
        "strike": strike,
        "expiry": expiry,
    }


def portfolio(seed: int) -> dict[str, Any]:
    """Return up to twelve options of one or two expiries, some of them in spreads.

    Some portfolios have a perpetual or a second underlying.
    """
    rng = np.random.default_rng([13, seed])
    expiries, coins = (
        HOUR * np.exp(rng.uniform(-2, np.log(2_000), 2)),
        list(PRICES)[: 1 + (rng.random() < 0.3)],
    )
    listed, held = [PERP], []
    if rng.random() < 0.5:
        held.append({"instrument": "P", "quantity": round(float(rng.uniform(-2, 2)), 2)})
    for _ in range(rng.integers(1, 4)):
        expiry, coin = float(rng.choice(expiries)), str(rng.choice(coins))
        lots, price = int(rng.integers(1, 200)) / 100 * round(PRICE / PRICES[coin]), PRICES[coin]
        centre, wing = price * np.exp(rng.normal(0, 0.2)), price * np.exp(rng.normal(-3, 1))
        ratios = ((1,), (1, -1), (1, -2, 1), (1, -1, -1, 1), (1, -2))[rng.integers(5)]
        strikes = np.maximum(np.rint(centre + wing * np.arange(len(ratios))), 100)
        sign = rng.choice([-1, 1])
        legs = [
            option(rng, len(listed) + n, expiry, float(strike)) for n, strike in enumerate(strikes)
        ]
        side = {"option": legs[0]["option"]} if rng.random() < 0.7 else {}
        legs = [leg | {"underlying": coin} | side for leg in legs]
        held += [
            {"instrument": leg["name"], "quantity": round(float(sign * lots * each), 2)}
            for leg, each in zip(legs, ratios, strict=True)
        ]
        listed += legs
    vols = {each["name"]: round(float(rng.uniform(0.2, 1.2)), 3) for each in listed[1:]}
    underlyings = [{"name": coin, "price": PRICES[coin]} for coin in coins]
    return {
        "underlyings": underlyings,
        "instruments": listed,
        "positions": held,
        "volatilities": vols,
        "cash": 10.0,
    }


def judged(raw: dict[str, Any], engine: str) -> MarginedPortfolio:
    config = PortfolioConfig.model_validate(raw)
    return margin_portfolio(
        config, engine, preset(engine) if engine in PRESETS else load_engine(engine, config)
    )


@functools.cache
def preset(name: str) -> EngineConfig:
    """A packaged engine, read once."""
    return load_engine(name, PortfolioConfig.model_validate(portfolio(0)))


def at_strikes(raw: dict[str, Any]) -> Any:
    """Moves to the strikes."""
    return np.array(
        [each["strike"] / PRICES[each["underlying"]] - 1 for each in raw["instruments"][1:]]
    )


def shocks(
    rng: np.random.Generator, raw: dict[str, Any], found: Iterable[IndexMoves], count: int
) -> list[Shock]:
    """Moves of every size, some at strikes, some on either side of an end of a window."""
    wide = np.exp(rng.uniform(np.log(0.01), np.log(9.0), count // 3)) - 1
    near = rng.normal(0, 0.2, count - count // 3)
    strikes = at_strikes(raw)
    at = (1 + strikes) * np.exp(rng.normal(0, 0.003, len(strikes))) - 1
    ends = np.array([end for told in found for window in told.windows for end in window])
    every = np.concatenate([wide, near, at, ends + 1e-5, ends - 1e-5])
    return [Shock(name="shock", all=float(move)) for move in every if -0.99 < move < 8.9]


def disagreements(seed: int, engine: str, count: int = 18) -> Iterator[str]:
    """List the moves at which the table and the stress test of a portfolio differ.

    The cash of the portfolio is used up by some of the moves.
    """
    rng, raw = np.random.default_rng([14, seed]), portfolio(seed)
    moves = np.concatenate([rng.normal(0, 0.2, 20), rng.normal(0, 0.02, 10), at_strikes(raw)])
    turning = build_curves(judged(raw, engine))[
        int(rng.integers(2))
    ]  # equity or excess is to turn somewhere
    lowest = np.quantile(turning(1 + moves[moves > -0.99]), rng.random() ** 3)
    raw["cash"] = round(float(raw["cash"] - lowest / 100 * rng.uniform(0.99, 1.01)), 2)
    account = judged(raw, engine)
    found = find_index_moves(account)
    asked = shocks(rng, raw, found, count)
    verdicts = [each.status for each in stress_portfolio(account, asked)]
    for told, words in zip(found, ({"liquidatable", "bankrupt"}, {"bankrupt"}), strict=True):
        ends = np.array([end for window in told.windows for end in window])
        for shock, verdict in zip(asked, verdicts, strict=True):
            if ends.size and np.abs(ends - shock.all).min() < EDGE:
                continue
            inside = any(low <= shock.all <= high for low, high in told.windows)
            if inside != (verdict in words):
                yield (
                    f"portfolio {seed} under {engine}: {shock.all:+.6%} is {verdict}, "
                    f"windows {told.windows}"
                )


COUNT = int(os.environ.get("DELEVERAGE_PORTFOLIOS", "10000"))
"""Portfolios: 10,000 take ten minutes of CPU; ``DELEVERAGE_PORTFOLIOS`` sets another number."""

BLOCKS = [
    pytest.param(range(n, n + 100), marks=[pytest.mark.slow] * (n > 0), id=str(n))
    for n in range(0, COUNT, 100)
]
"""Hundreds of numbers; those beyond the first are slow."""


@pytest.mark.parametrize("seeds", BLOCKS)
def test_the_table_agrees_with_stress(seeds: range) -> None:
    """Each portfolio under one preset, in turn."""
    found = [each for seed in seeds for each in disagreements(seed, PRESETS[seed % len(PRESETS)])]
    assert found == []


def butterfly(below: float, wing: float, cash: float, hours: float = 0.25) -> dict[str, Any]:
    """One put butterfly sold, its middle strike so far below the price, shortly before expiry."""
    strikes = [PRICE * (1 - below) + step * wing for step in (-1, 0, 1)]
    legs = [
        PERP
        | {
            "name": f"K{n}",
            "kind": "option",
            "option": "put",
            "strike": strike,
            "expiry": hours * HOUR,
        }
        for n, strike in enumerate(strikes)
    ]
    held = [{"instrument": f"K{n}", "quantity": each} for n, each in enumerate((-1, 2, -1))]
    vols = {leg["name"]: 0.02 for leg in legs}
    underlyings = [{"name": "B", "price": PRICE}]
    return {
        "underlyings": underlyings,
        "instruments": legs,
        "positions": held,
        "volatilities": vols,
        "cash": cash,
    }


@pytest.mark.parametrize(
    ("below", "wing", "cash"), [(0.185, 900, 450), (0.31, 240, 200), (0.07, 1_500, 1_440)]
)
@pytest.mark.parametrize("engine", ["derive", "span", "deribit", "paradex", "binance", "fhs_es"])
def test_a_butterfly_sold_is_bankrupt_around_its_middle(
    below: float, wing: float, cash: float, engine: str
) -> None:
    """It owes wing - |price - middle| at expiry, and nearly as much 15 minutes earlier."""
    raw = butterfly(below, wing, cash)
    account = judged(raw, engine)
    liquidatable, bankrupt = find_index_moves(account)
    half = (wing - cash) / PRICE
    ((low, high),) = bankrupt.windows
    assert (low, high) == (
        pytest.approx(-below - half, abs=5e-5),
        pytest.approx(-below + half, abs=5e-5),
    )
    assert (bankrupt.down, bankrupt.up) == (high, None)
    found = stress_portfolio(
        account,
        [Shock(name="middle", all=-below), Shock(name="beside", all=-below - 2 * half - 0.01)],
    )
    assert found[0].status == "bankrupt" != found[1].status
    assert any(least <= low and high <= most for least, most in liquidatable.windows)


def test_windows_are_printed() -> None:
    """Both ends of a window are printed, or the near end where it reaches the end of the range."""
    raw = butterfly(0.185, 900, 450)
    config = PortfolioConfig.model_validate(raw)
    (line,) = [
        line
        for line in format_text(build_report(config, [judged(raw, "derive")], [])).splitlines()
        if "to" in line
    ][:1]
    assert line.split("  ")[-2:] == ["-17.75% to -19.25%", "none"]
    raw["cash"] = -1.0
    table = format_text(build_report(config, [judged(raw, "derive")], []))
    assert "already  already" in table


def test_a_long_that_is_paid_for_is_never_liquidated() -> None:
    """Its maintenance margin is its value: no rounding on the way makes it liquidatable."""
    call = PERP | {
        "name": "C",
        "kind": "option",
        "option": "call",
        "strike": 61_000,
        "expiry": 700 * HOUR,
    }
    raw = butterfly(0.1, 900, 0) | {
        "instruments": [call],
        "positions": [{"instrument": "C", "quantity": 0.37}],
    }
    raw["volatilities"] = {"C": 0.613}
    account = judged(raw, "binance")
    assert find_index_moves(account) == (IndexMoves(None, None), IndexMoves(None, None))
    config = PortfolioConfig.model_validate(raw)
    told = format_text(build_report(config, [account], []))
    assert "none of C: the account covers its fall to 0" in told
    assert "0.00%" not in told


def test_scenarios_are_found_within_wrappers_and_sums() -> None:
    """Scenarios that reach a strike are found wherever the engine holds its grid."""
    span = {"kind": "span"}
    wrapped = {
        "kind": "compressed",
        "compression": 0.1,
        "inner": {"kind": "sum", "parts": [{"kind": "gap"}, span]},
    }
    raw = butterfly(0.3, 900, 450)
    raw["own"] = {
        "plain": {"requirement": span},
        "mine": {"requirement": wrapped},
        "apart": {"options": span},
    }
    (engine, book), *others = [judged(raw, name).parts[0] for name in ("plain", "mine", "apart")]
    looked_at = list_price_factors([(engine, book)])
    for strike in book.market.contracts.strike:
        for move in (-0.2, -0.1, 0.1 / 3, 0.2):
            assert np.abs(looked_at - strike / PRICE / (1 + move)).min() < 1e-7
    for part in others:
        np.testing.assert_array_equal(list_price_factors([part]), looked_at)


@pytest.mark.parametrize("engine", PRESETS)
def test_copies_side_by_side_are_judged_as_one_by_one(engine: str) -> None:
    """To the last digit, whatever the engine, and by one engine built for all copies."""
    raw = portfolio(PRESETS.index(engine)) | {"cash": 1e6}
    account = judged(raw, engine)
    prices = np.concatenate([np.geomspace(0.3, 3.0, 90), [1.0, 0.001, 10.0]])
    moves = np.repeat(prices[:, None] - 1, len(raw["underlyings"]), axis=1)
    alone = np.array([account.apply_moves(move, 0.0).weakest_amounts() for move in moves])
    for curve, found in zip(build_curves(account), alone.T, strict=True):
        np.testing.assert_allclose(curve(prices), found, rtol=1e-13, atol=1e-6)
    for part in account.parts:
        several = BatchedAccount(account.config, part, account.unit)
        several.excess(moves)
        assert several.engine is not None
        assert several.n_copies > 1


@pytest.mark.parametrize(
    ("name", "engine"),
    [("two_coins", "span_credit"), ("multi_collateral", "derive"), ("multi_collateral", "span")],
)
def test_copies_that_cannot_stand_side_by_side_are_judged_one_by_one(
    name: str, engine: str
) -> None:
    """Only the first copy has credits between named underlyings, and a coin has only one price."""
    config = load_config(f"portfolios/{name}", (), PortfolioConfig)
    account = margin_portfolio(config, engine, load_engine(engine, config))
    prices = np.geomspace(0.5, 1.5, 40)
    moves = np.repeat(prices[:, None] - 1, len(config.underlyings), axis=1)
    alone = np.array([account.apply_moves(move, 0.0).weakest_amounts() for move in moves])
    for curve, found in zip(build_curves(account), alone.T, strict=True):
        np.testing.assert_allclose(curve(prices), found, rtol=1e-13, atol=1e-6)
    apart = [BatchedAccount(account.config, part, account.unit) for part in account.parts]
    for each in apart:
        each.excess(moves)
    assert None in [each.engine for each in apart]

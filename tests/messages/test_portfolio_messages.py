"""Messages of wrong portfolios and shocks: each is raised, and its remedy is tried."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.calculator.calculator import list_engines, load_engine, margin_portfolio
from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.stress import StressConfig, stress_portfolio
from experiments.file_kinds import load_kind
from sim.errors import ConfigError
from sim.instruments import CASH_LIMIT

USD, U = {"name": "USD"}, {"name": "B", "price": 60_000}
P = {"name": "P", "underlying": "B", "tick": 1, "lot": 0.01, "max_price": 1_000_000}
C = P | {"name": "C", "kind": "option", "option": "call", "strike": 60_000, "expiry": 900}
FUTURE = P | {"name": "F", "kind": "future", "expiry": 900}
LONG = {"instrument": "P", "quantity": 1}
BASE = {"cash": 1_000, "underlyings": [U], "instruments": [P], "positions": [LONG]}
SVI = {"kind": "svi", "underlying": "B", "expiry": 900, "a": 0.01, "b": 0.1, "rho": 0, "sigma": 0.1}

Change = dict[str, Any]


def judged(
    folder: Path, changes: Change, shocks: Change | None = None, words: str | None = None
) -> str:
    """Return the message about a portfolio, empty if accepted; a key of value None is left out."""
    file = folder / "mine.yaml"
    content = {key: value for key, value in (BASE | changes).items() if value is not None}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    try:
        account = load_kind("portfolio", file, (), PortfolioConfig)
        found = [
            margin_portfolio(account, name, load_engine(name, account))
            for name in list_engines(words, account)
        ]
        if shocks is not None:
            (folder / "shocks.yaml").write_text(yaml.safe_dump(shocks, sort_keys=False))
            expected = load_kind("shocks", folder / "shocks.yaml", (), StressConfig)
            for each in found:
                stress_portfolio(each, expected.shocks)
    except ConfigError as error:
        return str(error)
    return ""


def priced(*more: Change) -> Change:
    return {"assets": [USD, *more]}


COIN = {"name": "B", "decimals": 8, "price": 60_000}
OPTION = {"instruments": [P, C], "volatilities": {"C": 0.5}}
TWO = {"positions": [LONG | {"entry": 60_000}, LONG | {"quantity": -1, "entry": 61_000}]}

PORTFOLIOS: list[tuple[Change, str, Change]] = [
    # names that nothing has
    (
        {"positions": [LONG | {"instrument": "Q"}]},
        "positions.0.instrument: 'Q' is not one of P, use one of them",
        {},
    ),
    (
        {"positions": [LONG | {"instrument": "PP"}]},
        "positions.0.instrument: 'PP' is not one of P (did you mean 'P'?)",
        {},
    ),
    (
        {"instruments": [P | {"underlying": "A"}]},
        "instruments.0.underlying: 'A' is not one of B, use one of them",
        {},
    ),
    (
        {"instruments": [P | {"settle": "EUR"}]},
        "instruments.0.settle: 'EUR' is not one of USD, use one of them",
        {},
    ),
    ({"marks": {"Q": 1}}, "marks.Q: 'Q' is not one of P, use one of them", {"marks": {"P": 1}}),
    (
        OPTION | {"volatilities": {"D": 0.5, "C": 0.5}},
        "volatilities.D: 'D' is not one of P, C, use one of them",
        OPTION,
    ),
    (
        OPTION | {"smiles": [SVI | {"underlying": "A"}]},
        "smiles.0.underlying: 'A' is not one of B, use one of them",
        OPTION | {"smiles": [SVI]},
    ),
    (
        {"collateral": {"USD": 5}},
        "collateral.USD: 'USD' is the numeraire, put the amount under cash",
        {"cash": 1_005},
    ),
    (
        {"collateral": {"DOGE": 5}},
        "collateral.DOGE: 'DOGE' is no asset, declare it: add {name: DOGE, price: its price} "
        "under assets, after 'USD'",
        priced({"name": "DOGE", "price": 0.1}) | {"collateral": {"DOGE": 5}},
    ),
    (
        priced({"name": "DOGE", "price": 0.1}) | {"collateral": {"DOG": 5}},
        "collateral.DOG: 'DOG' is no asset (did you mean 'DOGE'?)",
        priced({"name": "DOGE", "price": 0.1}) | {"collateral": {"DOGE": 5}},
    ),
    # names that several have
    (
        priced({"name": "U"}, {"name": "U"}),
        "assets: 'U' is used twice, rename one",
        priced({"name": "U"}),
    ),
    (
        {"instruments": [P, P]},
        "instruments: 'P' is used twice, rename one",
        {"instruments": [P, P | {"name": "P2"}]},
    ),
    (
        {"underlyings": [U, U]},
        "underlyings: 'B' is used twice, rename one",
        {"underlyings": [U, U | {"name": "B2"}]},
    ),
    # what assets are worth
    (
        priced() | {"assets": [USD | {"price": 2}]},
        "assets.0.price: 2, the numeraire 'USD' is worth 1: remove it",
        {},
    ),
    (
        priced({"name": "B"}),
        "assets.1.price: not given, so that one 'B' would be worth 1, but the underlying 'B' is "
        "at 60000: add price",
        priced(COIN),
    ),
    (
        priced({"name": "b"})
        | {"underlyings": [U | {"name": "B-USD"}], "instruments": [P | {"underlying": "B-USD"}]},
        "assets.1.price: not given, so that one 'b' would be worth 1, but the underlying 'B-USD' "
        "is at 60000",
        priced({"name": "b", "price": 60_000})
        | {"underlyings": [U | {"name": "B-USD"}], "instruments": [P | {"underlying": "B-USD"}]},
    ),
    (
        priced(COIN) | {"instruments": [P | {"settle": "B"}]},
        "instruments.0.settle: 'B' is an underlying, so 'P' is coin-margined (inverse); only "
        "contracts that settle in "
        "the currency of their price can be valued yet: settle in USD, or remove it",
        priced(COIN) | {"instruments": [P | {"settle": "USD"}]},
    ),
    (
        {"assets": [{"name": "B"}]},
        "instruments.0.settle: 'B' is an underlying, so 'P' is coin-margined (inverse); only "
        "contracts that settle in "
        "the currency of their price can be valued yet: add a currency to assets and settle in it",
        {"assets": [{"name": "B"}, USD], "instruments": [P | {"settle": "USD"}]},
    ),
    # options and expiries
    (
        OPTION | {"volatilities": {"C": -0.5}},
        "volatilities.C: -0.5, must be above 0, correct it",
        OPTION,
    ),
    (
        OPTION | {"marks": {"C": 0}},
        "marks.C: 0, must be above 0, correct it",
        OPTION | {"marks": {"C": 5}},
    ),
    (
        OPTION | {"seconds": 900},
        "instruments.1.expiry: 900, 'C' has expired at 900 s (seconds), lower seconds, or remove "
        "'C'",
        OPTION | {"seconds": 0},
    ),
    (
        OPTION | {"seconds": 900},
        "instruments.1.expiry: 900, 'C' has expired at 900 s (seconds), lower seconds, or remove "
        "'C' and what names it",
        {"seconds": 900},
    ),
    (
        {"instruments": [P, FUTURE | {"expiry": 4e9}]},
        "instruments.1.expiry: 4e+09, more than a hundred years away, give seconds",
        {"instruments": [P, FUTURE]},
    ),
    (
        {"instruments": [P, C]},
        "instruments.1: no implied volatility of 'C', give volatilities or a smile of its expiry",
        {"instruments": [P, C], "smiles": [SVI]},
    ),
    (
        {"instruments": [P, C], "smiles": [SVI | {"expiry": 901}]},
        "instruments.1: no implied volatility of 'C', give volatilities or a smile of its expiry",
        OPTION,
    ),
    (
        {"instruments": [P | {"expiry": 9}]},
        "instruments.0.expiry: 9.0, 'P' is of kind 'perpetual' and has none: remove it",
        {},
    ),
    (
        {"instruments": [P | {"kind": "future"}]},
        "instruments.0.expiry: missing; 'P' is of kind 'future': give it",
        {"instruments": [P | {"kind": "future", "expiry": 9}]},
    ),
    (
        OPTION | {"smiles": [SVI | {"a": -1}]},
        "smiles.0.a: -1, the smallest total variance is -0.99, must be above 0: raise a",
        OPTION | {"smiles": [SVI | {"a": 1}]},
    ),
    (
        OPTION | {"smiles": [SVI | {"b": 3}]},
        "smiles.0.b: 3, the steeper wing has slope 3, may not exceed 2: lower b",
        OPTION | {"smiles": [SVI]},
    ),
    # grains
    (
        {"instruments": [P | {"tick": 0.01, "lot": 0.1}]},
        "instruments.0.lot: tick x lot is 0.1 minor units, no whole number: set "
        "assets.0.decimals to 3, or set "
        "instruments.0.lot to 1",
        {"instruments": [P | {"tick": 0.01, "lot": 0.1}], "assets": [USD | {"decimals": 3}]},
    ),
    (
        {"instruments": [P | {"tick": 0.01, "lot": 0.1}]},
        "instruments.0.lot: tick x lot is 0.1 minor units, no whole number: set "
        "assets.0.decimals to 3, or set "
        "instruments.0.lot to 1",
        {"instruments": [P | {"tick": 0.01, "lot": 1}]},
    ),
    (
        {"instruments": [P | {"max_lots": 10**10}]},
        "instruments.0.max_lots: the largest position, 1e+10 lots at 1e+06, is worth 1e+16 minor "
        "units; it must stay "
        "below 2^53: lower max_lots to 9007199254, or max_price",
        {"instruments": [P | {"max_lots": 9007199254}]},
    ),
    (
        {"instruments": [P | {"max_lots": 10**10}]},
        "instruments.0.max_lots: the largest position, 1e+10 lots at 1e+06, is worth 1e+16 minor "
        "units; it must stay "
        "below 2^53: lower max_lots to 9007199254, or max_price",
        {"instruments": [P | {"max_lots": 10**10, "max_price": 900_000}]},
    ),
    (
        {"underlyings": [U | {"price": 1e-9}]},
        "instruments.0.tick: the price of 'B', 1e-09, is less than one tick of 'P', 1: lower the "
        "tick",
        {
            "underlyings": [U | {"price": 1e-9}],
            "instruments": [P | {"tick": 1e-9, "lot": 1e7, "max_price": 1e-5}],
            "positions": [],
        },
    ),
    (
        {"underlyings": [U | {"price": 2e6}]},
        "instruments.0.max_price: 1e+06, but 'B' is at 2e+06: raise it",
        {"underlyings": [U | {"price": 2e6}], "instruments": [P | {"max_price": 4e6}]},
    ),
    (
        {"cash": -1e14},
        "cash: -1e+14, too large to be exact in minor units: lower it to below 9.0072e+13",
        {"cash": -9.0071e13},
    ),
    (
        priced(COIN) | {"collateral": {"B": 1e8}},
        "collateral.B: 1e+08, too large to be exact in minor units: lower it to below 9.0072e+07",
        priced(COIN) | {"collateral": {"B": 9.0071e7}},
    ),
    # sizes
    (
        {"positions": [LONG | {"quantity": 0.005}]},
        "positions.0.quantity: 0.005, 'P' comes in lots of 0.01, round it",
        {"positions": [LONG | {"quantity": 0.01}]},
    ),
    (
        {"positions": [LONG | {"quantity": 1e9}]},
        "positions.0.quantity: 1e+09, more than max_lots of 'P' allows, 100000: lower it, or raise "
        "instruments.0.max_lots",
        {"positions": [LONG | {"quantity": 1e5}]},
    ),
    (
        {"positions": [LONG | {"quantity": 6e4}, LONG | {"quantity": 6e4}]},
        "positions.1.quantity: 60000, with those before more than max_lots of 'P' allows, "
        "100000: lower it",
        {
            "positions": [LONG | {"quantity": 6e4}] * 2,
            "instruments": [P | {"max_lots": 20_000_000}],
        },
    ),
    (
        {"positions": [LONG | {"entry": 2e6}]},
        "positions.0.entry: 2e+06, above max_price of 'P', 1e+06: lower it, or raise "
        "instruments.0.max_price",
        {"positions": [LONG | {"entry": 2e6}], "instruments": [P | {"max_price": 2e6}]},
    ),
    (
        {"marks": {"P": 60_000.5}},
        "marks.P: 60000.5, must be a multiple of 1 up to max_price, round it",
        {},
    ),
    # modes and engines
    (
        TWO | {"mode": "hedge", "engines": ["hyperliquid"]},
        "--engines hyperliquid: no hedge mode there, so P cannot be long and short at once: set "
        "mode to one_way, "
        "remove mode, or leave the engine out",
        TWO | {"mode": "one_way", "engines": ["hyperliquid"]},
    ),
    (
        TWO | {"mode": "hedge", "engines": ["hyperliquid"]},
        "--engines hyperliquid: no hedge mode there",
        TWO | {"engines": ["hyperliquid"]},
    ),
    (
        TWO | {"mode": "hedge", "engines": ["hyperliquid", "binance"]},
        "--engines hyperliquid: no hedge mode there",
        TWO | {"mode": "hedge", "engines": ["binance"]},
    ),
    (
        {"mode": "both"},
        "mode: 'both' is not one of hedge, one_way, use one of them",
        {"mode": "hedge"},
    ),
    (
        {"engines": ["crosss"]},
        "--engines: 'crosss' is not one of binance, ",
        {"engines": ["cross"]},
    ),
    (
        {"own": {"a": "span"}, "engines": ["a"]},
        "own.a: 'span', must be a mapping, write {include: engines/span}",
        {"own": {"a": {"include": "engines/span"}}, "engines": ["a"]},
    ),
    (
        {"own": {"a": "SPAN's"}, "engines": ["span"]},
        "own.a: \"SPAN's\", must be a mapping, write 'key: value' lines below it",
        {"own": {"a": {"compression": 0.1}}, "engines": ["span"]},
    ),
    ({"casch": 5}, "casch: unknown key (did you mean 'cash'?)", {"cash": 5}),
    (
        {"underlyings": None},
        "underlyings: missing, must be given (underlyings and their prices), add it",
        {},
    ),
    (
        {"underlyings": []},
        "underlyings: a list of 0, must be a list of at least 1 (underlyings and their prices), "
        "add items",
        {},
    ),
    ({"positions": 3}, "positions: 3, must be a list", {}),
]


@pytest.mark.parametrize(("wrong", "expected", "mended"), PORTFOLIOS)
def test_the_remedy_of_a_wrong_portfolio_works(
    tmp_path: Path, wrong: Change, expected: str, mended: Change
) -> None:
    found = judged(tmp_path, wrong)
    assert found.startswith(expected), found
    assert not judged(tmp_path, mended)


STORIES: list[tuple[Change, str, Change]] = [
    (
        {"moves": {"A": -0.1}},
        "shocks.0.moves.A: 'A' is not one of B, use one of them",
        {"moves": {"B": -0.1}},
    ),
    (
        {"moves": {"B": -1}},
        "shocks.0.moves.B: -1, must be above -1 and at most 1e+06, correct it",
        {"moves": {"B": -0.99}},
    ),
    ({"all": -2}, "shocks.0.all: -2, must be greater than -1", {"all": -0.2}),
    ({"vol": 1e7}, "shocks.0.vol: 10000000, must be at most 1000000", {"vol": 1}),
    ({"al": 0.1}, "shocks.0.al: unknown key (did you mean 'all'?)", {"all": 0.1}),
]


@pytest.mark.parametrize(("wrong", "expected", "mended"), STORIES)
def test_the_remedy_of_wrong_shocks_works(
    tmp_path: Path, wrong: Change, expected: str, mended: Change
) -> None:
    found = judged(tmp_path, {}, {"shocks": [{"name": "a"} | wrong]})
    assert found.startswith(expected), found
    assert not judged(tmp_path, {}, {"shocks": [{"name": "a"} | mended]})


@pytest.mark.parametrize(
    ("words", "expected", "mended"),
    [
        (" , ", "--engines: ' , ' names none, give one or more of binance, ", "binance"),
        ("", "--engines: '' names none, give one or more of ", "all"),
        ("crosss", "--engines: 'crosss' is not one of binance, ", "cross"),
        ("engines/crosss", "engines/crosss: ", "engines/cross"),
        ("other.yaml", "--engines: 'other.yaml' is not one of binance, ", "engines/cross"),
    ],
)
def test_the_remedy_of_a_wrong_engine_name_works(
    tmp_path: Path, words: str, expected: str, mended: str
) -> None:
    found = judged(tmp_path, {}, words=words)
    assert found.startswith(expected), found
    assert not judged(tmp_path, {}, words=mended)


def test_an_engine_file_of_another_kind_is_named(tmp_path: Path) -> None:
    (tmp_path / "shocks.yaml").write_text("shocks: [{name: a}]")
    shocks = tmp_path / "shocks.yaml"
    expected = (
        f"{shocks}: holds shocks of an account, use deleverage margin PORTFOLIO --stress {shocks}"
    )
    assert expected in judged(tmp_path, {}, words=str(shocks))


def test_the_limit_in_the_message_is_the_limit() -> None:
    assert CASH_LIMIT == 2**53

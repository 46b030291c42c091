"""The margin calculator: packaged portfolios, sums by hand, verdicts of the market, bad input."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from experiments.calculator.calculator import (
    MarginedPortfolio,
    classify_portfolio,
    find_index_moves,
    find_worst_scenario,
    list_positions,
    load_engine,
    margin_portfolio,
)
from experiments.calculator.market_moves import move_exposure
from experiments.calculator.portfolio import PortfolioConfig
from experiments.calculator.report import build_report
from experiments.cli import app
from sim.reading.loading import load_config, resolve_config
from sim.reading.packaged import list_packaged

ROOT = Path(__file__).parents[2]
SHOCKS = "portfolios/shocks"
PRESETS = [name.removeprefix("engines/") for name in list_packaged() if name.startswith("engines/")]
PORTFOLIOS = [name for name in list_packaged() if name.startswith("portfolios/") and name != SHOCKS]


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app.app, ["margin", *arguments])


def judged(name: str, engine: str, **changed: Any) -> MarginedPortfolio:
    portfolio = PortfolioConfig.model_validate(resolve_config(f"portfolios/{name}") | changed)
    return margin_portfolio(portfolio, engine, load_engine(engine, portfolio))


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_packaged_portfolios_are_judged(name: str) -> None:
    done = call(name, "--stress", SHOCKS, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert len(found["engines"]) >= 2
    equities = {round(each["equity"], 2) for each in found["engines"].values()}
    assert len(equities) == 1  # engines differ in what they ask, not in what is owned
    for each in found["engines"].values():
        assert each["initial"] >= each["maintenance"] > 0
        assert len(each["stress"]) == 6


def test_a_single_perpetual_by_hand() -> None:
    """One at 60,000 on 6,000: initial at 40 times, liquidated where 6,000 + P - 60,000 = P / 80."""
    account = judged("single_perp", "hyperliquid")
    assert account.total_risk() == (600_000, 150_000, 75_000)
    (row,) = list_positions(account)
    assert row.below == math.floor(54_000 / (1 - 1 / 80))
    assert (row.above, row.bankruptcy) == (None, 54_000)
    liquidatable, bankrupt = find_index_moves(account)
    assert liquidatable.down == pytest.approx(54_000 / (1 - 1 / 80) / 60_000 - 1, abs=1e-6)
    assert bankrupt.down == pytest.approx(-0.1, abs=1e-6)
    assert liquidatable.up is bankrupt.up is None


@pytest.mark.parametrize("name", PORTFOLIOS)
def test_breakdowns_add_up(name: str) -> None:
    """Breakdowns of all engines add up; rounding up adds less than one unit per account."""
    portfolio = load_config(name, (), PortfolioConfig)
    judged = [
        margin_portfolio(portfolio, each, load_engine(each, portfolio))
        for each in (*PRESETS, *portfolio.own)
    ]
    found = build_report(portfolio, judged, ())["engines"]
    assert len(found) == len(PRESETS) + len(portfolio.own)
    for account, each in zip(judged, found.values(), strict=True):
        for what in ("initial", "maintenance"):
            parts = {part: amounts[what] for part, amounts in each["breakdown"].items()}
            assert sum(parts.values()) == pytest.approx(each[what], rel=1e-12), account.name
            assert 0 <= parts.get("rounding up", 0) < 0.01 * len(account.parts)
    assert {"scanning risk"} <= set(found["span"]["breakdown"]) & set(found["derive"]["breakdown"])


def test_wrapped_and_dialled_scenarios_still_tell_their_worst() -> None:
    wrapped = {
        "requirement": {"kind": "compressed", "compression": 0.2, "inner": {"kind": "span"}},
        "margin_multiplier": 2,
    }
    account = judged("hedged_basis", "mine", own={"mine": wrapped})
    assert find_worst_scenario(account) == find_worst_scenario(
        judged("hedged_basis", "mine", own={"mine": {"requirement": {"kind": "span"}}})
    )
    opened, kept = account.margin_breakdown()["scanning risk"]
    assert opened == pytest.approx(2 * 0.8 * 1.1 * 9_000)
    assert kept == pytest.approx(2 * 0.8 * 9_000)


def test_a_breakdown_says_what_an_engine_charges_for() -> None:
    """Contingencies of the strangle at Derive, by hand.

    They are 1.5% and 2% of 0.05 coins, and 0.3% and 0.5% of four sold options.
    """
    parts = judged("short_strangle", "derive").margin_breakdown()
    assert parts["perpetuals"] == (pytest.approx(6_000), pytest.approx(4_500))
    assert parts["short options"] == (pytest.approx(120_000), pytest.approx(72_000))
    assert judged("hedged_basis", "cross").margin_breakdown() == {
        "BTC-PERP": (150_000, 75_000),
        "BTC-Q": (152_250, 76_125),
    }


def test_the_readme_shows_what_is_printed() -> None:
    page = ROOT / "experiments" / "calculator" / "README.md"
    text = page.read_text(encoding="utf-8")
    command, shown = re.findall(
        r"```console\n\$ deleverage margin (.*?)\n(.*?)```", text, flags=re.DOTALL
    )[0]
    assert call(*command.split()).stdout == shown


def test_isolated_accounts_share_cash_by_what_they_need() -> None:
    account = judged("two_coins", "isolated")
    risks = [part.engine.assess(part.book) for part in account.parts]
    covers = [float(risk.equity[0] / risk.initial[0]) for risk in risks]
    assert covers[0] == pytest.approx(covers[1], rel=1e-6)
    cross = judged("two_coins", "cross")
    assert account.total_risk() == cross.total_risk()
    assert classify_portfolio(account) == classify_portfolio(cross) == "healthy"


def test_collateral_lies_with_its_underlying() -> None:
    """With one manager per underlying, bitcoin is collateral of the bitcoin positions.

    Collateral without an underlying belongs to the first manager.
    """
    listed = resolve_config("portfolios/two_coins")
    assets = [
        {"name": "USD"},
        {"name": "ETH", "decimals": 4, "price": 3000},
        {"name": "USDT", "decimals": 4},
    ]
    changed = {
        "assets": assets,
        "collateral": {"ETH": 2, "USDT": 100},
        "own": {},
        "engines": ["derive"],
    }
    portfolio = PortfolioConfig.model_validate(listed | changed)
    parts = margin_portfolio(portfolio, "derive", load_engine("derive", portfolio)).parts
    np.testing.assert_array_equal(
        [part.book.balance[0, 1:] for part in parts], [[0, 1_000_000], [20_000, 0]]
    )
    assert sum(part.book.balance[0, 0] for part in parts) == 2_000_000 - 150 * 59_000 + 250 * 31_000


def test_shocks_reprice_options_and_collateral() -> None:
    account = judged("short_strangle", "span")
    book = account.parts[0].book
    still = move_exposure(book, np.zeros(1))
    np.testing.assert_allclose(still.market.mark, book.market.mark)
    louder = move_exposure(book, np.zeros(1), vol=0.5)
    assert louder.equity() < book.equity()  # options were sold
    coins = judged("multi_collateral", "haircuts").parts[0].book
    after = move_exposure(coins, np.array([0.1]))
    held, short = 0.5 * 60_000, 0.6 * 60_000
    assert after.equity()[0] - coins.equity()[0] == pytest.approx(100 * 0.1 * (held - short))


def test_engines_may_be_the_portfolios_own_presets_or_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("requirement: {kind: tiered, tiers: [{floor: 0, max_leverage: 10}]}")
    done = call(
        "portfolios/multi_collateral", "--engines", f"haircuts,engines/cross,span,{file}", "--json"
    )
    found = json.loads(done.stdout)["engines"]
    assert list(found) == ["haircuts", "engines/cross", "span", str(file)]
    assert found[str(file)]["breakdown"]["BTC-PERP"]["initial"] == 3_600
    assert found["span"]["worst"]["label"] == "+3/3 of the range, volatility up"


def test_a_kind_of_a_plugin_that_is_not_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("requirement: {kind: power}\nnetting: {kind: crosss}\n")
    done = call("portfolios/single_perp", "--engines", str(file))
    assert done.exit_code == 2
    netting, requirement = done.stderr.splitlines()
    remedy = "or name the module of your own kind with --plugin"
    assert netting.startswith(f"{file}: netting.kind: 'crosss' is not one of cross, ")
    assert netting.endswith(f"(did you mean 'cross'?), {remedy}")
    assert requirement.startswith(f"{file}: requirement.kind: 'power' is not one of tiered, ")
    assert requirement.endswith(f", use one of them, {remedy}")


def test_all_presets_side_by_side_and_which_would_need_a_past() -> None:
    done = call("portfolios/single_perp", "--engines", "span,all")
    assert (done.exit_code, done.stderr) == (0, "")
    table = done.stdout.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in table[1:-1]] == [
        "span",
        *(name for name in PRESETS if name != "span"),
    ]
    assert table[-1].startswith(
        "fhs_es, fhs_var, learned: margin by past returns, and a portfolio has none"
    )
    found = json.loads(
        call("portfolios/single_perp", "--engines", "fhs_es,cross", "--json").stdout
    )["engines"]
    assert found["fhs_es"]["past_lacking"] > 0 == found["cross"]["past_lacking"]
    assert "past returns" not in call("portfolios/single_perp", "--engines", "cross").stdout


@pytest.mark.parametrize("words", ["", " , "])
def test_engines_must_be_named(words: str) -> None:
    done = call("portfolios/single_perp", "--engines", words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"--engines: {words!r} names none, give one or more of binance, ")


def test_short_options_are_margined_on_the_underlying() -> None:
    """Two puts and two calls far out of the money require 10% and 7.5% of 60,000 each.

    The perpetual requires a fortieth of 0.05 contracts.
    """
    account = judged("short_strangle", "cross")
    assert account.total_risk()[1:] == (100 * (4 * 6_000 + 75), 100 * (4 * 4_500 + 37.5))
    assert {"BTC-P50", "BTC-C72", "BTC-PERP"} <= account.margin_breakdown().keys()


def test_a_haircut_is_told_apart_from_the_requirement() -> None:
    found = build_report(
        load_config("portfolios/multi_collateral", (), PortfolioConfig),
        [judged("multi_collateral", "haircuts")],
        (),
    )
    parts = found["engines"]["haircuts"]["breakdown"]
    assert parts["haircuts"]["maintenance"] == pytest.approx(0.05 * 30_000 + 0.02 * 4_995)
    assert parts["BTC-PERP"]["initial"] == pytest.approx(0.6 * 60_000 / 40)


def entered(*entries: tuple[float, float], engine: str, **changed: Any) -> MarginedPortfolio:
    """Return entries (quantity, price) of one perpetual, marked at the last price by default."""
    perpetual = {"name": "P", "underlying": "B", "tick": 1, "lot": 0.01, "max_price": 1_000_000}
    raw = {
        "cash": 600_000,
        "underlyings": [{"name": "B", "price": entries[-1][1]}],
        "instruments": [perpetual],
        "positions": [
            {"instrument": "P", "quantity": quantity, "entry": price} for quantity, price in entries
        ],
    }
    portfolio = PortfolioConfig.model_validate(raw | changed)
    return margin_portfolio(portfolio, engine, load_engine(engine, portfolio))


def test_hedge_mode_margins_both_sides() -> None:
    """Binance requires 2 x (60,000 x 0.5% - 50).

    One mark moves both sides, so they share their liquidation prices.
    """
    quotes = [{"name": "B", "price": 60_000}]
    account = entered((1, 60_000), (-1, 61_000), engine="binance", cash=6_000, underlyings=quotes)
    assert account.total_risk()[::2] == (700_000, 50_000)
    assert account.margin_breakdown()["P"][1] == 50_000
    assert [(row.quantity, row.below) for row in list_positions(account)] == [(1, None), (-1, None)]
    assert [row.above for row in list_positions(account)] == [
        480_001
    ] * 2  # 7,000 = 2 x (1% of P - 1,300)
    uneven = entered((2, 60_000), (-0.5, 61_000), (1, 58_000), engine="binance", underlyings=quotes)
    assert uneven.total_risk()[2] == 100 * (180_000 * 0.005 - 50 + 30_000 * 0.004)


def test_sides_of_hedge_mode_are_isolated_accounts_where_margin_is() -> None:
    account = entered((1, 60_000), (-2, 61_000), engine="bybit", mode="hedge")
    assert [part.book.position.tolist() for part in account.parts] == [[[100]], [[-200]]]
    assert account.total_risk()[2] == 100 * 0.005 * (60_000 + 2 * 61_000)


@pytest.mark.parametrize("mode", [None, "one_way"])
def test_a_flip_restarts_the_entry(mode: str | None) -> None:
    """Bybit margins the value at entry, 10 x 110,000.

    The equity, 600,000 and a gain of 50 x 11,000, is lost at 225,000; margin takes 5,500 of it.
    """
    account = entered((50, 99_000), (-60, 110_000), engine="bybit", mode=mode)
    assert account.total_risk() == (115_000_000, 1_100_000, 550_000)
    (row,) = list_positions(account)
    assert (row.quantity, row.above, row.bankruptcy) == (-10, 224_451, 225_000)


@pytest.mark.parametrize(
    ("entries", "entry"),
    [
        (((5, 100), (-2, 130)), 100),
        (((5, 100), (3, 140)), 115),
        (((-5, 100), (2, 60), (-3, 160)), 130),
        (((-5, 100), (9, 60)), 60),
        (((90_000, 100), (-90_010, 100), (15, 100)), 100),
        (((5, 100), (-5, 130), (2, 90)), 90),
    ],
)
def test_entries_are_fills_in_their_order(
    entries: tuple[tuple[float, float], ...], entry: float
) -> None:
    """Realised gains become cash, so that equity is the same in either reading of the entries."""
    account = entered(*entries, engine="bybit")
    book, held = account.parts[0].book, sum(quantity for quantity, _ in entries)
    assert book.entry[0, 0] == held * entry * 100
    mark = entries[-1][1]
    equity = 600_000 + sum(quantity * (mark - price) for quantity, price in entries)
    assert account.total_risk()[0] == equity * 100
    both = len({quantity > 0 for quantity, _ in entries}) == 2
    assert entered(*entries, engine="binance", mode="hedge").total_risk()[0] == equity * 100
    assert [reading.how for reading in account.readings] == ["one_way" if both else "averaged"]


def test_the_reading_of_entries_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    lines = BASE | {
        "positions": "[{instrument: P, quantity: 1}, {instrument: P, quantity: -1, entry: 61000}]"
    }
    file.write_text("\n".join(f"{key}: {value}" for key, value in lines.items()))
    told = call(str(file), "--engines", "binance,bybit,cross").stdout
    assert "\nP under binance: long and short are two positions (hedge mode" in told
    assert "\nP under bybit, cross: entries are fills in the order of the file" in told
    assert (
        "bybit: prices at which the account is liquidated, and each leg's bankruptcy price\n"
        "no position is left" in told
    )
    file.write_text(file.read_text() + "\nmode: hedge")
    found = json.loads(
        call(str(file), "--engines", "binance,bybit,okx,gate,phemex", "--json").stdout
    )["engines"]
    assert {each["entries"]["P"] for each in found.values()} == {"hedge"}
    for name in ("hyperliquid", "dydx_v4", "derive", "deribit", "paradex", "cross", "engines/span"):
        refused = call(str(file), "--engines", name)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.startswith(
            f"--engines {name}: no hedge mode there, so P cannot be long and short"
        )
    file.write_text(file.read_text().replace("mode: hedge", "mode: one_way"))
    assert call(str(file), "--engines", "all").exit_code == 0
    own = "\nown: {mine: {requirement: {kind: tiered, tiers: [{floor: 0, max_leverage: 10}]}}}"
    file.write_text(file.read_text().replace("mode: one_way", "mode: hedge") + own)
    mine = json.loads(call(str(file), "--engines", "mine", "--json").stdout)["engines"]["mine"]
    assert (mine["initial"], mine["entries"]) == (12_000, {"P": "hedge"})


def test_options_are_netted_in_hedge_mode_too() -> None:
    option = {
        "kind": "option",
        "option": "put",
        "strike": 55_000,
        "expiry": 9e5,
        "tick": 1,
        "lot": 0.01,
    }
    listed = [{"name": "O", "underlying": "B", "max_price": 1e6} | option]
    held = [{"instrument": "O", "quantity": quantity} for quantity in (2, -1)]
    changed = {
        "instruments": listed,
        "positions": held,
        "volatilities": {"O": 0.5},
        "mode": "hedge",
    }
    account = entered((1, 60_000), engine="hyperliquid", **changed)
    assert account.parts[0].book.position.tolist() == [[100]]


@pytest.mark.parametrize(
    "quantity", [0.1 + 0.2, 0.7 + 0.1, 3 * 1.1, -0.29 * 100 / 100, 1.1 * 1.1 * 100]
)
def test_quantities_are_lots_but_for_the_noise_of_floats(quantity: float) -> None:
    account = entered((quantity, 60_000), engine="cross", cash=1e7)
    assert account.parts[0].book.position[0, 0] == round(quantity * 100)


@pytest.mark.parametrize(("quantity", "size"), [(3, 1_000), (-3, 1_000), (40, 5)])
def test_margin_in_money_per_contract(quantity: int, size: int) -> None:
    """Contracts of crude oil require 12,000 dollars to open and 10,900 to keep at any price."""
    future = {
        "name": "CL",
        "underlying": "B",
        "kind": "future",
        "expiry": 9e6,
        "tick": 0.01,
        "max_price": 1_000,
    }
    rule = {"kind": "per_contract", "initial": 12_000, "maintenance": 10_900, "size": size}
    dearer = {"size": 10, "initial": 7, "maintenance": 7}
    account = entered(
        (1, 70),
        engine="money",
        instruments=[future | {"lot": 1}, future | {"lot": 1, "name": "X"}],
        positions=[
            {"instrument": "CL", "quantity": quantity * size},
            {"instrument": "X", "quantity": 5},
        ],
        own={"money": {"requirement": rule | {"instruments": {"X": dearer}}}},
        cash=500_000,
    )
    contracts = abs(quantity)
    assert account.total_risk() == (
        5e7,
        100 * (12_000 * contracts + 3.5),
        100 * (10_900 * contracts + 3.5),
    )
    row = list_positions(account)[0]
    price = 70 - (500_000 - 10_900 * contracts - 3.5) / (
        quantity * size
    )  # of the last cent that is enough
    expected = (
        None
        if price < 0
        else math.floor(price * 100) / 100
        if quantity > 0
        else math.ceil(price * 100) / 100
    )
    got = row.below if quantity > 0 else row.above
    assert got == (None if expected is None else pytest.approx(expected, abs=1e-9))


PERP = "{name: P, underlying: B, tick: 1, lot: 0.01, max_price: 1000000}"
CALL = PERP.replace("name: P", "name: C, kind: option, option: call, strike: 60000, expiry: 9")
BASE = {
    "cash": "1000",
    "underlyings": "[{name: B, price: 60000}]",
    "instruments": f"[{PERP}]",
    "positions": "[{instrument: P, quantity: 1}]",
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"positions": "[{instrument: Q, quantity: 1}]"},
            "positions.0.instrument: 'Q' is not one of P",
        ),
        (
            {"positions": "[{instrument: P, quantity: 0.005}]"},
            "positions.0.quantity: 0.005, 'P' comes in lots",
        ),
        (
            {"positions": "[{instrument: P, quantity: 0.3000001}]"},
            "positions.0.quantity: 0.3000001, 'P' comes in lots",
        ),
        (
            {"positions": "[{instrument: P, quantity: 60000}, {instrument: P, quantity: 60000}]"},
            "positions.1.quantity: 60000, with those before more than max_lots of 'P' allows, "
            "100000: lower it",
        ),
        ({"mode": "both"}, "mode: 'both'"),
        (
            {
                "assets": "[{name: USD}, {name: B, decimals: 8, price: 60000}]",
                "instruments": f"[{PERP[:-1]}, settle: B}}]",
            },
            "instruments.0.settle: 'B' is an underlying, so 'P' is coin-margined (inverse); only",
        ),
        (
            {
                "assets": "[{name: USD}, {name: XB, price: 60000}]",
                "instruments": f"[{PERP[:-1]}, settle: XB}}]",
            },
            "instruments.0.settle: 'XB' is worth 60000, so 'P' is coin-margined (inverse); only",
        ),
        (
            {
                "assets": "[{name: USD}, {name: b, price: 0.1}]",
                "instruments": f"[{PERP[:-1]}, settle: b}}]",
            },
            "instruments.0.settle: 'b' is an underlying, so 'P' is coin-margined (inverse); only",
        ),
        (
            {
                "assets": "[{name: USD}, {name: B, price: 0.1}]",
                "underlyings": "[{name: B-USD, price: 0.1}]",
                "instruments": "[{name: P, underlying: B-USD, settle: B, tick: 0.001, "
                "lot: 100, max_price: 10}]",
            },
            "instruments.0.settle: 'B' is an underlying, so 'P' is coin-margined (inverse); only",
        ),
        (
            {"assets": "[{name: B}]"},
            "instruments.0.settle: 'B' is an underlying, so 'P' is coin-margined (inverse)",
        ),
        (
            {"assets": "[{name: USD, price: 2}]"},
            "assets.0.price: 2, the numeraire 'USD' is worth 1: remove it",
        ),
        (
            {"assets": "[{name: USD}, {name: U}, {name: U}]"},
            "assets: 'U' is used twice, rename one",
        ),
        (
            {"positions": "[{instrument: P, quantity: 1e9}]"},
            "positions.0.quantity: 1e+09, more than max_lots",
        ),
        ({"positions": "[{instrument: P, quantity: .nan}]"}, "positions.0.quantity: nan"),
        ({"positions": "[{quantity: 1}]"}, "positions.0.instrument: missing"),
        ({"positions": "3"}, "positions: 3, must be a list"),
        (
            {"underlyings": "[{name: A, price: 60000}]"},
            "instruments.0.underlying: 'B' is not one of A",
        ),
        (
            {"underlyings": "[{name: B, price: 60000, volatility: -0.5}]"},
            "underlyings.0.volatility: -0.5, must",
        ),
        (
            {"underlyings": "[{name: B, price: 1e-9}]"},
            "instruments.0.tick: the price of 'B', 1e-09, is less",
        ),
        ({"underlyings": "[]"}, "underlyings: a list of 0, must be a list of at least 1"),
        (
            {"instruments": f"[{PERP}, {CALL}]"},
            "instruments.1: no implied volatility of 'C', give",
        ),
        (
            {"instruments": f"[{PERP}, {CALL}]", "seconds": "9", "volatilities": "{C: 0.5}"},
            "instruments.1.expiry: 9, 'C' has",
        ),
        (
            {"instruments": f"[{PERP}, {CALL}]", "volatilities": "{C: -0.5}"},
            "volatilities.C: -0.5, must be above 0",
        ),
        (
            {"marks": "{P: 60000.5}"},
            "marks.P: 60000.5, must be a multiple of 1 up to max_price, round it",
        ),
        (
            {"collateral": "{DOGE: 1}"},
            "collateral.DOGE: 'DOGE' is no asset, declare it: add {name: DOGE",
        ),
        ({"cash": "1e300"}, "cash: 1e+300, too large to be exact"),
        ({"casch": "5"}, "casch: unknown key (did you mean 'cash'?)"),
        ({"engines": "[crosss]"}, "--engines: 'crosss' is not one of"),
    ],
)
def test_portfolios_that_cannot_be(changes: dict[str, str], expected: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("\n".join(f"{key}: {value}" for key, value in (BASE | changes).items()))
    done = call(str(file))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(expected), done.stderr
    assert "Traceback" not in done.stderr


def test_a_contract_in_a_currency_of_account_is_linear() -> None:
    """In a dollar coin worth 0.99, equity and margin are 0.99 times those in dollars."""
    assets = [{"name": "USD"}, {"name": "USDT", "price": 0.99}]
    perpetual = {
        "name": "P",
        "underlying": "B",
        "tick": 1,
        "lot": 0.01,
        "max_price": 1_000_000,
        "settle": "USDT",
    }
    account = entered((1, 60_000), engine="cross", assets=assets, instruments=[perpetual])
    assert account.total_risk() == (
        60_000_000,
        pytest.approx(0.99 * 150_000),
        pytest.approx(0.99 * 75_000),
    )


@pytest.mark.parametrize(
    ("shocks", "expected"),
    [
        (
            "shocks: [{name: a, moves: {DOGE: -0.1}}]",
            "shocks.0.moves.DOGE: 'DOGE' is not one of BTC",
        ),
        ("shocks: [{name: a, moves: {BTC: -1}}]", "shocks.0.moves.BTC: -1, must be above -1"),
        ("shocks: [{name: a, all: -2}]", "shocks.0.all: -2, must be greater than -1"),
        ("shocks: []", "shocks: a list of 0, must be a list of at least 1"),
    ],
)
def test_shocks_that_cannot_be(shocks: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "shocks.yaml"
    file.write_text(shocks)
    done = call("portfolios/single_perp", "--stress", str(file))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(expected), done.stderr

"""Liquidation maps: against closed forms, the search of the market's engine, and their own rows."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.accounts.liquidation_map import LiquidationMap, compute_map
from experiments.accounts.open_table import open_markets
from experiments.cli import app
from sim.liquidation.prices import find_liquidation_ticks
from sim.market import Market
from sim.types import MISSING


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two coins: owners of one or both of them."""
    draws = np.random.default_rng(3)
    rows = []
    for number in range(30):
        collateral = float(draws.uniform(2_000, 30_000))
        for name, price, lot in (("BTC-PERP", 50_000, 0.01), ("ETH-PERP", 2_500, 0.1)):
            lots = int(draws.integers(-200, 200))
            if lots and draws.random() < 0.8:
                size = round(lots * lot, 2)
                rows.append((f"o{number}", name, size, price, round(collateral, 2)))
                collateral = 0.0
    path = tmp_path_factory.mktemp("map") / "two_coins.csv"
    columns = ["owner", "instrument", "quantity", "entry", "collateral"]
    pd.DataFrame(rows, columns=columns).to_csv(path, index=False)
    return str(path)


@pytest.fixture(scope="module")
def opened(table: str) -> dict[str, tuple[Market, LiquidationMap]]:
    markets = open_markets("two_coins", table, "isolated,cross,span")
    return {name: (market, compute_map(market, {})) for name, market in markets.items()}


@pytest.mark.parametrize("engine", ["isolated", "cross", "span"])
def test_prices_are_those_of_the_search_by_ticks(
    opened: dict[str, tuple[Market, LiquidationMap]], engine: str
) -> None:
    """The first liquidatable tick of each account is within a tick of the price of the map."""
    market, found = opened[engine]
    book = market.state.opening_book
    assert book is not None
    venue, n_compared = market.venues[0], 0
    for row in found.prices[found.prices["status"] == "healthy"].head(12).itertuples():
        k = market.contracts.names.index(row.instrument)
        state = next(
            each
            for each in venue.pool_states.values()
            if each.pool.instruments.start <= k < each.pool.instruments.stop
        )
        owner = int(book.owners[book.names.index(row.owner)])
        account = venue.pool_accounts(state.pool).take(np.array([owner]))
        leg = k - state.pool.instruments.start
        ticks = find_liquidation_ticks(state.engine.assess, account, leg)
        tick = float(market.contracts.tick[k])
        for first, price, side in ((ticks.below, row.below, -1), (ticks.above, row.above, 1)):
            if first == MISSING or np.isnan(price):
                continue  # beyond the moves that the map tries
            n_compared += 1
            # moves also move the scan ranges of SPAN with the index, marks do not
            assert first * tick == pytest.approx(price, abs=1.01 * tick, rel=1e-4), (row, side)
    assert n_compared >= 6


def test_a_linear_account_has_its_closed_form(tmp_path: Path) -> None:
    """Long q at entry P with collateral C: P - (C - m q P) / (q (1 - m)), with m = 1/80."""
    path = tmp_path / "one.csv"
    path.write_text(
        "owner,instrument,quantity,entry,collateral\na,BTC-PERP,1,50000,8000\n"
        "b,BTC-PERP,-1,50000,8000\n"
    )
    market = open_markets("small_crash", str(path), "hyperliquid")["hyperliquid"]
    found = compute_map(market, {}).prices.set_index("owner")
    rate = found.loc["a", "maintenance"] / 50_000
    assert found.loc["a", "below"] == pytest.approx((50_000 - 8_000) / (1 - rate), rel=1e-9)
    assert found.loc["b", "above"] == pytest.approx((50_000 + 8_000) / (1 + rate), rel=1e-9)
    assert np.isnan(found.loc["a", "above"])


def test_the_map_counts_the_accounts_whose_price_is_reached(
    opened: dict[str, tuple[Market, LiquidationMap]],
) -> None:
    """Positions liquidated by a move of their own underlying are those with a price within it."""
    _, (moves, prices) = opened["isolated"]
    for instrument, shock in (("BTC-PERP", "btc"), ("ETH-PERP", "eth")):
        own = prices[prices["instrument"] == instrument]
        for move in (-0.3, -0.1, 0.1, 0.3):
            reached = own["mark"] * (1 + move)
            within = own["below"] >= reached if move < 0 else own["above"] <= reached
            expected = own[within | (own["status"] != "healthy")]
            row = moves[
                (moves["shock"] == shock)
                & np.isclose(moves["move"], move)
                & (moves["instrument"] == instrument)
            ].iloc[0]
            assert row["positions"] == len(expected)
            assert row["notional"] == pytest.approx(
                (expected["quantity"].abs() * expected["mark"]).sum()
            )


def test_one_account_for_both_coins_carries_a_fall_of_one_to_the_other(
    opened: dict[str, tuple[Market, LiquidationMap]],
) -> None:
    """As bitcoin falls, ether is liquidated under cross and not under isolated."""

    def lost(engine: str) -> float:
        moves = opened[engine][1].moves
        chosen = (moves["shock"] == "btc") & (moves["instrument"] == "ETH-PERP")
        return float(np.ptp(moves.loc[chosen, "notional"]))

    assert lost("isolated") == 0
    assert lost("cross") > 0


def test_betas_scale_the_move_of_all(opened: dict[str, tuple[Market, LiquidationMap]]) -> None:
    market, plain = opened["cross"]
    frozen = compute_map(market, {"eth": 0.0}).moves
    alone, joint = (frozen[frozen["shock"] == name]["notional"] for name in ("btc", "all"))
    assert joint.tolist() == alone.tolist()
    assert plain.moves[plain.moves["shock"] == "all"]["notional"].tolist() != alone.tolist()


def test_the_command_prints_the_map_and_writes_its_files(table: str, tmp_path: Path) -> None:
    words = ["margin", "two_coins", "--accounts", table, "--out", str(tmp_path / "map")]
    done = CliRunner().invoke(app.app, words)
    assert done.exit_code == 0, done.output
    assert "notional liquidated as all underlyings fall, USD (share of the notional)" in done.output
    names = ["liquidation_map.csv", "liquidation_map.pdf", "liquidation_map.png"]
    assert sorted(path.name for path in (tmp_path / "map").iterdir()) == [
        *names,
        "liquidation_prices.csv",
    ]
    printed = CliRunner().invoke(app.app, [*words[:4], "--json"])
    content = json.loads(printed.stdout)
    assert list(content["own"]) == ["notices", "moves", "prices"]
    wrong = CliRunner().invoke(app.app, [*words[:4], "--beta", "et=1"])
    assert (wrong.exit_code, wrong.output) == (
        2,
        "--beta: 'et' is not one of btc, eth (did you mean 'eth'?)\n",
    )

"""Laws of opening accounts: balanced, collateralised and entered as the table states (ACC-1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twins import assert_same, build, run_twins

from experiments.config import RunConfig, load_run
from experiments.results.store import write_yaml
from sim.errors import ConfigError
from sim.market import Market

MARK = 50_000
Row = dict[str, Any]


def write(folder: Path, rows: Sequence[Row]) -> str:
    path = folder / "accounts.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


def load(folder: Path, rows: Sequence[Row], *overrides: str) -> RunConfig:
    return load_run("small_crash", [f"accounts.file={write(folder, rows)}", *overrides])


def equity(market: Market, name: str) -> float:
    book = market.state.opening_book
    assert book is not None
    return market.equity_of(int(book.owners[book.names.index(name)])) / market.minor_units


rows = st.lists(
    st.tuples(
        st.integers(-300, 300).filter(bool),
        st.floats(40_000, 60_000),
        st.floats(0, 50_000),
        st.sampled_from([None, 1, 2.5, 20]),
    ),
    min_size=1,
    max_size=8,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    drawn=rows,
    balance=st.sampled_from(["counterparty", "scale"]),
    engine=st.sampled_from(["cross", "isolated"]),
    collateral=st.sampled_from(["owner", "position"]),
)
def test_a_table_opens_a_market_in_balance(
    tmp_path: Path, drawn: list[Any], balance: str, engine: str, collateral: str
) -> None:
    """Nothing is created, and equity is collateral plus the gain since entry of what is held."""
    table = [
        {
            "owner": f"o{number}",
            "instrument": "BTC-PERP",
            "quantity": lots / 100,
            "entry": round(entry, 2),
            "collateral": round(cash, 2),
            "leverage": leverage,
        }
        for number, (lots, entry, cash, leverage) in enumerate(drawn)
    ]
    sides = {lots > 0 for lots, *_ in drawn}
    words = [f"accounts.balance={balance}", f"accounts.collateral={collateral}"]
    config = load(tmp_path, table, f"venues.0.engine={engine}", *words)
    if balance == "scale" and len(sides) == 1:
        with pytest.raises(ConfigError, match="scaling would remove"):
            build(config, 1)
        return
    market = build(config, 1)
    market.ledger.check_conservation()
    assert market.ledger.position[0, market.state.external_owner] == 0
    book = market.state.opening_book
    assert book is not None
    held = market.ledger.position[0, book.owners]
    wanted = np.array([lots for lots, *_ in drawn])
    if balance == "counterparty":
        np.testing.assert_array_equal(held, wanted)
    else:
        assert held.sum() == 0
        assert (np.abs(held) <= np.abs(wanted)).all()
        assert (held * wanted >= 0).all()
    for row, lots in zip(table, held, strict=True):
        gain = lots / 100 * (MARK - row["entry"])
        assert equity(market, row["owner"]) == pytest.approx(row["collateral"] + gain, abs=0.02)


def test_isolated_accounts_receive_what_chosen_leverage_needs(tmp_path: Path) -> None:
    """A position at ten times is backed by a tenth of its cost; the rest stays in the wallet."""
    table = [
        {"owner": "a", "instrument": "BTC-PERP", "quantity": 1, "entry": 48_000, "collateral": 9e3},
        {"owner": "b", "instrument": "BTC-PERP", "quantity": -1, "collateral": 9e3},
    ]
    table[0]["leverage"] = 10
    market = build(load(tmp_path, table, "venues.0.engine=isolated"), 1)
    book = market.state.opening_book
    assert book is not None
    venue = market.venues[0]
    margin = venue.pool_states[0].assessment.equity[book.owners] / market.minor_units
    wallet = market.ledger.balance[0, venue.wallet_pool, book.owners] / market.minor_units
    assert margin.tolist() == [4_800 + 2_000, 9_000]
    assert wallet.tolist() == [9_000 - 4_800, 0]
    assert market.ledger.leverage[0, book.owners].tolist() == [10, np.inf]
    assert book.imbalances == ()


def test_spot_is_deposited_with_its_cost_at_its_venue(tmp_path: Path) -> None:
    """Collateral is the cash beside it, and the rest of the world holds the other side."""
    table: list[Row] = [
        {"owner": "a", "instrument": "BTC-SPOT", "quantity": 2, "entry": 40_000, "collateral": 7},
        {"owner": "a", "instrument": "", "quantity": "", "entry": "", "collateral": 5},
        {"owner": "b", "instrument": "", "quantity": "", "entry": "", "collateral": 3},
    ]
    market = build(load(tmp_path, table, "accounts.balance=refuse"), 1)
    market.ledger.check_conservation()
    assert (equity(market, "a"), equity(market, "b")) == (2 * MARK + 12, 3)
    book = market.state.opening_book
    assert book is not None
    own = int(book.owners[0])
    assert market.wallet_of(own)[:, 0].tolist() == [0, 12 * market.minor_units]
    assert market.position_of(own).tolist() == [0, 200]
    assert market.position_of(market.state.external_owner).tolist() == [0, -200]
    assert market.wallet_of(int(book.owners[1]))[:, 0].tolist() == [3 * market.minor_units, 0]


def test_owners_join_the_population_that_the_table_names(tmp_path: Path) -> None:
    """Their first members hold the positions, and trade; the others hold until closed out."""
    table = [
        {
            "owner": "a",
            "instrument": "BTC-PERP",
            "quantity": 1,
            "collateral": 9e4,
            "population": "",
        },
        {"owner": "b", "instrument": "BTC-PERP", "quantity": -1, "collateral": 9e4},
    ]
    table[1]["population"] = "noise"
    config = load(tmp_path, table, "populations.0.holding_time=60")
    assert [each.name for each in config.populations][-2:] == ["holders", "counterparty"]
    market = build(config, 1)
    market.advance(20)
    assert market.position_of(0)[0] != -100
    book = market.state.opening_book
    assert book is not None
    assert market.position_of(int(book.owners[0]))[0] == 100


@pytest.mark.parametrize("engine", ["cross", "isolated"])
def test_compiled_and_plain_steps_are_equal(tmp_path: Path, engine: str) -> None:
    """With accounts below maintenance, holders and traders, some of them closed out."""
    draws = np.random.default_rng(5)
    lots = draws.integers(-200, 200, 40)
    table = [
        {
            "owner": f"o{number}",
            "instrument": "BTC-PERP",
            "quantity": size / 100,
            "entry": 50_000 + 100 * number,
            "collateral": abs(size) * 500 / (2 + number % 30),
            "population": "noise" if number % 3 else "",
        }
        for number, size in enumerate(lots.tolist())
        if size
    ]
    config = load(tmp_path, table, f"venues.0.engine={engine}", "stresses.0.at=300")
    plain, compiled = run_twins(config, steps=20, batches=(7, 1))
    assert_same(plain, compiled)
    opened = plain.state.opening_book
    assert opened is not None
    assert opened.counts.liquidatable > 0
    assert len(plain.recorder.frames()["closeouts"])


def test_a_run_keeps_its_table(tmp_path: Path) -> None:
    """The resolved configuration runs again, and refuses a table that has changed since."""
    table: list[Row] = [
        {"owner": "a", "instrument": "BTC-PERP", "quantity": 1, "collateral": 9_000}
    ]
    config = load(tmp_path, table)
    resolved = tmp_path / "resolved.yaml"
    write_yaml(config.model_dump(mode="json"), resolved)
    assert load_run(resolved) == config
    table[0]["collateral"] = 9_001
    write(tmp_path, table)
    with pytest.raises(ConfigError, match="a run keeps its table: restore the file"):
        build(load_run(resolved), 1)
    assert load_run("small_crash", [f"accounts.file={config.accounts.file}"]) != config

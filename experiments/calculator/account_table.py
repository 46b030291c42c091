"""Table of the margins of many accounts under several engines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.calculator.calculator import (
    classify_portfolio,
    find_index_moves,
    list_engines,
    load_engine,
    margin_portfolio,
)
from experiments.calculator.portfolio import PortfolioConfig
from experiments.file_kinds import load_kind
from sim.errors import ConfigError
from sim.reading.loading import validate_mapping


def compute_account_margins(
    portfolio: str | Path | Mapping[str, Any],
    accounts: pd.DataFrame | None,
    engines: str | Sequence[str],
    cash: float | Mapping[str, float] | None,
) -> pd.DataFrame:
    """Return a row for each account and engine, see :func:`deleverage.margins`."""
    rows = []
    for account, config in _split_accounts(_load_portfolio(portfolio), accounts, cash).items():
        words = engines if isinstance(engines, str) else ",".join(engines)
        for engine in list_engines(words, config):
            rows.append({"account": account, "engine": engine, **_margin_row(config, engine)})
    return pd.DataFrame(rows).set_index(["account", "engine"])


def _load_portfolio(portfolio: str | Path | Mapping[str, Any]) -> PortfolioConfig:
    if isinstance(portfolio, Mapping):
        return validate_mapping(portfolio, PortfolioConfig)
    return load_kind("portfolio", portfolio, (), PortfolioConfig)


def _split_accounts(
    portfolio: PortfolioConfig,
    accounts: pd.DataFrame | None,
    cash: float | Mapping[str, float] | None,
) -> dict[Any, PortfolioConfig]:
    """Return a portfolio for each account, all with the same prices and instruments."""
    if accounts is None:
        return {"account": _with_cash(portfolio, "account", cash)}
    missing = {"account", "instrument", "quantity"} - set(accounts.columns)
    if missing:
        raise ConfigError([f"accounts: no column {name!r}, add it" for name in sorted(missing)])
    plain = portfolio.model_dump(mode="json")
    found = {}
    for account, rows in accounts.groupby("account", sort=False):
        positions = [
            {name: value for name, value in row.items() if name != "account" and not pd.isna(value)}
            for row in rows.to_dict("records")
        ]
        config = validate_mapping(plain | {"positions": positions}, PortfolioConfig)
        found[account] = _with_cash(config, account, cash)
    return found


def _with_cash(
    portfolio: PortfolioConfig, account: Any, cash: float | Mapping[str, float] | None
) -> PortfolioConfig:
    if cash is None:
        return portfolio
    amount = cash.get(account, portfolio.cash) if isinstance(cash, Mapping) else cash
    return portfolio.model_copy(update={"cash": float(amount)})


def _margin_row(portfolio: PortfolioConfig, engine: str) -> dict[str, Any]:
    """Return one account's figures under one engine; a refusal becomes a note."""
    try:
        account = margin_portfolio(portfolio, engine, load_engine(engine, portfolio))
    except ConfigError as error:
        empty = dict.fromkeys(("equity", "initial", "maintenance", "ratio"), np.nan)
        return {
            **empty,
            "status": "refused",
            "fall": np.nan,
            "rise": np.nan,
            "note": "; ".join(error.problems),
        }
    equity, initial, maintenance = (amount / account.unit for amount in account.total_risk())
    moves = find_index_moves(account)[0]
    return {
        "equity": equity,
        "initial": initial,
        "maintenance": maintenance,
        "ratio": maintenance / equity if equity > 0 else np.nan,
        "status": classify_portfolio(account),
        "fall": np.nan if moves.down is None else moves.down,
        "rise": np.nan if moves.up is None else moves.up,
        "note": "",
    }

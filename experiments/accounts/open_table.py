"""Markets at their opening with a table of accounts, under each of several engines."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents import populate
from experiments.accounts.read_table import read_accounts
from experiments.calculator.calculator import list_engines, load_engine, parse_engine_names
from experiments.calculator.portfolio import PortfolioConfig
from experiments.config import RunConfig, load_run
from experiments.file_kinds import absent, load_kind
from experiments.price_files.bars import read_replays
from experiments.words import word_overrides
from sim.accounts.table import AccountTable
from sim.errors import ConfigError
from sim.instruments import TRADED_KINDS
from sim.market import Market
from sim.reading.loading import resolve_config, validate_mapping

OWN = "own"
"""Name of the engines that the market's configuration has."""


def open_markets(
    name: str | Path, accounts: str, engines: str | None, overrides: Sequence[str] = ()
) -> dict[str, Market]:
    """Return a market for each engine, before its first step, with the accounts of a table.

    Args:
        name: configuration of a run, or a portfolio, whose prices and instruments are used.
        accounts: table of accounts.
        engines: presets or files, separated by commas, ``all`` = every preset; None = the
            configuration's own, or those of the portfolio.
        overrides: of the run's configuration.

    Raises:
        ConfigError: the configuration, the table or an engine has faults.
    """
    if lines := absent("run", name):
        if absent("portfolio", name):
            raise ConfigError(lines)
    elif "positions" not in resolve_config(name):
        return _open_runs(name, accounts, engines, overrides)
    portfolio = load_kind("portfolio", name, (), PortfolioConfig)
    return {
        engine: build_market(_convert_portfolio(portfolio, engine, accounts))
        for engine in list_engines(engines, portfolio)
    }


def _open_runs(
    name: str | Path, accounts: str, engines: str | None, overrides: Sequence[str]
) -> dict[str, Market]:
    given = [f"accounts.file={accounts}", *overrides]
    if engines is None:
        return {OWN: build_market(load_run(name, given))}
    names = parse_engine_names(engines)
    return {
        engine: build_market(load_run(name, [*word_overrides({"engine": engine}), *given]))
        for engine in names
    }


def build_market(config: RunConfig) -> Market:
    """Return a market before its first step, whose engines have learnt from its opening."""
    bars = read_replays(config.underlyings)
    market = Market(config, populate(config.populations), seed=config.seed, bars=bars)
    for venue in market.venues:
        venue.observe_market()
    return market


def _list_holders(table: AccountTable) -> list[dict[str, Any]]:
    """Return a population of holders for each that a table names: the map has no behaviour."""
    counts = Counter(table.population.tolist())
    return [
        {"kind": "holders", "name": name, "venue": "venue", "count": counts[number]}
        for number, name in enumerate(table.populations)
    ]


def _convert_portfolio(portfolio: PortfolioConfig, engine: str, accounts: str) -> RunConfig:
    """Return a market of a portfolio's prices and traded instruments, under one engine."""
    plain: dict[str, Any] = portfolio.model_dump(mode="json", exclude_unset=True)
    listed = [each for each in plain["instruments"] if each.get("kind") in (None, *TRADED_KINDS)]
    return validate_mapping(
        {
            "name": "portfolio",
            "duration": 60,
            "assets": portfolio.model_dump(mode="json")["assets"],
            "underlyings": [
                {
                    "name": quote.name,
                    "start": quote.price,
                    "process": {"kind": "gbm", "volatility": quote.volatility},
                }
                for quote in portfolio.underlyings
            ],
            "venues": [
                {
                    "name": "venue",
                    "instruments": listed,
                    "engine": load_engine(engine, portfolio).model_dump(mode="json"),
                }
            ],
            "populations": _list_holders(read_accounts(accounts)),
            "accounts": {"file": accounts},
        },
        RunConfig,
    )

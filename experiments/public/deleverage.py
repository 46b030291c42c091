"""Deleverage as one import: runs, sweeps, results, components and the margin calculator.

>>> import deleverage
>>> run = deleverage.run("small_crash", ["duration=3600"])
>>> run.frames["steps"]["mark"].size > 0
True
>>> deleverage.margins("portfolios/two_coins", engines=["cross", "span"]).index.names
FrozenList(['account', 'engine'])

The same names work after a normal and an editable installation. Everything here is a thin layer
over ``sim``, ``agents`` and ``experiments``, which are installed beside it.
"""

import importlib
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from experiments.calculator.portfolio import PortfolioConfig
    from experiments.config import RunConfig
    from experiments.paper.load_results import StudyResult
    from sim.component import Component
    from sim.market import Market

NAMES = {
    "Market": "sim.market",
    "Component": "sim.component",
    "ConfigError": "sim.errors",
    "DataError": "sim.errors",
    "DeleverageError": "sim.errors",
    "OutputError": "sim.errors",
    "Orders": "sim.types",
    "LIMIT": "sim.types",
    "IOC": "sim.types",
    "POST_ONLY": "sim.types",
    "MARKET": "sim.types",
    "REDUCE_ONLY": "sim.types",
    "Population": "agents.base",
    "IndividualPopulation": "agents.single",
    "MemberAccount": "agents.single",
    "MemberMarket": "agents.single",
    "MemberOrder": "agents.single",
    "populate": "agents.population",
    "RunConfig": "experiments.config",
    "load_run": "experiments.config",
    "open_result": "experiments.paper.load_results",
    "RunResult": "experiments.paper.load_results",
    "StudyResult": "experiments.paper.load_results",
}
"""Re-exported names, and the module of each; it is imported when the name is first used."""

REGISTRIES = {
    "netting": ("sim.margin", "NETTINGS"),
    "valuation": ("sim.margin", "VALUATIONS"),
    "requirement": ("sim.margin", "REQUIREMENTS"),
    "return_model": ("sim.margin", "MODELS"),
    "mark": ("sim.exchange", "MARKS"),
    "funding": ("sim.exchange", "FUNDINGS"),
    "liquidation": ("sim.liquidation", "LIQUIDATIONS"),
    "loss_layer": ("sim.waterfall", "LAYERS"),
    "index_process": ("sim.prices", "PROCESSES"),
    "stress": ("sim.prices", "STRESSES"),
    "population": ("agents", "POPULATIONS"),
}
"""Registries of components by name: module and dictionary, from kind to class."""

OPEN_ENDED = ("netting", "valuation", "requirement", "return_model")
"""Registries that are read whenever a configuration is; the others are read once."""

__all__ = [  # names of NAMES are imported when they are first used
    "NAMES",
    "REGISTRIES",
    "Run",
    "list_configs",
    "list_kinds",
    "margins",
    "market",
    "register",
    "run",
    "sweep",
    *NAMES,
]


def __getattr__(name: str) -> Any:
    """Import a re-exported name when it is first used."""
    if name == "__version__":
        return importlib.import_module("experiments.results.provenance").read_version()
    if name not in NAMES:
        raise AttributeError(f"module 'deleverage' has no attribute {name!r}")
    return getattr(importlib.import_module(NAMES[name]), name)


def __dir__() -> list[str]:
    """List the names of this module, including re-exported ones."""
    return sorted({*globals(), *__all__, "__version__"})


def list_kinds(registry: str) -> list[str]:
    """Return the kinds of a registry, by its name in ``REGISTRIES``.

    Raises:
        KeyError: there is no registry of that name.
    """
    module, name = REGISTRIES[registry]
    return list(getattr(importlib.import_module(module), name))


def register(registry: str, component: "type[Component]") -> None:
    """Add a component of your own to a registry, under its ``kind``.

    Margin components can be added at any time. The others have to be added before the first
    configuration is read, because the schema of a run lists their kinds.

    Args:
        registry: a name in ``REGISTRIES``.
        component: a class whose field ``kind`` has a default.

    Raises:
        DeleverageError: the class has no kind, the kind is taken by another class, or
            configurations have been read already.
    """
    from sim.errors import DeleverageError, describe_unknown

    if registry not in REGISTRIES:
        raise DeleverageError(f"register: {describe_unknown(registry, REGISTRIES)}")
    field = component.model_fields.get("kind")
    kind = None if field is None else field.default
    if not isinstance(kind, str):
        raise DeleverageError(
            f"register: {component.__name__} has no kind, "
            'add a field such as kind: Literal["mine"] = "mine"'
        )
    module, name = REGISTRIES[registry]
    classes = getattr(importlib.import_module(module), name)
    if classes.get(kind, component) is not component:
        raise DeleverageError(
            f"register: the kind {kind!r} is that of {classes[kind].__name__}, choose another"
        )
    if kind not in classes and registry not in OPEN_ENDED and "experiments.config" in sys.modules:
        raise DeleverageError(
            f"register: {kind!r} comes too late, configurations have been read already; "
            "register it before the first load_run, run, sweep or market"
        )
    classes[kind] = component


class Run(NamedTuple):
    """A finished run in memory."""

    config: "RunConfig"
    frames: "dict[str, pd.DataFrame]"  # see sim/recording/README.md
    summary: dict[str, Any]  # totals of the run, money in minor units


def list_configs(folder: str = "") -> list[str]:
    """Return the names of packaged configurations, of one folder (``studies``) or of all."""
    from sim.reading.packaged import list_packaged

    prefix = f"{folder}/" if folder else ""
    return [name for name in list_packaged() if name.startswith(prefix)]


def market(
    name: str | Path,
    overrides: Iterable[str] = (),
    *,
    engine: str | None = None,
    seed: int | None = None,
    quick: bool = False,
) -> "Market":
    """Return a market before its first step; it is a Mesa model.

    Args: see :func:`run`.

    Raises:
        ConfigError: the configuration is not valid; one line for each problem.
    """
    from agents import populate
    from experiments.price_files.bars import read_replays
    from sim.market import Market

    config = _configure(name, overrides, engine, seed, quick)
    bars = dict(read_replays(config.underlyings))
    return Market(config, populate(config.populations), seed=config.seed, bars=bars)


def run(
    name: str | Path,
    overrides: Iterable[str] = (),
    *,
    engine: str | None = None,
    seed: int | None = None,
    quick: bool = False,
    out: str | Path | None = None,
) -> Run:
    """Run one market to its end.

    Args:
        name: a packaged configuration (:func:`list_configs`) or the path of a YAML file.
        overrides: changes, such as ``"venues.0.fees.taker=0.001"``.
        engine: margin engine of every venue, a preset or the path of a YAML file; none = as
            configured.
        seed: root seed in place of the configuration's.
        quick: apply the changes of the configuration for ``--quick``.
        out: result folder to be written as ``deleverage run`` does; none = nothing is written.

    Returns:
        The configuration, the recorded frames and the summary.

    Raises:
        ConfigError: the configuration is not valid; one line for each problem.
        OutputError: ``out`` holds a result already, or cannot hold one.
    """
    from experiments.paper.load_results import RunResult, open_result
    from experiments.price_files.bars import read_replays
    from experiments.run import execute_run
    from experiments.simulation import simulate_market

    config = _configure(name, overrides, engine, seed, quick)
    if out is None:
        made = simulate_market(config, read_replays(config.underlyings))
        return Run(config, made.recorder.frames(), made.recorder.summary())
    outcome = execute_run(config, out=Path(out))
    found = open_result(outcome.folder)
    assert isinstance(found, RunResult)
    return Run(config, found.frames, outcome.summary)


def sweep(
    study: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    seeds: int | None = None,
    quick: bool = False,
    jobs: int | None = None,
) -> "StudyResult":
    """Make the missing runs of a study and open its results.

    Args:
        study: a packaged study (``list_configs("studies")``) or the path of a YAML file.
        overrides: changes to the configuration of every run.
        out: result folder; none = ``results/NAME``. An interrupted sweep is continued there.
        seeds: number of replications; none = the study's.
        quick: apply the changes of the study for ``--quick``.
        jobs: worker processes; none = one for each processor.

    Returns:
        The opened result: ``scores``, ``runs`` and the study.

    Raises:
        ConfigError: the study is not valid; one line for each problem.
        OutputError: the folder holds something else.
    """
    from experiments.paper.load_results import StudyResult, open_result
    from experiments.sweep.config import load_study
    from experiments.sweep.runner import SweepOptions, run_sweep

    config = load_study(study, overrides, seeds=seeds, quick=quick)
    options = SweepOptions() if jobs is None else SweepOptions(jobs=jobs)
    outcome = run_sweep(config, out=out, options=options)
    beside = Path(study).with_suffix(".py")  # the module of a study of one's own
    found = open_result(outcome.folder, beside if beside.is_file() else None)
    assert isinstance(found, StudyResult)
    for notice in found.notices:
        warnings.warn(notice, stacklevel=2)
    return found


def margins(
    portfolio: str | Path | Mapping[str, Any],
    accounts: "pd.DataFrame | None" = None,
    *,
    engines: str | Sequence[str] = "all",
    cash: float | Mapping[str, float] | None = None,
) -> "pd.DataFrame":
    """Return the margins of accounts under several engines.

    Args:
        portfolio: prices and instruments, as a packaged portfolio (``list_configs("portfolios")``),
            the path of a YAML file, or a mapping of the same keys. Without ``accounts``, its own
            positions are the only account.
        accounts: one row per position: ``account``, ``instrument``, ``quantity`` (units of the
            underlying, + long) and, where known, ``entry`` (quote currency).
        engines: names of presets, paths of YAML files, or ``"all"`` for every preset.
        cash: cash of every account, or by account; none = the portfolio's (units of the numeraire).

    Returns:
        A row for each account and engine: ``equity``, ``initial``, ``maintenance`` (units of the
        numeraire), ``ratio`` (maintenance over equity), ``status``, ``fall`` and ``rise`` (the
        smallest relative moves of all prices that make the account liquidatable, NaN if none), and
        ``note`` where an engine refuses the account.

    Raises:
        ConfigError: prices, an account or the name of an engine is not valid.
    """
    import pandas as pd

    from experiments.calculator.calculator import list_engines

    rows = []
    for account, config in _split_accounts(_load_portfolio(portfolio), accounts, cash).items():
        words = engines if isinstance(engines, str) else ",".join(engines)
        for engine in list_engines(words, config):
            rows.append({"account": account, "engine": engine, **_margin_row(config, engine)})
    return pd.DataFrame(rows).set_index(["account", "engine"])


def _configure(
    name: str | Path, overrides: Iterable[str], engine: str | None, seed: int | None, quick: bool
) -> "RunConfig":
    from experiments.config import engine_overrides, load_run

    changes = list(overrides)
    if engine is not None:
        changes = [*engine_overrides(name, engine, changes), *changes]
    if seed is not None:
        changes.append(f"seed={seed}")
    return load_run(name, changes, quick=quick)


def _load_portfolio(portfolio: str | Path | Mapping[str, Any]) -> "PortfolioConfig":
    from experiments.calculator.portfolio import PortfolioConfig
    from experiments.file_kinds import load_kind
    from sim.reading.loading import validate_mapping

    if isinstance(portfolio, Mapping):
        return validate_mapping(portfolio, PortfolioConfig)
    return load_kind("portfolio", portfolio, (), PortfolioConfig)


def _split_accounts(
    portfolio: "PortfolioConfig",
    accounts: "pd.DataFrame | None",
    cash: float | Mapping[str, float] | None,
) -> "dict[Any, PortfolioConfig]":
    """Return a portfolio for each account, all with the same prices and instruments."""
    import pandas as pd

    from experiments.calculator.portfolio import PortfolioConfig
    from sim.errors import ConfigError
    from sim.reading.loading import validate_mapping

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
    portfolio: "PortfolioConfig", account: Any, cash: float | Mapping[str, float] | None
) -> "PortfolioConfig":
    if cash is None:
        return portfolio
    amount = cash.get(account, portfolio.cash) if isinstance(cash, Mapping) else cash
    return portfolio.model_copy(update={"cash": float(amount)})


def _margin_row(portfolio: "PortfolioConfig", engine: str) -> dict[str, Any]:
    """Return one account's figures under one engine; a refusal becomes a note."""
    import numpy as np

    from experiments.calculator.calculator import (
        classify_portfolio,
        find_index_moves,
        load_engine,
        margin_portfolio,
    )
    from sim.errors import ConfigError

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


if __name__ == "__main__":
    from experiments.__main__ import main

    main()

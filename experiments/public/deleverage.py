"""Deleverage as one import: runs, sweeps, results, components and the margin calculator.

>>> import deleverage
>>> run = deleverage.run("small_crash", ["duration=3600"])
>>> run.frames["steps"]["mark"].size > 0
True
>>> deleverage.margins("portfolios/two_coins", engines=["cross", "span"]).index.names
FrozenList(['account', 'engine'])

The same names work after a normal and an editable installation. Everything here is a thin layer
over ``sim``, ``agents`` and ``experiments``, which are installed beside it. An error that a user
can mend, such as ``ConfigError``, is raised alone, without the errors inside that led to it.
"""

import functools
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypedDict, TypeVar, Unpack

from experiments.registries import REGISTRIES

if TYPE_CHECKING:
    import pandas as pd

    from experiments.config import RunConfig
    from experiments.paper.load_results import StudyResult
    from sim.component import Component
    from sim.market import Market

P = ParamSpec("P")
R = TypeVar("R")

NAMES = {
    "Market": "sim.market",
    "advance_markets": "sim.compiled.many",
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

OPEN_ENDED = ("netting", "valuation", "requirement", "return_model")
"""Registries that are read whenever a configuration is; the others are read once."""

__all__ = [  # NAMES are found on first use
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
    found = getattr(importlib.import_module(NAMES[name]), name)
    return _raise_one_error(found) if inspect.isfunction(found) else found


def _raise_one_error(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function raise errors of users without the errors inside that led to them."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        from sim.errors import DeleverageError

        try:
            return function(*args, **kwargs)
        except DeleverageError as error:
            raise error.with_traceback(None) from None

    return call


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


class RunChanges(TypedDict, total=False):
    """Changes of a run's configuration beside overrides."""

    engine: str | None  # of every venue, a preset or the path of a YAML file; none = as configured
    seed: int | None  # root seed in place of the configuration's
    quick: bool  # apply what the configuration changes for ``--quick``


class StudyChanges(TypedDict, total=False):
    """Changes of a study's configuration beside overrides."""

    seeds: int | None  # number of replications; none = the study's
    quick: bool  # apply what the study changes for ``--quick``


@_raise_one_error
def market(
    name: str | Path, overrides: Iterable[str] = (), **changes: Unpack[RunChanges]
) -> "Market":
    """Return a market before its first step; it is a Mesa model.

    Args: see :func:`run`.

    Raises:
        ConfigError: the configuration is not valid; one line for each problem.
    """
    from agents import populate
    from experiments.price_files.bars import read_replays
    from sim.market import Market

    config = _configure(name, overrides, **changes)
    bars = dict(read_replays(config.underlyings, config.history))
    return Market(config, populate(config.populations), seed=config.seed, bars=bars)


@_raise_one_error
def run(
    name: str | Path,
    overrides: Iterable[str] = (),
    *,
    out: str | Path | None = None,
    **changes: Unpack[RunChanges],
) -> Run:
    """Run one market to its end.

    Args:
        name: a packaged configuration (:func:`list_configs`) or the path of a YAML file.
        overrides: changes, such as ``"venues.0.fees.taker=0.001"``.
        out: result folder to be written as ``deleverage run`` does; none = nothing is written.
        changes: ``engine``, ``seed`` and ``quick``, see :class:`RunChanges`.

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

    config = _configure(name, overrides, **changes)
    if out is None:
        made = simulate_market(config, read_replays(config.underlyings, config.history))
        return Run(config, made.recorder.frames(), made.recorder.summary())
    outcome = execute_run(config, out=Path(out))
    found = open_result(outcome.folder)
    assert isinstance(found, RunResult)
    return Run(config, found.frames, outcome.summary)


@_raise_one_error
def sweep(
    study: str | Path,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    jobs: int | None = None,
    **changes: Unpack[StudyChanges],
) -> "StudyResult":
    """Make the missing runs of a study and open its results.

    Args:
        study: a packaged study (``list_configs("studies")``) or the path of a YAML file.
        overrides: changes to the configuration of every run.
        out: result folder; none = ``results/NAME``. An interrupted sweep is continued there.
        jobs: worker processes; none = one for each processor.
        changes: ``seeds`` and ``quick``, see :class:`StudyChanges`.

    Returns:
        The opened result: ``scores``, ``runs`` and the study.

    Raises:
        ConfigError: the study is not valid; one line for each problem.
        OutputError: the folder holds something else.
    """
    from experiments.paper.load_results import StudyResult, open_result
    from experiments.sweep.config import load_study
    from experiments.sweep.runner import SweepOptions, run_sweep

    config = load_study(study, overrides, **changes)
    options = SweepOptions() if jobs is None else SweepOptions(jobs=jobs)
    outcome = run_sweep(config, out=out, options=options)
    beside = Path(study).with_suffix(".py")  # the module of a study of one's own
    found = open_result(outcome.folder, beside if beside.is_file() else None)
    assert isinstance(found, StudyResult)
    for notice in found.notices:
        warnings.warn(notice, stacklevel=3)  # the line that calls `sweep`
    return found


@_raise_one_error
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
    from experiments.calculator.account_table import compute_account_margins

    return compute_account_margins(portfolio, accounts, engines, cash)


def _configure(
    name: str | Path,
    overrides: Iterable[str],
    engine: str | None = None,
    seed: int | None = None,
    quick: bool = False,
) -> "RunConfig":
    from experiments.config import engine_overrides, load_run

    changes = list(overrides)
    if engine is not None:
        changes = [*engine_overrides(name, engine, changes), *changes]
    if seed is not None:
        changes.append(f"seed={seed}")
    return load_run(name, changes, quick=quick)


if __name__ == "__main__":
    from experiments.__main__ import main

    main()

"""Runs of one configuration under several engines, and the folder that holds them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.comparison.capital import equal_capital_overrides
from experiments.comparison.measures import EngineMeasures, measure_run
from experiments.comparison.requests import COMPARISON, RunRequest
from experiments.comparison.table import ENGINE, build_table, describe_capital, format_engine_table
from experiments.config import RunConfig, load_run
from experiments.results import store
from experiments.results.checksums import MANIFEST, hash_file
from experiments.run import COMPLETE, INTERRUPTED, RunOptions, execute_run
from experiments.words import word_overrides
from sim.errors import ConfigError, OutputError


class ComparisonOutcome(NamedTuple):
    """Outcome of a comparison."""

    folder: Path
    status: str  # complete or interrupted
    table: pd.DataFrame  # one row for each engine that ran
    text: str  # for the terminal


def load_engine_runs(request: RunRequest, engines: str, *, is_equal: bool) -> dict[str, RunConfig]:
    """Return the configuration of a run under each engine, by the engine's name.

    Args:
        request: the run.
        engines: packaged names or files, divided by commas.
        is_equal: scale engines to the capital of the first one (MAR-2).

    Raises:
        ConfigError: fewer than two engines, one twice, or a configuration is not valid.
    """
    names = _split_names(engines)
    lines = [[*word_overrides({"engine": path}), *request.overrides] for path in names.values()]
    configs = [load_run(request.name, each, quick=request.quick) for each in lines]
    if is_equal:
        scales = equal_capital_overrides(configs)
        configs = [
            load_run(request.name, [*each, *scale], quick=request.quick)
            for each, scale in zip(lines, scales, strict=True)
        ]
    return dict(zip(names, configs, strict=True))


def _split_names(engines: str) -> dict[str, str]:
    """Return the engines of a list by the names of their folders."""
    paths = [part.strip() for part in engines.split(",")]
    paths = [path for path in paths if path]
    if len(paths) < 2:
        raise ConfigError(
            [
                f"--engines: {engines!r}, must name at least two, divided by commas, such as "
                "isolated,span; one alone is --engine"
            ]
        )
    names = {Path(path).name.removesuffix(".yaml"): path for path in paths}
    if len(names) < len(paths):
        raise ConfigError([f"--engines: {engines!r}, names must differ, remove or rename one"])
    return names


def compare_engines(
    configs: Mapping[str, RunConfig],
    out: Path | None,
    options: RunOptions,
    *,
    is_equal: bool = False,
) -> ComparisonOutcome:
    """Make the runs one after another in folders of their own, and write one table beside them.

    Args:
        configs: see ``load_engine_runs``.
        out: folder of all runs; None = ``results/NAME-engines-HASH``.
        options: how to make the runs.
        is_equal: whether engines are scaled to equal capital, for the text.

    Raises:
        see ``execute_run``; OutputError also for a folder that exists.
    """
    folder = _choose_folder(configs, out)
    if folder.exists() and not options.overwrite:
        rule = "replace it with --overwrite or choose another with --out"
        raise OutputError(f"{folder}: exists already, {rule}")
    measures: dict[str, EngineMeasures] = {}
    for name, config in configs.items():
        outcome = execute_run(config, out=folder / name, options=options)
        if outcome.status != COMPLETE:
            break
        measures[name] = measure_run(outcome.market, outcome.frames)
    table = build_table(measures)
    if not measures:
        return ComparisonOutcome(folder, INTERRUPTED, table, "")
    _write_table(table, folder)
    currency = next(iter(configs.values())).assets[0].name
    text = f"{format_engine_table(table, currency)}\n\n{describe_capital(table, is_equal=is_equal)}"
    status = COMPLETE if len(measures) == len(configs) else INTERRUPTED
    return ComparisonOutcome(folder, status, table, text)


def _write_table(table: pd.DataFrame, folder: Path) -> None:
    """Write the table beside the folders of the runs, and its checksum."""
    store.write_csv(table, folder / COMPARISON)
    files = {COMPARISON: hash_file(folder / COMPARISON)}
    store.write_json({"files": files, "runs": list(table[ENGINE])}, folder / MANIFEST)


def _choose_folder(configs: Mapping[str, RunConfig], out: Path | None) -> Path:
    """Return the folder of a comparison, named by the content of its configurations."""
    if out is not None:
        return out
    plain: dict[str, Any] = {name: each.model_dump(mode="json") for name, each in configs.items()}
    digest = hashlib.sha256(store.dump_canonical_json(plain).encode()).hexdigest()[:12]
    first = next(iter(configs.values()))
    return Path("results") / f"{first.name}-engines-{digest}"

"""A study: one configuration at every setting of a few axes, several seeds each, in processes of one thread."""

import importlib
import itertools
import json
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pandas as pd
from pydantic import Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agents import populate
from experiments import provenance, store
from experiments.config import RunConfig, hurried, load_run
from experiments.data import read_replays
from sim.component import Component
from sim.errors import ConfigError, DeleverageError
from sim.loading import load, resolve
from sim.market import Market
from sim.metrics.cascades import Frames, untouched


class Axis(Component):
    """One thing that varies."""

    name: str = Field(pattern=r"^[a-z_]+$", description="column of its values in results (name)")
    values: tuple[float, ...] = Field(min_length=1, description="settings, each with every one of the other axes")
    paths: dict[str, float] = Field(
        min_length=1,
        description="dotted path -> what it gets, as a multiple of the value; populations.*.key = all that have it",
    )


class StudyConfig(Component):
    """A study as data; what is measured and drawn stands in the module of the same name."""

    name: str = Field(pattern=r"^[a-z0-9_]+$", description="name of the study, its module and its results")
    description: str = Field(default="", description="the question, in one line")
    base: str = Field(min_length=1, description="configuration that every run starts from (name or path)")
    overrides: dict[str, Any] = Field(default={}, description="dotted path -> value, changed in every run")
    also: tuple[str, ...] = Field(default=(), description="further changes, as on the command line (a.b=3)")
    axes: tuple[Axis, ...] = Field(min_length=1, description="what varies; settings are all combinations")
    seeds: int = Field(default=20, ge=1, description="replications of each setting, seeds 1 to this (count)")
    twin: bool = Field(default=False, description="whether each run is made again with close-outs suppressed")
    quick: dict[str, Any] = Field(default={}, description="dotted path -> value of the study, applied by --quick")


class Study(Protocol):
    """What a study's module holds."""

    def score(self, config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
        """Tidy rows of what one run showed; settings and seed are added as columns."""
        ...

    def tables(self, runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
        """Tidy tables of all runs' rows, by name."""
        ...

    def figures(self, runs: pd.DataFrame, folder: Path) -> None:
        """Draw what the tables say."""
        ...

    def report(self, runs: pd.DataFrame) -> str:
        """The tables as Markdown, for a page."""
        ...


class Task(NamedTuple):
    """One run, in words that travel to another process."""

    study: str
    base: str
    overrides: tuple[str, ...]
    twin: bool
    setting: dict[str, float]  # axes and seed


class StudyError(DeleverageError):
    """A run of a study failed."""


class Outcome(NamedTuple):
    """What became of a study."""

    folder: Path
    report: str  # Markdown


def load_study(name: str, also: Sequence[str] = (), *, seeds: int | None = None, quick: bool = False) -> StudyConfig:
    """Read a packaged study.

    Args:
        name: of the study.
        also: changes to every run, as ``a.b=3``, after the study's own and before what varies.
        seeds: replications in place of the study's.
        quick: apply the study's own ``quick`` values.

    Raises:
        ConfigError: with one line for each problem.
    """
    place = f"studies/{name}"
    counted = [] if seeds is None else [f"seeds={seeds}"]
    study = load(place, [*(hurried(place) if quick else ()), *counted], StudyConfig)
    twice = sorted(_twice([axis.name for axis in study.axes]))
    if twice:
        raise ConfigError([f"axes: {', '.join(twice)} named twice; names must differ: rename one"])
    return study.model_copy(update={"also": (*study.also, *also)})


def execute(study: StudyConfig, *, jobs: int, out: Path | None = None, overwrite: bool = False) -> Outcome:
    """Make all runs of a study and write its result folder: ``runs.parquet``, tables, figures, report.

    Args:
        study: see ``load_study``.
        jobs: processes, one thread each; results do not depend on their number.
        out: result folder; none = ``results/NAME-HASH``.
        overwrite: replace a result that is there already.

    Raises:
        ConfigError: a setting that is no valid configuration.
        OutputError: a result is there already, or the place cannot be written.
        StudyError: a run failed.
    """
    began, module, tasks = time.perf_counter(), module_of(study.name), list(plan(study))
    identity = _identity(study, tasks)
    final = out if out is not None else Path("results") / f"{study.name}-{identity}"
    with store.Draft(final, overwrite=overwrite) as draft:
        runs = make(tasks, jobs)
        about = {"study": store.canonical(study.model_dump(mode="json")), "version": provenance.version()}
        store.write_frame(runs, draft.folder / "runs.parquet", about)
        for name, table in module.tables(runs).items():
            table.to_csv(draft.folder / f"{name}.csv", index=False, lineterminator="\n")
        (draft.folder / "figures").mkdir()
        module.figures(runs, draft.folder / "figures")
        report = module.report(runs)
        (draft.folder / "report.md").write_text(report + "\n", encoding="utf-8")
        store.write_yaml(study.model_dump(mode="json"), draft.folder / "study.resolved.yaml")
        record = {"config_hash": identity, "runs": len(tasks), "jobs": jobs}
        record |= {"elapsed_s": round(time.perf_counter() - began, 1), **provenance.manifest()}
        store.write_json(record, draft.folder / "manifest.json")
        draft.commit()
    return Outcome(final, report)


def plan(study: StudyConfig) -> Iterator[Task]:
    """All runs of a study; seeds vary slowest, so that every setting has been seen early."""
    fixed = [*(_override(path, value) for path, value in study.overrides.items()), *study.also]
    axes = _spelt(study, fixed)
    for seed in range(1, study.seeds + 1):
        for values in itertools.product(*(axis.values for axis in axes)):
            moved = [
                _override(path, value * factor)
                for axis, value in zip(axes, values, strict=True)
                for path, factor in axis.paths.items()
            ]
            setting = {axis.name: value for axis, value in zip(axes, values, strict=True)} | {"seed": seed}
            yield Task(study.name, study.base, (*fixed, *moved, _override("seed", seed)), study.twin, setting)


def _spelt(study: StudyConfig, fixed: Sequence[str]) -> list[Axis]:
    """The axes with every ``*`` in their paths replaced by the items of the configuration that it stands for."""
    data = resolve(study.base, fixed, RunConfig)
    spelt = []
    for axis in study.axes:
        paths = {found: factor for path, factor in axis.paths.items() for found in _found(data, path)}
        spelt.append(axis.model_copy(update={"paths": paths}))
    return spelt


def _found(data: Any, path: str) -> list[str]:
    """The paths that one with ``*`` stands for.

    Raises:
        ConfigError: there is none.
    """
    before, star, after = path.partition(".*.")
    if not star:
        return [path]
    items = data.get(before, ())
    paths = [f"{before}.{number}.{after}" for number, item in enumerate(items) if after in item]
    if not paths:
        raise ConfigError([f"{path}: no item of {before!r} has {after!r}, an axis must change something, correct it"])
    return paths


def make(tasks: Sequence[Task], jobs: int) -> pd.DataFrame:
    """Rows of all tasks, in their order, whatever the number of processes."""
    provenance.pin()  # the processes inherit it before they import numpy
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    context, parts = multiprocessing.get_context("spawn"), []
    with (
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress,
        ProcessPoolExecutor(min(jobs, len(tasks)), mp_context=context) as pool,
    ):
        bar = progress.add_task(tasks[0].study, total=len(tasks))
        try:
            for part in pool.map(evaluate, tasks):
                parts.append(part)
                progress.advance(bar)
        except BrokenProcessPool as error:
            raise StudyError(
                f"{tasks[0].study}: a process was ended from outside, perhaps for want of memory"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return pd.concat(parts, ignore_index=True)


def evaluate(task: Task) -> pd.DataFrame:
    """One run, its twin if the study wants one, and what they showed.

    A run in which nobody was closed out is its own twin, to the bit.
    """
    try:
        config = load_run(task.base, task.overrides)
        frames, twin = simulate(config), None
        if task.twin:
            alone = config.model_copy(update={"suppress_closeouts": True})
            twin = frames if untouched(frames) else simulate(alone)
        rows = module_of(task.study).score(config, frames, twin)
    except Exception as error:
        told = ", ".join(f"{name} {value:g}" for name, value in task.setting.items())
        raise StudyError(f"{task.study}: {told}: {type(error).__name__}: {error}") from error
    return rows.assign(**task.setting)[[*task.setting, *rows.columns]]


def simulate(config: RunConfig) -> Frames:
    """The frames of one run, in memory."""
    market = Market(config, populate(config.populations), seed=config.seed, bars=read_replays(config.underlyings))
    while market.tick < market.steps_planned:
        market.step()
    market.recorder.accounts("end")
    return market.recorder.frames()


def module_of(name: str) -> Study:
    """The module of a study, by its name."""
    module: Any = importlib.import_module(f"experiments.studies.{name}")
    return module


def _identity(study: StudyConfig, tasks: Sequence[Task]) -> str:
    """A hash that differs whenever results may; reads every setting's configuration once, so that all are valid."""
    configs = [load_run(task.base, task.overrides) for task in tasks if task.setting["seed"] == 1]
    digests: Mapping[str, str] = {
        f"{number}/{name}": bars.digest
        for number, config in enumerate(configs)
        for name, bars in read_replays(config.underlyings).items()
    }
    plain = {"study": study.model_dump(mode="json"), "runs": [each.model_dump(mode="json") for each in configs]}
    return store.config_hash(plain, provenance.version(), digests)


def _override(path: str, value: Any) -> str:
    return f"{path}={json.dumps(value)}"


def _twice(names: Sequence[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}

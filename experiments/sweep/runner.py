"""Runner of a study, from its plan to its result folder; an interrupted sweep can be resumed."""

import math
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments import plugins
from experiments.paper.load_results import check_plugins, read_codes
from experiments.plugins import import_plugins
from experiments.processes import count_processors
from experiments.results import identity, provenance, store
from experiments.sweep import outputs
from experiments.sweep.config import StudyConfig
from experiments.sweep.driver import run_jobs
from experiments.sweep.executors import IN_PROCESS, WorkerPool, open_pool
from experiments.sweep.folder import ResultFolder
from experiments.sweep.messages import CodeFingerprint, SweepContext
from experiments.sweep.older import OtherCodeRuns, describe_mixed_codes
from experiments.sweep.plan import JobPlanner, PlannedJob, collect_notices, find_shared_roles
from experiments.sweep.progress import ProgressReporter
from experiments.sweep.progress_state import SweepProgress
from experiments.sweep.study import (
    StudyError,
    hash_study_module,
    load_study_module,
    request_refinement,
)
from sim.errors import ConfigError


class SweepOptions(NamedTuple):
    """Options of a sweep, which do not change its results."""

    executor: str = "loky"  # serial, threads, loky, dask, tcp://HOST:PORT, tls://HOST:PORT
    jobs: int = count_processors()
    limit: float = math.inf  # time limit of one run (s)
    plugins: tuple[str, ...] = ()  # modules that register a user's components
    known: tuple[str, ...] = ()  # other results, to copy identical runs from
    quiet: bool = True
    mixed: bool = False  # use existing runs of other code


class SweepOutcome(NamedTuple):
    """Outcome of a sweep."""

    folder: Path
    report: str  # Markdown; empty if no run was scored
    runs: pd.DataFrame  # a row for each setting, replication and role: name, status, error
    counts: dict[str, int]  # number of runs by status
    remade: tuple[str, ...]  # unreadable files that were written again
    older: str  # notice about runs of other code; empty if there were none


class _SweepLoop(NamedTuple):
    """Parts of a running sweep: its planner, its state and its display."""

    planner: JobPlanner
    older: OtherCodeRuns
    progress: SweepProgress
    reporter: ProgressReporter

    def run(self, units: list[PlannedJob], pool: WorkerPool, place: SweepContext) -> None:
        """Run the given jobs, then those that the study's refinement adds, until it adds none."""
        while units:
            units = self.older.match_jobs(units)
            self.reporter.add_jobs(units)
            self.progress.add_jobs(units)
            for result in run_jobs(units, pool, place):
                self.progress.add_result(result)
                self.reporter.count_job()
            units = self._plan_refinement() if self.progress.has_scores else []

    def _plan_refinement(self) -> list[PlannedJob]:
        requests = request_refinement(self.planner.study, self.progress.tabulate_scores)
        return self.planner.plan_more_jobs(requests)


def run_sweep(
    study: StudyConfig, *, out: str | Path | None = None, options: SweepOptions | None = None
) -> SweepOutcome:
    """Make the missing runs of a study, score all, and write tables, figures and report.

    Args:
        study: see ``load_study``.
        out: result folder, which is continued if it holds runs of the study; None =
            ``results/NAME``.
        options: executor, limits and plugins.

    Raises:
        ConfigError: a setting is invalid, the executor or a metric is unknown, or other results
            have no runs.
        OutputError: the folder belongs to another study, or cannot hold results.
        WriteError: a write failed; all finished runs are kept.
        StudyError: the study's module failed; all runs are kept.
        KeyboardInterrupt: raised by the user; all finished runs are kept.
    """
    options, began = options or SweepOptions(), time.perf_counter()
    import_plugins(options.plugins)
    load_study_module(study.module)
    known = _resolve_known(options)
    results = _open_folder(study, out)
    place = _make_context(study, results, options, known)
    code = _require_code(place)
    with _name_missing_plugin(results.path):
        planner, progress = JobPlanner(study, code.facts), SweepProgress(study)
        units = planner.plan_first_jobs()
    for notice in collect_notices(study, units):
        warnings.warn(notice, stacklevel=2)
    with open_pool(options.executor, options.jobs) as pool, results.claim(study):
        older = OtherCodeRuns(results.path / "runs", code.facts, mixed=options.mixed)
        with ProgressReporter(study.name, quiet=options.quiet, slots=pool.n_slots) as reporter:
            _SweepLoop(planner, older, progress, reporter).run(units, pool, place)
        report = _write_results(results, study, progress, options.plugins)
        _write_manifest(results, study, progress, _describe_sweep(options, code, began))
    if progress.score_problems:
        raise StudyError(*progress.score_problems)
    return _make_outcome(results.path, report, progress, older.describe())


def _open_folder(study: StudyConfig, out: str | Path | None) -> ResultFolder:
    folder = Path(out) if out is not None else Path("results") / study.name
    return ResultFolder(folder, store.RUNS_KEPT)


def _write_manifest(
    results: ResultFolder, study: StudyConfig, progress: SweepProgress, about: dict[str, Any]
) -> None:
    codes = {"code": progress.list_codes(results)}
    outputs.write_manifest(results, study, about | codes | progress.make_manifest_entries())


def _make_outcome(folder: Path, report: str, progress: SweepProgress, older: str) -> SweepOutcome:
    return SweepOutcome(
        folder=folder,
        report=report,
        runs=progress.tabulate_runs(),
        counts=progress.count_statuses(),
        remade=tuple(progress.remade),
        older=older,
    )


def _describe_sweep(options: SweepOptions, code: CodeFingerprint, began: float) -> dict[str, Any]:
    """Return the entries of the manifest about the executor, the elapsed time and the code."""
    return {
        "executor": options.executor,
        "jobs": options.jobs,
        "elapsed_s": round(time.perf_counter() - began, 1),
        "sources": code.files,
        "module": code.study,
        "plugins": {name: plugins.get_file_digests(name) for name in options.plugins},
    }


@contextmanager
def _name_missing_plugin(place: Path) -> Iterator[None]:
    """Name a missing plug-in, which may be the reason why a study is not valid.

    Raises:
        DataError: the existing results were made with a plug-in that was not given.
    """
    try:
        yield
    except ConfigError:
        check_plugins(place, read_codes(place))
        raise


def _write_results(
    results: ResultFolder, study: StudyConfig, progress: SweepProgress, modules: Sequence[str]
) -> str:
    """Write runs, scores and outputs; return the report, empty if no run was scored."""
    progress.write_state(results)
    if not progress.has_scores:
        return ""
    mixed = describe_mixed_codes(progress.list_codes(results))
    return outputs.write_outputs(results, study, progress.tabulate_scores(), mixed, modules)


def _resolve_known(options: SweepOptions) -> tuple[str, ...]:
    """Return the absolute paths of other results; refuse them, or a time limit that is not
    positive.
    """
    without = [name for name in options.known if not (Path(name) / "runs").is_dir()]
    problems = [f"--known: {name}, has no folder runs, name results of a sweep" for name in without]
    if not options.limit > 0:
        problems.append(
            f"--time-limit: {options.limit:g}, must be above 0 (s), leave it out for none"
        )
    if problems:
        raise ConfigError(problems)
    return tuple(str(Path(name).resolve()) for name in options.known)


def _require_code(place: SweepContext) -> CodeFingerprint:
    """Return the code that makes all runs of a sweep."""
    if place.code is None:
        raise ValueError("a sweep's context names its code")
    return place.code


def _make_context(
    study: StudyConfig, results: ResultFolder, options: SweepOptions, known: tuple[str, ...]
) -> SweepContext:
    apart = options.executor not in IN_PROCESS
    return SweepContext(
        folder=str(results.path.resolve()),
        module=study.module,
        plugins=options.plugins,
        path=os.getcwd(),
        version=provenance.read_version(),
        shared=find_shared_roles(study),
        limit=options.limit,
        known=known,
        apart=apart,
        code=CodeFingerprint(
            identity.describe_code(options.plugins, pinned=apart),
            identity.hash_sources(),
            hash_study_module(study.module),
        ),
    )

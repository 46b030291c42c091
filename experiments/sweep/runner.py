"""A study from its plan to its result folder. Whatever ends it, what it made is kept; the next start goes on."""

import math
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments import plugins
from experiments.paper.load_results import check_plugins, read_codes
from experiments.plugins import import_plugins
from experiments.results import identity, provenance, store
from experiments.sweep import outputs
from experiments.sweep.config import StudyConfig
from experiments.sweep.driver import run_jobs
from experiments.sweep.executors import count_processors, open_pool
from experiments.sweep.folder import ResultFolder
from experiments.sweep.messages import CodeFingerprint, SweepContext
from experiments.sweep.older import OtherCodeRuns, describe_mixed_codes
from experiments.sweep.plan import JobPlanner, collect_notices, find_shared_roles
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
    """How a sweep is done; results do not depend on it."""

    executor: str = "loky"  # serial, loky, dask, tcp://HOST:PORT, tls://HOST:PORT
    jobs: int = count_processors()
    limit: float = math.inf  # seconds for one run
    plugins: tuple[str, ...] = ()  # modules with kinds of a user's own
    known: tuple[str, ...] = ()  # other results, whose runs are taken over where they are the same
    quiet: bool = True
    mixed: bool = False  # take the runs that are there although other code made them


class SweepOutcome(NamedTuple):
    """What became of a study."""

    folder: Path
    report: str  # Markdown; empty if no run was scored
    runs: pd.DataFrame  # a row for each setting, replication and role: name, status, error
    counts: dict[str, int]  # runs by status
    remade: tuple[str, ...]  # files that could not be read, and were made again
    older: str  # what became of runs that other code had made; empty if there were none


def run_sweep(
    study: StudyConfig, *, out: str | Path | None = None, options: SweepOptions | None = None
) -> SweepOutcome:
    """Make all runs of a study that are not there yet, score all, and write tables, figures and report.

    Args:
        study: see ``load_study``.
        out: result folder; none = ``results/NAME``. One that holds runs of the study is gone on with.
        options: see there.

    Raises:
        ConfigError: an invalid setting, an unknown executor or metric, other results without runs.
        OutputError: the folder belongs to another study, or can hold no results.
        WriteError: a write failed; all finished runs are kept.
        StudyError: the study's module raised; all runs are kept.
        KeyboardInterrupt: the user's; all finished runs are kept.
    """
    options, began = options or SweepOptions(), time.perf_counter()
    import_plugins(options.plugins)
    load_study_module(study.module)
    known = _resolve_known(options)
    results = ResultFolder(
        Path(out) if out is not None else Path("results") / study.name, store.RUNS_KEPT
    )
    place = _make_context(study, results, options, known)
    code = _require_code(place).facts
    with _name_missing_plugin(results.path):
        planner, tally = JobPlanner(study, code), SweepProgress(study)
        units = planner.plan_first_jobs()
    for notice in collect_notices(study, units):
        warnings.warn(notice, stacklevel=2)
    with open_pool(options.executor, options.jobs) as pool, results.claim(study):
        older = OtherCodeRuns(results.path / "runs", code, mixed=options.mixed)
        with ProgressReporter(study.name, quiet=options.quiet, slots=pool.n_slots) as counter:
            while units:
                units = older.match_jobs(units)
                counter.add_jobs(units)
                tally.add_jobs(units)
                for result in run_jobs(units, pool, place):
                    tally.add_result(result)
                    counter.count_job()
                units = (
                    planner.plan_more_jobs(request_refinement(study, tally.tabulate_scores))
                    if tally.has_scores
                    else []
                )
        report = _write_results(results, study, tally)
        about = {
            "executor": options.executor,
            "jobs": options.jobs,
            "elapsed_s": round(time.perf_counter() - began, 1),
        }
        codes = {
            "code": tally.list_codes(results),
            "sources": _require_code(place).files,
            "module": _require_code(place).study,
        }
        codes |= {"plugins": {name: plugins.get_file_digests(name) for name in options.plugins}}
        outputs.write_manifest(results, study, about | codes | tally.make_manifest_entries())
    if tally.score_problems:
        raise StudyError(*tally.score_problems)
    return SweepOutcome(
        results.path,
        report,
        tally.tabulate_runs(),
        tally.count_statuses(),
        tuple(tally.remade),
        older.describe(),
    )


@contextmanager
def _name_missing_plugin(place: Path) -> Iterator[None]:
    """Say which plug-in is not named, where that may be why a study is not valid.

    Raises:
        DataError: the results that are there were made with a plug-in which is not named.
    """
    try:
        yield
    except ConfigError:
        check_plugins(place, read_codes(place))
        raise


def _write_results(results: ResultFolder, study: StudyConfig, tally: SweepProgress) -> str:
    """Write runs, scores and all that is made of them; returns the report, empty if no run was scored."""
    tally.write_state(results)
    return (
        outputs.write_outputs(
            results, study, tally.tabulate_scores(), describe_mixed_codes(tally.list_codes(results))
        )
        if tally.has_scores
        else ""
    )


def _resolve_known(options: SweepOptions) -> tuple[str, ...]:
    """Absolute paths of other results; refused with them is a limit that no run could keep."""
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
    """What makes all runs of a sweep."""
    if place.code is None:
        raise ValueError("a sweep's place names its code")
    return place.code


def _make_context(
    study: StudyConfig, results: ResultFolder, options: SweepOptions, known: tuple[str, ...]
) -> SweepContext:
    apart = options.executor != "serial"
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

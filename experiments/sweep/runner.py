"""A study from its plan to its result folder. Whatever ends it, what it made is kept; the next start goes on."""

import math
import os
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments import provenance, store
from experiments.sweep import outputs
from experiments.sweep.config import StudyConfig
from experiments.sweep.driver import driven
from experiments.sweep.executors import opened, processors
from experiments.sweep.folder import Results
from experiments.sweep.plan import Planner, shared
from experiments.sweep.progress import Counter
from experiments.sweep.records import Place
from experiments.sweep.study import StudyError, module_of, refined
from experiments.sweep.tally import Tally
from sim.errors import ConfigError


class Options(NamedTuple):
    """How a sweep is done; results do not depend on it."""

    executor: str = "loky"  # serial, loky, dask, tcp://HOST:PORT, tls://HOST:PORT
    jobs: int = processors()
    limit: float = math.inf  # seconds for one run
    plugins: tuple[str, ...] = ()  # modules with kinds of a user's own
    known: tuple[str, ...] = ()  # other results, whose runs are taken over where they are the same
    quiet: bool = True


class Outcome(NamedTuple):
    """What became of a study."""

    folder: Path
    report: str  # Markdown; empty if no run was scored
    runs: pd.DataFrame  # a row for each setting, replication and role: name, status, error
    counts: dict[str, int]  # runs by status
    remade: tuple[str, ...]  # files that could not be read, and were made again
    older: str  # commit of other code that made the results which were there; none if empty


def sweep(study: StudyConfig, *, out: str | Path | None = None, options: Options | None = None) -> Outcome:
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
    options, began = options or Options(), time.perf_counter()
    module_of(study.module)
    known = _known(options)
    planner, tally = Planner(study), Tally(study)
    results = Results(Path(out) if out is not None else Path("results") / study.name, store.RUNS_KEPT)
    units = planner.first()
    with opened(options.executor, options.jobs) as pool, results.claimed(study):
        older = outputs.made_by_other_code(results)
        with Counter(study.name, quiet=options.quiet) as counter:
            while units:
                counter.expect(units)
                tally.expect(units)
                for result in driven(units, pool, _place(study, results, options, known)):
                    tally.take(result)
                    counter.advance()
                units = planner.more(refined(study, tally.scores)) if tally.scored else []
        tally.write(results)
        report = outputs.write(results, study, tally.scores()) if tally.scored else ""
        about = {"executor": options.executor, "jobs": options.jobs, "elapsed_s": round(time.perf_counter() - began, 1)}
        outputs.sign(results, study, about | tally.about())
    if tally.problems:
        raise StudyError(*tally.problems)
    return Outcome(results.place, report, tally.runs(), tally.counts(), tuple(tally.remade), older)


def _known(options: Options) -> tuple[str, ...]:
    """Absolute paths of other results; refused with them is a limit that no run could keep."""
    without = [name for name in options.known if not (Path(name) / "runs").is_dir()]
    problems = [f"--known: {name}, has no folder runs, name results of a sweep" for name in without]
    if not options.limit > 0:
        problems.append(f"--time-limit: {options.limit:g}, must be above 0 (s), leave it out for none")
    if problems:
        raise ConfigError(problems)
    return tuple(str(Path(name).resolve()) for name in options.known)


def _place(study: StudyConfig, results: Results, options: Options, known: tuple[str, ...]) -> Place:
    return Place(
        folder=str(results.place.resolve()),
        module=study.module,
        plugins=options.plugins,
        path=os.getcwd(),
        version=provenance.version(),
        shared=shared(study),
        limit=options.limit,
        known=known,
        apart=options.executor != "serial",
    )

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
from experiments.paper.load_results import codes_of, plugged
from experiments.plugins import plug_in
from experiments.results import identity, provenance, store
from experiments.sweep import outputs
from experiments.sweep.config import StudyConfig
from experiments.sweep.driver import driven
from experiments.sweep.executors import opened, processors
from experiments.sweep.folder import Results
from experiments.sweep.messages import Code, Place
from experiments.sweep.older import Older, words
from experiments.sweep.plan import Planner, notices, shared
from experiments.sweep.progress import Counter
from experiments.sweep.progress_state import Tally
from experiments.sweep.study import StudyError, digest_of, module_of, refined
from sim.errors import ConfigError


class Options(NamedTuple):
    """How a sweep is done; results do not depend on it."""

    executor: str = "loky"  # serial, loky, dask, tcp://HOST:PORT, tls://HOST:PORT
    jobs: int = processors()
    limit: float = math.inf  # seconds for one run
    plugins: tuple[str, ...] = ()  # modules with kinds of a user's own
    known: tuple[str, ...] = ()  # other results, whose runs are taken over where they are the same
    quiet: bool = True
    mixed: bool = False  # take the runs that are there although other code made them


class Outcome(NamedTuple):
    """What became of a study."""

    folder: Path
    report: str  # Markdown; empty if no run was scored
    runs: pd.DataFrame  # a row for each setting, replication and role: name, status, error
    counts: dict[str, int]  # runs by status
    remade: tuple[str, ...]  # files that could not be read, and were made again
    older: str  # what became of runs that other code had made; empty if there were none


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
    plug_in(options.plugins)
    module_of(study.module)
    known = _known(options)
    results = Results(Path(out) if out is not None else Path("results") / study.name, store.RUNS_KEPT)
    place = _place(study, results, options, known)
    code = _code_of(place).facts
    with _plugged(results.place):
        planner, tally = Planner(study, code), Tally(study)
        units = planner.first()
    for notice in notices(study, units):
        warnings.warn(notice, stacklevel=2)
    with opened(options.executor, options.jobs) as pool, results.claimed(study):
        older = Older(results.place / "runs", code, mixed=options.mixed)
        with Counter(study.name, quiet=options.quiet, slots=pool.slots) as counter:
            while units:
                units = older.beside(units)
                counter.expect(units)
                tally.expect(units)
                for result in driven(units, pool, place):
                    tally.take(result)
                    counter.advance()
                units = planner.more(refined(study, tally.scores)) if tally.scored else []
        report = _written(results, study, tally)
        about = {"executor": options.executor, "jobs": options.jobs, "elapsed_s": round(time.perf_counter() - began, 1)}
        codes = {"code": tally.codes(results), "sources": _code_of(place).files, "module": _code_of(place).study}
        codes |= {"plugins": {name: plugins.files(name) for name in options.plugins}}
        outputs.sign(results, study, about | codes | tally.about())
    if tally.problems:
        raise StudyError(*tally.problems)
    return Outcome(results.place, report, tally.runs(), tally.counts(), tuple(tally.remade), older.told())


@contextmanager
def _plugged(place: Path) -> Iterator[None]:
    """Say which plug-in is not named, where that may be why a study is not valid.

    Raises:
        DataError: the results that are there were made with a plug-in which is not named.
    """
    try:
        yield
    except ConfigError:
        plugged(place, codes_of(place))
        raise


def _written(results: Results, study: StudyConfig, tally: Tally) -> str:
    """Write runs, scores and all that is made of them; returns the report, empty if no run was scored."""
    tally.write(results)
    return outputs.write(results, study, tally.scores(), words(tally.codes(results))) if tally.scored else ""


def _known(options: Options) -> tuple[str, ...]:
    """Absolute paths of other results; refused with them is a limit that no run could keep."""
    without = [name for name in options.known if not (Path(name) / "runs").is_dir()]
    problems = [f"--known: {name}, has no folder runs, name results of a sweep" for name in without]
    if not options.limit > 0:
        problems.append(f"--time-limit: {options.limit:g}, must be above 0 (s), leave it out for none")
    if problems:
        raise ConfigError(problems)
    return tuple(str(Path(name).resolve()) for name in options.known)


def _code_of(place: Place) -> Code:
    """What makes all runs of a sweep."""
    if place.code is None:
        raise ValueError("a sweep's place names its code")
    return place.code


def _place(study: StudyConfig, results: Results, options: Options, known: tuple[str, ...]) -> Place:
    apart = options.executor != "serial"
    return Place(
        folder=str(results.place.resolve()),
        module=study.module,
        plugins=options.plugins,
        path=os.getcwd(),
        version=provenance.version(),
        shared=shared(study),
        limit=options.limit,
        known=known,
        apart=apart,
        code=Code(identity.facts(options.plugins, pinned=apart), identity.files(), digest_of(study.module)),
    )

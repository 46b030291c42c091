"""Entry points of a worker.

No import at the top may load numpy or a registry, because thread settings and plug-ins come first.
"""

import gc
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.imports import pause_garbage_collection
from experiments.plugins import import_plugins
from experiments.sweep.messages import JobBatch, JobResult, SweepContext


def admit_worker(place: SweepContext) -> None:
    """Check that this worker may take part in a sweep, before any batch.

    Raises:
        OutputError, ConfigError: the worker is refused.
    """
    with pause_garbage_collection():
        import_plugins(place.plugins, place.path)
        from experiments.sweep import execute_jobs

    execute_jobs.check_worker(place)


def execute_batch(order: JobBatch) -> list[JobResult]:
    """Execute all jobs of a batch in turn; failures are reported in the results."""
    n_modules = len(sys.modules)
    admit_worker(order.place)
    with ignore_reported_warnings():
        return execute_admitted(order, n_modules)


def execute_admitted(order: JobBatch, n_modules: int) -> list[JobResult]:
    """Execute a batch in a worker that is admitted already.

    Args:
        order: the batch.
        n_modules: number of modules whose objects are exempt from garbage collection.
    """
    from experiments.sweep import execute_jobs

    results = []
    for job in order.jobs:
        results.append(execute_jobs.execute_job(job, order.place))
        n_modules = _freeze_imports(n_modules)
    return results


@contextmanager
def ignore_reported_warnings() -> Iterator[None]:
    """Ignore the warnings that a sweep reports once, before its runs."""
    from sim.errors import LearningWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LearningWarning)
        yield


def _freeze_imports(n_known: int) -> int:
    """Exempt all objects from garbage collection if modules were imported; return their number.

    Imported objects stay; scanning them in each collection would take longer than a short run.

    Args:
        n_known: number of modules whose objects are exempt already.
    """
    if len(sys.modules) > n_known:
        gc.freeze()
    return len(sys.modules)

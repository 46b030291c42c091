"""A worker's way in. Nothing at the top may import numpy or a registry: pins and plugins come first."""

import gc
import os
import signal
import threading
import time
import warnings

from experiments.plugins import import_plugins
from experiments.results import provenance
from experiments.sweep.messages import JobBatch, JobResult, SweepContext


def prepare_worker(driver: int) -> None:
    """Called first in every process of a pool: interrupts are the driver's affair, and nothing outlives it.

    Args:
        driver: process that began this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    provenance.pin_threads()
    threading.Thread(target=_exit_with_driver, args=(driver,), daemon=True).start()


def _exit_with_driver(driver: int) -> None:
    """End once the driver has: one that waits for orders would wait for ever, and nobody wants what is under way."""
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)


def admit_worker(place: SweepContext) -> None:
    """See that this worker may take part in a sweep, before any order.

    Raises:
        OutputError, ConfigError: why it may not.
    """
    import_plugins(place.plugins, place.path)
    from experiments.sweep import execute_jobs

    execute_jobs.check_worker(place)


def execute_batch(order: JobBatch) -> list[JobResult]:
    """Do all jobs of an order, one after another; what goes wrong in one of them is told in its result."""
    place = order.place
    admit_worker(place)
    from experiments.sweep import execute_jobs
    from sim.errors import LearningWarning

    if place.apart and not gc.get_freeze_count():
        gc.freeze()  # what a worker has imported stays: looking through it after each run would take a while
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", LearningWarning
        )  # the sweep gives each once, before its runs
        return [execute_jobs.execute_job(job, place) for job in order.jobs]

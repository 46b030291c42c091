"""A worker's way in. Nothing at the top may import numpy or a registry: pins and plugins come first."""

import gc
import os
import signal
import threading
import time
import warnings

from experiments.plugins import plug_in
from experiments.results import provenance
from experiments.sweep.messages import Order, Place, Result


def prepare(driver: int) -> None:
    """Called first in every process of a pool: interrupts are the driver's affair, and nothing outlives it.

    Args:
        driver: process that began this one.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    provenance.pin()
    threading.Thread(target=_watch, args=(driver,), daemon=True).start()


def _watch(driver: int) -> None:
    """End once the driver has: one that waits for orders would wait for ever, and nobody wants what is under way."""
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)


def fit(place: Place) -> None:
    """See that this worker may take part in a sweep, before any order.

    Raises:
        OutputError, ConfigError: why it may not.
    """
    plug_in(place.plugins, place.path)
    from experiments.sweep import execute_jobs

    execute_jobs.check(place)


def perform(order: Order) -> list[Result]:
    """Do all jobs of an order, one after another; what goes wrong in one of them is told in its result."""
    place = order.place
    fit(place)
    from experiments.sweep import execute_jobs
    from sim.errors import LearningWarning

    if place.apart and not gc.get_freeze_count():
        gc.freeze()  # what a worker has imported stays: looking through it after each run would take a while
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LearningWarning)  # the sweep gives each once, before its runs
        return [execute_jobs.do(job, place) for job in order.jobs]

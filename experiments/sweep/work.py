"""A worker's way in. Nothing at the top may import numpy or a registry: pins and plugins come first."""

import gc
import os
import signal
import sys

from experiments import provenance
from experiments.plugins import plug_in
from experiments.sweep.records import Order, Result


def prepare() -> None:
    """Called first in every process of a pool: interrupts are the driver's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    provenance.pin()


def perform(order: Order) -> list[Result]:
    """Do all jobs of an order, one after another; what goes wrong in one of them is told in its result."""
    place, parent = order.place, os.getppid()
    plug_in(place.plugins, place.path)
    from experiments.sweep import making

    making.check(place)
    if place.apart and not gc.get_freeze_count():
        gc.freeze()  # what a worker has imported stays: looking through it after each run would take a while
    results = []
    for job in order.jobs:
        if place.apart and os.getppid() != parent:
            sys.exit(1)  # the driver was killed: nobody waits for the rest
        results.append(making.do(job, place))
    return results

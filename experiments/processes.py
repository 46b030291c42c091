"""Processes that this one starts: how many there may be, and how they begin and end."""

import os
import signal
import threading
import time

from experiments.results import provenance


def count_processors() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if "sched_getaffinity" in vars(os) else os.cpu_count() or 1


def prepare_worker(driver: int) -> None:
    """Prepare a process of a pool: ignore interrupts, and exit with the driver.

    Args:
        driver: process id of the driver.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    provenance.pin_threads()
    threading.Thread(target=_exit_with_driver, args=(driver,), daemon=True).start()


def _exit_with_driver(driver: int) -> None:
    """Exit when the driver exits; otherwise an idle worker would wait forever."""
    while os.getppid() == driver:
        time.sleep(1)
    os._exit(1)

"""Settings of all tests: faster garbage collection, and runs that draw no figures or draw alone."""

import gc
import importlib
from collections.abc import Iterator

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave all that collection made out of later garbage collections."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def without_helper() -> Iterator[None]:
    """Let commands called by tests draw figures in this process, where tests replace functions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("experiments.figures.parallel.count_processors", lambda: 1)
        yield


@pytest.fixture(scope="module")
def without_figures() -> Iterator[None]:
    """Let runs draw no figures, in a module where no test is about them.

    Figures take most of the time of a short run. The commands that draw them again keep all.
    """
    importlib.import_module("experiments.paper.output")  # these commands, before the replacement
    from experiments.figures import overview

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overview, "FIGURES", {})
        yield

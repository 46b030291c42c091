"""Settings of all tests: faster garbage collection, and runs that draw no figures."""

import gc
import importlib
from collections.abc import Iterator

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave all that collection made out of later garbage collections."""
    gc.collect()
    gc.freeze()


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

"""Settings of all tests: faster garbage collection, and runs that draw no figures."""

import gc
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

    Figures take most of the time of a short run.
    """
    from experiments.figures import overview

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overview, "FIGURES", {})
        yield

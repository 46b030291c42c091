"""The one place that touches numba's settings."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def _cache_folder() -> None:
    """Send compiled kernels to the temporary folder where the installed package is read-only."""
    here = Path(__file__).parent
    if "NUMBA_CACHE_DIR" not in os.environ and not os.access(here, os.W_OK):
        os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"deleverage-{os.getuid()}")


_cache_folder()

import numba  # noqa: E402  (after the cache folder is settled)


def kernel(function: F) -> F:
    """Compile a function of arrays and numbers; ``.py_func`` keeps the plain original.

    Never fastmath, never parallel: a run's bytes may not depend on either.
    """
    compiled: F = numba.njit(cache=True, nogil=True)(function)
    return compiled

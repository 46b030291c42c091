"""The one place that touches numba's settings."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from sim.numerics.kernel_cache import find_kernel_cache

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function of arrays and numbers; ``.py_func`` keeps the plain original.

    Never fastmath, never parallel: a run's bytes may not depend on either. Compiled code is cached, and found again
    only if no source file that the function can depend on has changed.
    """
    compiled: Any = numba.njit(nogil=True)(function)
    cache = find_kernel_cache(function)
    if cache is not None:
        compiled._cache = cache  # what ``cache=True`` does, with a cache of ours
    done: F = compiled
    return done

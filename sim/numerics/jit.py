"""Compilation of kernels: the only module that uses numba's settings."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from sim.numerics.kernel_cache import find_kernel_cache

IS_COMPILING = not numba.config.DISABLE_JIT
"""False if numba may not compile (``NUMBA_DISABLE_JIT=1``): kernels are then plain and slow."""

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function of arrays and numbers; ``.py_func`` keeps the plain original.

    Compilation is never fastmath and never parallel, because results must not depend on either.
    Compiled code is cached. It is reused only if no source file on which the function can depend
    has changed.
    """
    compiled: Any = numba.njit(nogil=True)(function)
    cache = find_kernel_cache(function)
    if cache is not None:
        compiled._cache = cache  # the effect of ``cache=True``, with the project's own cache
    result: F = compiled
    return result

"""Margins of hypothetical portfolios in compiled code, for populations that choose by them."""

from typing import NamedTuple, Self

import numpy as np

from sim.compiled.arrays import StepArrays
from sim.margin.compiled import MarginArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel, call_bound, chain_kernels
from sim.numerics.jit import kernel
from sim.types import F8, I8


class PreviewArrays(NamedTuple):
    """Portfolios of some instruments of one venue, and their margins, in place."""

    n_used: I8  # (1,) portfolios in use, the first of n
    instruments: I8  # (m,) global numbers
    lots: I8  # (n, m)
    required: F8  # (n,) initial margin, minor units of the numeraire

    @classmethod
    def allocate(cls, portfolios: int, instruments: I8) -> Self:
        """Return arrays for a number of portfolios."""
        lots = np.zeros((portfolios, instruments.size), dtype=np.int64)
        return cls(np.zeros(1, dtype=np.int64), instruments, lots, np.zeros(portfolios))


def bind_previews(step: StepArrays, venue: int, arrays: PreviewArrays) -> BoundKernel | None:
    """Return the kernel that writes ``required``, None if an engine of the venue has none.

    It writes what ``Observation.preview_margin`` returns.
    """
    bound = []
    for number, state in step.market.venues[venue].pool_states.items():
        pool = step.pools[number]
        accounts = MarginArrays.allocate(pool.live, len(arrays.lots))
        engine = state.engine.bind_kernels(accounts)
        if engine is None:
            return None
        bound.append(_bind_pool(step, arrays, pool.pool.instruments, (accounts, engine)))
    reset = bind_kernel(reset_previews, arrays.n_used, arrays.required)
    return chain_kernels(reset, *bound)


def _bind_pool(
    step: StepArrays,
    arrays: PreviewArrays,
    part: slice,
    engine: tuple[MarginArrays, tuple[BoundKernel, ...]],
) -> BoundKernel:
    """Return the kernel that adds the margins of one pool, whose instruments are a part of all."""
    accounts, kernels = engine
    here = (arrays.instruments >= part.start) & (arrays.instruments < part.stop)
    bound = bind_kernel(
        add_previews,
        arrays.n_used,
        arrays.lots,
        np.flatnonzero(here),
        arrays.instruments[here] - part.start,
        step.unit_value[part],
        accounts.n_accounts,
        accounts.position,
        accounts.entry,
        accounts.initial,
        np.array([each.address for each in kernels], dtype=np.int64),
        np.array([each.block.ctypes.data for each in kernels], dtype=np.int64),
        arrays.required,
    )
    kept = (argument for each in kernels for argument in (each.block, *each.arguments))
    return bound._replace(arguments=(*bound.arguments, *kept))


@kernel
def reset_previews(tick: int, count: I8, required: F8) -> int:
    """Set the margins of the portfolios in use to zero."""
    for row in range(count[0]):
        required[row] = 0.0
    return 0


@kernel
def add_previews(
    tick: int,
    count: I8,
    lots: I8,
    columns: I8,
    legs: I8,
    unit_value: I8,
    n_accounts: I8,
    position: I8,
    entry: I8,
    initial: F8,
    addresses: I8,
    blocks: I8,
    required: F8,
) -> int:
    """Add the initial margins that the engine of one pool requires of portfolios.

    Args:
        tick: present tick.
        count: (1,) portfolios in use.
        lots: (n, m) of the portfolios.
        columns, legs: (j,) columns of ``lots`` in the pool, and their instruments in it.
        unit_value: (k,) minor units of the settle asset per lot of the pool's instruments.
        n_accounts, position, entry, initial: hypothetical accounts of the pool, see
            ``sim.margin.compiled.MarginArrays``.
        addresses, blocks: kernels of the engine.
        required: (n,) added to.
    """
    if count[0] == 0:
        return 0
    n_accounts[0] = count[0]
    for j in range(columns.size):
        for row in range(count[0]):
            held = lots[row, columns[j]]
            position[legs[j], row], entry[legs[j], row] = held, held * unit_value[legs[j]]
    for place in range(addresses.size):
        call_bound(addresses[place], tick, blocks[place])
    for row in range(count[0]):
        required[row] += initial[row]
    return 0

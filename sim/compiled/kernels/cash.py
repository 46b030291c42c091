"""Kernels that move cash between accounts, and keep the moves for attribution (LIQ-6)."""

from sim.compiled.arrays import (
    AMOUNT,
    ASSET,
    CONCERNED,
    EVENT,
    N_MOVES,
    SOURCE,
    SOURCE_POOL,
    TARGET,
    TARGET_POOL,
)
from sim.numerics.jit import kernel
from sim.types import I8, MISSING


@kernel
def move_cash(
    balance: I8,
    moves: I8,
    counters: I8,
    event: int,
    source: int,
    target: int,
    source_pool: int,
    target_pool: int,
    asset: int,
    amount: int,
) -> None:
    """Move cash between two accounts with both signs; a move without an amount is not kept.

    The move concerns no instrument.
    """
    if amount == 0:
        return
    balance[asset, source_pool, source] -= amount
    balance[asset, target_pool, target] += amount
    row = counters[N_MOVES]
    moves[row, EVENT], moves[row, ASSET], moves[row, AMOUNT] = event, asset, amount
    moves[row, SOURCE], moves[row, SOURCE_POOL] = source, source_pool
    moves[row, TARGET], moves[row, TARGET_POOL] = target, target_pool
    moves[row, CONCERNED] = MISSING
    counters[N_MOVES] = row + 1

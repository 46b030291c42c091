"""Arrays of attribution and of liquidation rounds, allocated once for a run."""

from typing import NamedTuple

import numpy as np

from sim.compiled.arrays import PoolArrays, StepArrays
from sim.margin.compiled import MarginArrays
from sim.types import B1, F8, I8


class PoolDistress(NamedTuple):
    """Arrays of one pool's attribution and plan; N owners, K instruments."""

    scratch: MarginArrays  # accounts with negative excess, at prices of their own
    stage_marks: F8  # (3, K of the venue) marks after each kind of event
    shares: F8  # (K, N) shares of maintenance of liquidatable accounts


class DistressArrays:
    """Arrays of one market that its pools use in turn.

    Args:
        step: arrays of the step.
    """

    def __init__(self, step: StepArrays) -> None:
        owners, instruments = step.ledger.position.shape[1], len(step.mark)
        self.attribution = np.zeros(5, dtype=np.int64)
        self.rows, self.chosen = np.zeros((2, owners), dtype=np.int64)
        self.n_rows, self.n_chosen, self.n_planned = np.zeros((3, 1), dtype=np.int64)
        self.touched, self.is_whole, self.is_offered = np.zeros((3, owners), dtype=np.bool_)
        self.present: B1 = np.zeros((10, instruments + 1), dtype=np.bool_)
        self.before, self.after, self.due = np.zeros((3, owners))
        self.mark_before, self.tick_value = np.zeros((2, instruments))
        self._allocate_plan(owners * instruments)
        self.pools = {number: _allocate_pool(step, pool) for number, pool in step.pools.items()}

    def _allocate_plan(self, most: int) -> None:
        """Allocate the plan of a venue; memory is taken as close-outs are planned."""
        self.orders: I8 = np.zeros((most, 8), dtype=np.int64)
        self.details: I8 = np.zeros((most, 2), dtype=np.int64)
        self.report: I8 = np.zeros((most, 5), dtype=np.int64)
        self.notional: F8 = np.zeros(most)
        self.around: F8 = np.zeros((2, most))
        self.actions: I8 = np.zeros(most, dtype=np.int64)


def _allocate_pool(step: StepArrays, pool: PoolArrays) -> PoolDistress:
    """Return a pool's arrays; its scratch accounts share those of admission but not its prices."""
    count = pool.live.lot_value.size
    scratch = pool.hypothetical._replace(
        mark=np.zeros(count), lot_value=np.zeros(count), price=np.zeros_like(step.price)
    )
    return PoolDistress(
        scratch=scratch,
        stage_marks=np.zeros((3, count)),
        shares=np.zeros((count, step.ledger.position.shape[1])),
    )

"""Components of pools, bound for the phases of distress."""

from dataclasses import dataclass

from sim.compiled.arrays import PoolArrays, StepArrays, VenueArrays
from sim.compiled.distress import events
from sim.compiled.distress.arrays import DistressArrays
from sim.compiled.program import Program
from sim.exchange.mark import BookMark, MedianMark
from sim.liquidation.compiled import PlanArrays
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.recording.recorder import Recorder
from sim.state import MarketState
from sim.types import I8, PERPETUAL
from sim.venue import Venue

BOOK_MARK = -1.0
"""Clamp that stands for a mark at the book."""


def find_clamp(venue: Venue) -> float | None:
    """Return the clamp of a venue's median mark, BOOK_MARK, or None for any other rule."""
    rule = venue.config.mark
    if type(rule) is MedianMark:
        return float(rule.clamp)
    return BOOK_MARK if type(rule) is BookMark else None


@dataclass
class PoolProgram:
    """Bound components of one pool."""

    venue: Venue
    venue_arrays: VenueArrays
    pool: PoolArrays
    plan: PlanArrays
    clamp: float
    engine: tuple[BoundKernel, ...]  # of the scratch accounts
    leg_shares: tuple[BoundKernel, ...]
    policy: tuple[BoundKernel, ...]
    offers: tuple[BoundKernel, ...]


class DistressContext:
    """Market, program and arrays that the parts of these phases share.

    Args:
        step: arrays of the step.
        arrays: arrays of these phases.
        recorder: the run's recorder.
        program: the program that is extended.
    """

    def __init__(
        self, step: StepArrays, arrays: DistressArrays, recorder: Recorder, program: Program
    ) -> None:
        self.step, self.arrays, self.recorder, self.program = step, arrays, recorder, program
        self.market: MarketState = step.market
        self.pools: list[PoolProgram] = []

    def prepare(self) -> bool:
        """Bind the components of every pool; return False if one of them has no kernel."""
        if self.market.config.rescues:
            return False
        pools = [
            self._prepare_pool(venue, number)
            for venue in self.market.venues
            for number in venue.pool_states
        ]
        self.pools = [pool for pool in pools if pool is not None]
        return len(self.pools) == len(pools)

    def _prepare_pool(self, venue: Venue, number: int) -> PoolProgram | None:
        """Return the bound components of a pool, or None if one of them has no kernel."""
        pool = self.step.pools[number]
        own, engine = self.arrays.pools[number], venue.pool_states[number].engine
        policy = venue.liquidation_policy
        plan = self._make_plan_arrays(venue, pool)
        bound = {
            "engine": engine.bind_kernels(own.scratch),
            "leg_shares": engine.bind_leg_shares(pool.hypothetical, own.shares),
            "policy": policy.bind_plan(plan),
            "offers": policy.bind_offers(plan),
        }
        clamp = find_clamp(venue)
        kernels = {name: found for name, found in bound.items() if found is not None}
        if clamp is None or len(kernels) < len(bound):
            return None
        return PoolProgram(venue, self.step.venues[venue.number], pool, plan, clamp, **kernels)

    def _make_plan_arrays(self, venue: Venue, pool: PoolArrays) -> PlanArrays:
        step, arrays, here = self.step, self.arrays, pool.pool.instruments
        distress = venue.pool_states[pool.pool.number].distress
        return PlanArrays(
            rows=arrays.rows,
            n_rows=arrays.n_rows,
            shares=arrays.pools[pool.pool.number].shares,
            assessed=pool.assessed,
            liquidatable_since=distress.liquidatable_since,
            last_action=distress.last_action,
            bankrupt_since=distress.bankrupt_since,
            position=step.ledger.position[here],
            mark=step.mark[here],
            lot_value=step.lot_value[here],
            tick_value=arrays.tick_value[here],
            max_price=self.market.contracts.max_price[here],
            is_perpetual=self.market.contracts.kind[here] == PERPETUAL,
            is_spot=step.is_spot[here],
            first=here.start,
            pool=pool.pool.number,
            orders=arrays.orders,
            details=arrays.details,
            n_planned=arrays.n_planned,
            chosen=arrays.chosen,
            n_chosen=arrays.n_chosen,
            is_whole=arrays.is_whole,
            is_offered=arrays.is_offered,
        )


def add_gathering(context: DistressContext, pool: PoolArrays, number: I8) -> None:
    """Copy the accounts of ``rows`` to the pool's hypothetical ones."""
    context.program.add(bind_gathering(context, pool, number))


def bind_gathering(context: DistressContext, pool: PoolArrays, number: I8) -> BoundKernel:
    """Return the kernel that copies the accounts of ``rows`` to the pool's hypothetical ones."""
    step, hypothetical = context.step, pool.hypothetical
    here = pool.pool.instruments
    return bind_kernel(
        events.gather_accounts,
        number,
        context.arrays.rows,
        step.ledger.position[here],
        step.ledger.entry[here],
        step.ledger.balance,
        pool.pool.number,
        hypothetical.n_accounts,
        hypothetical.position,
        hypothetical.entry,
        hypothetical.leverage,
        hypothetical.balance,
    )

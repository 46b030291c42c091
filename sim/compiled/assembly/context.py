"""Market, arrays and program that the phases of an assembly share."""

from collections.abc import Sequence

from sim.attribution import CAUSE_KINDS, DEPOSIT
from sim.compiled.arrays import PoolArrays, StepArrays, VenueArrays
from sim.compiled.distress.arrays import DistressArrays
from sim.compiled.kernels import accounts, order_margin, prices, recording
from sim.compiled.program import Program
from sim.numerics.bound_kernels import BoundKernel, bind_kernel
from sim.recording.recorder import Recorder
from sim.venue import Venue

DEPOSIT_EVENT = CAUSE_KINDS.index(DEPOSIT)
"""Number of the event to which cash moves of owners belong."""

END = "end of the step"
"""Label of the place after the last phase."""


class AssemblyContext:
    """Parts of one market, and kernels that several of its phases add.

    Args:
        step: arrays of the step.
        recorder: the run's recorder.
        distress: arrays of attribution and of the rounds.
    """

    def __init__(self, step: StepArrays, recorder: Recorder, distress: DistressArrays) -> None:
        self.step, self.recorder, self.distress = step, recorder, distress
        self.market = step.market
        self.program = Program()
        self.shows_joint_accounts = False  # before payments, which do not change them
        self.engines = {
            number: state.engine
            for venue in self.market.venues
            for number, state in venue.pool_states.items()
        }

    def list_venues(self) -> list[tuple[Venue, VenueArrays]]:
        """Return every venue with its arrays."""
        return list(zip(self.market.venues, self.step.venues, strict=True))

    def list_pools(self, venue: Venue) -> list[PoolArrays]:
        """Return the arrays of a venue's pools."""
        return [self.step.pools[number] for number in venue.pool_states]

    def add_lot_values(self) -> None:
        """Value a lot of every instrument at the mark."""
        step, contracts = self.step, self.market.contracts
        self.program.add(
            bind_kernel(
                prices.value_lots,
                step.mark,
                contracts.multiplier,
                step.quote_price,
                step.lot_value,
                step.unit_value,
            )
        )

    def add_wallet_value(self, venue: Venue, arrays: VenueArrays) -> None:
        """Add up what separate wallets hold at a venue that has them."""
        if venue.wallet_pool not in venue.pool_states:
            self.program.add(
                bind_kernel(
                    recording.value_wallets,
                    self.step.ledger.balance,
                    venue.wallet_pool,
                    self.market.external_owner,
                    self.step.price,
                    arrays.wallet_value,
                )
            )

    def add_account_view(self, venue: Venue) -> None:
        """Show owners their accounts at a venue."""
        step, market, v = self.step, self.market, venue.number
        seen = (step.equity[v], step.free_margin[v])
        pools = self.list_pools(venue)
        is_joint = venue.wallet_pool in venue.pool_states
        if not is_joint:
            self.program.add(
                bind_kernel(
                    accounts.view_wallets,
                    market.external_owner,
                    step.ledger.balance,
                    venue.wallet_pool,
                    step.price,
                    *seen,
                )
            )
        for pool in pools if not is_joint else [step.pools[venue.wallet_pool]]:
            here = pool.pool.instruments
            self.program.add(
                bind_kernel(
                    accounts.view_joint_accounts if is_joint else accounts.add_accounts,
                    market.external_owner,
                    pool.assessed,
                    step.books.resting[2, here],
                    step.quote_price[here],
                    *seen,
                )
            )

    def bind_margin(self, pool: PoolArrays, kernels: Sequence[BoundKernel]) -> BoundKernel:
        """Return the kernel that finds the margin of accounts with their orders, by an engine."""
        step, here, engine = self.step, pool.pool.instruments, self.engines[pool.pool.number]
        hypothetical, before = pool.hypothetical, pool.before
        return bind_kernel(
            order_margin.require_margin,
            pool.n_senders,
            pool.resting,
            before.position,
            before.entry,
            before.leverage,
            step.lot_value[here],
            step.unit_value[here],
            step.quote_price[here],
            step.is_spot[here],
            float(engine.leverage_factor),
            hypothetical.n_accounts,
            hypothetical.position,
            hypothetical.entry,
            hypothetical.leverage,
            before.balance,
            hypothetical.balance,
            hypothetical.settle,
            hypothetical.initial,
            *self.program.list_inner(kernels),
            pool.required,
        )


class StepPhase:
    """Base of the assemblies of single phases.

    Args:
        context: market, arrays and program that the phases share.
    """

    def __init__(self, context: AssemblyContext) -> None:
        self.context, self.program = context, context.program
        self.step, self.market = context.step, context.market

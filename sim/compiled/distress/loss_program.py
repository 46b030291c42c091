"""Program of the allocation of losses (phase 9, LIQ-3, LOSS-1 to LOSS-3)."""

from collections.abc import Callable

import numpy as np

from sim.compiled.distress import losses, rounds
from sim.compiled.distress.attribution_program import AttributionProgram
from sim.compiled.distress.components import DistressContext, PoolProgram, bind_gathering
from sim.margin.tiers.brackets import BracketTable, tabulate_brackets
from sim.numerics.bound_kernels import Argument, bind_kernel
from sim.step import loss_waterfall
from sim.step.waterfall import layers, tables
from sim.step.waterfall.driver import MAX_DEPTH
from sim.types import F8, MISSING, Contracts
from sim.venue import Venue

LOSSES_DONE = "losses done"
"""Label of the place after all losses."""


class LossProgram:
    """Allocation of losses of one market.

    Args:
        context: market, program and arrays.
        assess: adds the assessment of every pool.
    """

    def __init__(self, context: DistressContext, assess: Callable[[], None]) -> None:
        self.context, self.program, self._assess = context, context.program, assess
        self.step, self.arrays, self.market = context.step, context.arrays, context.market
        self.recorder, self._attribution = context.recorder, AttributionProgram(context)

    def add(self) -> None:
        """Allocate losses where accounts are bankrupt, and publish offers (LIQ-3).

        Bankrupt accounts wait while their lots are on offer.
        """
        self.program.add(bind_kernel(rounds.begin_offers, self.step.to_sell, self.step.to_buy))
        for venue in self.market.venues:
            own = [pool for pool in self.context.pools if pool.venue is venue]
            for each in own:
                self._add_offers(each)
                self._add_allocation(each)
            for each in own:
                self._add_offers(each)
                self._publish_offers(each)
        self.program.mark(LOSSES_DONE)

    def _add_offers(self, each: PoolProgram) -> None:
        """Note bankrupt accounts, and find those whose lots are on offer."""
        plan = each.plan
        noted = (plan.assessed, plan.bankrupt_since, plan.is_offered)
        self.program.add(bind_kernel(rounds.find_bankrupt, *noted))
        for kernel in each.offers:
            self.program.add(kernel)

    def _publish_offers(self, each: PoolProgram) -> None:
        step, plan, here = self.step, each.plan, each.pool.pool.instruments
        lots = (plan.is_offered, plan.position, plan.is_spot)
        offers = (step.to_sell[here], step.to_buy[here])
        self.program.add(bind_kernel(rounds.publish_offers, *lots, *offers))

    def _add_allocation(self, each: PoolProgram) -> None:
        """Allocate the losses of one pool; in Python where a layer has no kernel."""
        plan, program, arrays = each.plan, self.program, self.arrays
        fund = each.venue.system_accounts.insurance_fund
        bound = self._bind_layers(each)
        if bound is None:
            program.add(
                bind_kernel(rounds.await_offers, plan.assessed, plan.is_offered, fund),
                self._allocate_plainly,
                LOSSES_DONE,
            )
            return
        after, room = f"allocated {plan.pool}", f"room for losses {plan.pool}"
        listed = (plan.assessed, plan.is_offered, fund, arrays.rows, arrays.n_rows)
        program.add(
            bind_kernel(losses.list_bankrupt, *listed),
            self._allocate_plainly,
            LOSSES_DONE,
            jump=after,
        )
        self._add_layers(each, room, *bound)
        self._add_reassessment()
        program.mark(after)

    def _add_layers(
        self, each: PoolProgram, room: str, parameters: F8, brackets: BracketTable
    ) -> None:
        """Apply the layers to the bankrupt accounts of one pool."""
        program, arrays, events = self.program, self.arrays, self.recorder.events
        program.mark(room)
        rows = (arrays.n_rows, parameters, events.counts, events.losses)
        enlarge = self._make_enlargement(parameters.shape[1])
        program.add(bind_kernel(losses.check_loss_room, *rows), enlarge, room)
        for kernel in (bind_gathering(self.context, each.pool, arrays.n_rows), *each.leg_shares):
            program.add(kernel)
        arguments = self._list_arguments(each, parameters, brackets)
        program.add(bind_kernel(losses.allocate_losses, *arguments))

    def _make_enlargement(self, n_layers: int) -> Callable[[], None]:
        def enlarge() -> None:
            self.recorder.events.reserve_losses(n_layers * int(self.arrays.n_rows[0]))

        return enlarge

    def _bind_layers(self, each: PoolProgram) -> tuple[F8, BracketTable] | None:
        """Return the parameters of a venue's layers and margins, or None without kernels."""
        venue, engine = each.venue, each.venue.pool_states[each.plan.pool].engine
        brackets = tabulate_brackets(engine)
        parameters = layers.tabulate_layers(venue.config.waterfall, brackets is not None)
        kinds, is_separate = parameters[tables.LAYER_KIND], self._has_separate_wallet(venue, each)
        # numpy may value a wallet of several assets in another order
        has_mixed_wallet = is_separate and self.step.price.size > 1
        if (kinds == tables.PLAIN).any() or has_mixed_wallet:
            return None
        nothing = BracketTable(np.empty((5, len(self.step.price), 0)), np.empty((0, 2)))
        return parameters, nothing if brackets is None else brackets

    @staticmethod
    def _has_separate_wallet(venue: Venue, each: PoolProgram) -> bool:
        fund = venue.system_accounts.insurance_fund
        return fund != MISSING and venue.wallet_pool != each.plan.pool

    def _list_arguments(
        self, each: PoolProgram, parameters: F8, brackets: BracketTable
    ) -> tuple[Argument, ...]:
        """Return the arguments of ``losses.allocate_losses``."""
        step, arrays, plan, market = self.step, self.arrays, each.plan, self.market
        weights = (bind_gathering(self.context, each.pool, arrays.n_rows), *each.leg_shares)
        return (
            arrays.rows,
            arrays.n_rows,
            arrays.pools[plan.pool].shares,
            *self.program.list_inner(weights),
            plan.assessed,
            market.is_margined,
            plan.mark,
            plan.lot_value,
            plan.tick_value,
            self._make_state(each, parameters),
            np.zeros((5, plan.mark.size)),
            *self._list_terms(each),
            step.price,
            parameters,
            np.ascontiguousarray(brackets.brackets),
            np.ascontiguousarray(brackets.factors),
            step.ledger.balance,
            step.ledger.position,
            step.ledger.entry,
            *self._allocate_accounts(parameters, plan.mark.size),
            *(step.books.data, step.books.resting, step.books.chain),
            *self._list_records(each),
            *self._list_hypothetical(each),
        )

    def _list_records(self, each: PoolProgram) -> tuple[Argument, ...]:
        """Return what events of losses are recorded in."""
        recorder, events = self.recorder, self.recorder.events
        names = [*(layer.kind for layer in each.venue.config.waterfall), "bad_debt"]
        return (
            each.venue.number,
            np.array([name.startswith("adl") for name in names]),
            recorder.count_row("adl"),
            events.counts,
            events.losses,
            recorder.tables.counts,
            recorder.tables.money,
        )

    def _list_hypothetical(self, each: PoolProgram) -> tuple[Argument, ...]:
        """Return arrays of the account that the fund would have after a take-over."""
        own = self.arrays.pools[each.plan.pool].scratch
        return (
            self.step.ledger.leverage[each.pool.pool.instruments],
            own.n_accounts,
            own.position,
            own.entry,
            own.leverage,
            own.balance,
            own.mark,
            own.lot_value,
            own.price,
            own.initial,
            *self.program.list_inner(each.engine),
        )

    def _list_terms(self, each: PoolProgram) -> tuple[Argument, Argument]:
        """Return ``terms`` and ``listed`` of ``sim.step.waterfall.tables.Pool``."""
        contracts: Contracts = self.market.contracts
        here = each.pool.pool.instruments
        own = np.array([contracts.settle[here], contracts.kind[here], contracts.multiplier[here]])
        pools = self.market.ledger.pool_numbers
        return own, np.array([pools, contracts.settle, contracts.multiplier])

    def _make_state(self, each: PoolProgram, parameters: F8) -> Argument:
        """Return the constants of the pool, and room for the variables of its waterfall."""
        state, venue = np.zeros(tables.STATE_SIZE, dtype=np.int64), each.venue
        state[: tables.PLACE] = (
            each.plan.pool,
            venue.wallet_pool,
            each.plan.first,
            each.plan.mark.size,
            venue.system_accounts.insurance_fund,
            venue.system_accounts.venue_equity,
            self._has_separate_wallet(venue, each),
            layers.needs_maintenance(parameters),
            layers.needs_profit(parameters),
        )
        return state

    def _allocate_accounts(self, parameters: F8, instruments: int) -> tuple[Argument, ...]:
        """Return tables of accounts and of queues; memory that is not used is not taken."""
        owners, assets = self.market.n_owners, self.step.price.size
        count = 2 * (parameters.shape[1] - 1) * instruments
        return (
            np.empty((5, owners)),
            np.zeros((3, owners), dtype=np.bool_),
            np.zeros((3, owners), dtype=np.int64),
            np.zeros((assets, 2, owners), dtype=np.int64),
            np.empty((count, owners, 4), dtype=np.int64),
            np.empty((count, owners)),
            np.empty((3, max(count, MAX_DEPTH)), dtype=np.int64),
        )

    def _add_reassessment(self) -> None:
        """Assess every account again, and record what losses changed."""
        program, step = self.program, self.step
        limits = (step.round_state, self.market.config.max_rounds)
        program.add(bind_kernel(losses.end_losses, *limits))
        self._assess()
        self._attribution.add_losses()

    def _allocate_plainly(self) -> None:
        self.recorder.record_losses(loss_waterfall.allocate_losses(self.market))

"""Assembly of the assessment, of close-outs and of losses (phases 7 to 9)."""

from sim.compiled.arrays import PoolArrays
from sim.compiled.assembly.context import END, StepPhase
from sim.compiled.distress.components import DistressContext
from sim.compiled.distress.phases import DISTRESS, DistressPhases
from sim.compiled.kernels import accounts
from sim.numerics.bound_kernels import bind_kernel
from sim.records import StepFlows, StepRecord
from sim.step import assessment, liquidation, loss_waterfall

RECORD = "record"
"""Label of the place after close-outs and losses."""


class AssessmentPhases(StepPhase):
    """Assessment of one market."""

    def add(self) -> None:
        """Add assessment, close-outs and losses."""
        market, program = self.market, self.program
        pools = [pool for venue in market.venues for pool in self.context.list_pools(venue)]
        engines = [self.context.engines[pool.pool.number].bind_kernels(pool.live) for pool in pools]
        shared = (self.context.distress, self.context.recorder, program)
        distress = DistressContext(self.step, *shared)
        is_compiled = distress.prepare()
        if any(each is None for each in engines) or market.config.rescues:
            program.add(None, self._finish_plainly, END)
            return
        self._assess_pools()
        is_suppressed = market.config.suppress_closeouts
        for pool in pools:
            self._find_deficits(pool)
        for pool in [] if is_suppressed else pools:
            self._log_assessment(pool)
        program.add(bind_kernel(accounts.skip_rounds, self.step.counters), jump=RECORD)
        if not is_suppressed and is_compiled:
            DistressPhases(distress).add(self._assess_pools)
        else:
            program.mark(DISTRESS)
            program.add(None, self._finish_plainly, END)
        program.mark(RECORD)

    def _assess_pools(self) -> None:
        """Assess the accounts of every pool."""
        step, program, market = self.step, self.program, self.market
        for venue in market.venues:
            for pool in self.context.list_pools(venue):
                kernels = self.context.engines[pool.pool.number].bind_kernels(pool.live)
                assert kernels is not None
                program.add(
                    bind_kernel(
                        accounts.assess_pool,
                        market.external_owner,
                        pool.live.n_accounts,
                        pool.live.initial,
                        pool.live.maintenance,
                        *program.list_inner(kernels),
                        step.ledger.balance,
                        pool.pool.number,
                        step.price,
                        pool.live.position,
                        pool.live.lot_value,
                        pool.assessed,
                        step.pool_sums[pool.pool.number],
                    )
                )

    def _find_deficits(self, pool: PoolArrays) -> None:
        """Go to the phases of distress if an account of a pool is below maintenance."""
        market = self.market
        self.program.add(
            bind_kernel(
                accounts.find_deficits,
                pool.assessed,
                int(market.config.suppress_closeouts),
                market.cause_logs[pool.pool.number].arrays.counters,
                pool.liquidatable_since,
                pool.bankrupt_since,
            ),
            jump=DISTRESS,
        )

    def _log_assessment(self, pool: PoolArrays) -> None:
        """Keep the assessment of a pool in which no account is below maintenance."""
        step, log = self.step, self.market.cause_logs[pool.pool.number].arrays
        self.program.add(
            bind_kernel(
                accounts.log_assessment,
                pool.assessed,
                log.counters,
                log.excess,
                step.mark[pool.pool.instruments],
                log.mark,
                step.price,
                log.price,
            )
        )

    def _finish_plainly(self) -> None:
        """Make the plain phases from assessment on, with rounds, losses and the record."""
        market = self.market
        assessment.assess_accounts(market)
        rounds, n_rounds = liquidation.run_liquidation_rounds(market)
        losses = loss_waterfall.allocate_losses(market)
        trades, near = self.step.trade_sums.copy(), self.step.depth_near.copy()
        self.context.recorder.record_step(StepRecord(trades, near, rounds, n_rounds, losses))
        for venue in market.venues:
            venue.flows = StepFlows()

"""Phases 7 to 9 of a compiled step where accounts are below maintenance (LIQ-1 to LIQ-6).

The program is the loop of ``sim.step.liquidation.run_liquidation_rounds``, with jumps, and
that of ``sim.step.loss_waterfall`` after it.
"""

from collections.abc import Callable

from sim.compiled.distress import rounds
from sim.compiled.distress.attribution_program import AttributionProgram
from sim.compiled.distress.components import DistressContext
from sim.compiled.distress.loss_program import LossProgram
from sim.compiled.distress.round_program import RoundProgram
from sim.compiled.kernels import prices
from sim.numerics.bound_kernels import bind_kernel
from sim.types import F8, I8

DISTRESS, ROUNDS_DONE, NEXT_ROUND = "distress", "rounds done", "next round"
"""Labels of places in the program."""


class DistressPhases:
    """Attribution and liquidation rounds of one market as parts of its program."""

    def __init__(self, context: DistressContext) -> None:
        self.context, self.program = context, context.program
        self.step, self.arrays, self.market = context.step, context.arrays, context.market
        self.recorder = context.recorder

    def add(self, assess: Callable[[], None]) -> None:
        """Add the phases; ``assess`` adds the assessment of every pool."""
        program, state = self.program, self.step.round_state
        attribute, close_out = AttributionProgram(self.context), RoundProgram(self.context)
        terms = (self.market.contracts.multiplier, self.step.quote_price)
        program.mark(DISTRESS)
        program.add(bind_kernel(rounds.begin_assessment, state))
        attribute.add()
        program.add(bind_kernel(rounds.begin_rounds, state))
        program.add(bind_kernel(rounds.value_ticks, *terms, self.arrays.tick_value))
        program.mark(NEXT_ROUND)
        program.add(bind_kernel(rounds.begin_round, state))
        for venue in self.market.venues:
            close_out.add(venue)
        made = self.recorder.rounds
        program.add(bind_kernel(rounds.end_round, state, made), jump=ROUNDS_DONE)
        self._add_lot_values(*terms)
        assess()
        attribute.add()
        limits = (state, self.market.config.max_rounds, made)
        program.add(bind_kernel(rounds.begin_next_round, *limits), jump=NEXT_ROUND)
        program.mark(ROUNDS_DONE)
        LossProgram(self.context, assess).add()

    def _add_lot_values(self, multiplier: I8, quote_price: F8) -> None:
        step = self.step
        values = (multiplier, quote_price, step.lot_value, step.unit_value)
        self.program.add(bind_kernel(prices.value_lots, step.mark, *values))

"""Assembly of the program of a step from the components of a market."""

from typing import Any

import numpy as np

from sim.compiled.arrays import StepArrays
from sim.compiled.assembly.admission import AdmissionPhase
from sim.compiled.assembly.assessment import AssessmentPhases
from sim.compiled.assembly.context import END, AssemblyContext
from sim.compiled.assembly.orders import OrderPhase
from sim.compiled.assembly.payments import PaymentPhases
from sim.compiled.assembly.prices import PricePhases
from sim.compiled.assembly.recording import RecordingPhase
from sim.compiled.assembly.trading import TradingPhases
from sim.compiled.components import BoundedOrders
from sim.compiled.distress.arrays import DistressArrays
from sim.compiled.program import CompiledRun, Program
from sim.component import has_own_rules
from sim.protocols import PopulationProtocol
from sim.recording.recorder import Recorder
from sim.state import MarketState


def compile_run(market: MarketState, recorder: Recorder) -> CompiledRun:
    """Return the compiled steps of a market."""
    quotes = 2 * len(market.contracts.names)  # of spot, by the external owner
    sent = quotes + sum(_count_orders(market, each) for each in market.populations)
    step = StepArrays(market, max(1024, 2 * sent))
    distress = DistressArrays(step)

    def list_movable() -> tuple[np.ndarray[Any, Any], ...]:
        events, logs = recorder.events, market.cause_logs.values()
        return (
            *market.order_books.reserve_capacity(0),
            *(array for log in logs for array in log.arrays),
            *(events.close_outs, events.close_out_values, events.causes, events.amounts),
            events.losses,
            *(step.moves, step.orders),
        )

    def assemble() -> Program:
        return assemble_program(AssemblyContext(step, recorder, distress))

    return CompiledRun(step, assemble, list_movable)


def _count_orders(market: MarketState, population: PopulationProtocol) -> int:
    """Return the most orders of a population in a step."""
    if isinstance(population, BoundedOrders) and not has_own_rules(population, "bind_decision"):
        return population.count_orders()
    return population.count * 4 * len(market.contracts.names)


def assemble_program(context: AssemblyContext) -> Program:
    """Return the program of a step, phase by phase in the order of ``Market.step``."""
    prices, payments = PricePhases(context), PaymentPhases(context)
    prices.add_index()
    prices.add_funding()
    payments.add_calls()
    prices.add_oracles()
    payments.add()
    OrderPhase(context).add()
    AdmissionPhase(context).add()
    trading = TradingPhases(context)
    trading.add_trades()
    trading.add_marks()
    AssessmentPhases(context).add()
    RecordingPhase(context).add()
    context.program.mark(END)
    return context.program

"""Kernel of margin calls (phase 2, MAR-4): ``sim.margin.calls`` and ``sim.step.margin_calls``."""

import numpy as np

from sim.arrays import U8
from sim.compiled.kernels.accounts import EQUITY, INITIAL
from sim.compiled.kernels.cash import move_cash
from sim.compiled.kernels.payments import CALLS, CALLS_MET, CALLS_MISSED, DEPOSITS
from sim.margin.calls import N_CALL_DRAWS, count_waiting_steps
from sim.numerics.compiled_draws import draw_one
from sim.numerics.jit import kernel
from sim.numerics.rounding import to_exact_one
from sim.types import B1, F8, I8, MISSING


@kernel
def answer_calls(
    tick: int,
    key: U8,
    external: int,
    assessed: F8,
    answer_ticks: I8,
    will_answer: B1,
    has_missed: B1,
    threshold: float,
    probability: float,
    delay: float,
    dt: float,
    outside_wealth: I8,
    has_been_called: B1,
    wallet_pool: int,
    pool: int,
    balance: I8,
    moves: I8,
    counters: I8,
    event: int,
    flows: I8,
    net_paid_in: I8,
) -> int:
    """Let calls of one pool lapse, open new ones, and post deposits that answer those due.

    Args:
        tick: present tick.
        key: key of the stream of draws.
        external: owner that stands for the rest of the world.
        assessed: (3, N) last assessment of the pool.
        answer_ticks, will_answer, has_missed: (N,) see ``sim.margin.calls.CallState``.
        threshold, probability, delay: fields of ``sim.margin.calls.MarginCalls``.
        dt: seconds per step.
        outside_wealth: (N,) what owners may still bring in, minor units of the numeraire.
        has_been_called: (N,) owners who have been called.
        wallet_pool, pool: numbers of the pools that deposits come through and go to.
        balance: (C, P, N) minor units.
        moves, counters, event: cash moves of the step, and the kind of these.
        flows: counts of the venue in this step, see ``sim.compiled.kernels.payments``.
        net_paid_in: (N,) payments from outside less those back, since the start, minor units.
    """
    for owner in range(answer_ticks.size):
        equity, initial = assessed[EQUITY, owner], assessed[INITIAL, owner]
        if equity >= initial:
            answer_ticks[owner], has_missed[owner] = MISSING, False
        is_short = initial > 0 and equity < threshold * initial
        if is_short and answer_ticks[owner] == MISSING and not has_missed[owner]:
            draw = draw_one(owner * N_CALL_DRAWS + 1, tick, key)
            answer_ticks[owner] = tick + count_waiting_steps(draw, delay, dt)
            will_answer[owner] = draw_one(owner * N_CALL_DRAWS, tick, key) < probability
            has_been_called[owner] = True
            flows[CALLS] += 1
        if answer_ticks[owner] == MISSING or answer_ticks[owner] > tick:
            continue
        answer_ticks[owner] = MISSING
        lacking = to_exact_one(np.ceil(max(initial - equity, 0.0)))
        if not will_answer[owner] or lacking > outside_wealth[owner]:
            has_missed[owner] = True
            flows[CALLS_MISSED] += 1
            continue
        outside_wealth[owner] -= lacking
        flows[DEPOSITS] += lacking
        net_paid_in[owner] += lacking
        flows[CALLS_MET] += 1
        move_cash(balance, moves, counters, event, external, owner, wallet_pool, pool, 0, lacking)
    return 0

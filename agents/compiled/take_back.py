"""Kernels of members who take excess margin back from isolated accounts (AGT-7, ISO-1)."""

import numpy as np

from agents.compiled.capital import ENTRY_EXIT_COLUMN, N_CASH_FLOW_DRAWS
from agents.compiled.positions import find_flat
from sim.arrays import U8
from sim.compiled.kernels.accounts import EQUITY, INITIAL
from sim.compiled.kernels.payments import send_payment
from sim.numerics.account_sums import BLOCK
from sim.numerics.compiled_draws import draw_one
from sim.numerics.jit import kernel
from sim.numerics.rounding import to_exact_one
from sim.types import F8, I8


@kernel
def take_back_margin(
    tick: int,
    key: U8,
    payments: I8,
    counters: I8,
    owner: int,
    venue: int,
    instruments: I8,
    pools: I8,
    first_instrument: I8,
    account: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    assessed: F8,
    lot_value: F8,
    quote_price: F8,
    members: int,
    buffer: float,
    probability: float,
) -> int:
    """Move excess margin from isolated accounts back into wallets (ISO-1).

    Args:
        tick: present tick.
        key: key of the stream of draws.
        payments, counters: payments of the step.
        owner: owner of the first member.
        venue: venue at which members trade.
        instruments: (m,) instruments that members trade.
        pools, account: (m,) number of the pool that margins each, and index of its account.
        first_instrument: (g,) index of the first instrument of each account.
        position, entry, leverage: (K, N) lots, value paid for them, and leverage chosen.
        assessed: (P, 3, N) last assessment.
        lot_value, quote_price: (K,) minor units of the numeraire.
        members: number of members.
        buffer: headroom that accounts keep, share of initial margin.
        probability: probability that a member takes excess margin back in a step.
    """
    flat = np.empty(BLOCK, dtype=np.bool_)
    own, gain = np.empty((2, first_instrument.size))
    for start in range(0, members, BLOCK):
        size = min(BLOCK, members - start)
        find_flat(owner + start, position, instruments, flat[:size])
        for at in range(size):
            i = start + at
            draw = draw_one(i * N_CASH_FLOW_DRAWS + ENTRY_EXIT_COLUMN, tick, key)
            if flat[at] or draw >= probability:
                continue
            measure_accounts(
                owner + i,
                instruments,
                account,
                position,
                entry,
                leverage,
                lot_value,
                quote_price,
                own,
                gain,
            )
            for g in range(first_instrument.size):
                j = first_instrument[g]
                initial = assessed[pools[j], INITIAL, owner + i]
                equity = assessed[pools[j], EQUITY, owner + i]
                excess = equity - (1 + buffer) * max(initial, own[g])
                free = min(excess, equity - gain[g]) if initial > 0 else 0.0
                amount = to_exact_one(np.floor(max(free, 0.0)))
                send_payment(payments, counters, owner + i, venue, instruments[j], -amount, 0)
    return 0


@kernel
def measure_accounts(
    owner: int,
    instruments: I8,
    account: I8,
    position: I8,
    entry: I8,
    leverage: F8,
    lot_value: F8,
    quote_price: F8,
    own: F8,
    gain: F8,
) -> None:
    """Write what chosen leverage requires of an owner's accounts, (g,), and unrealised gains."""
    own[:] = 0.0
    gain[:] = 0.0
    for j in range(instruments.size):
        k = instruments[j]
        held, paid = position[k, owner], entry[k, owner] * quote_price[k]
        own[account[j]] += min(abs(paid), abs(held) * lot_value[k]) / leverage[k, owner]
        gain[account[j]] += held * lot_value[k] - paid

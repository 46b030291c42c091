"""Kernels of capital management (AGT-7): reactions to short headroom, new members, withdrawals."""

import numpy as np

from agents.compiled.positions import find_flat
from sim.arrays import U8
from sim.compiled.kernels.accounts import EQUITY, INITIAL
from sim.compiled.kernels.payments import send_payment
from sim.numerics.account_sums import BLOCK
from sim.numerics.compiled_draws import draw_one
from sim.numerics.jit import kernel
from sim.numerics.rounding import to_exact_one
from sim.types import B1, F8, I8, IOC, MARKET, MISSING, REDUCE_ONLY

REACT_COLUMN, REACTION_KIND_COLUMN, ENTRY_EXIT_COLUMN = range(3)
"""Columns of a step's draws for payments.

They decide whether a member reacts, how it reacts, and whether it is replaced or withdraws.
"""

N_CASH_FLOW_DRAWS = 3
"""Number of uniform draws per member and step."""

CALM, TRIMS, TOPS_UP, HEDGES, WAITS = range(5)
"""Reactions of a member to a shortage of headroom."""


@kernel
def react_to_shortages(
    tick: int,
    key: U8,
    owner: int,
    position: I8,
    instruments: I8,
    pools: I8,
    assessed: F8,
    buffer: float,
    probability: float,
    bars: F8,
    hedge_instrument: I8,
    lot: F8,
    reaction: I8,
    n_actors: I8,
    actors: I8,
    share: F8,
    lacking: F8,
) -> int:
    """Find the members whose headroom is short, and those who act now.

    Args:
        tick: present tick.
        key: key of the stream of draws.
        owner: owner of the first member.
        position: (K, N) lots.
        instruments: (m,) instruments that members trade.
        pools: (m,) number of the pool that margins each.
        assessed: (P, 3, N) last assessment.
        buffer: headroom below which members react, share of initial margin.
        probability: probability that a member with a shortage acts.
        bars: (3,) cumulated probabilities of trimming, topping up and hedging.
        hedge_instrument: (m,) hedge of each, MISSING = none.
        lot: (K,) units of the underlying in a lot.
        reaction: (n,) chosen when a shortage begins.
        n_actors, actors: (1,) and (n,) out, members who act now, in order.
        share: (n, m) out for these, equity over what headroom requires, one where it is not short.
        lacking: (n, m) out for these, what equity lacks.
    """
    n_actors[0] = 0
    is_flat, is_short = np.empty(BLOCK, dtype=np.bool_), np.empty(BLOCK, dtype=np.bool_)
    for start in range(0, reaction.size, BLOCK):
        size = min(BLOCK, reaction.size - start)
        find_flat(owner + start, position, instruments, is_flat[:size])
        find_short(owner + start, assessed, pools, buffer, is_short[:size])
        if not keep_short(reaction[start : start + size], is_flat, is_short):
            continue
        for at in range(size):
            i = start + at
            if not is_short[at]:
                continue
            if reaction[i] == CALM:
                draw = draw_one(i * N_CASH_FLOW_DRAWS + REACTION_KIND_COLUMN, tick, key)
                reaction[i] = TRIMS
                for bar in bars:
                    reaction[i] += draw >= bar
            if reaction[i] == HEDGES:
                place = find_largest_position(owner + i, position, instruments, lot)
                if hedge_instrument[place] == MISSING:
                    reaction[i] = TRIMS
            if draw_one(i * N_CASH_FLOW_DRAWS + REACT_COLUMN, tick, key) < probability:
                measure_shortage(owner + i, assessed, pools, buffer, share[i], lacking[i])
                actors[n_actors[0]] = i
                n_actors[0] += 1
    return 0


@kernel
def find_short(owner: int, assessed: F8, pools: I8, buffer: float, is_short: B1) -> None:
    """Find the members, (A,) from an owner on, who have an account short of headroom."""
    is_short[:] = False
    here = slice(owner, owner + is_short.size)
    for pool in pools:
        initial, equity = assessed[pool, INITIAL, here], assessed[pool, EQUITY, here]
        for place in range(is_short.size):
            required = (1 + buffer) * initial[place]
            is_short[place] |= (initial[place] > 0) & (equity[place] < required)


@kernel
def keep_short(reaction: I8, is_flat: B1, is_short: B1) -> bool:
    """Drop the members without a position, (A,), and calm all but the rest; return if any is."""
    has_short = False
    for place in range(reaction.size):
        is_short[place] &= not is_flat[place]
        reaction[place] = reaction[place] if is_short[place] else CALM
        has_short |= is_short[place]
    return has_short


@kernel
def measure_shortage(
    owner: int, assessed: F8, pools: I8, buffer: float, share: F8, lacking: F8
) -> None:
    """Write what each account of a member has of the headroom that it requires, and lacks."""
    for j in range(pools.size):
        initial, equity = assessed[pools[j], INITIAL, owner], assessed[pools[j], EQUITY, owner]
        required = (1 + buffer) * initial
        share[j], lacking[j] = 1.0, 0.0
        if initial > 0 and equity < required:
            share[j], lacking[j] = equity / required, required - equity


@kernel
def find_largest_position(owner: int, position: I8, instruments: I8, lot: F8) -> int:
    """Return the index of an owner's largest position in units of the underlying."""
    largest, place = -1.0, 0
    for j in range(instruments.size):
        size = abs(position[instruments[j], owner] * lot[instruments[j]])
        if size > largest:
            largest, place = size, j
    return place


@kernel
def keep_orders(
    tick: int,
    owner: int,
    position: I8,
    instruments: I8,
    hedge_instrument: I8,
    lot: F8,
    reaction: I8,
    n_actors: I8,
    actors: I8,
    share: F8,
    kept_tick: I8,
    number: I8,
    table: I8,
) -> int:
    """Keep the orders of members who trim or hedge now; members who hedged trim next time.

    Args:
        tick: present tick.
        owner, position, instruments, hedge_instrument, lot, reaction, n_actors, actors, share: see
            :func:`react_to_shortages`.
        kept_tick, number, table: the orders, see ``agents.shared.capital.KeptOrders``.
    """
    kept_tick[0] = tick
    count = 0
    for i in actors[: n_actors[0]]:
        if reaction[i] != TRIMS:
            continue
        for j in range(instruments.size):
            held = position[instruments[j], owner + i]
            less = to_exact_one(np.ceil(abs(held) * (1 - np.maximum(share[i, j], 0.0))))
            if held != 0 and less != 0:
                table[count, 0], table[count, 1] = i, instruments[j]
                table[count, 2], table[count, 3] = -np.sign(held) * less, MARKET | REDUCE_ONLY
                count += 1
    for i in actors[: n_actors[0]]:
        if reaction[i] != HEDGES:
            continue
        place = find_largest_position(owner + i, position, instruments, lot)
        held, twin = instruments[place], hedge_instrument[place]
        exposure = position[held, owner + i] * lot[held] + position[twin, owner + i] * lot[twin]
        rest = 1 - min(max(share[i, place], 0.0), 1.0)
        less = to_exact_one(np.ceil(abs(exposure) * rest / lot[twin]))
        if exposure != 0 and less != 0:
            table[count, 0], table[count, 1] = i, twin
            table[count, 2], table[count, 3] = -int(np.sign(exposure)) * less, IOC
            reaction[i] = TRIMS
            count += 1
    number[0] = count
    return 0


@kernel
def top_up_accounts(
    tick: int,
    payments: I8,
    counters: I8,
    owner: int,
    venue: int,
    instruments: I8,
    wallet: I8,
    is_separate: int,
    first_instrument: I8,
    reaction: I8,
    n_actors: I8,
    actors: I8,
    lacking: F8,
    outside_cash: F8,
) -> int:
    """Deposit what wallets lack, up to the outside cash left, and move it into short accounts.

    Args:
        tick: present tick.
        payments, counters: payments of the step.
        owner: owner of the first member.
        venue: venue at which members trade.
        instruments: (m,) instruments that members trade.
        wallet: (N,) numeraire in wallets at the venue.
        is_separate: 1 if wallets are separate from margin accounts.
        first_instrument: (g,) index of the first instrument of each account.
        reaction, n_actors, actors, lacking: see :func:`react_to_shortages`.
        outside_cash: (n,) cash that members may still deposit.
    """
    for i in actors[: n_actors[0]]:
        if reaction[i] != TOPS_UP:
            continue
        total, held = 0, max(wallet[owner + i], 0) if is_separate else 0
        for j in first_instrument:
            total += to_exact_one(np.ceil(lacking[i, j]))
        left = np.floor(outside_cash[i])
        deposited = int(min(max(float(total - held), 0.0), left))
        outside_cash[i] -= deposited
        send_payment(payments, counters, owner + i, venue, MISSING, deposited, 0)
        if not is_separate:
            continue
        wanted, spent = 0, 0
        for j in first_instrument:
            wanted += to_exact_one(np.ceil(lacking[i, j]))
            moved = min(wanted, held + deposited) - spent
            send_payment(payments, counters, owner + i, venue, instruments[j], moved, 0)
            spent += moved
    return 0


@kernel
def replace_and_withdraw(
    tick: int,
    key: U8,
    payments: I8,
    counters: I8,
    owner: int,
    venue: int,
    position: I8,
    equity: F8,
    free_margin: F8,
    balance: I8,
    wallet_pools: I8,
    start_wealth: I8,
    bounds: F8,
    probabilities: F8,
    multiple: float,
    withdrawn_share: float,
    outside_cash: F8,
) -> int:
    """Replace ruined members by new ones, and let flat members withdraw large gains.

    Args:
        tick: present tick.
        key: key of the stream of draws.
        payments, counters: payments of the step.
        owner: owner of the first member.
        venue: venue at which members trade.
        position: (K, N) lots.
        equity, free_margin: (V, N) of owners.
        balance: (C, P, N) minor units.
        wallet_pools: (V,) number of the wallet's pool at each venue.
        start_wealth: (n, V) minor units.
        bounds: (2, n) wealth below which each is ruined, and from which it is rich.
        probabilities: (2,) of a replacement and of a withdrawal in a step.
        multiple: outside cash of a new member, times its wealth at the venue.
        withdrawn_share: share of its gains that a member withdraws.
        outside_cash: (n,) cash that members may still deposit.
    """
    wealth, is_due = np.empty(BLOCK), np.empty(BLOCK, dtype=np.bool_)
    for start in range(0, len(start_wealth), BLOCK):
        size = min(BLOCK, len(start_wealth) - start)
        find_flat_owners(owner + start, position, is_due[:size])
        sum_wealth(owner + start, equity, wealth[:size])
        if not find_due(bounds[:, start : start + size], wealth, is_due[:size]):
            continue
        for at in range(size):
            if not is_due[at]:  # a draw costs more than the rest
                continue
            i = start + at
            draw = draw_one(i * N_CASH_FLOW_DRAWS + ENTRY_EXIT_COLUMN, tick, key)
            if wealth[at] < bounds[0, i] and draw < probabilities[0]:
                outside_cash[i] = multiple * start_wealth[i, venue]
                for v in range(len(equity)):
                    lost = max(start_wealth[i, v] - np.floor(equity[v, owner + i]), 0.0)
                    amount = to_exact_one(lost)
                    send_payment(payments, counters, owner + i, v, MISSING, amount, 1)
            if wealth[at] >= bounds[1, i] and draw < probabilities[1]:
                for v in range(len(equity)):
                    held = float(balance[0, wallet_pools[v], owner + i])
                    free = min(free_margin[v, owner + i], held)
                    gain = withdrawn_share * max(equity[v, owner + i] - start_wealth[i, v], 0.0)
                    amount = to_exact_one(np.floor(min(gain, max(free, 0.0))))
                    send_payment(payments, counters, owner + i, v, MISSING, -amount, 0)
    return 0


@kernel
def sum_wealth(owner: int, equity: F8, wealth: F8) -> None:
    """Sum the equity of owners, (A,) from one on, at all venues."""
    wealth[:] = 0.0
    for v in range(len(equity)):
        seen = equity[v, owner : owner + wealth.size]
        for at in range(wealth.size):
            wealth[at] += seen[at]


@kernel
def find_due(bounds: F8, wealth: F8, is_due: B1) -> bool:
    """Keep only members who are ruined or rich, (A,); return whether there is one."""
    has_due = False
    for at in range(is_due.size):
        is_due[at] &= (wealth[at] < bounds[0, at]) | (wealth[at] >= bounds[1, at])
        has_due |= is_due[at]
    return has_due


@kernel
def find_flat_owners(owner: int, position: I8, flat: B1) -> None:
    """Find owners, (A,) from one on, who hold nothing."""
    flat[:] = True
    for k in range(len(position)):
        held = position[k, owner : owner + flat.size]
        for at in range(flat.size):
            flat[at] &= held[at] == 0

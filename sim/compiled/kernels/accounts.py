"""Kernels that assess accounts and show them to their owners (phases 4 and 7, MAR-1)."""

import numpy as np

from sim.compiled.arrays import N_FILLS, N_MOVES
from sim.compiled.kernels.cash import move_cash
from sim.compiled.kernels.equity import find_free_wallet_cash, value_accounts
from sim.compiled.program import JUMP
from sim.margin.rounding import round_up_amount
from sim.numerics.account_sums import BLOCK, add_values, copy_values, sum_pairwise
from sim.numerics.bound_kernels import call_bound
from sim.numerics.jit import kernel
from sim.recording.cause_stages import HAD_DEFICITS, HAS_PRICES
from sim.types import B1, F8, I8, MISSING

EQUITY, INITIAL, MAINTENANCE = range(3)
"""Rows of an assessment."""


@kernel
def assess_pool(
    tick: int,
    external: int,
    count: I8,
    initial: F8,
    maintenance: F8,
    addresses: I8,
    blocks: I8,
    balance: I8,
    pool: int,
    price: F8,
    position: I8,
    lot_value: F8,
    assessed: F8,
    sums: F8,
) -> int:
    """Assess every account of a pool; system accounts have no margin.

    Args:
        tick: present tick.
        external: first owner without margin.
        count, initial, maintenance: live accounts that the engine assesses.
        addresses, blocks: bound kernels of the engine.
        balance: (C, P, N) minor units.
        pool: number of the pool.
        price: (C,) minor units of the numeraire per minor unit.
        position: (K, N) lots.
        lot_value: (K,) minor units of the numeraire.
        assessed: (3, N) out, minor units of the numeraire.
        sums: (3,) out.
    """
    owners = count[0] = assessed.shape[1]
    for place in range(addresses.size):
        call_bound(addresses[place], tick, blocks[place])
    for start in range(0, owners, BLOCK):
        here = slice(start, min(start + BLOCK, owners))
        value_accounts(start, balance, pool, price, position, lot_value, assessed[EQUITY, here])
        round_up_amounts(initial[here], assessed[INITIAL, here])
        round_up_amounts(maintenance[here], assessed[MAINTENANCE, here])
    assessed[:, external:] = 0.0
    for row in range(3):
        sums[row] = sum_pairwise(assessed[row])
    return 0


@kernel
def round_up_amounts(amounts: F8, rounded: F8) -> None:
    """Round margins up to whole minor units, (A,); see :func:`round_up_amount`."""
    for place in range(rounded.size):
        rounded[place] = round_up_amount(amounts[place])


@kernel
def find_deficits(
    tick: int,
    assessed: F8,
    is_suppressed: int,
    had_deficits: I8,
    liquidatable_since: I8,
    bankrupt_since: I8,
) -> int:
    """Jump to the rounds where an account is below maintenance, or was with losses (LIQ-1).

    Without close-outs (``is_suppressed``) the tick since which it is below is all that changes.
    ``had_deficits`` are the counters of the pool's log of causes.
    """
    equity, maintenance = assessed[EQUITY], assessed[MAINTENANCE]
    is_below, is_dated, was_bankrupt = had_deficits[HAD_DEFICITS] != 0, False, False
    for owner in range(equity.size):
        is_below |= equity[owner] < maintenance[owner]
        is_dated |= liquidatable_since[owner] != MISSING
        was_bankrupt |= bankrupt_since[owner] != MISSING
    if is_below and not is_suppressed:
        return JUMP
    for owner in range(equity.size if is_below or is_dated else 0):
        if not equity[owner] < maintenance[owner]:
            liquidatable_since[owner] = MISSING
        elif liquidatable_since[owner] == MISSING:
            liquidatable_since[owner] = tick
    if was_bankrupt and not is_suppressed:
        for owner in range(bankrupt_since.size):
            bankrupt_since[owner] = MISSING
    return 0


@kernel
def skip_rounds(tick: int, counters: I8) -> int:
    """Jump over the rounds of a step in which no account is below maintenance."""
    counters[N_FILLS] = counters[N_MOVES] = 0
    return JUMP


@kernel
def log_assessment(
    tick: int,
    assessed: F8,
    log: I8,
    excess: F8,
    mark: F8,
    logged_mark: F8,
    price: F8,
    logged_price: F8,
) -> int:
    """Keep excess and prices of the last assessment, where attribution would begin (LIQ-6)."""
    for owner in range(excess.size):
        excess[owner] = assessed[EQUITY, owner] - assessed[MAINTENANCE, owner]
    copy_values(mark, logged_mark)
    copy_values(price, logged_price)
    log[HAS_PRICES], log[HAD_DEFICITS] = 1, 0
    return 0


@kernel
def view_joint_accounts(
    tick: int,
    external: int,
    assessed: F8,
    reserved: I8,
    quote_price: F8,
    equity: F8,
    free_margin: F8,
) -> int:
    """Show owners their equity and free margin where the wallet is the margin account."""
    seen, spare = assessed[EQUITY], free_margin[:external]
    sum_reserves(reserved, quote_price, spare)
    for owner in range(external):
        equity[owner] = seen[owner]
        spare[owner] = seen[owner] - assessed[INITIAL, owner] - spare[owner]
    return 0


@kernel
def sum_reserves(reserved: I8, quote_price: F8, total: F8) -> None:
    """Sum the reserves of orders over instruments, (A,) minor units of the numeraire."""
    total[:] = 0.0
    for k in range(quote_price.size):
        add_values(reserved[k], quote_price[k], total)


@kernel
def view_wallets(
    tick: int,
    external: int,
    balance: I8,
    wallet_pool: int,
    price: F8,
    equity: F8,
    free_margin: F8,
) -> int:
    """Show owners what their separate wallets hold; margin accounts are added after."""
    for owner in range(external):
        value = 0.0
        for asset in range(price.size):
            value += balance[asset, wallet_pool, owner] * price[asset]
        equity[owner] = value
        free_margin[owner] = find_free_wallet_cash(owner, balance, wallet_pool, price)
    return 0


@kernel
def add_accounts(
    tick: int,
    external: int,
    assessed: F8,
    reserved: I8,
    quote_price: F8,
    equity: F8,
    free_margin: F8,
) -> int:
    """Add the accounts of one pool to what owners see where wallets are separate."""
    for owner in range(external):
        total = 0.0
        for k in range(quote_price.size):
            total += reserved[k, owner] * quote_price[k]
        equity[owner] += assessed[EQUITY, owner]
        spare = assessed[EQUITY, owner] - assessed[INITIAL, owner] - total
        free_margin[owner] += np.maximum(spare, 0.0)
    return 0


@kernel
def find_max_leverage(
    tick: int,
    count: I8,
    position: I8,
    entry: I8,
    lot_value: F8,
    unit_value: I8,
    initial: F8,
    addresses: I8,
    blocks: I8,
    long: F8,
    short: F8,
) -> int:
    """Find the leverage that the engine admits for one lot of each instrument, either side."""
    instruments = lot_value.size
    count[0] = 2 * instruments
    for k in range(instruments):
        entry[k, k], entry[k, instruments + k] = unit_value[k], -unit_value[k]
    for place in range(addresses.size):
        call_bound(addresses[place], tick, blocks[place])
    for k in range(instruments):
        for side in range(2):
            required = initial[side * instruments + k]
            leverage = lot_value[k] / required if required > 0 else np.inf
            if side == 0:
                long[k] = leverage
            else:
                short[k] = leverage
    return 0


@kernel
def return_idle_margin(
    tick: int,
    is_margined: B1,
    member: I8,
    balance: I8,
    pool: int,
    wallet_pool: int,
    price: F8,
    position: I8,
    bids: I8,
    asks: I8,
    moves: I8,
    counters: I8,
    deposit: int,
) -> int:
    """Return the balances of solvent accounts without positions and orders to wallets (ISO-1).

    ``member`` (N,) is the owner whose wallet an account uses.
    """
    for owner in range(is_margined.size):
        value, is_idle = 0.0, is_margined[owner]
        for asset in range(price.size):
            value += balance[asset, pool, owner] * price[asset]
        for k in range(len(position)):
            is_idle &= position[k, owner] == 0 and bids[k, owner] == 0 and asks[k, owner] == 0
        if is_idle and value >= 0:
            for asset in range(price.size):
                amount = balance[asset, pool, owner]
                move_cash(
                    balance,
                    moves,
                    counters,
                    deposit,
                    owner,
                    member[owner],
                    pool,
                    wallet_pool,
                    asset,
                    amount,
                )
    return 0

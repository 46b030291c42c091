"""Loss layers applied to bankrupt accounts one after another, compiled (LOSS-1)."""

import numpy as np

from sim.numerics.jit import kernel
from sim.step.waterfall.cash_layers import share_loss, take_over
from sim.step.waterfall.legs import close_legs
from sim.step.waterfall.postings import (
    pay,
    settle_dues,
    update_accounts,
    write_event,
)
from sim.step.waterfall.tables import (
    BAD_DEBT,
    BEGUN,
    BUILT,
    COUNT,
    DONE,
    EQUITY,
    FIRST,
    FUND,
    FUND_OWNER,
    HAS_SEPARATE_WALLET,
    HOUSE,
    IS_ELIGIBLE,
    IS_MARGINED,
    IS_MOVED,
    LAYER,
    LAYER_KIND,
    MAKER,
    N_BUILT,
    N_FILLS,
    NEEDS_PLAIN_ACCOUNT,
    NEEDS_PLAIN_LAYER,
    NEEDS_QUEUE,
    NEEDS_WEIGHTS,
    PASSED,
    PLACE,
    PLAIN,
    PLAIN_FUND,
    PRO_RATA,
    QUEUE,
    REFUSED,
    SEEN,
    SHARE,
    SOCIALISED,
    WANTED,
    Accounts,
    Pool,
    Queues,
)
from sim.types import I8, MISSING


@kernel
def find_obstacle(pool: Pool, accounts: Accounts, queues: Queues, account: int) -> int:
    """Return what the present layer needs from Python before it can be applied, or DONE."""
    state, count = pool.state, pool.state[COUNT]
    kind = pool.layers[LAYER_KIND, state[LAYER]]
    if kind == PLAIN_FUND:
        fund, is_refused = state[FUND_OWNER], not state[IS_MOVED] and state[PLACE] < state[REFUSED]
        deficit = np.ceil(-accounts.money[EQUITY, account])
        most = pool.layers[SHARE, state[LAYER]] * accounts.money[SEEN, fund]
        return DONE if fund == MISSING or deficit > most or is_refused else NEEDS_PLAIN_LAYER
    if kind == PLAIN:
        return NEEDS_PLAIN_LAYER
    if state[IS_MOVED] and kind in (QUEUE, PRO_RATA):
        return NEEDS_WEIGHTS
    for k in range(count if kind == QUEUE else 0):
        held = accounts.position[state[FIRST] + k, account]
        number, is_built = 2 * (state[LAYER] * count + k) + (1 if held > 0 else 0), held == 0
        for place in range(state[N_BUILT]):
            is_built = is_built or queues.heads[BUILT, place] == number
        if not is_built:
            state[WANTED] = number
            return NEEDS_QUEUE
    return DONE


@kernel
def collect_dues(pool: Pool, accounts: Accounts, queues: Queues, account: int, payers: I8) -> int:
    """Collect what payers owe, update them, the account and the fund, and return the sum.

    If a large part of the accounts pays, queues are built again when they are needed.
    """
    state, flags, fund = pool.state, accounts.flags, pool.state[FUND_OWNER]
    paid = settle_dues(pool, accounts, account, payers)
    if payers.size > max(64, flags.shape[1] // 16):
        state[N_BUILT] = 0
    # a fund with a separate wallet can pay again after its own account was bankrupt
    is_fund_back = (
        state[HAS_SEPARATE_WALLET] == 1
        and not flags[IS_ELIGIBLE, fund]
        and flags[IS_MARGINED, fund]
        and accounts.money[SEEN, fund] > 0
    )
    own = np.empty(2, dtype=np.int64)
    own[0], own[1] = account, fund
    update_accounts(pool, accounts, queues, payers)
    update_accounts(pool, accounts, queues, own if is_fund_back else own[:1])
    return paid


@kernel
def run_waterfall(
    pool: Pool, accounts: Accounts, queues: Queues, turns: I8, fills: I8, events: I8
) -> tuple[int, I8, I8]:
    """Apply the layers to the bankrupt accounts until all are done or Python is needed.

    Args:
        pool: terms and state.
        accounts: in place.
        queues: in place.
        turns: (n, 1 + K) bankrupt accounts in order, and the weights of their legs.
        fills: (6, m) table to write.
        events: (m, FIRST_LOTS + 2 K) table to write.

    Returns:
        The reason for the return, and the tables, which may have grown.
    """
    state, equity, whole = pool.state, accounts.money[EQUITY], accounts.whole
    while state[PLACE] < len(turns):
        account = turns[state[PLACE], 0]
        if state[LAYER] == 0 and not state[IS_MOVED]:
            if account == state[FUND_OWNER] and state[BEGUN] != state[PLACE] + 1:
                return NEEDS_PLAIN_ACCOUNT, fills, events
            accounts.flags[IS_ELIGIBLE, account] = False
        while state[LAYER] < pool.layers.shape[1] and equity[account] < 0:
            need = find_obstacle(pool, accounts, queues, account)
            if need != DONE:
                return need, fills, events
            first, deficit = state[N_FILLS], int(np.ceil(-equity[account]))
            kind, payers, absorbed = pool.layers[LAYER_KIND, state[LAYER]], whole[PASSED, :0], 0
            if kind == FUND:
                fills, absorbed = take_over(pool, accounts, account, deficit, fills)
                payers = whole[PASSED, : 1 if absorbed else 0]
            elif kind == SOCIALISED:
                payers = whole[PASSED, : share_loss(pool, accounts, deficit)]
            elif kind == BAD_DEBT:
                absorbed = deficit
                pay(pool, accounts, state[HOUSE], account, 0, deficit, True)
            elif kind in (QUEUE, PRO_RATA):
                fills = close_legs(pool, accounts, queues, turns, deficit, fills)
                payers = fills[MAKER, first : state[N_FILLS]]
            if payers.size or absorbed:
                absorbed += collect_dues(pool, accounts, queues, account, payers)
                state[IS_MOVED] = 1
                events = write_event(pool, events, account, deficit, absorbed, fills, first)
            state[LAYER] += 1
        state[PLACE] += 1
        state[LAYER] = state[IS_MOVED] = 0
    return DONE, fills, events

"""Arrays that the kernels of the loss waterfall share.

Few large tables are passed instead of many columns, because numba compiles calls with few arrays
several times faster. Axes: N owners, C assets, P pools, K instruments of the pool, L layers, T
queues. The queue of a layer, an instrument and a side has the number
``2 * (layer * K + instrument) + side``; side 1 holds short counterparties, side 0 long ones.
"""

from typing import NamedTuple

from sim.types import B1, F8, I8

FUND, QUEUE, PRO_RATA, SOCIALISED, BAD_DEBT, PLAIN, PLAIN_FUND = range(7)
"""Kinds of layer. BAD_DEBT is after the last. PLAIN has no kernel and is applied in Python.
PLAIN_FUND is the fund's layer under margins that have no kernel."""

BITMEX, BINANCE, HYPERLIQUID = range(3)
"""Scores of queues."""

POOL, WALLET, FIRST, COUNT, FUND_OWNER, HOUSE, HAS_SEPARATE_WALLET = range(7)
"""Constants in ``Pool.state``: number of the pool and of the pool of wallets, global number of the
first instrument, K, owners of the insurance fund (or MISSING) and of the venue's equity, 1 if the
fund's wallet is not in this pool."""

KEEPS_MAINTENANCE, KEEPS_PROFIT = 7, 8
"""Constants in ``Pool.state``: 1 if layers need maintenance and profit of changed accounts."""

(PLACE, LAYER, IS_MOVED, N_CHANGED, N_BUILT, WANTED, N_FILLS, N_EVENTS, REFUSED, BEGUN) = range(
    9, 19
)
"""Variables in ``Pool.state``: place in the order of bankrupt accounts and number of the layer, 1
if the account's legs have changed since its weights were computed, numbers of accounts in CHANGED,
of queues in BUILT, a queue to build, numbers of fills and events, and the place before which the
fund as it is cannot take accounts over, and the place after that of a bankrupt fund whose turn has
begun."""

STATE_SIZE = 19

MARK, UNIT_VALUE, LOT_VALUE, EVENT_VALUE, ASSET_PRICE = range(5)
"""Rows of ``Pool.legs``: mark (ticks), value of a lot at the mark in the settle asset, in the
numeraire, the same with factors in the order in which events are recorded, and the price of the
settle asset (minor units)."""

SETTLE, KIND, MULTIPLIER = range(3)
"""Rows of ``Pool.terms``, as in `sim.types.Contracts`, and, behind row POOL, of ``Pool.listed``."""

LAYER_KIND, CHOICE, SHARE = range(3)
"""Rows of ``Pool.layers``: kind; score of a queue, or 1 for the profit alternative of other kinds;
largest deficit of a take-over as a share of the fund's equity."""

EQUITY, SEEN, MAINTENANCE, PROFIT, POINTS = range(5)
"""Rows of ``Accounts.money``: equity and maintenance as assessed, equity that layers see (the
fund's includes a separate wallet), unrealised profit, scratch for scores."""

IS_MARGINED, IS_ELIGIBLE, IS_CHANGED = range(3)
"""Rows of ``Accounts.flags``: owners whom margin rules bind, accounts that can pay, accounts listed
in CHANGED."""

DUES, CHANGED, PASSED = range(3)
"""Rows of ``Accounts.whole``: payments of the present layer (zero between layers), list of accounts
changed since the last flush, scratch list."""

LEFT, RIGHT, MOST, MEANS = range(4)
"""Columns of ``Queues.nodes``: children or MISSING, the largest means in the subtree, and the
account's own: equity that it can pay, whole minor units."""

ROOT, BUILT, PATH = range(3)
"""Rows of ``Queues.heads``: roots or MISSING, list of queues that exist, scratch for a path."""

TAKER, MAKER, TRADED, LOTS, TICKS, CAUSE = range(6)
"""Rows of a table of fills, as the columns of `sim.types.Fills`."""

ACCOUNT, EVENT_LAYER, SHORTFALL, ABSORBED, FIRST_LOTS = range(5)
"""Columns of a table of events; lots and notional of each instrument follow, 2 K in all."""

DONE, NEEDS_PLAIN_ACCOUNT, NEEDS_PLAIN_LAYER, NEEDS_WEIGHTS, NEEDS_QUEUE = range(5)
"""Reasons why the kernel returns."""


class Pool(NamedTuple):
    """Terms of a pool, and the state of its waterfall."""

    state: I8  # (STATE_SIZE,)
    legs: F8  # (5, K)
    terms: I8  # (3, K)
    listed: I8  # (3, all instruments) pool, settle asset, multiplier
    price: F8  # (C,) minor units of the numeraire per minor unit of each asset
    layers: F8  # (3, L + 1) the last is BAD_DEBT
    brackets: F8  # (5, K, tiers) of `sim.margin.tiers.tiered.TieredMargin`; no tiers = none
    factors: F8  # (n, 2) of `sim.margin.tiers.brackets.BracketTable`


class Accounts(NamedTuple):
    """Accounts of the pool."""

    balance: I8  # (C, P, N) of the ledger
    position: I8  # (all instruments, N) of the ledger
    entry: I8  # (all instruments, N) of the ledger
    money: F8  # (5, N)
    flags: B1  # (3, N)
    whole: I8  # (3, N)
    net: I8  # (C, 2, N) net cash paid since the last flush, from the pool and from the wallet


class Queues(NamedTuple):
    """Treaps of the counterparties of each side, in the order of the queue."""

    nodes: I8  # (T, N, 4)
    score: F8  # (T, N) score, NaN for accounts that are not in the queue
    heads: I8  # (3, at least T)

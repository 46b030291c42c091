"""Admission of one account under tiered brackets and cash valuation, compiled (MAR-1).

:meth:`sim.margin.engine.MarginEngine.assess_admission` states the same rule for all requirements
and valuations, and a test checks that both agree to the last bit. A kernel that admits orders calls
:func:`compute_shortages` for all accounts, and once per order of an account that lacks margin.
"""

from typing import NamedTuple

import numpy as np

from sim.margin.engine import MarginEngine, round_up_amount
from sim.margin.fills import compute_entry_value
from sim.margin.tiers.tiered import TieredMargin, compute_leg_initial
from sim.margin.valuations.cash import CashValuation
from sim.margin.wrappers.compressed import CompressionMargin
from sim.margin.wrappers.rescaled import RescaledMargin
from sim.numerics.account_sums import pick_worse_side
from sim.numerics.jit import kernel
from sim.types import F8, I8, SPOT

HELD, ENTRY, BIDS, ASKS, RESERVED, FILLED = range(6)
"""Rows of an account, one column for each instrument of the pool: lots held and their entry value;
lots to buy, lots to sell and minor units reserved, by all its orders; and room for the lots after
fills."""

LOT_VALUE, SETTLE_PRICE, FILL_VALUE, SETTLE, IS_SPOT = range(5)
"""Columns of an instrument's terms: value of a lot and of a minor unit of its settle asset, minor
units of the numeraire; what a lot costs at the mark, whole minor units of the settle asset; number
of that asset; and one for spot, zero for others."""


class TieredTerms(NamedTuple):
    """Parameters of an engine with tiered brackets, times a factor, and cash valuation."""

    table: F8  # (5, K, T) as in :class:`sim.margin.tiers.tiered.TieredMargin`
    factor: float  # multiplier of margins (ratio)
    is_separable: bool  # True if each spot instrument is tried alone, else all combinations are


def find_tiered_terms(engine: MarginEngine) -> TieredTerms | None:
    """Return the parameters of an engine that :func:`compute_shortages` covers, or None."""
    requirement, factor = engine.requirement, 1.0
    if isinstance(requirement, RescaledMargin | CompressionMargin):
        factor, requirement = float(requirement.factor), requirement.inner
    if type(requirement) is not TieredMargin or type(engine.valuation) is not CashValuation:
        return None
    return TieredTerms(requirement.table, factor, engine.is_separable)


@kernel
def list_terms(first: int, mark: F8, multiplier: I8, price: F8, settle: I8, kind: I8) -> F8:
    """Return the terms of a pool's instruments at their marks, (k, 5): see LOT_VALUE.

    Args:
        first: number of the pool's first instrument.
        mark: (k,) ticks, of the pool's instruments.
        multiplier: (K,) minor units per tick and lot, of all instruments, as ``settle`` and
            ``kind``.
        price: (C,) of assets.
    """
    terms = np.empty((mark.size, 5))
    for k in range(mark.size):
        terms[k, SETTLE_PRICE] = price[settle[first + k]]
        terms[k, FILL_VALUE] = np.int64(mark[k] * multiplier[first + k])
        terms[k, LOT_VALUE] = mark[k] * multiplier[first + k] * terms[k, SETTLE_PRICE]
        terms[k, SETTLE] = settle[first + k]
        terms[k, IS_SPOT] = kind[first + k] == SPOT
    return terms


@kernel
def compute_shortages(
    begin: int,
    end: int,
    account: I8,
    cash: I8,
    chosen: F8,
    max_lots: I8,
    price: F8,
    terms: F8,
    table: F8,
    factor: float,
    is_separable: bool,
    shortage: F8,
) -> None:
    """Write initial margin less equity of accounts once their orders have filled, minor units.

    The worst of the portfolios counts that admission must cover. It is infinite if a fill could
    take a position beyond the largest allowed. The loop over accounts is here, because numba counts
    references to arrays in each call.

    Args:
        begin: first row of the accounts; ``end``: one beyond the last.
        account: (R, 6, k) see HELD; FILLED is overwritten.
        cash: (R, C) balances, minor units.
        chosen: (R, k) leverage that owners chose, inf = the venue's.
        max_lots: (k,) largest position of one account.
        price: (C,) of assets.
        terms: (k, 5) see :func:`list_terms`.
        table: (5, k, T), ``factor`` and ``is_separable``: see :class:`TieredTerms`.
        shortage: (R,) written from ``begin`` to ``end``.
    """
    for row in range(begin, end):
        equity, reserved, n_combinations = 0.0, 0.0, 1
        is_chosen = is_oversized = False
        for asset in range(price.size):
            equity += cash[row, asset] * price[asset]
        for k in range(len(terms)):
            held, bids, asks = account[row, HELD, k], account[row, BIDS, k], account[row, ASKS, k]
            is_oversized |= held + bids > max_lots[k] or asks - held > max_lots[k]
            equity += held * terms[k, LOT_VALUE]
            reserved += account[row, RESERVED, k] * terms[k, SETTLE_PRICE]
            account[row, FILLED, k] = pick_worse_side(held, bids, asks)
            is_chosen |= chosen[row, k] < np.inf
            if terms[k, IS_SPOT] != 0 and (bids != 0 or asks != 0):
                n_combinations *= 2
        n_trials, initial = n_combinations, 0.0
        if is_separable and n_combinations > 1:
            n_trials = 2 if is_chosen else 1
        for trial in range(n_trials):
            if n_combinations > 1 and is_separable:
                _fill_costlier_spots(row, account, chosen, terms, table, factor, trial == 1)
            elif n_combinations > 1:
                _fill_spots(row, account, terms, trial)
            needed = _compute_initial(row, account, cash, chosen, price, terms, table, factor)
            initial = max(initial, needed)
        shortage[row] = np.inf if is_oversized else initial - (equity - reserved)


@kernel
def _fill_spots(row: int, account: I8, terms: F8, sides: int) -> None:
    """Fill one side of each spot's orders; the bits of ``sides`` are ones for sales."""
    for k in range(len(terms)):
        held, bids, asks = account[row, HELD, k], account[row, BIDS, k], account[row, ASKS, k]
        if terms[k, IS_SPOT] != 0 and (bids != 0 or asks != 0):
            account[row, FILLED, k] = held - asks if sides & 1 else held + bids
            sides >>= 1


@kernel
def _fill_costlier_spots(
    row: int, account: I8, chosen: F8, terms: F8, table: F8, factor: float, by_choice: bool
) -> None:
    """Fill the side of each spot's orders that requires more.

    With ``by_choice`` the margin is that of the chosen leverage, otherwise that of the rules.
    """
    for k in range(len(terms)):
        is_spot = terms[k, IS_SPOT] != 0
        if not is_spot:
            continue
        held, entry, leverage = account[row, HELD, k], account[row, ENTRY, k], chosen[row, k]
        bought, sold = held + account[row, BIDS, k], held - account[row, ASKS, k]
        value, settle_price, fill = (
            terms[k, LOT_VALUE],
            terms[k, SETTLE_PRICE],
            terms[k, FILL_VALUE],
        )
        if by_choice:
            of_bought = _compute_chosen_margin(
                bought, held, entry, leverage, is_spot, value, settle_price, fill
            )
            of_sold = _compute_chosen_margin(
                sold, held, entry, leverage, is_spot, value, settle_price, fill
            )
        else:
            scaled = leverage * factor
            of_bought = factor * compute_leg_initial(max(-bought, 0) * value, scaled, table, k)
            of_sold = factor * compute_leg_initial(max(-sold, 0) * value, scaled, table, k)
            of_bought += max(bought * value, 0.0)
            of_sold += max(sold * value, 0.0)
        account[row, FILLED, k] = sold if of_sold > of_bought else bought


@kernel
def _compute_chosen_margin(
    now: int,
    held: int,
    entry: int,
    leverage: float,
    is_spot: bool,
    lot_value: float,
    settle_price: float,
    fill_value: float,
) -> float:
    """Return a position ÷ the leverage chosen for it, at the smaller of entry value and mark."""
    after = compute_entry_value(held, entry, now, int(fill_value))
    margined = max(-now, 0) if is_spot else abs(now)
    return np.divide(min(abs(after) * settle_price, margined * lot_value), leverage)


@kernel
def _compute_initial(
    row: int,
    account: I8,
    cash: I8,
    chosen: F8,
    price: F8,
    terms: F8,
    table: F8,
    factor: float,
) -> float:
    """Return the initial margin of the portfolio FILLED, with its haircut, whole minor units.

    The haircut is the value of everything but cash after the fills are paid at the mark.
    """
    disallowed, owned, margin, least = 0.0, 0.0, 0.0, 0.0
    for asset in range(1, price.size):
        amount, worth = cash[row, asset], 0.0
        for k in range(len(terms)):
            if terms[k, SETTLE] == asset:
                now = account[row, FILLED, k]
                amount -= np.int64(terms[k, FILL_VALUE]) * (now - account[row, HELD, k])
                if terms[k, IS_SPOT] == 0:
                    worth += now * terms[k, LOT_VALUE]
        disallowed += max(amount * price[asset] + worth, 0.0)
    for k in range(len(terms)):
        now, leverage, is_spot = account[row, FILLED, k], chosen[row, k], terms[k, IS_SPOT] != 0
        if is_spot:
            owned += max(now * terms[k, LOT_VALUE], 0.0)
        notional = (max(-now, 0) if is_spot else abs(now)) * terms[k, LOT_VALUE]
        leg = max(np.divide(notional, leverage * factor), 0.0)  # as compute_leg_initial does
        for t in range(table.shape[2]):
            above = notional if notional > table[4, k, t] else 0.0
            leg = max(leg, above * table[0, k, t] - table[1, k, t])
            leg = max(leg, above * table[2, k, t] - table[3, k, t])
        margin += leg
        if leverage < np.inf:
            least += _compute_chosen_margin(
                now,
                account[row, HELD, k],
                account[row, ENTRY, k],
                leverage,
                is_spot,
                terms[k, LOT_VALUE],
                terms[k, SETTLE_PRICE],
                terms[k, FILL_VALUE],
            )
    return max(round_up_amount(disallowed + owned + factor * margin), round_up_amount(least))

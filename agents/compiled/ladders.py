"""Kernels of makers' ladders (AGT-2): inventories, offsets of the quotes, and orders."""

from typing import NamedTuple, Self

import numpy as np

from agents.compiled.leveraged import respond_to_leverage
from sim.compiled.kernels.orders import send_order
from sim.numerics.jit import kernel
from sim.types import F8, I8


class QuoteArrays(NamedTuple):
    """Quotes under way, of the members due to quote in a step; n members, m instruments.

    Rows of the tables are those of ``rows``, so that only the first ``n_rows`` are in use.
    """

    rows: I8  # (n,) members due
    n_rows: I8  # (1,)
    fair: F8  # (m,) ticks
    vol: F8  # (m,) annualised volatility of the oracle
    inventory: F8  # (n, m) share of the largest position, -1 to 1
    lean: F8  # (n, m) inventory that shifts prices; `inventory` itself unless a book links them
    elsewhere: F8  # (n, m) inventory elsewhere that uses up the limit, share of it
    shift: F8  # (n, m) of the fair price, share
    half: F8  # (n, m) innermost distance, share of the fair price

    @classmethod
    def allocate(cls, members: int, instruments: int, *, is_linked: bool = False) -> Self:
        """Return arrays for some members and instruments, which a book may link."""
        inventory, elsewhere, shift, half = np.zeros((4, members, instruments))
        return cls(
            np.zeros(members, dtype=np.int64),
            np.zeros(1, dtype=np.int64),
            np.zeros(instruments),
            np.zeros(instruments),
            inventory,
            np.zeros_like(inventory) if is_linked else inventory,
            elsewhere,
            shift,
            half,
        )


@kernel
def track_basis(tick: int, updated: I8, basis: F8, weight: float, average: F8) -> None:
    """Update the moving average of the basis in place, once a tick, where the basis is finite.

    Args:
        tick: present tick.
        updated: (1,) tick of the last update.
        basis: (m,) mark over oracle less one.
        weight: weight of the newest basis.
        average: (m,) share.
    """
    if updated[0] == tick:
        return
    updated[0] = tick
    for m in range(average.size):
        if np.isfinite(basis[m]):
            average[m] = average[m] + weight * (basis[m] - average[m])


@kernel
def compute_whole_lots(
    notional: float, lot: float, vol: float, calm: float, exponent: float
) -> float:
    """Return the lots of one side of a ladder when neither capital nor inventory binds.

    Args:
        notional: of the side, minor units of the numeraire.
        lot: value of one lot, minor units of the numeraire.
        vol: annualised volatility.
        calm: volatility up to which a ladder is whole.
        exponent: power of calm over volatility with which it shrinks.
    """
    lots = notional / lot if lot > 0 else 0.0
    return lots * (calm / np.fmax(vol, calm)) ** exponent


@kernel
def compute_side_lots(
    whole: float, capital: float, inventory: float, elsewhere: float, held: int, turn: int
) -> float:
    """Return the lots that one side quotes at an inventory.

    Room and capital limit the side that adds to inventory. The side that reduces it is quoted
    whatever the capital.

    Args:
        whole: lots when neither capital nor inventory binds.
        capital: share that capital allows.
        inventory: share of the largest position, -1 to 1.
        elsewhere: share of the largest position that other instruments use up, not negative.
        held: lots held.
        turn: 1 for bids, -1 for offers.
    """
    used = elsewhere + np.maximum(turn * inventory, 0.0)
    adding = whole * capital * (1 - np.minimum(used, 1.0))
    reducing = np.minimum(whole, max(-turn * held, 0))
    return np.maximum(adding, reducing)


@kernel
def fill_levels(
    fair: float,
    half: float,
    depth: float,
    side: int,
    distance: F8,
    share: F8,
    highest: int,
    quantity: I8,
    limit: I8,
) -> None:
    """Fill signed lots and limits of one side, both (levels,); zero lots where none is quoted.

    Bids round down and offers round up. Prices outside the admissible range are not quoted.

    Args:
        fair: fair price, ticks.
        half: innermost distance, share of it.
        depth: lots of all levels.
        side: 0 for bids, 1 for offers.
        distance: (levels,) from the fair price, in innermost distances.
        share: (levels + 1,) cumulative share of the depth.
        highest: largest price, ticks.
        quantity, limit: out.
    """
    turn, before = 1.0 - 2.0 * side, np.floor(depth * share[0])
    for level in range(distance.size):
        price = turn * np.floor(turn * (fair * (1 - turn * (half * distance[level]))))
        filled = np.floor(depth * share[level + 1])
        lots, before = filled - before, filled
        is_quoted = 1 <= price <= highest and np.isfinite(lots)
        quantity[level] = np.int64(turn * lots) if is_quoted else 0
        limit[level] = np.int64(price) if is_quoted else 1


@kernel
def prepare_quotes(
    tick: int,
    period: I8,
    phase: I8,
    instruments: I8,
    mark: F8,
    oracle: F8,
    underlying: I8,
    tick_size: F8,
    volatility: F8,
    lot_value: F8,
    updated: I8,
    update_weight: float,
    average: F8,
    basis_weight: float,
    position: I8,
    first: int,
    capital: F8,
    max_inventory: float,
    rows: I8,
    n_rows: I8,
    fair: F8,
    vol: F8,
    inventory: F8,
) -> int:
    """Find fair prices, the members due to quote, and their inventories.

    Args:
        tick: present tick.
        period, phase: (n,) steps between ladders, and offset.
        instruments: (m,) global numbers.
        mark, tick_size, volatility, lot_value, underlying: (K,) of all instruments.
        oracle: (U,) quote currency, of the venue.
        updated, update_weight, average: see :func:`track_basis`.
        basis_weight: share of the average in the fair price.
        position: (K, N) lots.
        first: owner of the first member.
        capital: (n,) equity against which inventory is measured, minor units of the numeraire.
        max_inventory: largest position, times capital.
        rows, n_rows, fair, vol, inventory: out, see :class:`QuoteArrays`.
    """
    basis = np.empty(instruments.size)
    for m in range(instruments.size):
        k = instruments[m]
        fair[m], vol[m] = oracle[underlying[k]] / tick_size[k], volatility[k]
        basis[m] = mark[k] / fair[m] - 1
    track_basis(tick, updated, basis, update_weight, average)
    for m in range(instruments.size):
        fair[m] = fair[m] * (1 + basis_weight * average[m])
    count = 0
    for i in range(period.size):
        if (tick + phase[i]) % period[i]:
            continue
        most = max_inventory * np.maximum(capital[i], 0.0)
        for m in range(instruments.size):
            k = instruments[m]
            held = position[k, first + i]
            filled = held * lot_value[k] / most if most > 0 else float(np.sign(held))
            inventory[count, m] = np.minimum(np.maximum(filled, -1.0), 1.0)
        rows[count] = i
        count += 1
    n_rows[0] = count
    return 0


@kernel
def offset_by_half_spreads(
    tick: int,
    rows: I8,
    n_rows: I8,
    vol: F8,
    lean: F8,
    spread_factor: F8,
    sqrt_years: F8,
    least: float,
    per_deviation: float,
    skew: float,
    shift: F8,
    half: F8,
) -> int:
    """Shift quotes by half-spreads; see ``agents.makers.MarketMakers.compute_quote_offsets``."""
    for r in range(n_rows[0]):
        for m in range(vol.size):
            distance = np.fmax(least, per_deviation * sqrt_years[m] * vol[m])
            half[r, m] = distance * spread_factor[rows[r]]
            shift[r, m] = -skew * lean[r, m] * half[r, m]
    return 0


@kernel
def offset_by_reservation(
    tick: int,
    rows: I8,
    n_rows: I8,
    vol: F8,
    lean: F8,
    aversion: F8,
    fill_spread: F8,
    horizon: F8,
    most_fills: float,
    shift: F8,
    half: F8,
) -> int:
    """Shift quotes to the reservation price of Avellaneda and Stoikov.

    See ``agents.avellaneda_stoikov.AvellanedaStoikov.compute_quote_offsets``.

    Args:
        tick: present tick.
        rows, n_rows, vol, lean: see :class:`QuoteArrays`.
        aversion: (n,) gamma of each member.
        fill_spread: (n,) part of the spread that does not depend on variance.
        horizon: (m,) years.
        most_fills: fills in the largest position.
        shift, half: out.
    """
    for r in range(n_rows[0]):
        gamma = aversion[rows[r]]
        for m in range(vol.size):
            variance = vol[m] * vol[m] * horizon[m]
            shift[r, m] = -(lean[r, m] * most_fills) * gamma * variance
            half[r, m] = (gamma * variance + fill_spread[rows[r]]) / 2
    return 0


@kernel
def send_ladders(
    tick: int,
    orders: I8,
    counters: I8,
    kind: int,
    latency: int,
    instruments: I8,
    max_price: I8,
    lot_value: F8,
    position: I8,
    first: int,
    capital: F8,
    free_margin: F8,
    target: float,
    price_bias: F8,
    depth_factor: F8,
    depth_share: F8,
    notional_share: float,
    calm: float,
    exponent: float,
    distance: F8,
    share: F8,
    max_leverage: F8,
    reference: float,
    elasticity: float,
    rows: I8,
    n_rows: I8,
    fair: F8,
    vol: F8,
    inventory: F8,
    lean: F8,
    elsewhere: F8,
    shift: F8,
    half: F8,
    quantity: I8,
    limit: I8,
) -> int:
    """Send the ladders of the members due to quote; zero lots cancel the slot.

    Args:
        tick: present tick.
        orders, counters: of the step.
        kind, latency: of all orders.
        instruments: (m,) global numbers.
        max_price, lot_value: (K,) ticks, and minor units of the numeraire.
        position: (K, N) lots.
        first: owner of the first member.
        capital, free_margin: (n,) minor units of the numeraire.
        target: headroom below which ladders shrink, share of capital; inf = they never do.
        price_bias, depth_factor: (n,) traits.
        depth_share: (T + 1,) share of normal depth at each tick.
        notional_share: notional of one side of an instrument over capital.
        calm, exponent: see :func:`compute_whole_lots`.
        distance, share: see :func:`fill_levels`.
        max_leverage: (K,) highest leverage that the engine admits.
        reference, elasticity: response of depth to it, see
            ``agents.compiled.leveraged.respond_to_leverage``.
        rows, n_rows, fair, vol, inventory, lean, elsewhere, shift, half: see
            :class:`QuoteArrays`.
        quantity, limit: (levels,) scratch.
    """
    for r in range(n_rows[0]):
        i = rows[r]
        equity = np.maximum(capital[i], 0.0)
        allowed = share_of_capital(free_margin[i], equity, target)
        notional = notional_share * (equity * depth_factor[i])
        for m in range(instruments.size):
            k = instruments[m]
            held = position[k, first + i]
            shifted = fair[m] * (1 + (price_bias[i] * half[r, m] + shift[r, m]))
            whole = compute_whole_lots(notional, lot_value[k], vol[m], calm, exponent)
            response = respond_to_leverage(max_leverage[k], reference, elasticity)
            whole = whole * depth_share[tick] * response
            for side in range(2):
                lots = compute_side_lots(
                    whole, allowed, inventory[r, m], elsewhere[r, m], held, 1 - 2 * side
                )
                fill_levels(
                    shifted, half[r, m], lots, side, distance, share, max_price[k], quantity, limit
                )
                for level in range(distance.size):
                    slot = side * distance.size + level
                    send_order(
                        orders,
                        counters,
                        first + i,
                        k,
                        quantity[level],
                        limit[level],
                        kind,
                        slot,
                        latency,
                    )
    return 0


@kernel
def share_of_capital(headroom: float, equity: float, target: float) -> float:
    """Return the share of a ladder that capital allows, from zero to one.

    Args:
        headroom: free margin, minor units of the numeraire.
        equity: minor units of the numeraire.
        target: headroom below which ladders shrink, share of equity; inf = they never do.
    """
    if target == np.inf:
        return 1.0
    least = target * equity
    allowed = headroom / least if least > 0 else 0.0
    return np.minimum(np.maximum(allowed, 0.0), 1.0)

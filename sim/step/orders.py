"""Decisions: orders of all populations and of the outside, in order of arrival."""

import math

import numpy as np

from sim.numerics.jit import kernel
from sim.state import MarketState
from sim.types import (
    F8,
    I8,
    LEVERAGE_STEP,
    LIMIT,
    MARKET,
    MISSING,
    NO_LEVERAGE_CHOSEN,
    REDUCE_ONLY,
    Orders,
)
from sim.venue import Venue

DRAW_BITS, PLACE_BITS = 36, 22
"""An arrival key is latency class, then a uniform draw of the owner, then the place in what was sent (RNG-1)."""


def collect_orders(market: MarketState) -> tuple[I8, I8]:
    """All orders of this step in order of arrival, those of the outside first.

    Returns:
        Orders packed for the books, (n, 8), and the leverage that each chooses, (n,) hundredths, empty where none does.
    """
    outlook, everybody = (
        market.build_observation(),
        market.account_view(slice(0, market.external_owner)),
    )
    batches, latency = [_quote_spot(market)], [0]
    for population, members in zip(market.populations, market.member_slices, strict=True):
        draws = market.streams.draw_uniform(
            f"decide/{population.name}", market.tick, population.count, population.n_decision_draws
        )
        orders = population.decide(outlook, everybody.take(members), draws)
        batches.append(orders._replace(owner=orders.owner + members.start))
        latency.append(population.latency)
    classes = np.repeat(np.array(latency, dtype=np.int64), [batch.owner.size for batch in batches])
    orders = Orders.join(batches)
    if market.is_retired.any():
        stay = np.append(~market.is_retired, True)[orders.owner]
        orders, classes = orders.take(stay), classes[stay]
    keys = np.sort(
        make_arrival_keys(market, orders.owner, classes)
    )  # distinct, and the low bits are the order's place
    for venue in market.venues:
        _set_bands(market.price_bands, venue)
    mark = market.mark_prices()
    places = keys & ((1 << PLACE_BITS) - 1)
    chosen = orders.leverage[places] if orders.leverage.any() else NO_LEVERAGE_CHOSEN
    _refuse_leverage(orders, chosen, places)
    packed = pack_orders(
        *orders[:-1],
        places,
        mark,
        market.price_bands,
        market.contracts.multiplier,
        market.highest_fee,
    )
    return packed, chosen


def _refuse_leverage(orders: Orders, chosen: I8, places: I8) -> None:
    """Refuse a leverage below one: nothing is margined with more than it costs.

    Raises:
        ValueError: an order chooses such a leverage.
    """
    wrong = np.flatnonzero((chosen != 0) & (chosen < round(1 / LEVERAGE_STEP)))
    if wrong.size:
        row = int(places[wrong[0]])
        raise ValueError(
            f"orders: owner {orders.owner[row]} chooses leverage {orders.leverage[row]} in instrument "
            f"{orders.instrument[row]}; it is in hundredths, give 100 or more, or 0 to leave it as it is"
        )


def make_arrival_keys(market: MarketState, owner: I8, latency: I8) -> I8:
    """One distinct key per order, addressed by owner and step (RNG-1, BOOK-2).

    Raises:
        ValueError: more orders than places; keys would no longer be distinct, and orders be lost.
    """
    if owner.size > 1 << PLACE_BITS:
        raise ValueError(
            f"step {market.tick}: {owner.size} orders, no more than {1 << PLACE_BITS} fit into one step"
        )
    draws = market.streams.draw_uniform("arrival", market.tick, market.n_owners, 1)[:, 0]
    return _pack_arrival_keys(draws, owner, latency, market.external_owner)


@kernel
def _pack_arrival_keys(draws: F8, owner: I8, latency: I8, outside: int) -> I8:
    """Latency class, draw (nil for the outside), place: from the highest bits to the lowest."""
    keys = np.empty_like(owner)
    for i in range(owner.size):
        drawn = 0 if owner[i] == outside else int(draws[owner[i]] * 2.0**DRAW_BITS)
        keys[i] = ((latency[i] << DRAW_BITS) + drawn << PLACE_BITS) + i
    return keys


def _quote_spot(market: MarketState) -> Orders:
    """The outside buys and sells spot at the index, half a spread away, as much as anyone may hold.

    A bid that reaches the ask of the step before comes after the ask that makes way for it, or it would meet its own.
    """
    parts, index = [], market.spot_index()
    for venue in market.venues:
        if venue.spot_columns.size:
            k, half = venue.spot_columns + venue.instrument_slice.start, venue.config.spread / 2
            fair, most = venue.convert_to_ticks(index)[venue.spot_columns], market.max_lots[k]
            bid = np.maximum(np.floor(fair * (1 - half)), 1).astype(np.int64)
            ask = np.maximum(np.ceil(fair * (1 + half)).astype(np.int64), bid + 1)
            asks_last = bid < venue.view.ask[venue.spot_columns]
            first = np.argsort(np.concatenate((~asks_last, asks_last)), kind="stable")
            lots, limit = np.concatenate((most, -most))[first], np.concatenate((bid, ask))[first]
            place, side = np.concatenate((k, k))[first], np.repeat(np.array((0, 1)), k.size)[first]
            parts.append(
                Orders.from_columns(market.external_owner, place, lots, limit, LIMIT, side)
            )
    return Orders.join(parts)


def _set_bands(bands: I8, venue: Venue) -> None:
    """Lowest and highest price that may trade now, around the oracle (BOOK-1)."""
    oracle, width, top = (
        venue.convert_to_ticks(venue.view.oracle),
        venue.config.band,
        venue.contracts.max_price,
    )
    bands[venue.instrument_slice, 0] = np.maximum(1, np.ceil(oracle * (1 - width)))
    bands[venue.instrument_slice, 1] = (
        top if width >= 1 else np.minimum(top, np.floor(oracle * (1 + width)))
    )


@kernel
def pack_orders(
    owner: I8,
    instrument: I8,
    quantity: I8,
    limit: I8,
    kind: I8,
    slot: I8,
    places: I8,
    mark: F8,
    bands: I8,
    multiplier: I8,
    fee: F8,
) -> I8:
    """Orders in the order of ``places``, (n, 8), with the minor units per lot that each may cost beyond its margin.

    That reserve is the higher fee, taker's or maker's, at the limit and what the limit is worse than the mark; a market
    order's limit is the price band (MAR-1).
    """
    packed = np.empty((owner.size, 8), dtype=np.int64)
    for row in range(owner.size):
        i = places[row]
        k, buys, worst = instrument[i], quantity[i] > 0, limit[i]
        if kind[i] & ~REDUCE_ONLY == MARKET:
            worst = bands[k, 1] if buys else bands[k, 0]
        worse = max(0.0, worst - mark[k] if buys else mark[k] - worst)
        packed[row, 0], packed[row, 1], packed[row, 2], packed[row, 3] = (
            owner[i],
            k,
            quantity[i],
            limit[i],
        )
        packed[row, 4], packed[row, 5] = kind[i], slot[i]
        packed[row, 6] = math.ceil(multiplier[k] * (worse + fee[k] * worst))
        packed[row, 7] = MISSING
    return packed

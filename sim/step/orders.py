"""Orders of all populations and of the external owner, in order of arrival."""

import math

import numpy as np

from sim.exchange.matching import CAUSE, INSTRUMENT, KIND, OWNER, PRICE, QUANTITY, RESERVE, SLOT
from sim.numerics.jit import kernel
from sim.state import MarketState
from sim.step import sides
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
"""Bits of an arrival key: latency class, then the owner's uniform draw, then the order's place in
the batch (RNG-1)."""

LEAST_LEVERAGE = round(1 / LEVERAGE_STEP)
"""Smallest leverage that an order may choose, hundredths."""


def collect_orders(market: MarketState) -> tuple[I8, I8]:
    """Collect all orders of this step in order of arrival, those of the external owner first.

    Returns:
        Orders packed for the order books, (n, 8), and the leverage that each chooses, (n,)
        hundredths, empty where none does.
    """
    orders, classes = _collect_decisions(market)
    places, chosen = sort_by_arrival(market, orders, classes)
    for venue in market.venues:
        _set_bands(market.price_bands, venue)
    packed = pack_orders(
        orders.owner,
        orders.instrument,
        orders.quantity,
        orders.limit,
        orders.kind,
        orders.slot,
        places,
        market.mark_prices(),
        market.price_bands,
        market.contracts.multiplier,
        market.highest_fee,
    )
    return packed, chosen


def sort_by_arrival(market: MarketState, orders: Orders, classes: I8) -> tuple[I8, I8]:
    """Return the places of orders in order of arrival, and the leverage that each chooses.

    Args:
        market: state of the market.
        orders: of the step, with global owners.
        classes: (n,) their latency classes.

    Returns:
        (n,) places, and (n,) hundredths, empty where none chooses a leverage.

    Raises:
        ValueError: too many orders, or one chooses a leverage below one.
    """
    # keys are distinct, and their low bits are the order's place
    keys = np.sort(make_arrival_keys(market, orders.owner, classes))
    places = keys & ((1 << PLACE_BITS) - 1)
    chosen = orders.leverage[places] if orders.leverage.any() else NO_LEVERAGE_CHOSEN
    _refuse_leverage(orders, chosen, places)
    return places, chosen


def _collect_decisions(market: MarketState) -> tuple[Orders, I8]:
    """Return the orders of the external owner and of all populations, and their latency classes."""
    observation = market.build_observation()
    accounts = market.account_view(slice(0, market.external_owner))
    batches, latency = [_quote_spot(market)], [0]
    for population, members in zip(market.populations, market.member_slices, strict=True):
        draws = market.streams.draw_uniform(
            f"decide/{population.name}", market.tick, population.count, population.n_decision_draws
        )
        orders = population.decide(observation, accounts.take(members), draws)
        batches.append(orders._replace(owner=orders.owner + members.start))
        latency.append(population.latency)
    classes = np.repeat(np.array(latency, dtype=np.int64), [batch.owner.size for batch in batches])
    orders = Orders.join(batches)
    if market.sides.pairs.size:
        orders = sides.keep_sides(market, orders)
    return take_active(market, orders, classes)


def take_active(market: MarketState, orders: Orders, classes: I8) -> tuple[Orders, I8]:
    """Return the orders of participants who have not retired, and their latency classes."""
    if market.is_retired.any():
        is_active = np.append(~market.is_retired, True)[orders.owner]
        orders, classes = orders.take(is_active), classes[is_active]
    return orders, classes


def _refuse_leverage(orders: Orders, chosen: I8, places: I8) -> None:
    """Refuse a leverage below one, which would require more margin than the position's value.

    Raises:
        ValueError: an order chooses such a leverage.
    """
    wrong = np.flatnonzero((chosen != 0) & (chosen < LEAST_LEVERAGE))
    if wrong.size:
        row = int(places[wrong[0]])
        raise ValueError(
            f"orders: owner {orders.owner[row]} chooses leverage {orders.leverage[row]} in "
            f"instrument {orders.instrument[row]}; it is in hundredths, give 100 or more, or 0 to "
            "leave it as it is"
        )


def make_arrival_keys(market: MarketState, owner: I8, latency: I8) -> I8:
    """Return one distinct key per order, addressed by owner and step (RNG-1, BOOK-2).

    Raises:
        ValueError: more orders than places; keys would not be distinct, and orders would be lost.
    """
    if owner.size > 1 << PLACE_BITS:
        raise ValueError(
            f"step {market.tick}: {owner.size} orders, no more than {1 << PLACE_BITS} fit into "
            "one step"
        )
    draws = market.streams.draw_uniform("arrival", market.tick, market.n_owners, 1)[:, 0]
    return _pack_arrival_keys(draws, owner, latency, market.external_owner)


@kernel
def _pack_arrival_keys(draws: F8, owner: I8, latency: I8, outside: int) -> I8:
    """Pack latency class, draw (zero for the external owner) and place, from the highest bits."""
    keys = np.empty_like(owner)
    for i in range(owner.size):
        draw = 0.0 if owner[i] == outside else draws[owner[i]]
        keys[i] = pack_arrival_key(latency[i], draw, i)
    return keys


@kernel
def pack_arrival_key(latency: int, draw: float, place: int) -> int:
    """Return the key of one order, from its latency class, its owner's draw and its place."""
    return ((latency << DRAW_BITS) + int(draw * 2.0**DRAW_BITS) << PLACE_BITS) + place


def _quote_spot(market: MarketState) -> Orders:
    """Return the external owner's quotes of spot around the index.

    They are half a spread away from the index, for the largest position that an account may hold.
    """
    index = market.spot_index()
    return Orders.join(
        [
            _quote_venue_spot(market, venue, index)
            for venue in market.venues
            if venue.spot_columns.size
        ]
    )


def _quote_venue_spot(market: MarketState, venue: Venue, index: F8) -> Orders:
    """Return the external owner's quotes of a venue's spot instruments.

    A bid that reaches the ask of the last step comes after the ask that replaces it; otherwise it
    would trade with its own order.
    """
    columns, half = venue.spot_columns, venue.config.spread / 2
    instruments = columns + venue.instrument_slice.start
    fair, most = venue.convert_to_ticks(index)[columns], market.max_lots[instruments]
    bid = np.maximum(np.floor(fair * (1 - half)), 1).astype(np.int64)
    ask = np.maximum(np.ceil(fair * (1 + half)).astype(np.int64), bid + 1)
    is_bid_first = bid < venue.view.ask[columns]
    order = np.argsort(np.concatenate((~is_bid_first, is_bid_first)), kind="stable")
    lots, limit = np.concatenate((most, -most)), np.concatenate((bid, ask))
    instrument = np.concatenate((instruments, instruments))
    side = np.repeat(np.array((0, 1)), columns.size)
    return Orders.from_columns(
        owner=market.external_owner,
        instrument=instrument[order],
        quantity=lots[order],
        limit=limit[order],
        kind=LIMIT,
        slot=side[order],
    )


def _set_bands(bands: I8, venue: Venue) -> None:
    """Set the lowest and highest price that may trade now, around the oracle (BOOK-1)."""
    oracle, width = venue.convert_to_ticks(venue.view.oracle), venue.config.band
    highest = venue.contracts.max_price
    bands[venue.instrument_slice, 0] = np.maximum(1, np.ceil(oracle * (1 - width)))
    bands[venue.instrument_slice, 1] = (
        highest if width >= 1 else np.minimum(highest, np.floor(oracle * (1 + width)))
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
    """Return orders in the order of ``places``, (n, 8), each with the reserve of one lot.

    The reserve is the minor units that a lot may cost beyond its margin: the higher of taker's and
    maker's fee at the limit, and the loss of the limit against the mark. A market order's limit is
    the price band (MAR-1).
    """
    packed = np.empty((owner.size, 8), dtype=np.int64)
    for row in range(owner.size):
        i = places[row]
        k = instrument[i]
        packed[row, OWNER], packed[row, INSTRUMENT] = owner[i], k
        packed[row, QUANTITY], packed[row, PRICE] = quantity[i], limit[i]
        packed[row, KIND], packed[row, SLOT] = kind[i], slot[i]
        packed[row, RESERVE] = compute_reserve(
            quantity[i] > 0, limit[i], kind[i], mark[k], bands[k], multiplier[k], fee[k]
        )
        packed[row, CAUSE] = MISSING
    return packed


@kernel
def compute_reserve(
    buys: bool, limit: int, kind: int, mark: float, band: I8, multiplier: int, fee: float
) -> int:
    """Return what a lot of an order may cost beyond its margin, minor units (MAR-1)."""
    worst = limit
    if kind & ~REDUCE_ONLY == MARKET:
        worst = band[1] if buys else band[0]
    worse = max(0.0, worst - mark if buys else mark - worst)
    return math.ceil(multiplier * (worse + fee * worst))

"""The phases of a step from decisions to the mark: orders, admission, matching, marks."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sim.attribution import DEPOSIT, FUNDING, VOLUNTARY
from sim.exchange.admission import Batch, admit
from sim.exchange.fees import charged
from sim.exchange.matching import INSTRUMENT, KIND
from sim.numerics.jit import kernel
from sim.types import (
    B1,
    F8,
    HIGHEST,
    I8,
    LEVERAGE_STEP,
    LIMIT,
    MARKET,
    NOBODY,
    NONE_CHOSEN,
    REDUCE_ONLY,
    Exposure,
    Fills,
    Orders,
    Transfers,
)

if TYPE_CHECKING:
    from sim.market import Market
    from sim.venue import PoolState, Venue

DRAW_BITS, PLACE_BITS = 36, 22
"""An arrival key is latency class, then a uniform draw of the owner, then the place in what was sent (RNG-1)."""


def collect_orders(market: "Market") -> tuple[I8, I8]:
    """All orders of this step in order of arrival, those of the outside first.

    Returns:
        Orders packed for the books, (n, 8), and the leverage that each chooses, (n,) hundredths, empty where none does.
    """
    outlook, everybody = market.outlook(), market.accounts(slice(0, market.outside))
    batches, latency = [_spot_quotes(market)], [0]
    for population, members in zip(market.populations, market.members, strict=True):
        draws = market.streams.uniform(f"decide/{population.name}", market.tick, population.count, population.width)
        orders = population.decide(outlook, everybody.take(members), draws)
        batches.append(orders._replace(owner=orders.owner + members.start))
        latency.append(population.latency)
    classes = np.repeat(np.array(latency, dtype=np.int64), [batch.owner.size for batch in batches])
    orders = Orders.join(batches)
    if market.retired.any():
        stay = np.append(~market.retired, True)[orders.owner]
        orders, classes = orders.take(stay), classes[stay]
    keys = np.sort(arrival_keys(market, orders.owner, classes))  # distinct, and the low bits are the order's place
    for venue in market.venues:
        _set_bands(market.bands, venue)
    mark = np.concatenate([venue.view.mark for venue in market.venues])
    places = keys & ((1 << PLACE_BITS) - 1)
    chosen = orders.leverage[places] if orders.leverage.any() else NONE_CHOSEN
    _refuse_leverage(orders, chosen, places)
    packed = pack(*orders[:-1], places, mark, market.bands, market.contracts.multiplier, market.fee)
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


def arrival_keys(market: "Market", owner: I8, latency: I8) -> I8:
    """One distinct key per order, addressed by owner and step (RNG-1, BOOK-2).

    Raises:
        ValueError: more orders than places; keys would no longer be distinct, and orders be lost.
    """
    if owner.size > 1 << PLACE_BITS:
        raise ValueError(f"step {market.tick}: {owner.size} orders, no more than {1 << PLACE_BITS} fit into one step")
    draws = market.streams.uniform("arrival", market.tick, market.owners, 1)[:, 0]
    return _keys(draws, owner, latency, market.outside)


@kernel
def _keys(draws: F8, owner: I8, latency: I8, outside: int) -> I8:
    """Latency class, draw (nil for the outside), place: from the highest bits to the lowest."""
    keys = np.empty_like(owner)
    for i in range(owner.size):
        drawn = 0 if owner[i] == outside else int(draws[owner[i]] * 2.0**DRAW_BITS)
        keys[i] = ((latency[i] << DRAW_BITS) + drawn << PLACE_BITS) + i
    return keys


def _spot_quotes(market: "Market") -> Orders:
    """The outside buys and sells spot at the index, half a spread away, as much as anyone may hold.

    A bid that reaches the ask of the step before comes after the ask that makes way for it, or it would meet its own.
    """
    parts, index = [], market.spot()
    for venue in market.venues:
        if venue.spots.size:
            k, half = venue.spots + venue.part.start, venue.config.spread / 2
            fair, most = venue.in_ticks(index)[venue.spots], market.max_lots[k]
            bid = np.maximum(np.floor(fair * (1 - half)), 1).astype(np.int64)
            ask = np.maximum(np.ceil(fair * (1 + half)).astype(np.int64), bid + 1)
            asks_last = bid < venue.view.ask[venue.spots]
            first = np.argsort(np.concatenate((~asks_last, asks_last)), kind="stable")
            lots, limit = np.concatenate((most, -most))[first], np.concatenate((bid, ask))[first]
            place, side = np.concatenate((k, k))[first], np.repeat(np.array((0, 1)), k.size)[first]
            parts.append(Orders.of(market.outside, place, lots, limit, LIMIT, side))
    return Orders.join(parts)


def admit_orders(market: "Market", orders: I8, chosen: I8 = NONE_CHOSEN) -> tuple[I8, I8]:
    """The orders that margin allows, and the lots that each would replace now, (n,) (MAR-1, ISO-1).

    ``chosen`` is the leverage that each order chooses, (n,) hundredths, or empty.
    """
    replaced = market.books.replaced(orders)
    passes, reduces = np.zeros((2, len(orders)), dtype=bool)
    alone = len(market.ledger.pools) == 1
    for venue in market.venues:
        for state in venue.states.values():
            pool, part = state.pool, state.pool.instruments
            mine = slice(None) if alone else market.ledger.pool_of[orders[:, INSTRUMENT]] == pool.number
            batch = Batch(orders[mine], replaced[mine], venue.opening(pool), market.max_lots[part], part.start)
            choices = Choices.of(batch, chosen[mine] if chosen.size else chosen, market.watched)
            if choices is not None:
                batch.book = choices.applied(batch.book, part.start)
            passes[mine] = _admit_pool(market, venue, state, batch)
            reduces[mine] = batch.reduces
            if choices is not None:
                market.ledger.cap_leverage(*choices.kept(passes[mine] & ~batch.reduces))
    orders[reduces, KIND] |= REDUCE_ONLY
    stood = replaced[:, 0]
    return (orders, stood) if passes.all() else (orders[passes], stood[passes])


class Choices(NamedTuple):
    """Leverage that orders of one pool choose: of each owner and instrument what its last order says."""

    order: I8  # (c,) rows of the batch that choose, in order of arrival
    owner: I8
    instrument: I8  # global
    leverage: F8

    @classmethod
    def of(cls, batch: Batch, chosen: I8, bound: B1) -> "Choices | None":
        """Choices of orders that may open, None where none is made; ``bound`` (A,) are accounts that margin binds."""
        if not chosen.size:
            return None
        opens = (batch.quantity != 0) & (batch.orders[:, KIND] < REDUCE_ONLY) & bound[batch.owner]
        rows = np.flatnonzero(opens & (chosen != 0))
        owner, instrument = batch.owner[rows], batch.orders[rows, INSTRUMENT]
        key = owner * (int(instrument.max(initial=0)) + 1) + instrument
        _, last, group = np.unique(key[::-1], return_index=True, return_inverse=True)
        final = chosen[rows][::-1][last][group][::-1]
        leverage = np.where(final < HIGHEST, final * LEVERAGE_STEP, np.inf)
        return cls(rows, owner, instrument, leverage) if rows.size else None

    def applied(self, book: Exposure, first: int) -> Exposure:
        """The accounts of a pool as if all choices were made; ``first`` is the number of its first instrument."""
        leverage = book.leverage.copy(order="K")
        leverage[self.owner, self.instrument - first] = self.leverage
        leverage.flags.writeable = False
        return book._replace(leverage=leverage)

    def kept(self, passes: B1) -> tuple[I8, I8, F8]:
        """Instruments, owners and leverage of the choices whose orders pass, (n,) of the batch."""
        kept = passes[self.order]
        return self.instrument[kept], self.owner[kept], self.leverage[kept]


def _admit_pool(market: "Market", venue: "Venue", state: "PoolState", batch: Batch) -> B1:
    """Which of a pool's orders pass; isolated margin moves from the wallet for those that do."""

    def shortage(accounts: I8, book: Exposure) -> F8:
        verdict = state.engine.admits(book)
        lacking = verdict.initial - verdict.equity
        if venue.wallet != state.pool.number:
            lacking = lacking - venue.purse(accounts)
        return lacking

    passes = admit(batch, market.watched, shortage)
    if venue.wallet == state.pool.number:
        return passes
    sent = passes & market.watched[batch.owner] & (batch.quantity != 0)
    opening = batch.owner[sent & (batch.orders[:, KIND] < REDUCE_ONLY) & ~batch.reduces]
    if opening.size:
        opens = np.zeros_like(market.watched)
        opens[opening] = True
        accounts, _, book = batch.hypothetical(np.flatnonzero(sent & opens[batch.owner]))
        verdict = state.engine.admits(book)
        missing = np.maximum(np.ceil(verdict.initial - verdict.equity), 0.0)
        lacking = np.minimum(missing, venue.purse(accounts)).astype(np.int64)
        need = opens[accounts] & (lacking > 0)
        moves = Transfers.of(accounts[need], accounts[need], venue.wallet, state.pool.number, 0, lacking[need])
        market.ledger.transfer(moves, DEPOSIT)
    return passes


def _set_bands(bands: I8, venue: "Venue") -> None:
    """Lowest and highest price that may trade now, around the oracle (BOOK-1)."""
    oracle, width, top = venue.in_ticks(venue.view.oracle), venue.config.band, venue.contracts.max_price
    bands[venue.part, 0] = np.maximum(1, np.ceil(oracle * (1 - width)))
    bands[venue.part, 1] = top if width >= 1 else np.minimum(top, np.floor(oracle * (1 + width)))


@kernel
def pack(
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
        packed[row, 0], packed[row, 1], packed[row, 2], packed[row, 3] = owner[i], k, quantity[i], limit[i]
        packed[row, 4], packed[row, 5] = kind[i], slot[i]
        packed[row, 6] = math.ceil(multiplier[k] * (worse + fee[k] * worst))
        packed[row, 7] = NOBODY
    return packed


def match(market: "Market", orders: I8, stood: I8) -> None:
    """Orders meet in the books; trades and their fees are posted (BOOK-1, FEE-1)."""
    fills = market.books.trade(orders, market.ledger.position, market.bands, np.ascontiguousarray(stood))
    market.ledger.settle(fills, VOLUNTARY)
    market.recorder.trades(fills)
    for venue in market.venues:
        if not venue.config.fees.free:
            _charge_fees(market, venue, fills)


def _charge_fees(market: "Market", venue: "Venue", fills: Fills) -> None:
    """Taker and maker fees of one venue, to its fee row; the outside pays none."""
    here = (fills.instrument >= venue.part.start) & (fills.instrument < venue.part.stop)
    fees, contracts, at = venue.config.fees, market.contracts, np.flatnonzero(here)
    if not at.size:
        return
    k = fills.instrument[at]
    notional = np.abs(fills.quantity[at]) * fills.price[at] * contracts.multiplier[k]
    owners = np.concatenate((fills.taker[at], fills.maker[at]))
    due = np.concatenate((charged(notional, fees.taker), charged(notional, fees.maker)))
    due[owners == market.outside] = 0
    pools, settle = np.tile(market.ledger.pool_of[k], 2), np.tile(contracts.settle[k], 2)
    market.ledger.transfer(Transfers.of(owners, venue.rows.fees, pools, venue.wallet, settle, due), FUNDING)


def mark_to_market(market: "Market") -> None:
    """Marks after trading, isolated cash back to its wallet, and everybody's verdict (MARK-1, MAR-1)."""
    tops, depth = market.books.tops(), market.books.depth(*_within(market, 0.01))
    for venue in market.venues:
        part = venue.part
        rests = depth[part]
        known = {"depth": rests.mean(axis=1), "imbalance": _imbalance(rests), "open_interest": market.exposed(venue)}
        venue.remark(tops[part], learn=True, **known)
        if venue.config.funding is not None:
            venue.config.funding.sample(venue.view.bid, venue.view.ask, venue.quotes.oracle)
        if venue.wallet not in venue.states:
            for state in venue.states.values():
                _return_idle(market, venue, state)
    market.recorder.depth_near(market.books.depth(*_within(market, 0.001)).mean(axis=1))
    market.assess()


def _imbalance(depth: I8) -> F8:
    """Bids less asks over both, (K,); NaN where nothing rests."""
    both = depth.sum(axis=1).astype(np.float64)
    return np.divide(depth[:, 0] - depth[:, 1], both, out=np.full(both.size, np.nan), where=both > 0)


def _within(market: "Market", share: float) -> tuple[I8, I8]:
    """Lowest and highest price within a share of the marks, (K,) each."""
    mark = np.concatenate([venue.view.mark for venue in market.venues])
    return np.ceil(mark * (1 - share)).astype(np.int64), np.floor(mark * (1 + share)).astype(np.int64)


def _return_idle(market: "Market", venue: "Venue", state: "PoolState") -> None:
    """What solvent accounts without position or order have and owe goes back to the wallet (ISO-1)."""
    book = venue.book(state.pool)
    idle = market.watched & (book.balance @ book.market.price >= 0)
    for column in range(book.position.shape[1]):
        idle &= (book.position[:, column] == 0) & (book.bids[:, column] == 0) & (book.asks[:, column] == 0)
    owners, assets = np.nonzero(book.balance * idle[:, None])
    moves = Transfers.of(owners, owners, state.pool.number, venue.wallet, assets, book.balance[owners, assets])
    market.ledger.transfer(moves, DEPOSIT)

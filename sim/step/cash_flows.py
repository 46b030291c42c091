"""Capital comes and goes: payments that populations ask for, as far as the ledger allows them (AGT-7, ISO-1)."""

import numpy as np

from sim.attribution import DEPOSIT
from sim.cash_flows import Payments
from sim.exchange.admission import ahead
from sim.protocols import Population
from sim.state import MarketState
from sim.types import B1, F8, I8, NOBODY, Risk, Transfers
from sim.venue import PoolState, Venue

LARGEST = 2**53
"""No balance is paid beyond this: floats would no longer hold it exactly (LED-2)."""


def post_cash_flows(market: MarketState) -> None:
    """Ask the populations that pay, and post what may be posted: each payment whole or not at all."""
    if not any(population.paying or population.commits for population in market.populations):
        return
    payments = _asked(market)
    if not payments.owner.size:
        return
    for venue in market.venues:
        here = payments.take(payments.venue == venue.number)
        if here.owner.size:
            _post_at_venue(market, venue, here)


def _post_at_venue(market: MarketState, venue: Venue, asked: Payments) -> None:
    """At one venue: what arrives, what moves between wallets and isolated accounts, what leaves."""
    free, arriving = asked.instrument == NOBODY, asked.amount > 0
    if (brought := asked.take(free & arriving)).owner.size:
        _bring(market, venue, brought)
    for state in venue.states.values():
        if state.pool.number != venue.wallet and not free.all():
            mine = ~free & (market.ledger.pool_of[asked.instrument] == state.pool.number)
            if (committed := asked.take(mine & arriving)).owner.size:
                _commit(market, venue, state, committed)
            if (released := asked.take(mine & ~arriving)).owner.size:
                _release(market, venue, state, released)
    if (taken := asked.take(free & ~arriving)).owner.size:
        _take_out(market, venue, taken)


def _asked(market: MarketState) -> Payments:
    """What all populations ask for, owners numbered globally."""
    everyone = slice(0, market.outside)
    outlook, accounts, standing = market.outlook(), market.accounts(everyone), market.standing(everyone)
    parts = []
    for population, members in zip(market.populations, market.members, strict=True):
        if population.paying or population.commits:
            draws = _draws(market, population)
            verdict = Risk(*(column[members] for column in standing))
            payments = population.pay(outlook, accounts.take(members), verdict, draws)
            amount = np.clip(payments.amount, -LARGEST, LARGEST)
            parts.append(payments._replace(owner=payments.owner + members.start, amount=amount))
    asked = Payments.join(parts)
    return asked.take(~market.retired[asked.owner])


def _draws(market: MarketState, population: Population) -> F8:
    """Uniform draws for a population's payments, (n, paying); a stream of which nothing is taken is left alone."""
    if not population.paying:
        return np.empty((population.count, 0))
    return market.streams.uniform(f"pay/{population.name}", market.tick, population.count, population.paying)


def _within(owner: I8, amount: I8, limit: F8 | I8) -> B1:
    """Which amounts, with those of the same owner before them, stay within its limit (n,)."""
    fits: B1 = (amount < LARGEST) & (ahead(owner, amount) + amount <= limit)
    return fits


def _bring(market: MarketState, venue: Venue, payments: Payments) -> None:
    """Post payments from outside into wallets: top-ups, newcomers' capital, and what keeps a fund at its share.

    Where calls are made, what owners bring in is no longer there for calls. From an owner's first call on, its top-ups
    are bounded by what is left for its calls; before that, calls change nothing (MAR-4). A fund is kept by others.
    """
    owner, amount, fresh = payments.owner, payments.amount, payments.fresh > 0
    passes = _within(owner, amount, LARGEST - np.abs(market.ledger.balance[0, venue.wallet, owner]))
    if venue.config.calls is not None:
        own = ~fresh & (owner != venue.rows.fund)
        bounded = own & venue.ever_called[owner]
        passes &= ~bounded | _within(owner, np.where(own, amount, 0), venue.means[owner])
        spent = passes & own
        np.subtract.at(venue.means, owner[spent], amount[spent])
        np.maximum(venue.means, 0, out=venue.means)
        seats = passes & fresh
        venue.means[owner[seats]] = venue.config.calls.wealth(amount[seats])
        venue.ever_called[owner[seats]] = False
    venue.flows.paid_in += int(amount[passes].sum())
    _post(market, market.outside, payments.take(passes), venue.wallet, venue.wallet)


def _commit(market: MarketState, venue: Venue, state: PoolState, payments: Payments) -> None:
    """From wallets into isolated accounts, no more than wallets hold."""
    passes = _within(payments.owner, payments.amount, venue.purse(payments.owner))
    _move(market, venue, state, payments.take(passes))


def _release(market: MarketState, venue: Venue, state: PoolState, payments: Payments) -> None:
    """From isolated accounts back into wallets, no more than is free in them."""
    passes = _within(payments.owner, -payments.amount, _free(venue, state, payments.owner))
    _move(market, venue, state, payments.take(passes))


def _move(market: MarketState, venue: Venue, state: PoolState, moved: Payments) -> None:
    """Between wallets and accounts; equity as last assessed follows, so that no cash is out of sight meanwhile."""
    _post(market, moved.owner, moved, venue.wallet, state.pool.number)
    np.add.at(state.risk.equity, moved.owner, moved.amount)


def _take_out(market: MarketState, venue: Venue, payments: Payments) -> None:
    """From wallets back outside, no more than is free in them."""
    joint = venue.states.get(venue.wallet)
    free = venue.purse(payments.owner) if joint is None else _free(venue, joint, payments.owner)
    passes = _within(payments.owner, -payments.amount, free)
    venue.flows.paid_out -= int(payments.amount[passes].sum())
    _post(market, market.outside, payments.take(passes), venue.wallet, venue.wallet)


def _free(venue: Venue, state: PoolState, owner: I8) -> F8:
    """Cash of margin accounts that admission would not miss: initial and all that is reserved stay, (n,)."""
    book = venue.opening(state.pool).take(owner)
    verdict = state.engine.admits(book)
    return np.minimum(verdict.equity - verdict.initial, book.balance[:, 0])


def _post(market: MarketState, source: int | I8, payments: Payments, source_pool: int, target_pool: int) -> None:
    moves = Transfers.of(source, payments.owner, source_pool, target_pool, 0, payments.amount)
    market.ledger.transfer(moves, DEPOSIT)

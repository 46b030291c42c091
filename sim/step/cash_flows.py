"""Capital comes and goes: payments that populations ask for, as far as the ledger allows them (AGT-7, ISO-1)."""

import numpy as np

from sim.attribution import DEPOSIT
from sim.cash_flows import CashFlows
from sim.exchange.admission import cumulative_before
from sim.protocols import PopulationProtocol
from sim.state import MarketState
from sim.types import B1, F8, I8, MISSING, MarginAssessment, Transfers
from sim.venue import PoolState, Venue

MAX_BALANCE = 2**53
"""No balance is paid beyond this: floats would no longer hold it exactly (LED-2)."""


def post_cash_flows(market: MarketState) -> None:
    """Ask the populations that pay, and post what may be posted: each payment whole or not at all."""
    if not any(
        population.n_cash_flow_draws or population.has_commitment
        for population in market.populations
    ):
        return
    payments = _collect_requests(market)
    if not payments.owner.size:
        return
    for venue in market.venues:
        here = payments.take(payments.venue == venue.number)
        if here.owner.size:
            _post_at_venue(market, venue, here)


def _post_at_venue(market: MarketState, venue: Venue, asked: CashFlows) -> None:
    """At one venue: what arrives, what moves between wallets and isolated accounts, what leaves."""
    free, arriving = asked.instrument == MISSING, asked.amount > 0
    if (brought := asked.take(free & arriving)).owner.size:
        _post_deposits(market, venue, brought)
    for state in venue.pool_states.values():
        if state.pool.number != venue.wallet_pool and not free.all():
            mine = ~free & (market.ledger.pool_numbers[asked.instrument] == state.pool.number)
            if (committed := asked.take(mine & arriving)).owner.size:
                _commit_to_accounts(market, venue, state, committed)
            if (released := asked.take(mine & ~arriving)).owner.size:
                _release_to_wallets(market, venue, state, released)
    if (taken := asked.take(free & ~arriving)).owner.size:
        _post_withdrawals(market, venue, taken)


def _collect_requests(market: MarketState) -> CashFlows:
    """What all populations ask for, owners numbered globally."""
    everyone = slice(0, market.external_owner)
    outlook, accounts, standing = (
        market.build_observation(),
        market.account_view(everyone),
        market.account_assessments(everyone),
    )
    parts = []
    for population, members in zip(market.populations, market.member_slices, strict=True):
        if population.n_cash_flow_draws or population.has_commitment:
            draws = _draw_uniforms(market, population)
            verdict = MarginAssessment(*(column[members] for column in standing))
            payments = population.request_cash_flows(
                outlook, accounts.take(members), verdict, draws
            )
            amount = np.clip(payments.amount, -MAX_BALANCE, MAX_BALANCE)
            parts.append(payments._replace(owner=payments.owner + members.start, amount=amount))
    asked = CashFlows.join(parts)
    return asked.take(~market.is_retired[asked.owner])


def _draw_uniforms(market: MarketState, population: PopulationProtocol) -> F8:
    """Uniform draws for a population's payments, (n, paying); a stream of which nothing is taken is left alone."""
    if not population.n_cash_flow_draws:
        return np.empty((population.count, 0))
    return market.streams.draw_uniform(
        f"pay/{population.name}", market.tick, population.count, population.n_cash_flow_draws
    )


def _fits_limit(owner: I8, amount: I8, limit: F8 | I8) -> B1:
    """Which amounts, with those of the same owner before them, stay within its limit (n,)."""
    fits: B1 = (amount < MAX_BALANCE) & (cumulative_before(owner, amount) + amount <= limit)
    return fits


def _post_deposits(market: MarketState, venue: Venue, payments: CashFlows) -> None:
    """Post payments from outside into wallets: top-ups, newcomers' capital, and what keeps a fund at its share.

    Where calls are made, what owners bring in is no longer there for calls. From an owner's first call on, its top-ups
    are bounded by what is left for its calls; before that, calls change nothing (MAR-4). A fund is kept by others.
    """
    owner, amount, fresh = payments.owner, payments.amount, payments.is_new_capital > 0
    passes = _fits_limit(
        owner, amount, MAX_BALANCE - np.abs(market.ledger.balance[0, venue.wallet_pool, owner])
    )
    if venue.config.calls is not None:
        own = ~fresh & (owner != venue.system_accounts.insurance_fund)
        bounded = own & venue.has_been_called[owner]
        passes &= ~bounded | _fits_limit(
            owner, np.where(own, amount, 0), venue.outside_wealth[owner]
        )
        spent = passes & own
        np.subtract.at(venue.outside_wealth, owner[spent], amount[spent])
        np.maximum(venue.outside_wealth, 0, out=venue.outside_wealth)
        seats = passes & fresh
        venue.outside_wealth[owner[seats]] = venue.config.calls.outside_wealth(amount[seats])
        venue.has_been_called[owner[seats]] = False
    venue.flows.paid_in += int(amount[passes].sum())
    _transfer_cash(
        market, market.external_owner, payments.take(passes), venue.wallet_pool, venue.wallet_pool
    )


def _commit_to_accounts(
    market: MarketState, venue: Venue, state: PoolState, payments: CashFlows
) -> None:
    """From wallets into isolated accounts, no more than wallets hold."""
    passes = _fits_limit(payments.owner, payments.amount, venue.free_wallet_cash(payments.owner))
    _transfer_internally(market, venue, state, payments.take(passes))


def _release_to_wallets(
    market: MarketState, venue: Venue, state: PoolState, payments: CashFlows
) -> None:
    """From isolated accounts back into wallets, no more than is free in them."""
    passes = _fits_limit(
        payments.owner, -payments.amount, _withdrawable_cash(venue, state, payments.owner)
    )
    _transfer_internally(market, venue, state, payments.take(passes))


def _transfer_internally(
    market: MarketState, venue: Venue, state: PoolState, moved: CashFlows
) -> None:
    """Between wallets and accounts; equity as last assessed follows, so that no cash is out of sight meanwhile."""
    _transfer_cash(market, moved.owner, moved, venue.wallet_pool, state.pool.number)
    np.add.at(state.assessment.equity, moved.owner, moved.amount)


def _post_withdrawals(market: MarketState, venue: Venue, payments: CashFlows) -> None:
    """From wallets back outside, no more than is free in them."""
    joint = venue.pool_states.get(venue.wallet_pool)
    free = (
        venue.free_wallet_cash(payments.owner)
        if joint is None
        else _withdrawable_cash(venue, joint, payments.owner)
    )
    passes = _fits_limit(payments.owner, -payments.amount, free)
    venue.flows.paid_out -= int(payments.amount[passes].sum())
    _transfer_cash(
        market, market.external_owner, payments.take(passes), venue.wallet_pool, venue.wallet_pool
    )


def _withdrawable_cash(venue: Venue, state: PoolState, owner: I8) -> F8:
    """Cash of margin accounts that admission would not miss: initial and all that is reserved stay, (n,)."""
    book = venue.admission_accounts(state.pool).take(owner)
    verdict = state.engine.assess_admission(book)
    return np.minimum(verdict.equity - verdict.initial, book.balance[:, 0])


def _transfer_cash(
    market: MarketState, source: int | I8, payments: CashFlows, source_pool: int, target_pool: int
) -> None:
    moves = Transfers.from_columns(
        source, payments.owner, source_pool, target_pool, 0, payments.amount
    )
    market.ledger.transfer(moves, DEPOSIT)

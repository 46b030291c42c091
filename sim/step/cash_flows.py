"""Deposits, withdrawals and margin transfers requested by populations (AGT-7, ISO-1)."""

import numpy as np

from sim.attribution import DEPOSIT
from sim.cash_flows import CashFlows
from sim.exchange.admission import cumulative_before
from sim.protocols import PopulationProtocol
from sim.state import MarketState
from sim.types import B1, F8, I8, MISSING, SPOT, Contracts, MarginAssessment, Transfers
from sim.venue import PoolState, Venue

MAX_BALANCE = 2**53
"""Largest balance after a payment; floats do not hold larger ones exactly (LED-2)."""


def post_cash_flows(market: MarketState) -> None:
    """Collect the payments that populations request, and post each whole or not at all."""
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


def _post_at_venue(market: MarketState, venue: Venue, requested: CashFlows) -> None:
    """Post deposits, then transfers between wallets and isolated accounts, then withdrawals."""
    by_wallet, is_inflow = requested.instrument == MISSING, requested.amount > 0
    deposits = requested.take(by_wallet & is_inflow)
    if deposits.owner.size:
        _post_deposits(market, venue, deposits)
    for state in venue.pool_states.values():
        if state.pool.number != venue.wallet_pool and not by_wallet.all():
            here = ~by_wallet & (
                market.ledger.pool_numbers[requested.instrument] == state.pool.number
            )
            committed = requested.take(here & is_inflow)
            if committed.owner.size:
                _commit_to_accounts(market, venue, state, committed)
            released = requested.take(here & ~is_inflow)
            if released.owner.size:
                _release_to_wallets(market, venue, state, released)
    withdrawals = requested.take(by_wallet & ~is_inflow)
    if withdrawals.owner.size:
        _post_withdrawals(market, venue, withdrawals)


def _collect_requests(market: MarketState) -> CashFlows:
    """Return the payments that all populations request, with global owners."""
    everyone = slice(0, market.external_owner)
    observation, accounts = market.build_observation(), market.account_view(everyone)
    assessments = market.account_assessments(everyone)
    parts = []
    for population, members in zip(market.populations, market.member_slices, strict=True):
        if population.n_cash_flow_draws or population.has_commitment:
            draws = _draw_uniforms(market, population)
            assessment = MarginAssessment(*(column[members] for column in assessments))
            payments = population.request_cash_flows(
                observation, accounts.take(members), assessment, draws
            )
            amount = np.clip(payments.amount, -MAX_BALANCE, MAX_BALANCE)
            parts.append(payments._replace(owner=payments.owner + members.start, amount=amount))
    requested = CashFlows.join(parts)
    if market.sides.pairs.size:  # both sides of a member have one wallet
        is_wallet = requested.instrument == MISSING
        member = market.sides.member[requested.owner]
        requested = requested._replace(owner=np.where(is_wallet, member, requested.owner))
    return requested.take(~market.is_retired[requested.owner])


def _draw_uniforms(market: MarketState, population: PopulationProtocol) -> F8:
    """Return uniform draws for a population's payments, (n, n_cash_flow_draws).

    A population without draws does not use its stream.
    """
    if not population.n_cash_flow_draws:
        return np.empty((population.count, 0))
    return market.streams.draw_uniform(
        f"pay/{population.name}", market.tick, population.count, population.n_cash_flow_draws
    )


def _fits_limit(owner: I8, amount: I8, limit: F8 | I8) -> B1:
    """Return True for amounts that, with earlier ones of the owner, stay within its limit, (n,)."""
    fits: B1 = (amount < MAX_BALANCE) & (cumulative_before(owner, amount) + amount <= limit)
    return fits


def _post_deposits(market: MarketState, venue: Venue, payments: CashFlows) -> None:
    """Post payments from outside into wallets: top-ups, capital of new members, and fund deposits.

    At a venue with margin calls, what owners deposit is no longer available for calls. From an
    owner's first call on, its top-ups are bounded by what remains for its calls; before it, calls
    change nothing (MAR-4). Deposits that keep a fund at its share come from other sources.
    """
    owner, amount, is_new = payments.owner, payments.amount, payments.is_new_capital > 0
    passes = _fits_limit(
        owner, amount, MAX_BALANCE - np.abs(market.ledger.balance[0, venue.wallet_pool, owner])
    )
    if venue.config.calls is not None:
        own = ~is_new & (owner != venue.system_accounts.insurance_fund)
        bounded = own & venue.has_been_called[owner]
        passes &= ~bounded | _fits_limit(
            owner, np.where(own, amount, 0), venue.outside_wealth[owner]
        )
        spent = passes & own
        np.subtract.at(venue.outside_wealth, owner[spent], amount[spent])
        np.maximum(venue.outside_wealth, 0, out=venue.outside_wealth)
        seats = passes & is_new
        venue.outside_wealth[owner[seats]] = venue.config.calls.outside_wealth(amount[seats])
        venue.has_been_called[owner[seats]] = False
    venue.flows.paid_in += int(amount[passes].sum())
    _transfer_outside(market, venue, payments.take(passes))


def _commit_to_accounts(
    market: MarketState, venue: Venue, state: PoolState, payments: CashFlows
) -> None:
    """Move cash from wallets into isolated accounts, at most what wallets hold."""
    payer = market.sides.member[payments.owner]
    passes = _fits_limit(payer, payments.amount, venue.free_wallet_cash(payer))
    _transfer_internally(market, venue, state, payments.take(passes))


def _release_to_wallets(
    market: MarketState, venue: Venue, state: PoolState, payments: CashFlows
) -> None:
    """Move cash from isolated accounts back into wallets, at most what is free in them."""
    passes = _fits_limit(
        payments.owner, -payments.amount, _withdrawable_cash(market, venue, state, payments.owner)
    )
    _transfer_internally(market, venue, state, payments.take(passes))


def _transfer_internally(
    market: MarketState, venue: Venue, state: PoolState, moved: CashFlows
) -> None:
    """Move cash between wallets and accounts, and update last assessed equity by it.

    The update keeps the moved cash in sight until the next assessment.
    """
    payer = market.sides.member[moved.owner]
    _transfer_cash(market, payer, moved, venue.wallet_pool, state.pool.number)
    np.add.at(state.assessment.equity, moved.owner, moved.amount)
    venue.flows.margin_added += int(np.maximum(moved.amount, 0).sum())
    venue.flows.margin_removed -= int(np.minimum(moved.amount, 0).sum())


def _post_withdrawals(market: MarketState, venue: Venue, payments: CashFlows) -> None:
    """Move cash from wallets back outside, at most what is free in them."""
    joint = venue.pool_states.get(venue.wallet_pool)
    if joint is None:
        free = venue.free_wallet_cash(payments.owner)
    else:
        free = _withdrawable_cash(market, venue, joint, payments.owner)
    passes = _fits_limit(payments.owner, -payments.amount, free)
    venue.flows.paid_out -= int(payments.amount[passes].sum())
    _transfer_outside(market, venue, payments.take(passes))


def _withdrawable_cash(market: MarketState, venue: Venue, state: PoolState, owner: I8) -> F8:
    """Return what may leave margin accounts, (n,).

    It is what initial margin, the chosen leverage and reserves of orders leave of equity, as in
    admission, and at most the cash without unrealised profit. The ledger pays the whole value of a
    derivative when it trades, so this cash is the balance plus the value paid for open positions.
    Binance has both limits, for cash and for margin that is removed from an isolated position
    (FAQ 360038447311; its present form also leaves the maintenance margin of the position).
    """
    accounts, is_joint = (
        venue.admission_accounts(state.pool),
        venue.wallet_pool == state.pool.number,
    )
    has_pairs = bool(market.sides.pairs.size) and is_joint
    accounts = accounts if has_pairs else accounts.take(owner)
    assessment = state.engine.assess_admission(accounts)
    cash = accounts.balance[:, 0] + accounts.entry @ find_paid_up(accounts.market.contracts)
    spare = assessment.equity - assessment.initial
    if has_pairs:
        spare, cash = market.sides.sum_pairs(spare)[owner], market.sides.sum_pairs(cash)[owner]
    return np.minimum(spare, cash)


def find_paid_up(contracts: Contracts) -> I8:
    """Return 1 for derivatives that settle in the numeraire, whose value paid is no cost, (K,)."""
    return ((contracts.kind != SPOT) & (contracts.settle == 0)).astype(np.int64)


def _transfer_outside(market: MarketState, venue: Venue, payments: CashFlows) -> None:
    """Move cash between wallets and the outside, and count it for each owner."""
    np.add.at(venue.net_paid_in, payments.owner, payments.amount)
    pools = (venue.wallet_pool, venue.wallet_pool)
    _transfer_cash(market, market.external_owner, payments, *pools)


def _transfer_cash(
    market: MarketState, source: int | I8, payments: CashFlows, source_pool: int, target_pool: int
) -> None:
    moves = Transfers.from_columns(
        source, payments.owner, source_pool, target_pool, 0, payments.amount
    )
    market.ledger.transfer(moves, DEPOSIT)

"""Handover of a market between the compiled and the plain step."""

import numpy as np

from sim.attribution import CAUSE_KINDS, VOLUNTARY
from sim.compiled.arrays import (
    AMOUNT,
    ASSET,
    BASIS,
    CONCERNED,
    EVENT,
    LAST,
    MID,
    N_FILLS,
    N_MOVES,
    NEXT_ID,
    ORACLE,
    SOURCE,
    SOURCE_POOL,
    TARGET,
    TARGET_POOL,
    StepArrays,
    VenueArrays,
)
from sim.exchange.funding import PremiumAverage
from sim.exchange.mark import MarkInputs
from sim.ledger import JournalEntry
from sim.records import StepFlows
from sim.step.trading import list_trading_fees
from sim.types import B1, F8, I8, Fills, MarginAssessment, Transfers
from sim.venue import Venue

MOVE_COLUMNS = (SOURCE, TARGET, SOURCE_POOL, TARGET_POOL, ASSET, AMOUNT)
"""Columns of cash moves in the order of :class:`sim.types.Transfers`."""


def load_state(step: StepArrays) -> None:
    """Copy the market's records into the arrays of the compiled step."""
    market = step.market
    step.log_impact[:], step.index[:] = market.log_impact, market.spot_index()
    step.external_spot_lots[:] = market.external_spot_lots
    view = market.venues[0].view
    step.price[:] = view.price
    step.quote_price[:] = view.price[market.contracts.settle]
    for venue, arrays in zip(market.venues, step.venues, strict=True):
        _load_venue(step, venue, arrays)
    step.lot_value[:] = step.mark * market.contracts.multiplier * step.quote_price
    step.unit_value[:] = (step.mark * market.contracts.multiplier).astype(np.int64)
    for venue in market.venues:
        for number, state in venue.pool_states.items():
            pool = step.pools[number]
            for row, column in enumerate(state.assessment):
                pool.assessed[row] = column
            pool.sums[:] = [column.sum() for column in state.assessment]
    step.round_state[NEXT_ID] = market.next_close_out
    _load_postings(step)


def _load_postings(step: StepArrays) -> None:
    """Copy the cash moves that plain phases have posted since the handover."""
    journal = step.market.ledger.journal
    if len(journal) < step.n_postings:  # attributed meanwhile
        step.counters[N_MOVES] = step.counters[N_FILLS] = step.n_postings = 0
    moved = [
        (CAUSE_KINDS.index(event), moves, instrument)
        for event, moves, instrument in journal[step.n_postings :]
        if isinstance(moves, Transfers)
    ]
    step.reserve_moves(sum(moves.source.size for _, moves, _ in moved))
    for number, moves, instrument in moved:
        first = step.counters[N_MOVES]
        rows = step.moves[first : first + moves.source.size]
        rows[:, EVENT], rows[:, CONCERNED] = number, instrument
        for column, values in zip(MOVE_COLUMNS, moves, strict=True):
            rows[:, column] = values
        step.counters[N_MOVES] += len(rows)
    step.n_postings = len(journal)


def _load_venue(step: StepArrays, venue: Venue, arrays: VenueArrays) -> None:
    """Copy one venue's view, quotes, volatility and counts."""
    _load_view(step, venue, arrays)
    _load_quotes(arrays.quotes, arrays.is_book_empty, venue.quotes)
    arrays.quotes[BASIS] = venue.basis
    _load_quotes(arrays.previous_quotes, arrays.was_book_empty, venue.previous_quotes)
    arrays.has_missing_side[:] = venue.has_missing_side
    arrays.variance[:], arrays.seen[0] = venue.running_volatility.variance, venue.view.tick
    flows, funding = venue.flows, venue.config.funding
    counts = flows.calls_opened, flows.calls_met, flows.calls_missed
    moved = flows.margin_added, flows.margin_removed
    arrays.paid[:] = flows.paid_in, flows.paid_out, *counts, *moved
    if funding is not None:
        arrays.next_payment[0] = funding.next_payment
        if isinstance(funding.observations, PremiumAverage):
            arrays.premium_sums[:], arrays.premium_samples[0] = funding.observations.state


def _load_view(step: StepArrays, venue: Venue, arrays: VenueArrays) -> None:
    """Copy what one venue publishes."""
    part, view = arrays.instruments, venue.view
    for name in ("mark", "bid", "ask", "last"):
        getattr(arrays, name)[:] = getattr(view, name)
    for name in ("depth", "imbalance", "crowd", "funding", "open_interest", "to_sell", "to_buy"):
        getattr(step, name)[part] = getattr(view, name)
    step.volatility[part] = view.vol
    step.max_leverage_long[part] = venue.max_leverage_long
    step.max_leverage_short[part] = venue.max_leverage_short
    arrays.oracle[:], step.confidence[venue.number] = view.oracle, view.confidence
    arrays.oracle_ticks[:] = venue.convert_to_ticks(view.oracle)


def _load_quotes(rows: F8, is_empty: B1, quotes: MarkInputs) -> None:
    rows[MID], rows[LAST], rows[ORACLE], rows[BASIS] = quotes[:4]
    is_empty[:] = quotes.is_book_empty


def store_state(step: StepArrays, tick: int) -> None:
    """Copy the arrays of the compiled step into the market's records.

    Args:
        step: arrays of the compiled step.
        tick: the step under way, or the last one made.
    """
    market = step.market
    market.tick = tick
    market.log_impact = step.log_impact.copy()
    market.external_spot_lots = step.external_spot_lots.copy()
    for venue, arrays in zip(market.venues, step.venues, strict=True):
        _store_venue(step, venue, arrays)
    for venue in market.venues:
        for number, state in venue.pool_states.items():
            state.assessment = MarginAssessment(*step.pools[number].assessed.copy())
    market.next_close_out = int(step.round_state[NEXT_ID])
    market.ledger.journal[:] = _list_postings(step)
    step.n_postings = len(market.ledger.journal)


def _store_venue(step: StepArrays, venue: Venue, arrays: VenueArrays) -> None:
    """Copy one venue's view, quotes, volatility and counts into its records."""
    part, config = arrays.instruments, venue.config
    _store_view(step, venue, arrays)
    venue.quotes = _make_quotes(arrays.quotes, arrays.is_book_empty)
    venue.previous_quotes = _make_quotes(arrays.previous_quotes, arrays.was_book_empty)
    venue.basis = arrays.quotes[BASIS].copy()
    venue.has_missing_side = arrays.has_missing_side.copy()
    venue.max_leverage_long = step.max_leverage_long[part].copy()
    venue.max_leverage_short = step.max_leverage_short[part].copy()
    venue.running_volatility.resume(arrays.variance.copy(), int(arrays.seen[0]))
    _store_flows(venue.flows, arrays.paid)
    if config.oracle.is_exact:
        config.oracle.resume(venue.view.oracle)
    if config.funding is not None and isinstance(config.funding.observations, PremiumAverage):
        sums, samples = arrays.premium_sums.copy(), int(arrays.premium_samples[0])
        config.funding.observations.resume(sums, samples)


def _store_flows(flows: StepFlows, paid: I8) -> None:
    """Copy a venue's flows of the step; see ``sim.compiled.kernels.payments``."""
    paid_in, paid_out, *counts, added, removed = map(int, paid)
    flows.paid_in, flows.paid_out = paid_in, paid_out
    flows.calls_opened, flows.calls_met, flows.calls_missed = counts
    flows.margin_added, flows.margin_removed = added, removed


def _store_view(step: StepArrays, venue: Venue, arrays: VenueArrays) -> None:
    """Copy what one venue publishes into its record."""
    part, seen = arrays.instruments, int(arrays.seen[0])
    venue.view = venue.view._replace(
        tick=seen,
        mark=arrays.mark.copy(),
        bid=arrays.bid.copy(),
        ask=arrays.ask.copy(),
        last=arrays.last.copy(),
        depth=step.depth[part].copy(),
        funding=step.funding[part].copy(),
        open_interest=step.open_interest[part].copy(),
        oracle=arrays.oracle.copy(),
        vol=step.volatility[part].copy(),
        price=step.price.copy(),
        returns=venue.oracle_returns[:seen],
        to_sell=step.to_sell[part].copy(),
        to_buy=step.to_buy[part].copy(),
        imbalance=step.imbalance[part].copy(),
        crowd=step.crowd[part].copy(),
        seconds=float(step.market.exogenous_path.seconds[seen]),
    )


def _make_quotes(rows: F8, is_empty: B1) -> MarkInputs:
    mid, last, oracle, basis = rows.copy()
    return MarkInputs(mid, last, oracle, basis, is_empty.copy())


def _list_postings(step: StepArrays) -> list[JournalEntry]:
    """Return the postings of the step so far, as the ledger's journal keeps them."""
    moves = step.moves[: step.counters[N_MOVES]]
    entries = [
        _make_entry(kind, moves[moves[:, EVENT] == number])
        for number, kind in enumerate(CAUSE_KINDS)
        if (moves[:, EVENT] == number).any()
    ]
    fills = Fills.from_table(step.books.fills[: step.counters[N_FILLS]])
    if not fills.taker.size:
        return entries
    return [*entries, JournalEntry(VOLUNTARY, fills), *list_trading_fees(step.market, fills)]


def _make_entry(kind: str, moves: I8) -> JournalEntry:
    """Return the journal's entry of some cash moves of one event."""
    return JournalEntry(
        kind, Transfers(*(moves[:, at] for at in MOVE_COLUMNS)), moves[:, CONCERNED].copy()
    )

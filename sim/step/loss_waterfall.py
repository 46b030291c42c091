"""The loss waterfall of one market at work (LIQ-3, LOSS-1 to LOSS-3)."""

import math

import numpy as np

from sim.attribution import LOSS
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.records import Losses, LossEvent
from sim.state import MarketState
from sim.step import assessment
from sim.types import I8, NOBODY, Pool, Risk, Transfers
from sim.venue import Venue, stamp
from sim.waterfall.allocation import largest_remainder

FINE = 2.0**32
"""Parts of one into which a leg's share of maintenance is rounded, so that deficits divide exactly."""


def allocate_losses(market: MarketState) -> Losses:
    """Put bankrupt accounts through the waterfall, at the mark of the last round (LOSS-3).

    Those wait whose lots the policy has on offer (LIQ-3), but for the fund's: its wallet stands behind it.
    """
    losses = Losses(np.zeros(len(market.venues), dtype=np.int64), [])
    if market.config.suppress_closeouts:
        return losses
    for venue in market.venues:
        for state in venue.states.values():
            broke = state.risk.bankrupt
            stamp(state.distress.broke, broke, market.tick)
            bankrupt = np.flatnonzero(broke)
            if bankrupt.size:
                waits = venue.policy.offers(state.risk, state.distress, venue.book(state.pool))
                bankrupt = bankrupt[~waits[bankrupt] | (bankrupt == venue.rows.fund)]
            if bankrupt.size:
                Waterfall(market, venue, state.pool, losses).run(bankrupt)
                assessment.assess(market, market.config.max_rounds)
                stamp(state.distress.broke, state.risk.bankrupt, market.tick)
        venue.offer()
    return losses


class Waterfall:
    """The loss layers of a venue at work on one pool, account after account.

    Whatever is posted, the verdicts in ``risk`` and what layers see in ``floor`` are brought up to date at once, for
    those it touched; everything else is looked at once for all accounts.
    """

    def __init__(self, market: MarketState, venue: Venue, pool: Pool, losses: Losses) -> None:
        self.market, self.venue, self.pool, self.losses = market, venue, pool, losses
        self.state = venue.states[pool.number]
        self.fund = venue.rows.fund
        self.apart = self.fund != NOBODY and venue.wallet != pool.number  # the fund's wallet is not in this pool
        self.risk = Risk(*(column.copy() for column in self.state.risk))
        self.worth = market.worth()[pool.instruments] * venue.view.mark[pool.local]
        book, risk = venue.book(pool), self.risk
        if self.apart:
            book, risk = book._replace(balance=book.balance.copy()), risk._replace(equity=risk.equity.copy())
        self.moved: list[I8] = []
        eligible = market.watched & (risk.equity > 0)
        self.floor = LayerContext(book, risk, eligible, self.fund, self.state.engine.assess, self.moved)
        if self.apart:
            self._show(np.array([self.fund]))

    def run(self, bankrupt: I8) -> None:
        """Largest shortfall first, ties by account."""
        order = bankrupt[np.argsort(self.risk.equity[bankrupt], kind="stable")]
        self._cancel_orders(order[order != self.fund])
        for account, weights in zip(order.tolist(), self._weights(order), strict=True):
            if account == self.fund:
                self._cancel_orders(np.array([account]))
                if self.apart:
                    self._bear(account)
            self._relieve(account, weights)

    def _cancel_orders(self, rows: I8) -> None:
        for instrument in range(self.pool.instruments.start, self.pool.instruments.stop):
            self.market.order_books.cancel_owners(instrument, rows)

    def _weights(self, rows: I8) -> I8:
        """How a deficit is spread over the legs of each account, (n, K) whole parts of one."""
        shares = self.state.engine.shares(self.venue.book(self.pool).take(rows))
        return np.rint(shares * FINE).astype(np.int64)

    def _relieve(self, account: int, weights: I8) -> None:
        """Layer after layer, while anything is short; what is left then is bad debt."""
        self.losses.shortfalls[self.venue.number] += self._short(account)
        self.floor.eligible[account] = False
        moved = account == self.fund  # it may have taken others' books over since the weights were made
        for layer in self.venue.config.waterfall:
            if not self._short(account):
                break
            if moved:
                weights = self._weights(np.array([account]))[0]
            loss = self._residual(account, weights)
            moved = self._apply(layer.kind, loss, layer.absorb(loss, self.floor))
        short = self._short(account)
        if short:
            self._pay(Transfers.of(self.venue.rows.house, account, self.venue.wallet, self.pool.number, 0, short))
            nothing = np.zeros(len(self.worth), dtype=np.int64)
            self.losses.events.append(LossEvent(self.pool, account, "bad_debt", short, short, nothing, nothing))
            self._refresh(np.array([account]))

    def _bear(self, fund: int) -> None:
        """What the fund's account owes, its wallet pays first: the cost of unwinding is the fund's (LIQ-3)."""
        row = np.array([fund])
        paid = min(self._short(fund), int(self.venue.purse(row)[0]))
        self._pay(Transfers.of(fund, fund, self.venue.wallet, self.pool.number, 0, paid))
        self._refresh(row)

    def _short(self, account: int) -> int:
        """Whole units that the account's equity lacks."""
        return math.ceil(max(0.0, -float(self.risk.equity[account])))

    def _residual(self, account: int, weights: I8) -> Shortfall:
        """The account's legs and what each lacks; a flat account has one empty leg."""
        short, position = self._short(account), self.floor.book.position[account]
        legs = np.flatnonzero(position)
        if not legs.size:
            nothing = np.zeros(1, dtype=np.int64)
            return Shortfall(account, nothing, nothing, np.array([short]))
        weights = weights[legs]
        if not weights.any():
            weights = np.ones_like(legs)
        return Shortfall(account, legs, position[legs], largest_remainder(short, weights))

    def _apply(self, layer: str, loss: Shortfall, relief: LayerResult) -> bool:
        """Post what a layer did and record it; whether it did anything."""
        account, start, number = loss.account, self.pool.instruments.start, self.pool.number
        fills, short = relief.fills, int(loss.deficit.sum())
        if not fills.taker.size and not relief.payers.size and relief.assumes == NOBODY:
            return False
        self.market.ledger.settle(fills._replace(instrument=fills.instrument + start), LOSS)
        for instrument in set(fills.instrument.tolist()):
            self.market.order_books.cancel_owners(instrument + start, fills.maker[fills.instrument == instrument])
        self._top_up_fund(relief)
        self._pay(Transfers.of(relief.payers, account, number, number, 0, relief.payments))
        absorbed = int(relief.payments.sum())
        if relief.assumes != NOBODY:
            absorbed = short
            self._hand_over(account, relief.assumes)
        self._refresh(self._touched(account, relief))
        lots = np.zeros(len(self.worth), dtype=np.int64)
        np.add.at(lots, fills.instrument, np.abs(fills.quantity))
        notional = np.rint(lots * self.worth).astype(np.int64)
        self.losses.events.append(LossEvent(self.pool, account, layer, short, absorbed, lots, notional))
        return True

    def _touched(self, account: int, relief: LayerResult) -> I8:
        """Accounts whose state a relief has changed, ascending; marked rather than sorted where they are many."""
        rows = np.concatenate(([account, relief.assumes], relief.fills.maker, relief.payers))
        rows = rows[rows != NOBODY]
        count = len(self.floor.eligible)
        if 16 * rows.size < count:
            return np.unique(rows)
        marked = np.zeros(count, dtype=np.bool_)
        marked[rows] = True
        return np.flatnonzero(marked)

    def _top_up_fund(self, relief: LayerResult) -> None:
        """Layers count the fund's wallet, so what its account in the pool lacks comes from there."""
        if self.apart:
            due = int(relief.payments[relief.payers == self.fund].sum())
            lacking = max(0, math.ceil(due - self.risk.equity[self.fund])) if due else 0
            self._pay(Transfers.of(self.fund, self.fund, self.venue.wallet, self.pool.number, 0, lacking))

    def _hand_over(self, account: int, fund: int) -> None:
        """Every balance of the account becomes the fund's, and the fund's wallet margins what it took."""
        balance, number = self.market.ledger.balance[:, self.pool.number, account], self.pool.number
        assets = np.flatnonzero(balance)
        self._pay(Transfers.of(account, fund, number, number, assets, balance[assets]))
        if self.apart:
            risk = self.state.engine.assess(self.venue.book(self.pool).take(np.array([fund])))
            lacking = int(np.ceil(max(0.0, risk.initial[0] - risk.equity[0])))
            self._pay(Transfers.of(fund, fund, self.venue.wallet, number, 0, lacking))

    def _pay(self, moves: Transfers) -> None:
        self.market.ledger.transfer(moves, LOSS)

    def _refresh(self, rows: I8) -> None:
        """Assess anew whoever was touched, and show it to the layers."""
        fresh = self.state.engine.assess(self.venue.book(self.pool).take(rows))
        for column, value in zip(self.risk, fresh, strict=True):
            column[rows] = np.where(self.market.watched[rows], value, 0.0)
        self._show(rows)
        self.moved.append(rows)

    def _show(self, rows: I8) -> None:
        """Bring the floor up to date; the fund's row counts its free wallet."""
        book, risk, eligible = self.floor[:3]
        if self.apart:
            live = self.venue.book(self.pool).balance
            book.balance[rows], risk.equity[rows] = live[rows], self.risk.equity[rows]
            wallet = self.market.ledger.balance[:, self.venue.wallet, self.fund]
            book.balance[self.fund] = live[self.fund] + wallet
            risk.equity[self.fund] = self.risk.equity[self.fund] + float(wallet @ book.market.price)
            rows = np.append(rows, self.fund)
        eligible[rows] = self.market.watched[rows] & (risk.equity[rows] > 0)

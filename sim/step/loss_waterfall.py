"""The loss waterfall of one market at work (LIQ-3, LOSS-1 to LOSS-3)."""

import math

import numpy as np

from sim.attribution import LOSS
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.records import Losses, LossEvent
from sim.state import MarketState
from sim.step import assessment
from sim.types import I8, MISSING, MarginAssessment, MarginPool, Transfers
from sim.venue import Venue, record_since
from sim.waterfall.allocation import allocate_largest_remainder

WEIGHT_SCALE = 2.0**32
"""Parts of one into which a leg's share of maintenance is rounded, so that deficits divide exactly."""


def allocate_losses(market: MarketState) -> Losses:
    """Put bankrupt accounts through the waterfall, at the mark of the last round (LOSS-3).

    Those wait whose lots the policy has on offer (LIQ-3), but for the fund's: its wallet stands behind it.
    """
    losses = Losses(np.zeros(len(market.venues), dtype=np.int64), [])
    if market.config.suppress_closeouts:
        return losses
    for venue in market.venues:
        for state in venue.pool_states.values():
            broke = state.assessment.bankrupt
            record_since(state.distress.bankrupt_since, broke, market.tick)
            bankrupt = np.flatnonzero(broke)
            if bankrupt.size:
                waits = venue.liquidation_policy.select_auctioned(
                    state.assessment, state.distress, venue.pool_accounts(state.pool)
                )
                bankrupt = bankrupt[
                    ~waits[bankrupt] | (bankrupt == venue.system_accounts.insurance_fund)
                ]
            if bankrupt.size:
                LossWaterfall(market, venue, state.pool, losses).allocate_shortfalls(bankrupt)
                assessment.assess_accounts(market, market.config.max_rounds)
                record_since(state.distress.bankrupt_since, state.assessment.bankrupt, market.tick)
        venue.publish_auctions()
    return losses


class LossWaterfall:
    """The loss layers of a venue at work on one pool, account after account.

    Whatever is posted, the verdicts in ``risk`` and what layers see in ``floor`` are brought up to date at once, for
    those it touched; everything else is looked at once for all accounts.
    """

    def __init__(self, market: MarketState, venue: Venue, pool: MarginPool, losses: Losses) -> None:
        self.market, self.venue, self.pool, self.losses = market, venue, pool, losses
        self.pool_state = venue.pool_states[pool.number]
        self.fund_owner = venue.system_accounts.insurance_fund
        self.has_separate_wallet = (
            self.fund_owner != MISSING and venue.wallet_pool != pool.number
        )  # the fund's wallet is not in this pool
        self.assessment = MarginAssessment(
            *(column.copy() for column in self.pool_state.assessment)
        )
        self.lot_value = market.tick_value()[pool.instruments] * venue.view.mark[pool.venue_slice]
        book, risk = venue.pool_accounts(pool), self.assessment
        if self.has_separate_wallet:
            book, risk = (
                book._replace(balance=book.balance.copy()),
                risk._replace(equity=risk.equity.copy()),
            )
        self.changed_accounts: list[I8] = []
        eligible = market.is_margined & (risk.equity > 0)
        self.context = LayerContext(
            book,
            risk,
            eligible,
            self.fund_owner,
            self.pool_state.engine.assess,
            self.changed_accounts,
        )
        if self.has_separate_wallet:
            self._refresh_context(np.array([self.fund_owner]))

    def allocate_shortfalls(self, bankrupt: I8) -> None:
        """Largest shortfall first, ties by account."""
        order = bankrupt[np.argsort(self.assessment.equity[bankrupt], kind="stable")]
        self._cancel_orders(order[order != self.fund_owner])
        for account, weights in zip(order.tolist(), self._leg_weights(order), strict=True):
            if account == self.fund_owner:
                self._cancel_orders(np.array([account]))
                if self.has_separate_wallet:
                    self._draw_fund_wallet(account)
            self._apply_layers(account, weights)

    def _cancel_orders(self, rows: I8) -> None:
        for instrument in range(self.pool.instruments.start, self.pool.instruments.stop):
            self.market.order_books.cancel_owner_orders(instrument, rows)

    def _leg_weights(self, rows: I8) -> I8:
        """How a deficit is spread over the legs of each account, (n, K) whole parts of one."""
        shares = self.pool_state.engine.compute_leg_shares(
            self.venue.pool_accounts(self.pool).take(rows)
        )
        return np.rint(shares * WEIGHT_SCALE).astype(np.int64)

    def _apply_layers(self, account: int, weights: I8) -> None:
        """Layer after layer, while anything is short; what is left then is bad debt."""
        self.losses.shortfalls[self.venue.number] += self._shortfall(account)
        self.context.is_eligible[account] = False
        moved = (
            account == self.fund_owner
        )  # it may have taken others' books over since the weights were made
        for layer in self.venue.config.waterfall:
            if not self._shortfall(account):
                break
            if moved:
                weights = self._leg_weights(np.array([account]))[0]
            loss = self._split_shortfall(account, weights)
            moved = self._post_layer_result(layer.kind, loss, layer.absorb(loss, self.context))
        short = self._shortfall(account)
        if short:
            self._transfer_cash(
                Transfers.from_columns(
                    self.venue.system_accounts.venue_equity,
                    account,
                    self.venue.wallet_pool,
                    self.pool.number,
                    0,
                    short,
                )
            )
            nothing = np.zeros(len(self.lot_value), dtype=np.int64)
            self.losses.events.append(
                LossEvent(self.pool, account, "bad_debt", short, short, nothing, nothing)
            )
            self._reassess_accounts(np.array([account]))

    def _draw_fund_wallet(self, fund: int) -> None:
        """What the fund's account owes, its wallet pays first: the cost of unwinding is the fund's (LIQ-3)."""
        row = np.array([fund])
        paid = min(self._shortfall(fund), int(self.venue.free_wallet_cash(row)[0]))
        self._transfer_cash(
            Transfers.from_columns(fund, fund, self.venue.wallet_pool, self.pool.number, 0, paid)
        )
        self._reassess_accounts(row)

    def _shortfall(self, account: int) -> int:
        """Whole units that the account's equity lacks."""
        return math.ceil(max(0.0, -float(self.assessment.equity[account])))

    def _split_shortfall(self, account: int, weights: I8) -> Shortfall:
        """The account's legs and what each lacks; a flat account has one empty leg."""
        short, position = self._shortfall(account), self.context.accounts.position[account]
        legs = np.flatnonzero(position)
        if not legs.size:
            nothing = np.zeros(1, dtype=np.int64)
            return Shortfall(account, nothing, nothing, np.array([short]))
        weights = weights[legs]
        if not weights.any():
            weights = np.ones_like(legs)
        return Shortfall(account, legs, position[legs], allocate_largest_remainder(short, weights))

    def _post_layer_result(self, layer: str, loss: Shortfall, relief: LayerResult) -> bool:
        """Post what a layer did and record it; whether it did anything."""
        account, start, number = loss.account, self.pool.instruments.start, self.pool.number
        fills, short = relief.fills, int(loss.deficit.sum())
        if not fills.taker.size and not relief.payers.size and relief.assuming_owner == MISSING:
            return False
        self.market.ledger.settle_fills(fills._replace(instrument=fills.instrument + start), LOSS)
        for instrument in set(fills.instrument.tolist()):
            self.market.order_books.cancel_owner_orders(
                instrument + start, fills.maker[fills.instrument == instrument]
            )
        self._top_up_fund(relief)
        self._transfer_cash(
            Transfers.from_columns(relief.payers, account, number, number, 0, relief.payments)
        )
        absorbed = int(relief.payments.sum())
        if relief.assuming_owner != MISSING:
            absorbed = short
            self._transfer_book(account, relief.assuming_owner)
        self._reassess_accounts(self._find_changed_rows(account, relief))
        lots = np.zeros(len(self.lot_value), dtype=np.int64)
        np.add.at(lots, fills.instrument, np.abs(fills.quantity))
        notional = np.rint(lots * self.lot_value).astype(np.int64)
        self.losses.events.append(
            LossEvent(self.pool, account, layer, short, absorbed, lots, notional)
        )
        return True

    def _find_changed_rows(self, account: int, relief: LayerResult) -> I8:
        """Accounts whose state a relief has changed, ascending; marked rather than sorted where they are many."""
        rows = np.concatenate(([account, relief.assuming_owner], relief.fills.maker, relief.payers))
        rows = rows[rows != MISSING]
        count = len(self.context.is_eligible)
        if 16 * rows.size < count:
            return np.unique(rows)
        marked = np.zeros(count, dtype=np.bool_)
        marked[rows] = True
        return np.flatnonzero(marked)

    def _top_up_fund(self, relief: LayerResult) -> None:
        """Layers count the fund's wallet, so what its account in the pool lacks comes from there."""
        if self.has_separate_wallet:
            due = int(relief.payments[relief.payers == self.fund_owner].sum())
            lacking = max(0, math.ceil(due - self.assessment.equity[self.fund_owner])) if due else 0
            self._transfer_cash(
                Transfers.from_columns(
                    self.fund_owner,
                    self.fund_owner,
                    self.venue.wallet_pool,
                    self.pool.number,
                    0,
                    lacking,
                )
            )

    def _transfer_book(self, account: int, fund: int) -> None:
        """Every balance of the account becomes the fund's, and the fund's wallet margins what it took."""
        balance, number = self.market.ledger.balance[:, self.pool.number, account], self.pool.number
        assets = np.flatnonzero(balance)
        self._transfer_cash(
            Transfers.from_columns(account, fund, number, number, assets, balance[assets])
        )
        if self.has_separate_wallet:
            risk = self.pool_state.engine.assess(
                self.venue.pool_accounts(self.pool).take(np.array([fund]))
            )
            lacking = int(np.ceil(max(0.0, risk.initial[0] - risk.equity[0])))
            self._transfer_cash(
                Transfers.from_columns(fund, fund, self.venue.wallet_pool, number, 0, lacking)
            )

    def _transfer_cash(self, moves: Transfers) -> None:
        self.market.ledger.transfer(moves, LOSS)

    def _reassess_accounts(self, rows: I8) -> None:
        """Assess anew whoever was touched, and show it to the layers."""
        fresh = self.pool_state.engine.assess(self.venue.pool_accounts(self.pool).take(rows))
        for column, value in zip(self.assessment, fresh, strict=True):
            column[rows] = np.where(self.market.is_margined[rows], value, 0.0)
        self._refresh_context(rows)
        self.changed_accounts.append(rows)

    def _refresh_context(self, rows: I8) -> None:
        """Bring the floor up to date; the fund's row counts its free wallet."""
        book, risk, eligible = self.context[:3]
        if self.has_separate_wallet:
            live = self.venue.pool_accounts(self.pool).balance
            book.balance[rows], risk.equity[rows] = live[rows], self.assessment.equity[rows]
            wallet = self.market.ledger.balance[:, self.venue.wallet_pool, self.fund_owner]
            book.balance[self.fund_owner] = live[self.fund_owner] + wallet
            risk.equity[self.fund_owner] = self.assessment.equity[self.fund_owner] + float(
                wallet @ book.market.price
            )
            rows = np.append(rows, self.fund_owner)
        eligible[rows] = self.market.is_margined[rows] & (risk.equity[rows] > 0)

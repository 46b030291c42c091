"""Loss waterfall in plain Python, one bankrupt account after another (LOSS-1 to LOSS-3).

It is the definition of the compiled waterfall, which a test compares with it. It also applies the
layers that have no compiled form, such as those of plug-ins.
"""

import math

import numpy as np

from sim.attribution import LOSS
from sim.losses import LayerContext, LayerResult, Shortfall
from sim.records import Losses, LossEvents
from sim.state import MarketState
from sim.types import I8, MISSING, Fills, MarginAssessment, MarginPool, Transfers
from sim.venue import Venue
from sim.waterfall.allocation import allocate_largest_remainder

WEIGHT_SCALE = 2.0**32
"""Parts of one in a rounded weight; integer weights make the split of deficits exact."""


class PlainWaterfall:
    """Loss layers of a venue, applied to the bankrupt accounts of one pool in turn.

    After each posting, ``assessment`` and ``context`` are updated for the accounts that it changed.
    Everything else is computed once for all accounts.

    Args:
        market: in place.
        venue: exchange of the pool.
        pool: the margin pool.
        losses: shortfalls and events of the step, in place.
    """

    def __init__(self, market: MarketState, venue: Venue, pool: MarginPool, losses: Losses) -> None:
        self.market, self.venue, self.pool, self.losses = market, venue, pool, losses
        self.pool_state = venue.pool_states[pool.number]
        self.layers = venue.config.waterfall
        # names of the layers, and of the loss that none of them absorbed
        self.kinds = (*(layer.kind for layer in self.layers), "bad_debt")
        self.fund_owner = venue.system_accounts.insurance_fund
        # True if the fund's wallet is not in this pool
        self.has_separate_wallet = self.fund_owner != MISSING and venue.wallet_pool != pool.number
        self.assessment = MarginAssessment(
            *(column.copy() for column in self.pool_state.assessment)
        )
        self.lot_value = market.tick_value()[pool.instruments] * venue.view.mark[pool.venue_slice]
        self.changed_accounts: list[I8] = []
        self.context = self._build_context()
        if self.has_separate_wallet:
            self._refresh_context(np.array([self.fund_owner]))

    def _build_context(self) -> LayerContext:
        """Return the layers' view, with columns of its own where the fund's wallet is added."""
        accounts, seen = self.venue.pool_accounts(self.pool), self.assessment
        if self.has_separate_wallet:
            accounts = accounts._replace(balance=accounts.balance.copy())
            seen = seen._replace(equity=seen.equity.copy())
        return LayerContext(
            accounts=accounts,
            assessment=seen,
            is_eligible=self.market.is_margined & (seen.equity > 0),
            fund_owner=self.fund_owner,
            assess=self.pool_state.engine.assess,
            changed_accounts=self.changed_accounts,
        )

    def allocate_shortfalls(self, bankrupt: I8) -> None:
        """Allocate the shortfalls of accounts, the largest first, ties by account."""
        order, weights = self.begin(bankrupt)
        for account, leg_weights in zip(order.tolist(), weights, strict=True):
            self.allocate_shortfall(account, leg_weights)

    def begin(self, bankrupt: I8) -> tuple[I8, I8]:
        """Cancel the orders of bankrupt accounts.

        Returns:
            The accounts in the order of their turns, (n,), and the weights of their legs, (n, K).
        """
        order = bankrupt[np.argsort(self.assessment.equity[bankrupt], kind="stable")]
        self._cancel_orders(order[order != self.fund_owner])
        return order, self.leg_weights(order)

    def allocate_shortfall(self, account: int, weights: I8) -> None:
        """Apply layers in order until the shortfall is absorbed; the remainder is bad debt."""
        if account == self.fund_owner:
            self._cancel_orders(np.array([account]))
            if self.has_separate_wallet:
                self._draw_fund_wallet(account)
        self.losses.shortfalls[self.venue.number] += self._shortfall(account)
        self.context.is_eligible[account] = False
        # the fund may have taken over positions since the weights were computed
        has_moved = account == self.fund_owner
        for number in range(len(self.layers)):
            if not self._shortfall(account):
                break
            if has_moved:
                weights = self.leg_weights(np.array([account]))[0]
            has_moved = self.apply_layer(number, account, weights)
        if self._shortfall(account):
            self._post_bad_debt(account)

    def apply_layer(self, number: int, account: int, weights: I8) -> bool:
        """Post what one layer absorbs; return False if it did nothing."""
        loss = self._split_shortfall(account, weights)
        return self._post_layer_result(number, loss, self.layers[number].absorb(loss, self.context))

    def leg_weights(self, rows: I8) -> I8:
        """Return the weights by which a deficit is split over each account's legs, (n, K)."""
        shares = self.pool_state.engine.compute_leg_shares(
            self.venue.pool_accounts(self.pool).take(rows)
        )
        return np.rint(shares * WEIGHT_SCALE).astype(np.int64)

    def _cancel_orders(self, rows: I8) -> None:
        for instrument in range(self.pool.instruments.start, self.pool.instruments.stop):
            self.market.order_books.cancel_owner_orders(instrument, rows)

    def _post_bad_debt(self, account: int) -> None:
        """Cover the remaining shortfall from the venue's own equity, and record it as bad debt."""
        short = self._shortfall(account)
        payer = self.venue.system_accounts.venue_equity
        self._transfer_cash(
            Transfers.from_columns(
                payer, account, self.venue.wallet_pool, self.pool.number, 0, short
            )
        )
        nothing = np.zeros(len(self.lot_value), dtype=np.int64)
        self._record_event(len(self.layers), account, (short, short), nothing)
        self._reassess_accounts(np.array([account]))

    def _record_event(self, layer: int, account: int, amounts: tuple[int, int], lots: I8) -> None:
        """Record the effect of a layer; ``amounts`` are the shortfall and what it absorbed."""
        notional = np.rint(lots * self.lot_value).astype(np.int64)
        layers, accounts, shortfall, absorbed = np.array(
            [[layer], [account], *zip(amounts, strict=True)]
        )
        self.losses.events.append(
            LossEvents(
                pool=self.pool,
                kinds=self.kinds,
                layer=layers,
                account=accounts,
                shortfall=shortfall,
                absorbed=absorbed,
                lots=lots[np.newaxis],
                notional=notional[np.newaxis],
            )
        )

    def _draw_fund_wallet(self, fund: int) -> None:
        """Pay the deficit of the fund's account from its wallet (LIQ-3)."""
        row = np.array([fund])
        paid = min(self._shortfall(fund), int(self.venue.free_wallet_cash(row)[0]))
        self._transfer_cash(
            Transfers.from_columns(fund, fund, self.venue.wallet_pool, self.pool.number, 0, paid)
        )
        self._reassess_accounts(row)

    def _shortfall(self, account: int) -> int:
        """Return the account's negative equity in whole units, or zero."""
        return math.ceil(max(0.0, -float(self.assessment.equity[account])))

    def _split_shortfall(self, account: int, weights: I8) -> Shortfall:
        """Return the account's legs and the deficit of each; a flat account has one empty leg."""
        short, position = self._shortfall(account), self.context.accounts.position[account]
        legs = np.flatnonzero(position)
        if not legs.size:
            nothing = np.zeros(1, dtype=np.int64)
            return Shortfall(account, nothing, nothing, np.array([short]))
        weights = weights[legs]
        if not weights.any():
            weights = np.ones_like(legs)
        return Shortfall(account, legs, position[legs], allocate_largest_remainder(short, weights))

    def _post_layer_result(self, layer: int, loss: Shortfall, result: LayerResult) -> bool:
        """Post and record the result of a layer; return False if the layer did nothing."""
        account, number = loss.account, self.pool.number
        short, absorbed = int(loss.deficit.sum()), int(result.payments.sum())
        has_taker = result.assuming_owner != MISSING
        if not result.fills.taker.size and not result.payers.size and not has_taker:
            return False
        self._post_fills(result.fills)
        self._top_up_fund(result)
        self._transfer_cash(
            Transfers.from_columns(result.payers, account, number, number, 0, result.payments)
        )
        if has_taker:
            absorbed = short
            self._transfer_balances(account, result.assuming_owner)
        self._reassess_accounts(self._find_changed_rows(account, result))
        lots = np.zeros(len(self.lot_value), dtype=np.int64)
        np.add.at(lots, result.fills.instrument, np.abs(result.fills.quantity))
        self._record_event(layer, account, (short, absorbed), lots)
        return True

    def _post_fills(self, fills: Fills) -> None:
        """Post a layer's fills, and cancel the makers' resting orders in the same instruments."""
        first = self.pool.instruments.start
        self.market.ledger.settle_fills(fills._replace(instrument=fills.instrument + first), LOSS)
        for instrument in set(fills.instrument.tolist()):
            makers = fills.maker[fills.instrument == instrument]
            self.market.order_books.cancel_owner_orders(instrument + first, makers)

    def _find_changed_rows(self, account: int, result: LayerResult) -> I8:
        """Return the accounts that a result has changed, ascending.

        Many accounts are marked, because sorting them takes longer.
        """
        rows = np.concatenate(([account, result.assuming_owner], result.fills.maker, result.payers))
        rows = rows[rows != MISSING]
        count = len(self.context.is_eligible)
        if 16 * rows.size < count:
            return np.unique(rows)
        marked = np.zeros(count, dtype=np.bool_)
        marked[rows] = True
        return np.flatnonzero(marked)

    def _top_up_fund(self, result: LayerResult) -> None:
        """Transfer what the fund's account needs from its wallet, which layers count as its own."""
        if self.has_separate_wallet:
            due = int(result.payments[result.payers == self.fund_owner].sum())
            lacking = max(0, math.ceil(due - self.assessment.equity[self.fund_owner])) if due else 0
            self._transfer_from_wallet(self.fund_owner, lacking)

    def _transfer_balances(self, account: int, fund: int) -> None:
        """Move every balance of an account to the fund, and margin its new positions."""
        balance, number = self.market.ledger.balance[:, self.pool.number, account], self.pool.number
        assets = np.flatnonzero(balance)
        self._transfer_cash(
            Transfers.from_columns(account, fund, number, number, assets, balance[assets])
        )
        if self.has_separate_wallet:
            row = self.venue.pool_accounts(self.pool).take(np.array([fund]))
            required = self.pool_state.engine.assess(row)
            lacking = int(np.ceil(max(0.0, required.initial[0] - required.equity[0])))
            self._transfer_from_wallet(fund, lacking)

    def _transfer_from_wallet(self, owner: int, amount: int) -> None:
        """Move cash from an owner's wallet into its account in this pool."""
        self._transfer_cash(
            Transfers.from_columns(
                owner, owner, self.venue.wallet_pool, self.pool.number, 0, amount
            )
        )

    def _transfer_cash(self, moves: Transfers) -> None:
        self.market.ledger.transfer(moves, LOSS)

    def _reassess_accounts(self, rows: I8) -> None:
        """Assess changed accounts again, and show them to the layers."""
        fresh = self.pool_state.engine.assess(self.venue.pool_accounts(self.pool).take(rows))
        for column, value in zip(self.assessment, fresh, strict=True):
            column[rows] = np.where(self.market.is_margined[rows], value, 0.0)
        was_eligible = self.context.is_eligible[self.fund_owner]
        self._refresh_context(rows)
        self.changed_accounts.append(rows)
        # a fund with a separate wallet can pay again after its own account was bankrupt
        if self.has_separate_wallet and not was_eligible:
            self.changed_accounts.append(np.array([self.fund_owner]))

    def _refresh_context(self, rows: I8) -> None:
        """Update the layers' view of accounts; the fund's row includes its free wallet."""
        accounts, seen, eligible = self.context[:3]
        if self.has_separate_wallet:
            live = self.venue.pool_accounts(self.pool).balance
            accounts.balance[rows], seen.equity[rows] = live[rows], self.assessment.equity[rows]
            wallet = self.market.ledger.balance[:, self.venue.wallet_pool, self.fund_owner]
            accounts.balance[self.fund_owner] = live[self.fund_owner] + wallet
            wallet_value = float(wallet @ accounts.market.price)
            seen.equity[self.fund_owner] = self.assessment.equity[self.fund_owner] + wallet_value
            rows = np.append(rows, self.fund_owner)
        eligible[rows] = self.market.is_margined[rows] & (seen.equity[rows] > 0)

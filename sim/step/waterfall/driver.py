"""Driver of the compiled loss waterfall: prepares its arrays, and does in Python what they lack."""

import numpy as np

from sim.attribution import LOSS
from sim.margin import leg_values
from sim.margin.tiers.brackets import tabulate_brackets
from sim.records import Losses, LossEvents
from sim.state import MarketState
from sim.step.plain_waterfall import PlainWaterfall
from sim.step.waterfall import layers, tables
from sim.step.waterfall.postings import requeue_accounts
from sim.step.waterfall.run import run_waterfall
from sim.step.waterfall.scores import list_side, write_profits
from sim.step.waterfall.tables import FIRST_LOTS, IS_MOVED, LAYER, N_EVENTS, N_FILLS, PLACE
from sim.step.waterfall.tree import build_queue
from sim.types import F8, I8, MISSING, Fills, MarginPool, Transfers
from sim.venue import Venue
from sim.waterfall.fund import can_margin_accounts

MAX_DEPTH = 512
"""Room for the way from the root of a queue to any account; about 60 are needed for 10^7."""

FIRST_ROOM = 256
"""Rows of the tables of fills and events at first; they grow."""


FIRST_AT_ONCE = 4
"""Accounts that are assessed at once at first for a take-over by the fund."""


class CompiledWaterfall(PlainWaterfall):
    """Loss layers of a venue by kernels, with the results of the plain ones to the unit.

    Layers without a kernel are applied in Python, between two calls of the kernel. Both work on the
    same arrays.
    """

    def __init__(self, market: MarketState, venue: Venue, pool: MarginPool, losses: Losses) -> None:
        super().__init__(market, venue, pool, losses)
        self._terms = self._tabulate_terms()
        self._accounts = self._collect_accounts()
        self._queues = self._allocate_queues()
        self._fills = np.empty((6, FIRST_ROOM), dtype=np.int64)
        width = FIRST_LOTS + 2 * len(self.lot_value)
        self._events = np.empty((FIRST_ROOM, width), dtype=np.int64)
        self._n_at_once = FIRST_AT_ONCE
        if self._terms.state[tables.KEEPS_PROFIT]:
            write_profits(self._terms, self._accounts)

    def allocate_shortfalls(self, bankrupt: I8) -> None:
        """Allocate the shortfalls of accounts, the largest first, ties by account."""
        order, weights = self.begin(bankrupt)
        # that of the fund is added in its turn, after its wallet has paid
        owed = np.ceil(-self.assessment.equity[order[order != self.fund_owner]])
        self.losses.shortfalls[self.venue.number] += int(owed.sum())
        turns = np.column_stack((order, weights))
        need = self._run(turns)
        while need != tables.DONE:
            self._meet_need(need, turns)
            need = self._run(turns)
        self._flush()

    def _run(self, turns: I8) -> int:
        """Run the kernel as far as it goes, and return the reason why it stopped."""
        need, self._fills, self._events = run_waterfall(
            self._terms, self._accounts, self._queues, turns, self._fills, self._events
        )
        return int(need)

    def _meet_need(self, need: int, turns: I8) -> None:
        """Do what the kernel cannot do, and move its state on."""
        state = self._terms.state
        turn = turns[state[PLACE]]
        if need == tables.NEEDS_QUEUE:
            self._build_queue(int(state[tables.WANTED]))
            return
        if state[IS_MOVED]:
            turn[1:] = self.leg_weights(turn[:1])[0]
        if need == tables.NEEDS_WEIGHTS:
            state[IS_MOVED] = 0
            return
        self._flush()
        is_whole_turn = need == tables.NEEDS_PLAIN_ACCOUNT
        if is_whole_turn or not self._is_refused(turns):
            self._apply_plainly(is_whole_turn, turn)

    def _apply_plainly(self, is_whole_turn: bool, turn: I8) -> None:
        """Apply the present layer in Python, or all layers, and requeue accounts that changed."""
        state, account, n_batches = self._terms.state, int(turn[0]), len(self.changed_accounts)
        if is_whole_turn:
            self.allocate_shortfall(account, turn[1:])
            state[PLACE] += 1
        else:
            state[IS_MOVED] = self.apply_layer(int(state[LAYER]), account, turn[1:])
            state[LAYER] += 1
        rows = np.unique(np.concatenate((turn[:1], *self.changed_accounts[n_batches:])))
        if self.fund_owner in rows:
            state[tables.REFUSED] = 0
        requeue_accounts(self._terms, self._accounts, self._queues, rows)

    def _is_refused(self, turns: I8) -> bool:
        """Return whether the present layer is the fund's, which cannot take the account over.

        Find how many of the next accounts it cannot take over as it is. More accounts are assessed
        at once each time that none of them is taken.
        """
        state = self._terms.state
        kind = self._terms.layers[tables.LAYER_KIND, state[LAYER]]
        if kind != tables.PLAIN_FUND or state[IS_MOVED]:
            return False
        rows = turns[state[PLACE] : state[PLACE] + self._n_at_once, 0]
        taken = np.flatnonzero(can_margin_accounts(self.context, rows))
        n_refused = int(taken[0]) if taken.size else rows.size
        self._n_at_once = FIRST_AT_ONCE if taken.size else 2 * self._n_at_once
        state[tables.REFUSED] = state[PLACE] + n_refused
        return n_refused > 0

    def _build_queue(self, number: int) -> None:
        """Sort the counterparties of one side of an instrument."""
        state = self._terms.state
        layer, column = divmod(number >> 1, len(self.lot_value))
        choice = int(self._terms.layers[tables.CHOICE, layer])
        rows, points, means = list_side(self._terms, self._accounts, choice, column, number & 1)
        order = np.argsort(-points, kind="stable")
        build_queue(self._queues, number, rows[order], points[order], means[order])
        self._queues.heads[tables.BUILT, state[tables.N_BUILT]] = number
        state[tables.N_BUILT] += 1

    def _flush(self) -> None:
        """Record what the kernel posted, and show the changed accounts to plain layers."""
        accounts, state = self._accounts, self._terms.state
        rows = np.sort(accounts.whole[tables.CHANGED, : state[tables.N_CHANGED]])
        self._record_events()
        self._record_postings(rows)
        accounts.flags[tables.IS_CHANGED, rows] = False
        state[tables.N_CHANGED] = 0
        if rows.size:
            self._reassess_accounts(rows)

    def _record_events(self) -> None:
        """Move the events of the kernel to the losses of the step."""
        state, count = self._terms.state, len(self.lot_value)
        if state[N_EVENTS]:
            columns = self._events[: state[N_EVENTS]].T.copy()
            self.losses.events.append(
                LossEvents(
                    pool=self.pool,
                    kinds=self.kinds,
                    layer=columns[tables.EVENT_LAYER],
                    account=columns[tables.ACCOUNT],
                    shortfall=columns[tables.SHORTFALL],
                    absorbed=columns[tables.ABSORBED],
                    lots=columns[FIRST_LOTS : FIRST_LOTS + count].T,
                    notional=columns[FIRST_LOTS + count :].T,
                )
            )
        state[N_EVENTS] = 0

    def _record_postings(self, rows: I8) -> None:
        """Log trades and net cash flows, and cancel the makers' orders.

        Args:
            rows: accounts with postings, besides the fund's and the venue's own.
        """
        state, net, wallet = self._terms.state, self._accounts.net, self.venue.wallet_pool
        fills = Fills(*self._fills[:, : state[N_FILLS]].copy())
        state[N_FILLS] = 0
        own = {self.venue.system_accounts.venue_equity, self.fund_owner} - {MISSING}
        is_listed = self._accounts.flags[tables.IS_CHANGED]
        payers = np.append(rows, [owner for owner in sorted(own) if not is_listed[owner]])
        payers = payers.astype(np.int64)
        asset, place, at = np.nonzero(net[:, :, payers])
        source, pools = payers[at], np.array([self.pool.number, wallet])[place]
        amounts = net[asset, place, source]
        net[:, :, payers] = 0
        moves = Transfers.from_columns(source, MISSING, pools, MISSING, asset, amounts)
        self.market.ledger.log_posted(fills, moves, LOSS)
        self._cancel_maker_orders(fills)

    def _cancel_maker_orders(self, fills: Fills) -> None:
        """Cancel the makers' resting orders in the instruments of the fills."""
        for instrument in np.flatnonzero(np.bincount(fills.instrument)).tolist():
            makers = fills.maker[fills.instrument == instrument]
            self.market.order_books.cancel_owner_orders(instrument, makers)

    def _tabulate_terms(self) -> tables.Pool:
        """Return the terms of the pool, and the state before the first turn."""
        view, contracts = self.venue.pool_view(self.pool), self.market.contracts
        own, price = view.contracts, np.ascontiguousarray(view.price)
        brackets = tabulate_brackets(self.pool_state.engine)
        parameters = layers.tabulate_layers(self.layers, brackets is not None)
        unit_value, (lot_value, _) = view.mark * own.multiplier, leg_values.compute_lot_values(view)
        return tables.Pool(
            state=self._tabulate_state(parameters),
            legs=np.array([view.mark, unit_value, lot_value, self.lot_value, price[own.settle]]),
            terms=np.array([own.settle, own.kind, own.multiplier]),
            listed=np.array(
                [self.market.ledger.pool_numbers, contracts.settle, contracts.multiplier]
            ),
            price=price,
            layers=parameters,
            brackets=np.empty((5, len(price), 0)) if brackets is None else brackets.brackets,
            factors=np.empty((0, 2)) if brackets is None else brackets.factors,
        )

    def _tabulate_state(self, parameters: F8) -> I8:
        """Return the constants of the pool, and the variables before the first turn."""
        state = np.zeros(tables.STATE_SIZE, dtype=np.int64)
        state[: tables.PLACE] = (
            self.pool.number,
            self.venue.wallet_pool,
            self.pool.instruments.start,
            len(self.lot_value),
            self.fund_owner,
            self.venue.system_accounts.venue_equity,
            self.has_separate_wallet,
            layers.needs_maintenance(parameters),
            layers.needs_profit(parameters),
        )
        return state

    def _collect_accounts(self) -> tables.Accounts:
        """Return the tables of accounts, and let the plain waterfall work on the same ones."""
        owners, seen = self.market.n_owners, self.context.assessment.equity
        money, flags = np.empty((5, owners)), np.zeros((3, owners), dtype=np.bool_)
        money[tables.EQUITY], money[tables.SEEN] = self.assessment.equity, seen
        money[tables.MAINTENANCE] = self.assessment.maintenance
        flags[tables.IS_MARGINED] = self.market.is_margined
        flags[tables.IS_ELIGIBLE] = self.context.is_eligible
        shared = self.assessment._replace(
            equity=money[tables.EQUITY], maintenance=money[tables.MAINTENANCE]
        )
        visible = shared._replace(equity=money[tables.SEEN]) if self.has_separate_wallet else shared
        self.assessment = shared
        self.context = self.context._replace(
            assessment=visible, is_eligible=flags[tables.IS_ELIGIBLE]
        )
        balance, position, entry = self.market.ledger.writable[:3]
        return tables.Accounts(
            balance=balance,
            position=position,
            entry=entry,
            money=money,
            flags=flags,
            whole=np.zeros((3, owners), dtype=np.int64),
            net=np.zeros((len(self._terms.price), 2, owners), dtype=np.int64),
        )

    def _allocate_queues(self) -> tables.Queues:
        """Return room for all queues; memory that is not used is not taken."""
        owners, count = self.market.n_owners, 2 * len(self.layers) * len(self.lot_value)
        return tables.Queues(
            nodes=np.empty((count, owners, 4), dtype=np.int64),
            score=np.empty((count, owners)),
            heads=np.empty((3, max(count, MAX_DEPTH)), dtype=np.int64),
        )

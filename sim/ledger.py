"""Ledger of all accounts: integer balances and positions, changed by balanced postings (LED-1)."""

from typing import Any, NamedTuple

import numpy as np

from sim.errors import ConservationError
from sim.numerics.jit import kernel
from sim.types import F8, I8, MISSING, Contracts, Exposure, Fills, MarginPool, MarketView, Transfers

CONDENSE_THRESHOLD = 2**20
"""Number of cash moves above which the log is condensed; it affects memory and speed only."""


class JournalEntry(NamedTuple):
    """One entry of the event log since the last assessment (LIQ-6)."""

    event: str
    posting: Fills | Transfers
    instrument: int | I8 = MISSING  # of the cash moves, one or one for each; MISSING = of none


class LedgerArrays(NamedTuple):
    """Accounts of N owners in P pools, over K instruments and C assets."""

    balance: I8  # (C, P, N) minor units
    position: I8  # (K, N) lots
    entry: I8  # (K, N) value paid for the position, minor units
    leverage: F8  # (K, N) leverage that owners chose, inf = the venue's highest
    max_leverage: F8  # (K, N) infinite: the leverage of live accounts


@kernel
def post_fills(
    balance: I8,
    position: I8,
    entry: I8,
    taker: I8,
    maker: I8,
    instrument: I8,
    quantity: I8,
    price: I8,
    pool: I8,
    settle: I8,
    multiplier: I8,
) -> None:
    """Pay each fill's consideration from buyer to seller, and move the lots the other way."""
    for i in range(taker.size):
        k = instrument[i]
        post_fill(
            balance[settle[k], pool[k]],
            position[k],
            entry[k],
            taker[i],
            maker[i],
            quantity[i],
            price[i] * multiplier[k],
        )


@kernel
def post_fill(
    balance: I8, position: I8, entry: I8, taker: int, maker: int, quantity: int, value: int
) -> None:
    """Post one fill to the accounts of its instrument, (N,) each; ``value`` is that of a lot."""
    balance[taker] -= quantity * value
    balance[maker] += quantity * value
    for side in range(2):
        owner = taker if side == 0 else maker
        change = quantity if side == 0 else -quantity
        held, paid = position[owner], entry[owner]
        after = held + change
        position[owner] = after
        if held == 0 or (held > 0) == (change > 0):
            entry[owner] = paid + change * value
        elif after != 0 and (after > 0) == (held > 0):
            entry[owner] = np.int64(np.rint(paid * (after / held)))
        else:
            entry[owner] = after * value


@kernel
def post_transfers(
    balance: I8, source: I8, target: I8, source_pool: I8, target_pool: I8, asset: I8, amount: I8
) -> None:
    """Move cash, with both signs."""
    for i in range(source.size):
        balance[asset[i], source_pool[i], source[i]] -= amount[i]
        balance[asset[i], target_pool[i], target[i]] += amount[i]


def _make_read_only(array: Any) -> Any:
    view = array.view()
    view.flags.writeable = False
    return view


def _number_by_instrument(pools: tuple[MarginPool, ...], instruments: int) -> I8:
    """Return the number of the pool that holds each instrument, (K,)."""
    numbers = np.zeros(instruments, dtype=np.int64)
    for pool in pools:
        numbers[pool.instruments] = pool.number
    return numbers


class Ledger:
    """Columnar accounts of N owners in P pools, over K instruments and C assets.

    Arrays are instrument- and asset-major, so that a pool's accounts, (owner, instrument), are a
    transposed slice: no copy, and not writeable. Instruments of one pool are contiguous.

    Args:
        contracts: the K instruments.
        pools: the pools; every instrument belongs to exactly one.
        owners: N.
        assets: C.
        resting: (3, K, N) resting buys, sells and reserved cash, written by the order books only.
    """

    def __init__(
        self,
        contracts: Contracts,
        pools: tuple[MarginPool, ...],
        owners: int,
        assets: int,
        resting: I8,
    ) -> None:
        instruments = len(contracts.names)
        self.contracts, self.pools = contracts, pools
        self.pool_numbers = _number_by_instrument(pools, instruments)
        cash_shape, lots_shape = (assets, len(pools), owners), (instruments, owners)
        self._balance = np.zeros(cash_shape, dtype=np.int64)
        self._pledged = np.zeros_like(self._balance)
        self._position = np.zeros(lots_shape, dtype=np.int64)
        self._entry = np.zeros_like(self._position)
        self._leverage = np.full(lots_shape, np.inf)
        self._max_leverage = np.full(lots_shape, np.inf)
        self.balance: I8 = _make_read_only(self._balance)
        self.position: I8 = _make_read_only(self._position)
        self.entry: I8 = _make_read_only(self._entry)
        self.leverage: F8 = _make_read_only(self._leverage)
        self.journal: list[JournalEntry] = []
        self._n_cash_moves = 0  # cash moves in the journal
        columns = (self._balance, self._pledged, self._position, *resting, self._entry)
        frozen = list(map(_make_read_only, columns))
        self._views = {pool.number: self._build_view_columns(pool, frozen) for pool in pools}

    def _build_view_columns(self, pool: MarginPool, frozen: list[Any]) -> tuple[Any, ...]:
        balance, pledged, position, bids, asks, reserved, entry = frozen
        part = pool.instruments
        by_asset = (balance[:, pool.number].T, pledged[:, pool.number].T)
        by_instrument = (
            position[part].T,
            bids[part].T,
            asks[part].T,
            reserved[part].T,
            entry[part].T,
        )
        return (*by_asset, *by_instrument, _make_read_only(self._max_leverage)[part].T)

    @property
    def writable(self) -> "LedgerArrays":
        """Arrays of the accounts, for kernels that post to them in balance (LED-1).

        A kernel that posts outside the compiled step logs with :meth:`log_posted`.
        """
        return LedgerArrays(
            self._balance, self._position, self._entry, self._leverage, self._max_leverage
        )

    def view_accounts(self, pool: MarginPool, market: MarketView) -> Exposure:
        """Return the live accounts of one pool, read-only.

        Leverage is the venue's highest. The leverage that an owner chose restricts new positions
        and withdrawals, not positions that it holds.

        Args:
            pool: the margin pool.
            market: the pool's part of the venue's view.
        """
        columns = (*self._views[pool.number], market)
        return Exposure(*columns)

    def settle_fills(self, fills: Fills, event: str) -> None:
        """Post trades: quantity x price x multiplier from buyer to seller, in the settle asset."""
        c = self.contracts
        if fills.taker.size:
            post_fills(
                self._balance,
                self._position,
                self._entry,
                *fills[:5],
                self.pool_numbers,
                c.settle,
                c.multiplier,
            )
            self.journal.append(JournalEntry(event, fills))

    def transfer(self, moves: Transfers, event: str, instrument: int | I8 = MISSING) -> None:
        """Post cash moves between accounts.

        Args:
            moves: the moves.
            event: kind of their event.
            instrument: instrument that they concern, one or one for each; MISSING = none.
        """
        if moves.source.size:
            post_transfers(self._balance, *moves)
            self._n_cash_moves = moves.source.size + (self._n_cash_moves if self.journal else 0)
            self.journal.append(JournalEntry(event, moves, instrument))
            if self._n_cash_moves > max(CONDENSE_THRESHOLD, 4 * self._balance.size):
                self._condense()

    def log_posted(self, fills: Fills, moves: Transfers, event: str) -> None:
        """Log trades and cash moves that a kernel has posted to the arrays."""
        if fills.taker.size:
            self.journal.append(JournalEntry(event, fills))
        if moves.source.size:
            self._n_cash_moves = moves.source.size + (self._n_cash_moves if self.journal else 0)
            self.journal.append(JournalEntry(event, moves))

    def _condense(self) -> None:
        """Replace the cash moves of the log by the net change of each account by event.

        Moves of one event that concern different instruments stay apart.

        A loss that is spread over all other accounts moves cash once for each of them, and
        thousands of such losses in a step exceed memory. Readers of the log need the change of each
        account, not its counterparties: a change is kept as a move out of the account, without
        a target.
        """
        moves = [entry for entry in self.journal if isinstance(entry.posting, Transfers)]
        kept = [entry for entry in self.journal if not isinstance(entry.posting, Transfers)]
        self._n_cash_moves = 0
        for (event, instrument), parts in _group_moves(moves).items():
            net = np.zeros_like(self._balance)
            for source, target, source_pool, target_pool, asset, amount in parts:
                known = target != MISSING
                np.subtract.at(net, (asset, source_pool, source), amount)
                np.add.at(net, (asset[known], target_pool[known], target[known]), amount[known])
            asset, pool, owner = np.nonzero(net)
            left = -net[asset, pool, owner]
            changes = Transfers.from_columns(owner, MISSING, pool, MISSING, asset, left)
            kept.append(JournalEntry(event, changes, instrument))
            self._n_cash_moves += owner.size
        self.journal[:] = kept

    def post_pledges(self, moves: Transfers) -> None:
        """Post claims on collateral that stays in its balance: given -, received +."""
        post_transfers(self._pledged, *moves)

    def deposit_wealth(self, outside: int, owners: I8, pool: int, amounts: I8) -> None:
        """Deposit the starting wealth of some owners in a wallet pool, from outside."""
        self.transfer(Transfers.from_columns(outside, owners, pool, pool, 0, amounts), "deposit")

    def open_positions(
        self, owners: I8, instruments: I8, lots: I8, entry: I8, outside: int
    ) -> None:
        """Post positions that owners hold at the start, traded with the rest of the world.

        Args:
            owners: (P,) owners; one position in an instrument each.
            instruments: (P,) global numbers.
            lots: (P,) + long.
            entry: (P,) value paid, minor units of the settle asset.
            outside: owner on the other side, whose position must be zero before.
        """
        settle, pool = self.contracts.settle[instruments], self.pool_numbers[instruments]
        other = np.full(owners.size, outside)
        np.subtract.at(self._balance, (settle, pool, owners), entry)
        np.add.at(self._balance, (settle, pool, other), entry)
        self._position[instruments, owners] = lots
        self._entry[instruments, owners] = entry
        np.subtract.at(self._position, (instruments, other), lots)
        np.subtract.at(self._entry, (instruments, other), entry)
        self._entry[self._position[:, outside] == 0, outside] = 0

    def cap_leverage(self, instrument: int | I8, owners: I8, cap: F8) -> None:
        """Set the leverage that owners choose in one or several instruments (inf = the venue's).

        Of repeated pairs of instrument and owner the last value stays.
        """
        self._leverage[instrument, owners] = cap

    def check_conservation(self) -> None:
        """Check that no cash or lots were created (LED-1); costs one pass over all accounts.

        Raises:
            ConservationError: balances or positions do not sum to zero.
        """
        if self._balance.sum(axis=(1, 2)).any() or self._pledged.sum(axis=(1, 2)).any():
            raise ConservationError("ledger: balances no longer sum to zero")
        if self._position.sum(axis=1).any():
            raise ConservationError("ledger: positions no longer sum to zero")


def _group_moves(entries: list[JournalEntry]) -> dict[tuple[str, int], list[Transfers]]:
    """Return the cash moves of a journal by event and instrument."""
    groups: dict[tuple[str, int], list[Transfers]] = {}
    for entry in entries:
        assert isinstance(entry.posting, Transfers)
        if isinstance(entry.instrument, int):
            groups.setdefault((entry.event, entry.instrument), []).append(entry.posting)
            continue
        for instrument in np.unique(entry.instrument).tolist():
            here = entry.instrument == instrument
            part = Transfers(*(column[here] for column in entry.posting))
            groups.setdefault((entry.event, instrument), []).append(part)
    return groups

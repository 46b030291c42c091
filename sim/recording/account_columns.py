"""Snapshots of all accounts, and their columns in the frame ``accounts``."""

from typing import Any, NamedTuple

import numpy as np

from sim.state import MarketState
from sim.types import F8, I8, MISSING, MarginAssessment

POSITION_COLUMNS = ("gross", "net", "instruments", "alone")
"""Columns of the positions of an account."""


class AccountSnapshot(NamedTuple):
    """Accounts of all owners at one moment; N owners, P pools, K instruments, V venues."""

    step: I8  # (1,) MISSING before it is taken
    assessed: F8  # (P, 3, N) equity, initial, maintenance, minor units of the numeraire
    position: I8  # (K, N) lots
    lot_value: F8  # (K,) minor units of the numeraire per lot at the mark
    wallet_value: F8  # (V, N) minor units of the numeraire

    def measure_positions(self, part: slice, agents: I8, rates: tuple[F8, ...]) -> dict[str, I8]:
        """Return the columns of positions in some instruments.

        Args:
            part: instruments of an account.
            agents: (n,) owners.
            rates: initial margin of a long and of a short of one lot over its value, (K,) each.
        """
        held = self.position[part][:, agents].T
        value = held * self.lot_value[part]
        long, short = (rate[part] for rate in rates)
        alone = np.abs(value) * np.where(held > 0, long, short)
        return {
            "gross": _round_to_int(np.abs(value).sum(axis=1)),
            "net": _round_to_int(value.sum(axis=1)),
            "instruments": np.count_nonzero(held, axis=1),
            "alone": _round_to_int(alone.sum(axis=1)),
        }

    @classmethod
    def allocate(cls, market: MarketState) -> "AccountSnapshot":
        """Return room for a snapshot of a market."""
        instruments, owners = market.ledger.position.shape
        return cls(
            step=np.full(1, MISSING),
            assessed=np.zeros((len(market.ledger.pools), 3, owners)),
            position=np.zeros((instruments, owners), dtype=np.int64),
            lot_value=np.zeros(instruments),
            wallet_value=np.zeros((len(market.venues), owners)),
        )

    def take(self, market: MarketState) -> None:
        """Copy the market's accounts as they are now."""
        self.step[0] = market.tick
        self.position[:] = market.ledger.position
        for venue in market.venues:
            self.lot_value[venue.instrument_slice] = venue.view.lot_value()
            self.wallet_value[venue.number] = venue.wallet_value(slice(None))
            for number, state in venue.pool_states.items():
                self.assessed[number] = state.assessment


def _round_to_int(values: F8) -> I8:
    return np.rint(values).astype(np.int64)


def list_account_columns(
    market: MarketState,
    snapshot: AccountSnapshot,
    agents: I8,
    shared: dict[str, object],
    rates: tuple[F8, F8],
) -> list[dict[str, object]]:
    """Return columns of each pool's accounts, and of wallets that are separate from them.

    Args:
        market: the market, for its venues and pools.
        snapshot: the accounts.
        agents: (n,) owners whose accounts are listed.
        shared: columns that all parts begin with.
        rates: initial margin of a long and of a short of one lot over its value, (T, K) each, a
            row for each step; those of the opening are those of the first.
    """
    row = max(int(snapshot.step[0]), 1) - 1
    here = tuple(np.nan_to_num(rate[row]) for rate in rates)
    nothing = np.zeros(agents.size, dtype=np.int64)
    parts = []
    for venue in market.venues:
        cash = _round_to_int(snapshot.wallet_value[venue.number, agents])
        for number, state in venue.pool_states.items():
            columns = shared | {"venue": venue.config.name, "pool": number}
            for name, amounts in zip(
                MarginAssessment._fields, snapshot.assessed[number], strict=True
            ):
                columns[name] = _round_to_int(amounts[agents])
            columns |= snapshot.measure_positions(state.pool.instruments, agents, here)
            columns["wallet"] = cash if number == venue.wallet_pool else nothing
            parts.append(columns)
        if venue.wallet_pool not in venue.pool_states:
            columns = shared | {"venue": venue.config.name, "pool": venue.wallet_pool}
            columns |= {"equity": cash}
            columns |= dict.fromkeys(("initial", "maintenance", *POSITION_COLUMNS), nothing)
            parts.append(columns | {"wallet": cash})
    return parts


def join_account_columns(parts: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """Return the columns of all parts below one another.

    Args:
        parts: columns of one order, each an array or the value of every row.
        count: number of rows of each part.
    """
    return {
        name: np.concatenate([_fill_column(columns[name], count) for columns in parts])
        for name in parts[0]
    }


def _fill_column(value: Any, count: int) -> Any:
    """Return a column as an array."""
    if isinstance(value, np.ndarray):
        return value
    return np.full(count, value, dtype=object if isinstance(value, str) else np.int64)

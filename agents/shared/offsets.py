"""Hedges in another instrument of the same account, for members short of headroom (AGT-7)."""

from typing import NamedTuple, Self

import numpy as np

from agents.base import BASIS_POINT, TradingScope, compute_limit_prices
from sim.numerics.rounding import to_exact_int
from sim.types import (
    B1,
    F8,
    I8,
    IOC,
    MISSING,
    PERPETUAL,
    REDUCE_ONLY,
    SPOT,
    AccountView,
    MarketSpec,
    Observation,
    Orders,
)


class OffsettingHedges(NamedTuple):
    """Instruments that hedge the traded ones: same underlying and same margin account.

    The hedge is a perpetual if one is listed, else spot. The engine determines whether a hedge
    saves margin. If it does not, admission refuses the order, or the headroom stays short.
    """

    scope: TradingScope  # (m,) instruments traded
    hedge_instrument: I8  # (m,) global number of the hedge of each, MISSING = none
    lot: F8  # (K,) units of the underlying in a lot
    slippage: float  # basis points

    @classmethod
    def from_scope(cls, spec: MarketSpec, scope: TradingScope, slippage: float) -> Self:
        """Return the hedges that the venue lists for each instrument of a scope."""
        twins = [_find_hedge_instrument(spec, int(instrument)) for instrument in scope.instruments]
        return cls(scope, np.array(twins, dtype=np.int64), spec.contracts.lot, slippage)

    @property
    def closing_instruments(self) -> I8:
        """Instruments in which an exit closes positions: those traded and those used as hedges."""
        return np.union1d(
            self.scope.instruments, self.hedge_instrument[self.hedge_instrument != MISSING]
        )

    def can_hedge(self, accounts: AccountView) -> B1:
        """Return True for each member whose largest position can be hedged, (n,)."""
        can: B1 = self.hedge_instrument[self._find_largest_position(accounts)] != MISSING
        return can

    def create_orders(self, rows: I8, accounts: AccountView, share: F8) -> Orders:
        """Return orders that hedge the exposure of members (r,) down to a share of itself.

        ``share`` (n, m) is by position. Limits are set later by ``set_limits``.
        """
        places = self._find_largest_position(accounts)[rows]
        held, twin = self.scope.instruments[places], self.hedge_instrument[places]
        exposure = (
            accounts.position[rows, held] * self.lot[held]
            + accounts.position[rows, twin] * self.lot[twin]
        )
        excess = np.abs(exposure) * (1 - np.clip(share[rows, places], 0.0, 1.0)) / self.lot[twin]
        lots = -np.sign(exposure).astype(np.int64) * to_exact_int(np.ceil(excess))
        return Orders.from_columns(rows, twin, lots, 0, IOC).take(lots != 0)

    def set_limits(self, orders: Orders, observation: Observation) -> Orders:
        """Return the orders with hedges limited to ``slippage`` from the mark."""
        if not orders.owner.size:
            return orders
        view, columns = TradingScope(self.scope.venue, orders.instrument).view(observation)
        slip = np.sign(orders.quantity) * self.slippage * BASIS_POINT
        limit = compute_limit_prices(view.mark[columns], slip, view.contracts.max_price[columns])
        return orders._replace(limit=np.where(orders.kind >= REDUCE_ONLY, orders.limit, limit))

    def _find_largest_position(self, accounts: AccountView) -> I8:
        """Return the index in the scope of each member's largest position, (n,)."""
        held = accounts.position[:, self.scope.instruments] * self.lot[self.scope.instruments]
        places: I8 = np.abs(held).argmax(axis=1)
        return places


def _find_hedge_instrument(spec: MarketSpec, instrument: int) -> int:
    """Return another instrument of the same underlying and account, or MISSING if there is none."""
    contracts = spec.contracts
    fits = (spec.margin_account == spec.margin_account[instrument]) & (
        contracts.venue == contracts.venue[instrument]
    )
    fits &= contracts.underlying == contracts.underlying[instrument]
    fits[instrument] = False
    for kind in (PERPETUAL, SPOT):
        found = np.flatnonzero(fits & (contracts.kind == kind))
        if found.size:
            return int(found[0])
    return MISSING

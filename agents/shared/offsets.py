"""Hedges in another instrument of the same account, for whoever is short of headroom (AGT-7)."""

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
    """What members may hedge with: of each instrument they trade, another of its underlying and margin account.

    A perpetual if one is listed, else spot. Whether margin is spared is the engine's to say: where it is not, admission
    refuses the order, or the headroom stays short.
    """

    scope: TradingScope  # (m,) what they trade
    hedge_instrument: I8  # (m,) global number of what hedges each, NOBODY = nothing does
    lot: F8  # (K,) units of the underlying in a lot
    slippage: float  # basis points

    @classmethod
    def from_scope(cls, setting: MarketSpec, stall: TradingScope, slippage: float) -> Self:
        """What the venue lists beside each instrument of a stall."""
        twins = [
            _find_hedge_instrument(setting, int(instrument)) for instrument in stall.instruments
        ]
        return cls(stall, np.array(twins, dtype=np.int64), setting.contracts.lot, slippage)

    @property
    def closing_instruments(self) -> I8:
        """Instruments that members who leave have positions in: what they trade, and what they hedge with."""
        return np.union1d(
            self.scope.instruments, self.hedge_instrument[self.hedge_instrument != MISSING]
        )

    def can_hedge(self, accounts: AccountView) -> B1:
        """Whose largest position has a twin, (n,)."""
        can: B1 = self.hedge_instrument[self._find_largest_position(accounts)] != MISSING
        return can

    def create_orders(self, rows: I8, accounts: AccountView, share: F8) -> Orders:
        """What takes the exposure of some members (r,) down to a share of itself; ``share`` is (n, m), of positions.

        Limits are not set yet: see ``limited``.
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

    def set_limits(self, orders: Orders, outlook: Observation) -> Orders:
        """The same orders, the hedges among them at no worse than ``slippage`` from the mark."""
        if not orders.owner.size:
            return orders
        view, columns = TradingScope(self.scope.venue, orders.instrument).view(outlook)
        slip = np.sign(orders.quantity) * self.slippage * BASIS_POINT
        limit = compute_limit_prices(view.mark[columns], slip, view.contracts.max_price[columns])
        return orders._replace(limit=np.where(orders.kind >= REDUCE_ONLY, orders.limit, limit))

    def _find_largest_position(self, accounts: AccountView) -> I8:
        """Place in the stall of each member's largest position, (n,)."""
        held = accounts.position[:, self.scope.instruments] * self.lot[self.scope.instruments]
        places: I8 = np.abs(held).argmax(axis=1)
        return places


def _find_hedge_instrument(setting: MarketSpec, instrument: int) -> int:
    """Another tradable instrument of the same underlying in the same account, NOBODY if there is none."""
    contracts = setting.contracts
    fits = (setting.margin_account == setting.margin_account[instrument]) & (
        contracts.venue == contracts.venue[instrument]
    )
    fits &= contracts.underlying == contracts.underlying[instrument]
    fits[instrument] = False
    for kind in (PERPETUAL, SPOT):
        found = np.flatnonzero(fits & (contracts.kind == kind))
        if found.size:
            return int(found[0])
    return MISSING

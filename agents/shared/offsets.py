"""Hedges in another instrument of the same account, for whoever is short of headroom (AGT-7)."""

from typing import NamedTuple, Self

import numpy as np

from agents.base import BASIS_POINT, Stall, worst
from sim.numerics.rounding import whole
from sim.types import B1, F8, I8, IOC, NOBODY, PERPETUAL, REDUCE_ONLY, SPOT, AccountView, Orders, Outlook, Setting


class Offsets(NamedTuple):
    """What members may hedge with: of each instrument they trade, another of its underlying and margin account.

    A perpetual if one is listed, else spot. Whether margin is spared is the engine's to say: where it is not, admission
    refuses the order, or the headroom stays short.
    """

    stall: Stall  # (m,) what they trade
    twin: I8  # (m,) global number of what hedges each, NOBODY = nothing does
    lot: F8  # (K,) units of the underlying in a lot
    slippage: float  # basis points

    @classmethod
    def of(cls, setting: Setting, stall: Stall, slippage: float) -> Self:
        """What the venue lists beside each instrument of a stall."""
        twins = [_twin(setting, int(instrument)) for instrument in stall.instruments]
        return cls(stall, np.array(twins, dtype=np.int64), setting.contracts.lot, slippage)

    @property
    def closing(self) -> I8:
        """Instruments that members who leave have positions in: what they trade, and what they hedge with."""
        return np.union1d(self.stall.instruments, self.twin[self.twin != NOBODY])

    def able(self, accounts: AccountView) -> B1:
        """Whose largest position has a twin, (n,)."""
        can: B1 = self.twin[self._largest(accounts)] != NOBODY
        return can

    def orders(self, rows: I8, accounts: AccountView, share: F8) -> Orders:
        """What takes the exposure of some members (r,) down to a share of itself; ``share`` is (n, m), of positions.

        Limits are not set yet: see ``limited``.
        """
        places = self._largest(accounts)[rows]
        held, twin = self.stall.instruments[places], self.twin[places]
        exposure = accounts.position[rows, held] * self.lot[held] + accounts.position[rows, twin] * self.lot[twin]
        excess = np.abs(exposure) * (1 - np.clip(share[rows, places], 0.0, 1.0)) / self.lot[twin]
        lots = -np.sign(exposure).astype(np.int64) * whole(np.ceil(excess))
        return Orders.of(rows, twin, lots, 0, IOC).take(lots != 0)

    def limited(self, orders: Orders, outlook: Outlook) -> Orders:
        """The same orders, the hedges among them at no worse than ``slippage`` from the mark."""
        if not orders.owner.size:
            return orders
        view, columns = Stall(self.stall.venue, orders.instrument).look(outlook)
        slip = np.sign(orders.quantity) * self.slippage * BASIS_POINT
        limit = worst(view.mark[columns], slip, view.contracts.max_price[columns])
        return orders._replace(limit=np.where(orders.kind >= REDUCE_ONLY, orders.limit, limit))

    def _largest(self, accounts: AccountView) -> I8:
        """Place in the stall of each member's largest position, (n,)."""
        held = accounts.position[:, self.stall.instruments] * self.lot[self.stall.instruments]
        places: I8 = np.abs(held).argmax(axis=1)
        return places


def _twin(setting: Setting, instrument: int) -> int:
    """Another tradable instrument of the same underlying in the same account, NOBODY if there is none."""
    contracts = setting.contracts
    fits = (setting.account == setting.account[instrument]) & (contracts.venue == contracts.venue[instrument])
    fits &= contracts.underlying == contracts.underlying[instrument]
    fits[instrument] = False
    for kind in (PERPETUAL, SPOT):
        found = np.flatnonzero(fits & (contracts.kind == kind))
        if found.size:
            return int(found[0])
    return NOBODY

"""A still market of two venues to ask populations in, the one of ``sim.checks``."""

import mesa
import numpy as np

from sim.checks.crowd_worlds import (
    ACCOUNT,
    CONTRACTS,
    FIRST,
    INDEX,
    TICK,
    UNIT,
    make_account_view,
    observe,
)
from sim.checks.crowd_worlds import SPEC as SETTING
from sim.checks.crowd_worlds import freeze_accounts as frozen
from sim.types import F8, I8, AccountView, Observation

__all__ = [
    "ACCOUNT",
    "CONTRACTS",
    "FIRST",
    "INDEX",
    "SETTING",
    "TICK",
    "UNIT",
    "StillModel",
    "accounts",
    "frozen",
    "outlook",
]


def outlook(
    tick: int = 1,
    basis: float = 0.0,
    vol: float = 0.5,
    liquidity: float = 1.0,
    leverage: float = 20.0,
    empty: bool = False,
    index: F8 = INDEX,
    to_sell: I8 | None = None,
    to_buy: I8 | None = None,
) -> Observation:
    """Return a view for agents: perpetuals at ``basis`` over the index; books may be empty."""
    offers = {"to_sell": to_sell, "to_buy": to_buy}
    given = {name: lots for name, lots in offers.items() if lots is not None}
    state = {"index": index, "liquidity": liquidity, "leverage": leverage}
    return observe(tick, basis, vol, empty=empty, **state, **given)


def accounts(
    count: int,
    equity: float = 1e7,
    position: I8 | None = None,
    headroom: float | None = None,
    entry: I8 | None = None,
) -> AccountView:
    """Accounts alike but for their positions; equity and headroom are per venue, in minor units."""
    held = np.zeros((count, 5), dtype=np.int64) if position is None else position
    view = make_account_view(held, (2, 2), equity, headroom)
    return view if entry is None else view._replace(entry=entry)


class StillModel(mesa.Model):
    """A Mesa model that answers what participants ask."""

    def __init__(self) -> None:
        super().__init__(rng=1)

    def position_of(self, owner: int) -> I8:
        return np.full(5, owner, dtype=np.int64)

    def equity_of(self, owner: int) -> float:
        return 100.0 * owner

    def wallet_of(self, owner: int) -> I8:
        return np.full((2, 2), owner, dtype=np.int64)

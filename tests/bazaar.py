"""A still market of two venues to ask populations in: alpha lists two perpetuals, beta spot and a third perpetual."""

import mesa
import numpy as np

from sim.types import (
    F8,
    I8,
    PERPETUAL,
    SPOT,
    AccountView,
    Contracts,
    MarketSpec,
    MarketView,
    Observation,
)

UNIT = 100
INDEX = np.array([50_000.0, 2_000.0])
TICK = np.array([0.5, 0.1, 0.5, 0.1, 0.5])
CONTRACTS = Contracts(
    names=("BTC-PERP", "ETH-PERP", "BTC-SPOT", "ETH-SPOT", "BTC-B"),
    venue=np.array([0, 0, 1, 1, 1]),
    underlying=np.array([0, 1, 0, 1, 0]),
    settle=np.zeros(5, dtype=np.int64),
    kind=np.array([PERPETUAL, PERPETUAL, SPOT, SPOT, PERPETUAL]),
    multiplier=np.array([5, 10, 50, 10, 5]),
    tick=TICK,
    lot=np.array([0.1, 1.0, 1.0, 1.0, 0.1]),
    max_price=np.full(5, 1_000_000),
)
ACCOUNT = np.array([0, 0, 1, 1, 1])
SETTING = MarketSpec(
    dt=60.0,
    minor_units=UNIT,
    venues=("alpha", "beta"),
    underlyings=("BTC", "ETH"),
    contracts=CONTRACTS,
    margin_account=ACCOUNT,
)
FIRST = (0, 2)


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
    """What agents see; perpetuals stand at ``basis`` over the index, and books may be empty."""
    fair = index[CONTRACTS.underlying] / TICK
    mark = np.rint(np.where(CONTRACTS.kind == PERPETUAL, fair * (1 + basis), fair))
    nothing = np.full(5, np.nan)
    whole = MarketView(
        tick=tick,
        contracts=CONTRACTS,
        mark=mark,
        bid=nothing if empty else mark - 1,
        ask=nothing if empty else mark + 1,
        last=mark,
        depth=np.zeros(5) if empty else np.full(5, 1_000.0),
        funding=np.zeros(5),
        open_interest=np.zeros(5, dtype=np.int64),
        to_sell=np.zeros(5, dtype=np.int64) if to_sell is None else to_sell,
        to_buy=np.zeros(5, dtype=np.int64) if to_buy is None else to_buy,
        oracle=index,
        confidence=np.ones(2),
        vol=np.full(5, vol),
        price=np.array([1.0, 1.0]),
        returns=np.zeros((0, 2)),
    )
    venues = (whole.select_instruments(slice(0, 2)), whole.select_instruments(slice(2, 5)))
    return Observation(tick, 60.0, index, liquidity, venues, FIRST, np.full(5, leverage))


def accounts(
    count: int,
    equity: float = 1e7,
    position: I8 | None = None,
    headroom: float | None = None,
    entry: I8 | None = None,
) -> AccountView:
    """Accounts alike but for their positions; equity and headroom are per venue, in minor units."""
    held = np.zeros((count, 5), dtype=np.int64) if position is None else position
    free = max(equity, 0.0) if headroom is None else headroom
    return AccountView(
        position=held,
        entry=np.zeros_like(held) if entry is None else entry,
        free_margin=np.full((count, 2), free),
        equity=np.full((count, 2), equity),
        wallet=np.full((count, 2, 2), int(equity)),
    )


def frozen(view: AccountView) -> AccountView:
    """The same accounts, not writeable."""
    for column in view:
        column.flags.writeable = False
    return view


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

"""Random accounts in random markets of perpetuals and spot, in which margin rules are checked."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sim.checks import option_worlds
from sim.types import F8, I8, PERPETUAL, SPOT, Contracts, Exposure, MarketView

UNIT = 100
"""Minor units in one unit of the numeraire."""


class MarginWorld(NamedTuple):
    """The accounts of one pool, in the market that they are margined in."""

    seed: int  # of whatever a law draws
    accounts: Exposure
    unit: int = UNIT  # minor units in one unit of the numeraire

    @property
    def contracts(self) -> Contracts:
        """The instruments of the pool."""
        return self.accounts.market.contracts

    def describe_account(self, row: int | np.integer[Any]) -> str:
        """Return an account in words: its number and the lots that it holds."""
        held = self.accounts.position[row]
        legs = [f"{held[k]} {self.contracts.names[k]}" for k in np.flatnonzero(held)]
        more = f" and {len(legs) - 3} more positions" if len(legs) > 3 else ""
        return f"account {row} ({', '.join(legs[:3]) or 'no position'}{more})"


def make_margin_world(seed: int) -> MarginWorld:
    """Return random accounts; every third world has futures and options, too."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        market = option_worlds.make_market(rng)
        return MarginWorld(seed, option_worlds.make_accounts(rng, market, int(rng.integers(1, 30))))
    return MarginWorld(seed, make_linear_accounts(rng))


def make_linear_accounts(rng: np.random.Generator) -> Exposure:
    """Return some accounts that hold perpetuals and spot."""
    assets = int(rng.integers(1, 3))
    contracts = make_contracts(rng, int(rng.integers(1, 5)), assets)
    return make_accounts(rng, make_market(rng, contracts, assets), int(rng.integers(1, 30)))


def make_contracts(rng: np.random.Generator, instruments: int, assets: int) -> Contracts:
    """Return perpetuals and spot on two underlyings."""
    ones = np.ones(instruments)
    return Contracts(
        names=tuple(f"i{k}" for k in range(instruments)),
        venue=np.zeros(instruments, dtype=np.int64),
        underlying=rng.integers(0, 2, instruments),
        settle=rng.integers(0, assets, instruments),
        kind=rng.choice([PERPETUAL, SPOT], instruments, p=[0.7, 0.3]),
        multiplier=rng.integers(1, 20, instruments),
        tick=ones,
        lot=ones,
        max_price=np.full(instruments, 10**9, dtype=np.int64),
        assets=("USD", "ALT")[:assets],
        units=(UNIT, UNIT)[:assets],
    )


def make_market(
    rng: np.random.Generator, contracts: Contracts, assets: int, tick: int = 0
) -> MarketView:
    """Return a random view of some instruments."""
    count = len(contracts.names)
    mark = rng.integers(1, 100_000, count).astype(float)
    return MarketView(
        tick=tick,
        contracts=contracts,
        mark=mark,
        bid=mark - 1,
        ask=mark + 1,
        last=mark.copy(),
        depth=rng.uniform(1, 1e4, count),
        funding=rng.normal(0, 1e-4, count),
        open_interest=rng.integers(0, 10**6, count),
        oracle=rng.uniform(1, 1e5, 2),
        confidence=rng.uniform(0, 1, 2),
        vol=rng.uniform(0.1, 2, count),
        price=np.concatenate([[1.0], rng.uniform(0.5, 2, assets - 1)]),
        returns=rng.normal(0, 0.02, (50, 2)),
    )


def make_accounts(rng: np.random.Generator, market: MarketView, accounts: int) -> Exposure:
    """Return some accounts as a pool sees them: transposed views that cannot be written."""
    count, assets = len(market.mark), len(market.price)

    def draw_lots(low: int, high: int, width: int = count) -> I8:
        lots = rng.integers(low, high, (width, accounts))
        return freeze_columns(lots * (rng.random((width, accounts)) < 0.7))

    shape = (count, accounts)
    caps = np.where(rng.random(shape) < 0.5, np.inf, rng.uniform(1, 100, shape))
    return Exposure(
        balance=draw_lots(-(10**8), 10**9, assets),
        pledged=draw_lots(0, 1, assets),
        position=draw_lots(-2_000, 2_000),
        bids=draw_lots(0, 500),
        asks=draw_lots(0, 500),
        reserved=draw_lots(0, 10**6),
        entry=draw_lots(-(10**8), 10**8),
        leverage=freeze_columns(caps),
        market=market,
    )


def select_columns(contracts: Contracts, columns: list[int]) -> Contracts:
    """Return some of the instruments, by their columns in any order."""
    parts: dict[str, Any] = {
        name: column[columns]
        for name, column in contracts._asdict().items()
        if isinstance(column, np.ndarray) and column.size
    }
    return contracts._replace(names=tuple(contracts.names[k] for k in columns), **parts)


def make_opening_market(
    contracts: Contracts, index: F8, asset_price: F8, dt: float = 60.0
) -> MarketView:
    """Return the view of some instruments whose marks stand at the index.

    Args:
        contracts: the instruments.
        index: (U,) price of each underlying, quote currency.
        asset_price: (C,) minor units of the numeraire per minor unit of each asset.
        dt: seconds in a step.
    """
    mark = np.maximum(np.rint(index[contracts.underlying] / contracts.tick), 1.0)
    count = mark.size
    return MarketView(
        tick=0,
        contracts=contracts,
        mark=mark,
        bid=mark - 1,
        ask=mark + 1,
        last=mark,
        depth=np.full(count, 1_000.0),
        funding=np.zeros(count),
        open_interest=np.full(count, 10_000),
        oracle=index,
        confidence=np.ones(index.size),
        vol=np.full(count, 0.5),
        price=asset_price,
        returns=np.zeros((0, index.size)),
        dt=dt,
        imbalance=np.zeros(count),
        crowd=np.ones(count),
    )


def make_opening_world(market: MarketView, unit: int) -> MarginWorld:
    """Return accounts in a market as it opens: flat, one lot of each instrument, and a mixture."""
    rng, count = np.random.default_rng(0), len(market.mark)
    one = np.eye(count, dtype=np.int64)
    mixed = rng.integers(-100, 101, (3, count))
    position = np.concatenate([np.zeros((1, count), dtype=np.int64), one, -one, mixed])
    entry = (position * (market.mark * market.contracts.multiplier)).astype(np.int64)
    balance = np.zeros((len(position), len(market.price)), dtype=np.int64)
    balance[:, 0] = 1_000 * unit
    none = np.zeros_like(position)
    columns = [
        freeze_columns(np.ascontiguousarray(each.T))
        for each in (balance, np.zeros_like(balance), position, none, none, none, entry)
    ]
    leverage = freeze_columns(np.full(position.T.shape, np.inf))
    return MarginWorld(0, Exposure(*columns, leverage, market), unit)  # type: ignore[call-arg]


def freeze_columns(array: Any) -> Any:
    """Return an array transposed, so that it cannot be written."""
    array.flags.writeable = False
    return array.T


def make_smaller_worlds(world: MarginWorld) -> Iterator[MarginWorld]:
    """Return worlds with fewer accounts, then with fewer positions, then with smaller ones."""
    accounts = world.accounts
    count = len(accounts.position)
    if count > 1:
        for row in range(count):
            yield world._replace(accounts=accounts.take(slice(row, row + 1)))
        return
    held = np.flatnonzero(accounts.position[0])
    for k in held if held.size > 1 else ():
        position = accounts.position.copy()
        position[0, k] = 0
        yield world._replace(accounts=accounts._replace(position=position))
    halved = np.sign(accounts.position) * (np.abs(accounts.position) // 2)
    for k in held:
        if halved[0, k]:
            position = accounts.position.copy()
            position[0, k] = halved[0, k]
            yield world._replace(accounts=accounts._replace(position=position))

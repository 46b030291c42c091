"""A still market of two venues in which populations are checked.

The venue alpha lists two perpetuals; beta lists spot of both underlyings and a third perpetual.
"""

from typing import Any, NamedTuple

import numpy as np

from sim.types import (
    F8,
    I8,
    PERPETUAL,
    SPOT,
    AccountView,
    Contracts,
    MarginAssessment,
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
SPEC = MarketSpec(
    dt=60.0,
    minor_units=UNIT,
    venues=("alpha", "beta"),
    underlyings=("BTC", "ETH"),
    contracts=CONTRACTS,
    margin_account=ACCOUNT,
    has_hedge_mode=np.array([True, True]),
)
FIRST = (0, 2)
"""Number of the first instrument of each venue."""


class CrowdState(NamedTuple):
    """The state in which members decide."""

    tick: int = 1
    basis: float = 0.0  # of perpetuals over the index (share)
    vol: float = 0.5  # annualised
    equity: float = 1e7  # of each member at each venue, minor units
    free_margin: float | None = None  # the same; none = equity where it is positive
    has_empty_books: bool = False
    is_flat: bool = False  # whether no member holds anything


class CrowdWorld(NamedTuple):
    """A market, and the state of the members of a population in it."""

    seed: int
    spec: MarketSpec
    observation: Observation
    state: CrowdState

    def draw_uniform(self, count: int, width: int, part: int = 0) -> F8:
        """Return uniform draws of each member, (count, width)."""
        draws = np.random.default_rng([self.seed, part]).random((count, width))
        draws.flags.writeable = False
        return draws

    def make_accounts(self, count: int) -> AccountView:
        """Return accounts with random positions and entries, some of which are zero."""
        contracts, state = self.spec.contracts, self.state
        random, instruments = np.random.default_rng(self.seed), len(contracts.names)
        shape = (count, instruments)
        position = random.integers(-40, 41, shape) * random.integers(0, 2, shape)
        paid = contracts.multiplier * random.integers(18_000, 110_000, shape)
        if state.is_flat:
            position = np.zeros_like(position)
        shape = (len(self.spec.venues), len(self.observation.venues[0].price))
        views = make_account_view(position, shape, state.equity, state.free_margin)
        return freeze_accounts(views._replace(entry=position * paid))

    def make_assessment(self, count: int) -> MarginAssessment:
        """Return random assessments of the accounts of each instrument."""
        random, shape = np.random.default_rng(self.seed), (count, len(self.spec.contracts.names))
        initial = random.integers(0, 2, shape) * random.uniform(0, 1e7, shape)
        return MarginAssessment(random.normal(1e7, 1e7, shape), initial, initial / 2)


def make_crowd_world(seed: int) -> CrowdWorld:
    """Return the market in a random state."""
    rng = np.random.default_rng(seed)
    state = CrowdState(
        tick=int(rng.integers(0, 201)),
        basis=float(rng.choice([0.0, 0.05, -0.05, 0.002])),
        vol=float(rng.choice([0.0, 0.5, 40.0, np.nan])),
        equity=float(rng.choice([-1e6, 0.0, 1.0, 1e7, 1e14])),
        free_margin=-1e5 if rng.random() < 0.5 else None,
        has_empty_books=bool(rng.random() < 0.5),
        is_flat=bool(rng.random() < 0.3),
    )
    return build_crowd_world(seed, state)


def build_crowd_world(seed: int, state: CrowdState) -> CrowdWorld:
    """Return the market in a given state."""
    observation = observe(state.tick, state.basis, state.vol, empty=state.has_empty_books)
    return CrowdWorld(seed, SPEC, observation, state)


def observe(
    tick: int = 1, basis: float = 0.0, vol: float = 0.5, *, empty: bool = False, **changed: Any
) -> Observation:
    """Return what agents see; perpetuals stand at ``basis`` over the index, and books may be empty.

    Args:
        tick: steps made.
        basis: share of the index.
        vol: annualised volatility of all instruments.
        empty: whether books have no quotes.
        changed: index, liquidity, leverage, to_sell and to_buy in place of those of a calm market.
    """
    index = changed.get("index", INDEX)
    fair = index[CONTRACTS.underlying] / TICK
    mark = np.rint(np.where(CONTRACTS.kind == PERPETUAL, fair * (1 + basis), fair))
    none = np.zeros(5, dtype=np.int64)
    half_spread = np.full(5, np.nan) if empty else np.ones(5)
    whole = MarketView(
        tick=tick,
        contracts=CONTRACTS,
        mark=mark,
        bid=mark - half_spread,
        ask=mark + half_spread,
        last=mark,
        depth=np.full(5, 0.0 if empty else 1_000.0),
        funding=np.zeros(5),
        open_interest=none,
        to_sell=changed.get("to_sell", none),
        to_buy=changed.get("to_buy", none),
        oracle=index,
        confidence=np.ones(2),
        vol=np.full(5, vol),
        price=np.array([1.0, 1.0]),
        returns=np.zeros((0, 2)),
    )
    venues = (whole.select_instruments(slice(0, 2)), whole.select_instruments(slice(2, 5)))
    liquidity, leverage = changed.get("liquidity", 1.0), changed.get("leverage", 20.0)
    return Observation(tick, 60.0, index, liquidity, venues, FIRST, np.full(5, leverage))


def make_account_view(
    position: I8, shape: tuple[int, int], equity: float = 1e7, free_margin: float | None = None
) -> AccountView:
    """Return accounts alike but for their positions; money is per venue, in minor units.

    Args:
        position: (n, K) lots.
        shape: numbers of venues and of assets.
        equity: of each account.
        free_margin: of each account; none = equity where it is positive.
    """
    free, count = max(equity, 0.0) if free_margin is None else free_margin, len(position)
    return AccountView(
        position=position,
        entry=np.zeros_like(position),
        free_margin=np.full((count, shape[0]), free),
        equity=np.full((count, shape[0]), equity),
        wallet=np.full((count, *shape), int(equity)),
        leverage=np.full(position.shape, np.inf),
    )


def freeze_accounts(view: AccountView) -> AccountView:
    """Return the same accounts, which can no longer be written."""
    for column in view:
        column.flags.writeable = False
    return view

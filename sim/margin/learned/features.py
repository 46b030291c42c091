"""What a learned requirement looks at: the past of one instrument, at one moment, seen from one side."""

from collections import deque

import numpy as np

from sim.margin.base import find_underlying
from sim.margin.tail.models.history import RollingWindow, count_rows
from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import F8, Contracts, MarketView

FEATURE_NAMES = (
    *("return_1", "return_5", "return_20"),  # over volatility of 20 returns, + a gain of the side
    *(
        "vol_5",
        "vol_100",
        "level",
    ),  # volatility over that of 20 returns; that of 100 returns, per return
    *("largest_20", "implied"),  # largest move, implied volatility, likewise
    *("spread", "depth", "leverage"),  # depth and the crowd's leverage over their mean
    *(
        "funding",
        "open_interest",
        "premium",
        "imbalance",
    ),  # interest over its mean; imbalance + where the side is bid
    "side",
)
"""Features in order."""

RETURN_SPANS = (1, 5, 20, 100)
N_RETURNS_NEEDED = 100
"""Returns of past that the features need."""

SIDES = np.array([1.0, -1.0])


class FeatureCollector:
    """Collects returns and the state of the book on a clock.

    Args:
        contracts: the pool's instruments.
        every: seconds between returns.
        index: underlying whose level is implied volatility in percent; empty = none.

    Raises:
        ConfigError: the market has no underlying of that name.
    """

    def __init__(self, contracts: Contracts, every: float, index: str) -> None:
        self.underlying, self.every = contracts.underlying, every
        self.index_column = (
            find_underlying(index, contracts, "requirement.index") if index else None
        )
        self.window = RollingWindow(N_RETURNS_NEEDED, len(contracts.names))
        self.n_returns = 0  # returns taken in
        self._states: deque[F8] = deque(
            maxlen=N_RETURNS_NEEDED
        )  # depth, open interest, the crowd's leverage
        self._rows, self._sum = 0, np.zeros(len(contracts.names))

    def observe(self, market: MarketView) -> bool:
        """Take in what has come; whether a return has become whole."""
        stride, whole = count_rows(self.every, market.dt), False
        for number in range(self._rows, len(market.returns)):
            self._sum = self._sum + market.returns[number, self.underlying]
            if (number + 1) % stride == 0:
                self.window.push(self._sum)
                self.n_returns += 1
                self._sum, whole = np.zeros_like(self._sum), True
        self._rows = len(market.returns)
        if whole:
            self._states.append(_read_book_state(market))
        return whole

    def is_ready(self) -> bool:
        """Whether the past suffices."""
        return len(self.window) == N_RETURNS_NEEDED

    def volatility(self) -> F8:
        """Root mean square of the last 20 returns, (K,): the unit of targets."""
        size: F8 = np.sqrt(np.square(self.window.rows()[-20:]).mean(axis=0))
        return size

    def build_table(self, market: MarketView) -> F8:
        """One row for the long and one for the short of each instrument, (2, K, F)."""
        rows = self.window.rows()
        sums = [rows[-span:].sum(axis=0) for span in RETURN_SPANS[:3]]
        vols = [np.sqrt(np.square(rows[-span:]).mean(axis=0)) for span in RETURN_SPANS[1:]]
        unit = np.maximum(vols[1], 1e-12)
        states = np.stack(self._states).mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            depth, interest, leverage = _read_book_state(market) / np.where(
                states > 0, states, np.nan
            )
            spread = (market.ask - market.bid) / market.mark
            fair = market.oracle[self.underlying] / market.contracts.tick
            premium = np.where(market.bid > 0, market.mark / fair - 1, np.nan)
        annual = unit * np.sqrt(find_seconds_per_year(market) / self.every)
        implied = (
            np.full(unit.size, np.nan)
            if self.index_column is None
            else market.oracle[self.index_column] / 100 / annual
        )
        common = [
            vols[0] / unit,
            vols[2] / unit,
            vols[2],
            np.abs(rows[-20:]).max(axis=0) / unit,
            implied,
        ]
        common += [spread, depth, leverage]
        imbalance = _nan_if_missing(market.imbalance, market)
        sided = []
        for side in SIDES:
            moves = [
                side * total / (unit * np.sqrt(span))
                for total, span in zip(sums, RETURN_SPANS, strict=False)
            ]
            tilt = [
                side * market.funding,
                interest,
                side * premium,
                side * imbalance,
                np.full(unit.size, side),
            ]
            sided.append(np.stack([*moves, *common, *tilt], axis=-1))
        table: F8 = np.stack(sided)
        return table


def _read_book_state(market: MarketView) -> F8:
    """Depth, open interest and the crowd's leverage, (3, K)."""
    return np.stack(
        [
            market.depth,
            market.open_interest.astype(np.float64),
            _nan_if_missing(market.crowd, market),
        ]
    )


def _nan_if_missing(column: F8, market: MarketView) -> F8:
    """A column that a view may lack."""
    return column if column.size else np.full(len(market.mark), np.nan)

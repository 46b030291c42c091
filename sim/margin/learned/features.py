"""Features of a learned requirement: the past of one instrument at one moment, for one side."""

from collections import deque

import numpy as np

from sim.margin.base import find_underlying
from sim.margin.tail.models.history import RollingWindow, count_rows
from sim.pricing.instrument_values import find_seconds_per_year
from sim.types import F8, Contracts, MarketView

FEATURE_NAMES = (
    # returns over the volatility of 20 returns, positive if the side gains
    "return_1",
    "return_5",
    "return_20",
    # volatilities over that of 20 returns; volatility of 100 returns, per return
    "vol_5",
    "vol_100",
    "level",
    # largest move and implied volatility, over the volatility of 20 returns
    "largest_20",
    "implied",
    # spread over the mark; depth and the crowd's leverage over their means
    "spread",
    "depth",
    "leverage",
    # open interest over its mean; imbalance, positive if orders favour the side
    "funding",
    "open_interest",
    "premium",
    "imbalance",
    "side",
)
"""Features in the order of the table's columns."""

RETURN_SPANS = (1, 5, 20)

N_RETURNS_NEEDED = 100
"""Number of past returns that the features need."""

SIDES = np.array([1.0, -1.0])


class FeatureCollector:
    """Collector of returns and of the state of the order book, on a clock.

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
        self.n_returns = 0  # returns collected so far
        # depth, open interest, the crowd's leverage
        self._states: deque[F8] = deque(maxlen=N_RETURNS_NEEDED)
        self._rows, self._sum = 0, np.zeros(len(contracts.names))

    def observe(self, market: MarketView) -> bool:
        """Update the returns with those since the last call.

        Return True if one has become complete.
        """
        stride, is_complete = count_rows(self.every, market.dt), False
        for number in range(self._rows, len(market.returns)):
            self._sum = self._sum + market.returns[number, self.underlying]
            if (number + 1) % stride == 0:
                self.window.push(self._sum)
                self.n_returns += 1
                self._sum, is_complete = np.zeros_like(self._sum), True
        self._rows = len(market.returns)
        if is_complete:
            self._states.append(_read_book_state(market))
        return is_complete

    def push_past(self, row: F8) -> None:
        """Add one return from before the start, (K,), of a time without an order book."""
        self.window.push(row)
        self.n_returns += 1

    def is_ready(self) -> bool:
        """Return True if enough returns have been collected."""
        return len(self.window) == N_RETURNS_NEEDED

    def volatility(self) -> F8:
        """Return the root mean square of the last 20 returns, (K,): the unit of targets."""
        return _root_mean_square(self.window.rows()[-20:])

    def build_table(self, market: MarketView) -> F8:
        """Return one row for the long and one for the short of each instrument, (2, K, F)."""
        unit = np.maximum(self.volatility(), 1e-12)
        unsigned = self._build_volatility_columns(market, unit) | self._build_book_columns(market)
        signed = self._build_signed_columns(market, unit)
        tables = []
        for side in SIDES:
            columns = unsigned | {name: side * column for name, column in signed.items()}
            columns["side"] = np.full(unit.size, side)
            tables.append(np.stack([columns[name] for name in FEATURE_NAMES], axis=-1))
        table: F8 = np.stack(tables)
        return table

    def _build_volatility_columns(self, market: MarketView, unit: F8) -> dict[str, F8]:
        """Return features of volatility by name, (K,) each, equal for both sides."""
        rows = self.window.rows()
        short_volatility, long_volatility = _root_mean_square(rows[-5:]), _root_mean_square(rows)
        if self.index_column is None:
            implied = np.full(unit.size, np.nan)
        else:
            annual = unit * np.sqrt(find_seconds_per_year(market) / self.every)
            implied = market.oracle[self.index_column] / 100 / annual
        return {
            "vol_5": short_volatility / unit,
            "vol_100": long_volatility / unit,
            "level": long_volatility,
            "largest_20": np.abs(rows[-20:]).max(axis=0) / unit,
            "implied": implied,
        }

    def _build_book_columns(self, market: MarketView) -> dict[str, F8]:
        """Return features of the order book and of positions, (K,) each, equal for both sides."""
        if not self._states:
            unknown = np.full(len(market.mark), np.nan)
            return dict.fromkeys(("spread", "depth", "leverage", "open_interest"), unknown)
        means = np.stack(self._states).mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = _read_book_state(market) / np.where(means > 0, means, np.nan)
            spread = (market.ask - market.bid) / market.mark
        depth, open_interest, leverage = relative
        return {
            "spread": spread,
            "depth": depth,
            "leverage": leverage,
            "open_interest": open_interest,
        }

    def _build_signed_columns(self, market: MarketView, unit: F8) -> dict[str, F8]:
        """Return the features of a long, (K,) each, that have the opposite sign for a short."""
        rows = self.window.rows()
        columns = {
            f"return_{span}": rows[-span:].sum(axis=0) / (unit * np.sqrt(span))
            for span in RETURN_SPANS
        }
        with np.errstate(divide="ignore", invalid="ignore"):
            fair = market.oracle[self.underlying] / market.contracts.tick
            premium = np.where(market.bid > 0, market.mark / fair - 1, np.nan)
        return columns | {
            "funding": market.funding,
            "premium": premium,
            "imbalance": _nan_if_missing(market.imbalance, market),
        }


def _root_mean_square(rows: F8) -> F8:
    """Return the root mean square of each column, (K,)."""
    size: F8 = np.sqrt(np.square(rows).mean(axis=0))
    return size


def _read_book_state(market: MarketView) -> F8:
    """Return depth, open interest and the crowd's leverage, (3, K)."""
    return np.stack(
        [
            market.depth,
            market.open_interest.astype(np.float64),
            _nan_if_missing(market.crowd, market),
        ]
    )


def _nan_if_missing(column: F8, market: MarketView) -> F8:
    """Return a column of a view, or NaN for each instrument if the view lacks it."""
    return column if column.size else np.full(len(market.mark), np.nan)

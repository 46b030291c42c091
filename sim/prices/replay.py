"""Replay of real bars, filled in between."""

import datetime
import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.errors import ConfigError, DataError
from sim.prices.bars import Bars, Dates
from sim.prices.bridge import draw_bridge, draw_day_path
from sim.prices.process import PriceProcess, ProcessInputs
from sim.types import F8

MIN_ROWS = 4
"""Number of rows needed to show open, high, low and close."""


class Replay(PriceProcess):
    """Bars replayed at the step of the simulation (IDX-4): bars of days, hours or minutes.

    A day has ``day / dt`` steps. Its first row is the real open, its last the real close, and its
    highest and lowest rows are the real high and low. Brownian bridges run between them (see
    :func:`sim.prices.bridge.draw_day_path`). Their variance is constant over the day and is that
    which Parkinson (1980) estimates from the day's range, (ln high/low)^2 / (4 ln 2). The overnight
    or weekend gap is the one step from a close to the next open. Markets that never close (``day``
    86400) have no gap, and that step is like any other.

    If the data have closes only, a bridge runs from close to close over the day's steps. Its
    variance is the mean of the squared daily returns of the eleven days around it. The data show no
    gap, so there is none. On the first day, which has no close before it, the bridge returns to
    where it began.

    Bars shorter than a day have ``length / dt`` steps each, and dt must divide them. With four
    steps or more they are filled as days are. With two or three steps they run from open to close
    within high and low; with one step they are their closes. If bars are missing (a night, a
    weekend, a gap in the data), the step from one bar to the next is the whole gap. The data then
    determine ``day`` and ``opens``.

    The loader reads bars. ``source`` is ``arch:sp500``, ``arch:nasdaq``, ``arch:wti``, ``arch:vix``
    or the path of a CSV or Parquet file.
    """

    kind: Literal["replay"] = "replay"
    source: str = Field(min_length=1, description="bars (arch:NAME, or a .csv or .parquet path)")
    start: datetime.date | None = Field(
        default=None, description="first day (date); none = the first of the data"
    )
    end: datetime.date | None = Field(
        default=None, description="last day, included (date); none = the last of the data"
    )
    days_per_year: float = Field(
        default=252, gt=0, description="trading days in a year (1); 365 if bars include Saturdays"
    )
    day: float = Field(
        default=23_400,
        gt=0,
        le=86_400,
        description="time the market is open a day (s), of daily bars; stocks 6.5 h",
    )
    opens: float = Field(
        default=34_200,
        ge=0,
        lt=86_400,
        description="time of the open after midnight (s), of daily bars; 9:30",
    )

    @model_validator(mode="after")
    def _check_dates(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(
                f"start: {self.start} is after end {self.end}: "
                "swap them, or set both for other data"
            )
        return self

    def steps_per_day(self, dt: float) -> int:
        """Return the number of rows of the path for one day.

        Raises:
            ConfigError: a day is not a whole number of steps, or has fewer steps than open, high,
                low and close need.
        """
        steps = round(self.day / dt)
        if abs(steps * dt - self.day) > 1e-9 * self.day or steps < MIN_ROWS:
            problem = (
                f"process.day: {self.day:.15g} s is not a whole number, at least 4, "
                f"of steps of {dt:.15g} s"
            )
            raise ConfigError(
                [f"{problem}: set dt to {self._divisor(dt):.15g}, or another part of the day"]
            )
        return steps

    def _divisor(self, dt: float) -> float:
        """Return a step of at most ``dt`` that divides the day, in whole seconds if possible."""
        most = min(dt, self.day / MIN_ROWS)
        whole = (second for second in range(int(most), 0, -1) if self.day % second == 0)
        return next(whole, self.day / math.ceil(self.day / most))

    def steps_per_bar(self, bars: Bars, dt: float) -> int:
        """Return the number of rows of the path for one bar.

        Raises:
            ConfigError: see ``steps_per_day``, or a shorter bar is not a whole number of steps.
        """
        if not bars.is_intraday:
            return self.steps_per_day(dt)
        steps = round(bars.length / dt)
        if steps < 1 or abs(steps * dt - bars.length) > 1e-9 * bars.length:
            problem = (
                f"dt: {dt:.15g} s does not divide the bars of '{self.source}', "
                f"which are of {bars.length:g} s"
            )
            raise ConfigError([f"{problem}: set dt to {bars.length:g} or a part of it"])
        return steps

    def seconds_per_year(self, bars: Bars | None = None) -> float:
        """Return the seconds of open market in a year.

        They are those of a day times the trading days in a year. For shorter bars the data
        determine the day.
        """
        if bars is None:
            return super().seconds_per_year()
        day = bars.open_time if bars.is_intraday else self.day
        return day * (365.0 if bars.has_weekends else self.days_per_year)

    def first_price(self, bars: Bars, dt: float) -> float:
        """Return the first price: the first open if it is known and shown, else the first close."""
        shown = bars.has_ranges and self.steps_per_bar(bars, dt) > 1
        return float(bars.open[0] if shown else bars.close[0])

    def exchange_times(self, bars: Bars, dt: float) -> Dates:
        """Return the exchange time of every row, datetime64[s], (bars * steps_per_bar,)."""
        opens = 0.0 if bars.is_intraday else self.opens
        within = np.round(opens + np.arange(self.steps_per_bar(bars, dt)) * dt).astype(
            "timedelta64[s]"
        )
        stamps: Dates = bars.day.astype("datetime64[s]")[:, None] + within
        return stamps.reshape(-1)

    def compute_log_returns(self, z: F8, inputs: ProcessInputs) -> F8:
        """Return log returns per step, (bars * steps_per_bar - 1,).

        The first row of the path is the first bar's open (or close).

        Raises:
            DataError: no bars were passed.
        """
        if inputs.bars is None:
            raise DataError(
                f"{inputs.name}: no bars of '{self.source}' were passed: read them with read_bars"
            )
        steps = self.steps_per_bar(inputs.bars, inputs.dt)
        if steps == 1:
            return np.diff(np.log(inputs.bars.close))
        if not inputs.bars.has_ranges:
            return np.diff(fill_between_closes(inputs.bars, z, steps, inputs))
        fill = fill_days if steps >= MIN_ROWS else fill_within_bars
        return np.diff(fill(inputs.bars, z, steps, inputs))


def fill_days(bars: Bars, z: F8, steps: int, inputs: ProcessInputs) -> F8:
    """Return the log price of every row of bars with four rows or more, and opens, highs and lows.

    The standard normal of the step over a gap is not used.
    """
    draws = inputs.draw_uniform("extremes", len(bars.day), 3)
    noise = np.append(z, 0.0).reshape(-1, steps)[:, :-1]
    corners = np.log(np.stack([bars.open, bars.high, bars.low, bars.close], axis=1))
    return np.concatenate(
        [
            draw_day_path(corner, row, draw)
            for corner, row, draw in zip(corners, noise, draws, strict=True)
        ]
    )


def fill_within_bars(bars: Bars, z: F8, steps: int, inputs: ProcessInputs) -> F8:
    """Return the log price of every row of bars that have too few rows for all four prices.

    The price runs from open to close within the range.
    """
    noise = np.append(z, 0.0).reshape(-1, steps)[:, :-1]
    corners = np.log(np.stack([bars.open, bars.high, bars.low, bars.close], axis=1))
    spread = (corners[:, 1] - corners[:, 2]) / math.sqrt(4 * math.log(2) * (steps - 1))
    return np.concatenate(
        [
            draw_bridge(start, end, size * row, low, high)
            for (start, high, low, end), size, row in zip(corners, spread, noise, strict=True)
        ]
    )


def fill_between_closes(bars: Bars, z: F8, steps: int, inputs: ProcessInputs) -> F8:
    """Return the log price of every row of bars that have closes only."""
    close = np.log(bars.close)
    before = np.append(close[0], close[:-1])
    spread = np.sqrt(average_around(np.square(close - before)) / steps)
    days = [
        draw_bridge(
            before[day],
            close[day],
            spread[day] * z[max(day * steps - 1, 0) : (day + 1) * steps - 1],
            -np.inf,
            np.inf,
        )
        for day in range(len(close))
    ]
    return np.concatenate([days[0], *(day[1:] for day in days[1:])])


def average_around(squares: F8, reach: int = 5) -> F8:
    """Return the mean over up to ``reach`` entries on either side of each entry.

    The first entry is not a return and is left out.
    """
    known = np.arange(len(squares)) > 0
    window = np.ones(2 * reach + 1)
    middle = slice(reach, reach + len(squares))
    total: F8 = np.convolve(squares, window)[middle]
    number: F8 = np.convolve(known.astype(np.float64), window)[middle]
    return total / np.maximum(number, 1)

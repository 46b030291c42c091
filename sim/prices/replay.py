"""Real bars, filled in between."""

import datetime
import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.errors import ConfigError, DataError
from sim.prices.bars import Bars, Days
from sim.prices.bridge import bridge, through
from sim.prices.process import Process, Tape
from sim.types import F8

LEAST = 4
"""Rows that it takes to show open, high, low and close."""


class Replay(Process):
    """Bars replayed at the step of the simulation (IDX-4): of days, or of hours or minutes.

    A day is ``day / dt`` steps. Its first row is the real open, its last the real close, and its highest and lowest
    rows are the real high and low: Brownian bridges run between them (see ``bridge.through``) with the variance that
    Parkinson (1980) reads off the day's range, (ln high/low)^2 / (4 ln 2), level over the day. The overnight gap, or
    that of a weekend, is the one step from a close to the next open. Markets that never close (``day`` 86400) have no
    gap, and that step is like any other.

    Where the data have closes only, a bridge runs from close to close over the day's steps, its variance the mean
    of the squared daily returns of the eleven days around; there is no gap, since nothing is known of it. On
    the first day, before which nothing is known, it returns to where it began.

    Bars shorter than a day are ``length / dt`` steps each, and dt divides them. With four steps or more they are
    filled as days are; with two or three they run from open to close within high and low; with one they are their
    closes. Where bars are missing (a night, a weekend, a hole), the step from one bar to the next is the whole gap.
    ``day`` and ``opens`` are the data's then.

    Bars are read by the loader; ``source`` is ``arch:sp500``, ``arch:nasdaq``, ``arch:wti``, ``arch:vix`` or the path
    of a CSV or Parquet file.
    """

    kind: Literal["replay"] = "replay"
    source: str = Field(min_length=1, description="bars (arch:NAME, or a .csv or .parquet path)")
    start: datetime.date | None = Field(default=None, description="first day (date); none = the first of the data")
    end: datetime.date | None = Field(
        default=None, description="last day, included (date); none = the last of the data"
    )
    days_per_year: float = Field(
        default=252, gt=0, description="trading days in a year (1); 365 where bars have Saturdays"
    )
    day: float = Field(
        default=23_400, gt=0, le=86_400, description="time the market is open a day (s), of daily bars; stocks 6.5 h"
    )
    opens: float = Field(
        default=34_200, ge=0, lt=86_400, description="time of the open after midnight (s), of daily bars; 9:30"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start: {self.start} is after end {self.end}: swap them, or set both for other data")
        return self

    def steps_per_day(self, dt: float) -> int:
        """Rows of the path that belong to one day.

        Raises:
            ConfigError: a day is not a whole number of steps, or of too few to show open, high, low and close.
        """
        steps = round(self.day / dt)
        if abs(steps * dt - self.day) > 1e-9 * self.day or steps < LEAST:
            told = f"process.day: {self.day:.15g} s is not a whole number, at least 4, of steps of {dt:.15g} s"
            raise ConfigError([f"{told}: set dt to {self._divisor(dt):.15g}, or another part of the day"])
        return steps

    def _divisor(self, dt: float) -> float:
        """A step of at most ``dt`` that the day is a whole number of, of whole seconds where there is one."""
        most = min(dt, self.day / LEAST)
        whole = (second for second in range(int(most), 0, -1) if self.day % second == 0)
        return next(whole, self.day / math.ceil(self.day / most))

    def steps_per_bar(self, bars: Bars, dt: float) -> int:
        """Rows of the path that belong to one bar.

        Raises:
            ConfigError: see ``steps_per_day``; a shorter bar is not a whole number of steps.
        """
        if not bars.intraday:
            return self.steps_per_day(dt)
        steps = round(bars.length / dt)
        if steps < 1 or abs(steps * dt - bars.length) > 1e-9 * bars.length:
            told = f"dt: {dt:.15g} s does not divide the bars of '{self.source}', which are of {bars.length:g} s"
            raise ConfigError([f"{told}: set dt to {bars.length:g} or a part of it"])
        return steps

    def clock(self, bars: Bars | None = None) -> float:
        """Seconds of open market in a year: a day's, the data's for shorter bars, times trading days in a year."""
        if bars is None:
            return super().clock()
        day = bars.open_time if bars.intraday else self.day
        return day * (365.0 if bars.weekends else self.days_per_year)

    def first(self, bars: Bars, dt: float) -> float:
        """The first price of the path: the first open where it is known and shown, else the first close."""
        shown = bars.ranged and self.steps_per_bar(bars, dt) > 1
        return float(bars.open[0] if shown else bars.close[0])

    def stamps(self, bars: Bars, dt: float) -> Days:
        """Exchange time of every row, datetime64[s], (bars * steps_per_bar,)."""
        opens = 0.0 if bars.intraday else self.opens
        within = np.round(opens + np.arange(self.steps_per_bar(bars, dt)) * dt).astype("timedelta64[s]")
        stamps: Days = bars.day.astype("datetime64[s]")[:, None] + within
        return stamps.reshape(-1)

    def increments(self, z: F8, tape: Tape) -> F8:
        """Log returns per step, (bars * steps_per_bar - 1,); the first row is the first bar's open (or close).

        Raises:
            DataError: no bars were handed over.
        """
        if tape.bars is None:
            raise DataError(f"{tape.name}: no bars of '{self.source}' were handed over: read them with read_bars")
        steps = self.steps_per_bar(tape.bars, tape.dt)
        if steps == 1:
            return np.diff(np.log(tape.bars.close))
        fill = between_closes if not tape.bars.ranged else through_days if steps >= LEAST else within_bars
        return np.diff(fill(tape.bars, z, steps, tape))


def through_days(bars: Bars, z: F8, steps: int, tape: Tape) -> F8:
    """Log price of every row where the bars have opens, highs and lows; the gap's normal is not used."""
    draws = tape.uniform("extremes", len(bars.day), 3)
    noise = np.append(z, 0.0).reshape(-1, steps)[:, :-1]
    corners = np.log(np.stack([bars.open, bars.high, bars.low, bars.close], axis=1))
    return np.concatenate([through(corner, row, draw) for corner, row, draw in zip(corners, noise, draws, strict=True)])


def within_bars(bars: Bars, z: F8, steps: int, tape: Tape) -> F8:
    """Log price of every row where bars have too few rows for all four prices: from open to close within the range."""
    noise = np.append(z, 0.0).reshape(-1, steps)[:, :-1]
    corners = np.log(np.stack([bars.open, bars.high, bars.low, bars.close], axis=1))
    spread = (corners[:, 1] - corners[:, 2]) / math.sqrt(4 * math.log(2) * (steps - 1))
    return np.concatenate(
        [
            bridge(start, end, size * row, low, high)
            for (start, high, low, end), size, row in zip(corners, spread, noise, strict=True)
        ]
    )


def between_closes(bars: Bars, z: F8, steps: int, tape: Tape) -> F8:
    """Log price of every row where the bars have closes only."""
    close = np.log(bars.close)
    before = np.append(close[0], close[:-1])
    spread = np.sqrt(around(np.square(close - before)) / steps)
    days = [
        bridge(
            before[day], close[day], spread[day] * z[max(day * steps - 1, 0) : (day + 1) * steps - 1], -np.inf, np.inf
        )
        for day in range(len(close))
    ]
    return np.concatenate([days[0], *(day[1:] for day in days[1:])])


def around(squares: F8, reach: int = 5) -> F8:
    """Mean over up to ``reach`` entries on either side of each; the first entry, not a return, is left out."""
    known = np.arange(len(squares)) > 0
    window = np.ones(2 * reach + 1)
    middle = slice(reach, reach + len(squares))
    total: F8 = np.convolve(squares, window)[middle]
    number: F8 = np.convolve(known.astype(np.float64), window)[middle]
    return total / np.maximum(number, 1)

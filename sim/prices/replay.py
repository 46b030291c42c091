"""Real days, filled in between."""

import datetime
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from sim.errors import ConfigError, DataError
from sim.prices.bars import Bars, Days
from sim.prices.bridge import bridge, through
from sim.prices.process import Process, Tape
from sim.types import F8


class Replay(Process):
    """Daily bars replayed at the step of the simulation (IDX-4).

    A day is ``day / dt`` steps. Its first row is the real open, its last the real close, and its highest and lowest
    rows are the real high and low: Brownian bridges run between them (see ``bridge.through``) with the variance that
    Parkinson (1980) reads off the day's range, (ln high/low)^2 / (4 ln 2), level over the day. The overnight gap, or
    that of a weekend, is the one step from a close to the next open. Markets that never close (``day`` 86400) have no
    gap, and that step is like any other.

    Where the data have closes only, a bridge runs from close to close over the day's steps, its variance the mean
    of the squared daily returns of the eleven days around; there is no gap, since nothing is known of it. On
    the first day, before which nothing is known, it returns to where it began.

    Bars are read by the loader; ``source`` is ``arch:sp500``, ``arch:nasdaq``, ``arch:wti``, ``arch:vix`` or the path
    of a CSV or Parquet file.
    """

    kind: Literal["replay"] = "replay"
    source: str = Field(min_length=1, description="daily bars (arch:NAME, or a .csv or .parquet path)")
    start: datetime.date | None = Field(default=None, description="first day (date); none = the first of the data")
    end: datetime.date | None = Field(
        default=None, description="last day, included (date); none = the last of the data"
    )
    days_per_year: float = Field(default=252, gt=0, description="trading days in a year (1)")
    day: float = Field(default=23_400, gt=0, le=86_400, description="time the market is open a day (s); stocks 6.5 h")
    opens: float = Field(default=34_200, ge=0, lt=86_400, description="time of the open after midnight (s); 9:30")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}: swap them")
        return self

    def steps_per_day(self, dt: float) -> int:
        """Rows of the path that belong to one day.

        Raises:
            ConfigError: a day is not a whole number of steps, or of too few to show open, high, low and close.
        """
        steps = round(self.day / dt)
        if abs(steps * dt - self.day) > 1e-9 * self.day or steps < 4:
            raise ConfigError(
                [f"process.day: {self.day:g} s is not a whole number, at least 4, of steps of {dt:g} s: change dt"]
            )
        return steps

    def stamps(self, bars: Bars, dt: float) -> Days:
        """Exchange time of every row, datetime64[s], (days * steps_per_day,)."""
        within = np.round(self.opens + np.arange(self.steps_per_day(dt)) * dt).astype("timedelta64[s]")
        stamps: Days = bars.day.astype("datetime64[s]")[:, None] + within
        return stamps.reshape(-1)

    def increments(self, z: F8, tape: Tape) -> F8:
        """Log returns per step, (days * steps_per_day - 1,); the first row is the first day's open (or close).

        Raises:
            DataError: no bars were handed over.
        """
        if tape.bars is None:
            raise DataError(f"{tape.name}: no bars of '{self.source}' were handed over: read them with read_bars")
        fill = through_days if tape.bars.ranged else between_closes
        return np.diff(fill(tape.bars, z, self.steps_per_day(tape.dt), tape))


def through_days(bars: Bars, z: F8, steps: int, tape: Tape) -> F8:
    """Log price of every row where the bars have opens, highs and lows; the gap's normal is not used."""
    draws = tape.uniform("extremes", len(bars.day), 3)
    noise = np.append(z, 0.0).reshape(-1, steps)[:, :-1]
    corners = np.log(np.stack([bars.open, bars.high, bars.low, bars.close], axis=1))
    return np.concatenate([through(corner, row, draw) for corner, row, draw in zip(corners, noise, draws, strict=True)])


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

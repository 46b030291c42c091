"""Frames and a market of few steps, made up, to test what is done with results."""

import os
import signal
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from sim.recording.liquidation_profile import MARK_MOVES


def frames(
    steps: int = 400, *, replay: bool = True, losses: bool = True
) -> dict[str, pd.DataFrame]:
    """Make steps, venues, close-outs, losses and accounts of a market that falls by 15%."""
    draws, step = np.random.default_rng(1), np.arange(1, steps + 1)
    middle, span = steps * 2 / 3, steps / 50
    index = 1200 * np.exp(
        np.cumsum(draws.normal(0, 0.0005, steps)) - 0.15 / (1 + np.exp((middle - step) / span))
    )
    near = (np.abs(step - middle) < 3 * span) & losses
    mark = np.round(index * (1 - 0.02 * near), 2)
    lots = np.where(near, draws.integers(1, 500, steps), 0)
    adl = np.where(np.abs(step - middle) < span, lots // 3, 0)
    table = pd.DataFrame({"step": step, "seconds": step * 60.0})
    if replay:
        day, minute = np.divmod(step - 1, 100)
        opens = np.datetime64("2008-09-15T09:30:00", "s")
        table["stamp"] = (
            opens + day.astype("timedelta64[D]") + (60 * minute).astype("timedelta64[s]")
        )
    table = table.assign(
        venue="exchange", instrument="SPX-PERP", kind="perpetual", index=index, mark=mark
    )
    table = table.assign(liquidated_notional=np.rint(lots * mark * 100).astype(np.int64), adl=adl)
    table["adl_notional"] = np.rint(adl * mark * 100).astype(np.int64)
    table = table.assign(**_state(table, near))
    table["feedback"] = np.where(step % READINGS == 0, 0.7, np.nan)
    rows = np.flatnonzero(lots)
    closed = {
        "step": step[rows],
        "venue": "exchange",
        "instrument": "SPX-PERP",
        "filled": lots[rows],
    }
    closed["notional"] = table["liquidated_notional"].to_numpy()[rows]
    closed |= {
        "pool": 0 * rows,
        "owner": rows,
        "equity": 1000.0 + 0 * rows,
        "maintenance": 2000.0 + 0 * rows,
    }
    closed |= {
        "id": np.arange(rows.size),
        "action": np.arange(rows.size),
        "round": 0 * rows,
        "population": "traders",
    }
    closed |= {"mark_before": mark[rows] + 1, "mark_after": mark[rows]}
    closeouts = pd.DataFrame(closed).iloc[: None if losses else 0]
    borne = {
        "step": step[rows],
        "venue": "exchange",
        "pool": 0,
        "owner": rows,
        "layer": "fund",
        "absorbed": 500,
    }
    return {
        "steps": table,
        "venues": _venues(table),
        "closeouts": closeouts,
        "causes": _causes(closeouts),
        "losses": pd.DataFrame(borne),
        "profile": _profile(table),
        "accounts": pd.concat(
            [_accounts(moment, at) for moment, at in (("start", 0), ("peak", 1), ("end", steps))]
        ),
    }


def _state(table: pd.DataFrame, near: np.ndarray) -> dict[str, Any]:
    """Make positions and the liquidity of the book."""
    gross = np.rint(table["mark"] * 1e6).astype(np.int64)
    book = {
        "oracle": table["index"],
        "mid": table["mark"],
        "bid": table["mark"] - 0.5,
        "ask": table["mark"] + 0.5,
    }
    book |= {"depth_near": 500.0, "depth": 5000.0, "fallback": near}
    return {**book, "gross": gross, "open_interest": 10_000, "volume": 10}


def _venues(table: pd.DataFrame) -> pd.DataFrame:
    """Make the balances of the venue's accounts, from the opening on, without calls."""
    gross = table["gross"]
    held = {
        "equity": gross // 4,
        "initial": gross // 40,
        "maintenance": gross // 80,
        "fund": 100_000_00,
    }
    told = table[["step", "venue"]].assign(**held, calls=0, calls_met=0, calls_missed=0)
    return pd.concat([told.iloc[:1].assign(step=0), told], ignore_index=True)


def _causes(closed: pd.DataFrame) -> pd.DataFrame:
    """The index does a third of the harm to each, the close-out before it the rest."""
    index = closed[["action", "step"]].assign(kind="index", round=-1, instrument="", amount=-1.0)
    before = closed["step"].shift().fillna(0).astype(np.int64)
    traded = index.assign(
        kind="close_out", step=before, round=0, instrument="SPX-PERP", amount=-2.0
    ).iloc[1:]
    return pd.concat([index, traded], ignore_index=True)


READINGS = 10
"""Steps between readings of the profile."""


def _profile(table: pd.DataFrame) -> pd.DataFrame:
    """Make every tenth step: a millionth of notional at risk per percent either way, R = 0.7."""
    read = table.loc[table["step"] % READINGS == 0, ["step", "venue", "instrument"]]
    moves = pd.DataFrame({"move": MARK_MOVES})
    size = 100 * moves["move"].abs()
    told = moves.assign(
        at_risk=1e8 * size,
        fresh=np.rint(700 * size).astype(int),
        resting=np.rint(1000 * size).astype(int),
    )
    return read.merge(told, how="cross")


def _accounts(moment: str, step: int) -> pd.DataFrame:
    """Five accounts, of which one has no equity; nothing is held at the start."""
    gross = np.array([100, 300, 1000, 4000, 200]) * 10_000 * (moment != "start")
    equity = np.array([100, 100, 100, 100, -1]) * 10_000
    people = {
        "owner": np.arange(5),
        "population": ["traders"] * 4 + ["makers"],
        "venue": "exchange",
        "pool": 0,
    }
    held = {"gross": gross, "equity": equity, "wallet": equity}
    return pd.DataFrame({"moment": moment, "step": step, **people, **held})


class FakeMarket:
    """Market whose steps do nothing but what ``at`` requests: step -> "fail" or "interrupt"."""

    at: dict[int, str] = {}  # noqa: RUF012
    seeds: list[int] = []  # noqa: RUF012

    def __init__(self, config: Any, populate: Any, *, seed: int, bars: Any) -> None:
        self.config, self.tick, self.steps_planned, self.venues = config, 0, 5, ()
        self.state = SimpleNamespace(n_owners=5, opening_book=None)
        self.recorder = SimpleNamespace(
            record_accounts=lambda moment: None, frames=self.frames, summary=self.summary
        )
        self.seeds.append(seed)

    def list_opening_values(self) -> list[str]:
        """Return no estimator: there is none."""
        return []

    def advance(self, steps: int) -> None:
        """Make one step, whatever the number requested."""
        self.tick += 1
        what = self.at.get(self.tick)
        if what == "fail":
            raise ZeroDivisionError("nothing\nto divide by")
        if what == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)

    def frames(self) -> dict[str, pd.DataFrame]:
        return {
            name: frame[frame["step"] <= self.tick]
            for name, frame in frames(5, losses=False).items()
        }

    def summary(self) -> dict[str, Any]:
        return {"steps": self.tick}

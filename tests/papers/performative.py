"""Coverage of margin models whose margins move the market: the same members and draws, three ways.

One day and a half of ``bitmex`` with 600 modest traders, and a spot market that $1m of net buying
moves by 1%, so that forced trades reach the index from which margins are computed. Each engine
requires the 99% quantile of half an hour's loss. It is judged on the mark: where it binds; where it
only watches a market under a static margin of 1%, BitMEX's; and on an index without trades.
``PYTHONPATH=tests python -m papers.performative 1 2 3`` prints the summary of seeds 1, 2 and 3; a
seed takes three quarters of a minute.
"""

import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import TypeAdapter

from agents import populate
from experiments.config import load_run
from experiments.statistics.paired import compare_pairs, compare_with_reference
from sim.margin.base import AnyRequirement
from sim.margin.tail.margin_path import compute_rate_path
from sim.market import Market
from sim.metrics import losses, overview
from sim.types import F8

DT, HORIZON, LEVEL = 60.0, 1800.0, 0.99
SPAN = round(HORIZON / DT)
STEPS = 2160
JUDGED = 480
"""Step from which on is judged: the slowest engine has learnt enough."""

TAIL: dict[str, Any] = {
    "kind": "tail",
    "level": LEVEL,
    "every": DT,
    "horizon": HORIZON,
    "floor": 0.004,
}
TAIL |= {"opening_rate": 0.02, "maintenance_ratio": 0.5}
FHS = {**TAIL, "model": {"kind": "filtered", "window": 21_600, "least": 7200, "decay": 0.97}}
ENGINES: dict[str, dict[str, Any]] = {
    "ewma": {**TAIL, "model": {"kind": "ewma", "decay": 0.97}},
    "fhs": FHS,
    "learned": {
        **{
            "kind": "learned",
            "level": LEVEL,
            "every": DT,
            "horizon": HORIZON,
            "floor": 0.004,
            "inner": FHS,
        },
        **{"window": 86_400, "least": 21_600, "refit_interval": 10_800, "n_trees": 40},
    },
}


STATIC: dict[str, Any] = {"kind": "tiered", "tiers": [{"floor": 0, "max_leverage": 100}]}


class Cover(NamedTuple):
    """Breach rate of a margin, over all starts and both sides, and the mean excess."""

    breached: float
    beyond: float  # mean loss in excess of it, share of notional
    needed: float  # multiplier with which the margin would reach its nominal breach rate


class Ran(NamedTuple):
    """One market."""

    mark: F8  # (T,)
    oracle: F8  # (T + 1,)
    exogenous: F8  # (T + 1,)
    margin: F8  # (T, 2) recorded, long and short
    told: dict[str, float]


def run(seed: int, requirement: dict[str, Any]) -> Ran:
    """A market under one requirement."""
    venue = load_run("bitmex").venues[0].model_dump(mode="json")
    venue["engine"] = {"requirement": requirement}
    outside = load_run("bitmex").venues[1].model_dump(mode="json")
    config = load_run(
        "bitmex",
        [
            "populations.0.count=600",
            f"duration={STEPS * DT}",
            "profile_every=0",
            "underlyings.0.impact.depth=1_000_000",
        ],
    )
    config = type(config).model_validate(config.model_dump() | {"venues": [venue, outside]})
    market = Market(config, populate(config.populations), seed=seed)
    first = float(market.venues[0].view.oracle[0])
    while market.tick < market.steps_planned:
        market.step()
    frames = market.recorder.frames()
    steps = overview.select_perpetuals(frames)
    closed = overview.sum_close_outs(frames)["notional"]
    told = {
        "closed": closed / max(overview.find_peak_open_interest(frames), 1),
        "loss": losses.sum_system_loss(frames) / 1e8,
    }
    told |= {
        "volatility": float(
            np.log(steps["mark"]).diff().std()
            / np.diff(market.exogenous_path.log_price[:, 0]).std()
        )
    }
    margin = steps[["margin_long", "margin_short"]].to_numpy()
    oracle = np.append(first, steps["oracle"])
    return Ran(
        steps["mark"].to_numpy(),
        oracle,
        np.exp(market.exogenous_path.log_price[:, 0]),
        margin,
        told,
    )


def cover(price: F8, margin: F8) -> Cover:
    """A margin (T, 2) against losses on a price (T,) over the horizon."""
    moves = np.log(price[SPAN:] / price[:-SPAN])[JUDGED:, None] * np.array([-1.0, 1.0])
    gap = moves - margin[JUDGED:-SPAN]
    beyond = float(np.maximum(gap, 0).sum() / max((gap > 0).sum(), 1))
    return Cover(
        float((gap > 0).mean()), beyond, float(np.quantile(moves / margin[JUDGED:-SPAN], LEVEL))
    )


def shadow(engine: dict[str, Any], levels: F8) -> F8:
    """Return the margin that an engine would require on levels of the oracle (T + 1,), (T, 2)."""
    rule = TypeAdapter(AnyRequirement).validate_python(engine)
    return compute_rate_path(rule, np.diff(np.log(levels))[:, None], dt=DT)[1:, :, 0]


def compare(seed: int) -> list[dict[str, Any]]:
    """One row per engine, and one of the static margin."""
    static, rows = run(seed, STATIC), []
    for name, engine in ENGINES.items():
        bound = run(seed, engine)
        watching, untouched = shadow(engine, static.oracle), shadow(engine, bound.exogenous)
        rows.append(
            {
                **{"seed": seed, "engine": name, "mean": float(bound.margin[JUDGED:].mean())},
                **{
                    f"binds_{key}": value
                    for key, value in cover(bound.mark, bound.margin)._asdict().items()
                },
                **{
                    f"watches_{key}": value
                    for key, value in cover(static.mark, watching)._asdict().items()
                },
                **{
                    f"untouched_{key}": v
                    for key, v in cover(bound.exogenous[1:], untouched)._asdict().items()
                },
                **bound.told,
            }
        )
    own = {
        f"binds_{key}": value for key, value in cover(static.mark, static.margin)._asdict().items()
    }
    rows.append(
        {
            "seed": seed,
            "engine": "static",
            "mean": float(static.margin[JUDGED:].mean()),
            **own,
            **static.told,
        }
    )
    return rows


WHERE = ("binds", "watches", "untouched")


def means(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Mean over seeds of every figure, a row per engine."""
    return pd.DataFrame(rows).drop(columns="seed").groupby("engine", sort=False).mean()


def differences(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Paired over seeds: places compared within an engine, and engines with the static margin.

    Columns: engine, what, n, mean, low and high (95%), p; ``seeds``, the number of such pairs that
    would find a mean such as this one in four of five attempts.
    """
    runs, found = pd.DataFrame(rows), []
    for engine in ENGINES:
        own = runs[runs["engine"] == engine]
        for one, other in (("binds", "untouched"), ("watches", "untouched"), ("binds", "watches")):
            for measure in ("breached", "needed"):
                a, b = (own[f"{where}_{measure}"].to_numpy() for where in (one, other))
                found.append(
                    (engine, f"{measure}: {one} - {other}", *compare_pairs(a, b), _seeds(a - b))
                )
    for _, each in compare_with_reference(
        runs, "engine", "static", [], ["mean", "closed", "volatility"]
    ).iterrows():
        table = runs.pivot(index="seed", columns="engine", values=each["measure"])
        apart = (table[each["engine"]] - table["static"]).to_numpy()
        found.append(
            (each["engine"], f"{each['measure']}: less static", *each.iloc[3:], _seeds(apart))
        )
    return pd.DataFrame(found, columns=["engine", "what", "n", "mean", "low", "high", "p", "seeds"])


def _seeds(apart: F8) -> float:
    """Return the number of pairs by the normal approximation: 5% two-sided, power 0.8."""
    return (
        float(((1.96 + 0.84) * apart.std(ddof=1) / apart.mean()) ** 2) if apart.mean() else np.inf
    )


if __name__ == "__main__":
    every = [row for seed in map(int, sys.argv[1:]) for row in compare(seed)]
    print(means(every).to_string(float_format="{:.4f}".format))
    print(differences(every).to_string(float_format="{:.4f}".format, index=False))

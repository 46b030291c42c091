"""Tables of one run: its closing table, what began close-outs, how near the edge it was, its market, its tails."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agents.ladders import LadderMakers
from experiments import closing
from experiments.figures_style import most_liquidated
from experiments.paper.opened import RunResult
from experiments.paper.tables import Words
from experiments.tails import tail
from sim.errors import DeleverageError
from sim.metrics.calm import health, returns_of
from sim.metrics.contagion import contagion
from sim.metrics.criticality import distance, excitation, feedback, rounds
from sim.metrics.generations import by_generation, cascades, origins
from sim.metrics.quality import quality

MEMORY = 21_600.0
"""Seconds that the Hawkes ratio remembers."""

EDGE = "edge"
"""The table that has a row for each reading: a file, too long for a page."""

WORDS = Words(
    measures={
        "margin_peak_to_trough": ("initial margin per notional, largest ÷ smallest", 1),
        "margin_rise": ("its largest rise within an hour, share of notional", 1),
        "calls_met": ("share of answered margin calls that were met", 1),
        "depth_trough": ("depth within 1%, least ÷ median", 1),
        "spread_peak": ("spread, widest ÷ median", 1),
        "efficiency": ("1 - variance of mark ÷ oracle over that of the oracle (logs)", 1),
        "spiral": ("rank correlation of changes of makers' equity and depth", 1),
    },
    captions={
        "closing": "What a risk manager would want to know first.",
        "origins": "Where the harm to those closed out began, each action counting once.",
        "generations": "How many actions each generation of close-outs brought about, per action.",
        "quality": "Procyclicality of margin, liquidity and price of the perpetual that was liquidated most.",
        "facts": "Stylised facts of its mark, and of its index without the market.",
        "health": "What the market adds to its index.",
        "tails": "Power laws against their rivals: a ratio above nil is for the power law, p of no difference.",
        EDGE: "R(Δ), distance to criticality, and Hawkes ratio of the last six hours, at each reading.",
    },
)


class Found(NamedTuple):
    """Tables, and what was in the way of others."""

    tables: dict[str, pd.DataFrame]
    problems: Sequence[str] = ()  # a line each


class Run(NamedTuple):
    """What tables are made of."""

    result: RunResult
    steps: pd.DataFrame  # of the perpetual that was liquidated most

    @property
    def instrument(self) -> str:
        """Its name."""
        return str(self.steps["instrument"].iloc[0])


def tables(result: RunResult) -> Found:
    """Each by name; one for which a run is too short is left out, one that lacks a frame is told of, too."""
    if "steps" not in result.frames:
        return Found({}, [])  # what is wrong with that file is among the problems of the result
    if not len(result.frames["steps"]):
        return Found({}, [f"{result.folder}: no step was recorded, tables need some, make the run again"])
    run = Run(result, most_liquidated(result.frames["steps"]))
    found, problems = dict[str, pd.DataFrame](), list[str]()
    for name, make in MADE.items():
        try:
            found[name] = make(run)
        except DeleverageError as error:
            problems += [f"tables/{name}: not made, {line}" for line in str(error).splitlines()]
        except ValueError:
            continue
    return Found({name: table for name, table in found.items() if len(table)}, problems)


def _closing(run: Run) -> pd.DataFrame:
    numeraire = run.result.config.assets[0]
    told = closing.lines(run.result.frames, unit=10**numeraire.decimals, currency=numeraire.name)
    return pd.DataFrame(told, columns=["", "what"])


def _origins(run: Run) -> pd.DataFrame:
    table = origins(contagion(run.result.frames)).rename(columns={"share": "mean"})
    return table[table["mean"] > 0]


def _generations(run: Run) -> pd.DataFrame:
    return by_generation(contagion(run.result.frames)).rename(columns={"ratio": "mean"})


def _quality(run: Run) -> pd.DataFrame:
    makers = tuple(each.name for each in run.result.config.populations if isinstance(each, LadderMakers))
    return _listed(quality(run.result.frames, run.instrument, makers))


def _health(run: Run) -> pd.DataFrame:
    worth = next(
        each.lot for venue in run.result.config.venues for each in venue.instruments if each.name == run.instrument
    )
    return _listed(health(run.result.frames, run.instrument, worth * 10 ** run.result.config.assets[0].decimals))


def _listed(figures: Any) -> pd.DataFrame:
    return pd.DataFrame({"measure": figures._fields, "value": list(figures)})


def _facts(run: Run) -> pd.DataFrame:
    mark, index = returns_of(run.result.frames, run.instrument)
    return pd.DataFrame({"measure": mark._fields, "mark": list(mark), "index": list(index)})


def _tails(run: Run) -> pd.DataFrame:
    """Of the mark's returns and of cascades by notional; of either, if there are enough."""
    sizes = cascades(contagion(run.result.frames))["notional"].to_numpy(np.float64)
    returns = np.abs(np.diff(np.log(run.steps["mark"].to_numpy(np.float64))))
    parts = []
    for name, values in (("returns of the mark", returns), ("cascades, notional", sizes)):
        try:
            parts.append(tail(values).assign(of=name))
        except DeleverageError:
            continue
    return pd.concat(parts, ignore_index=True)[["of", "rival", "exponent", "start", "values", "ratio", "p"]]


def _edge(run: Run) -> pd.DataFrame:
    frames, config = run.result.frames, run.result.config
    ratios = feedback(frames, run.instrument)
    slots = rounds(frames, str(run.steps["venue"].iloc[0]))
    told = ratios.rename(columns=lambda move: f"R({100 * move:+g}%)")
    told["distance"] = distance(ratios)
    told["hawkes"] = excitation(slots, ratios.index.to_numpy(np.int64), round(MEMORY / config.dt))
    seconds = run.steps.set_index("step")["seconds"].reindex(ratios.index)
    told.insert(0, "seconds", seconds)
    return told.rename_axis(columns=None).reset_index()


MADE: dict[str, Callable[[Run], pd.DataFrame]] = {
    "closing": _closing,
    "origins": _origins,
    "generations": _generations,
    "quality": _quality,
    "health": _health,
    "facts": _facts,
    "tails": _tails,
    EDGE: _edge,
}

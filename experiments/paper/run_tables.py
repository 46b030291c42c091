"""Tables of one run: closing table, origins of close-outs, criticality, market and tails."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from agents.ladders import LadderMakers
from experiments.cascades.tails import fit_tail
from experiments.figures.style import find_most_liquidated
from experiments.paper.load_results import RunResult
from experiments.paper.tables import TableLabels
from experiments.results import summary_table
from sim.errors import DeleverageError
from sim.metrics.calm_benchmarks import compare_facts, measure_health
from sim.metrics.contagion import build_contagion
from sim.metrics.criticality import (
    compute_distance,
    estimate_excitation,
    tabulate_feedback,
    tabulate_rounds,
)
from sim.metrics.generations import tabulate_cascades, tabulate_generations, tabulate_origins
from sim.metrics.market_quality import measure_quality

HAWKES_WINDOW = 21_600.0
"""Window of the Hawkes ratio (s)."""

CRITICALITY_TABLE = "edge"
"""Table with a row for each reading: a file only, because it is too long for a page."""

RUN_TABLE_LABELS = TableLabels(
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
        "closing": "The outcome of the run in brief.",
        "origins": "Origins of the harm to closed-out accounts, each action counting once.",
        "generations": "Number of actions that each generation of close-outs caused, per action.",
        "quality": "Procyclicality of margin, liquidity and price of the perpetual with the most "
        "liquidations.",
        "facts": "Stylised facts of its mark, and of its index without the market.",
        "health": "Differences between the market and its index.",
        "tails": "Power laws against their rivals: a ratio above zero favours the power law; p of "
        "no difference.",
        CRITICALITY_TABLE: "R(Δ), distance to criticality, and Hawkes ratio of the last six hours, "
        "at each reading.",
    },
)


class PaperTables(NamedTuple):
    """Tables, and the problems of those that could not be made."""

    tables: dict[str, pd.DataFrame]
    problems: Sequence[str] = ()  # one line each


class RunTableInput(NamedTuple):
    """Input of the tables."""

    result: RunResult
    steps: pd.DataFrame  # steps of the perpetual with the most liquidations

    @property
    def instrument(self) -> str:
        """Name of the perpetual."""
        return str(self.steps["instrument"].iloc[0])


def tabulate_run(result: RunResult) -> PaperTables:
    """Return the tables by name, without those for which the run is too short.

    A table that lacks a frame is reported as a problem.
    """
    if "steps" not in result.frames:
        return PaperTables({}, [])  # the problems of the result already name that file
    if not len(result.frames["steps"]):
        rule = "no step was recorded, tables need some, make the run again"
        return PaperTables({}, [f"{result.folder}: {rule}"])
    run = RunTableInput(result, find_most_liquidated(result.frames["steps"]))
    tables, problems = dict[str, pd.DataFrame](), list[str]()
    for name, make in TABLE_MAKERS.items():
        try:
            tables[name] = make(run)
        except DeleverageError as error:
            problems += [f"tables/{name}: not made, {line}" for line in str(error).splitlines()]
        except ValueError:
            continue
    return PaperTables({name: table for name, table in tables.items() if len(table)}, problems)


def _closing_table(run: RunTableInput) -> pd.DataFrame:
    numeraire = run.result.config.assets[0]
    lines = summary_table.list_summary_lines(
        run.result.frames, unit=10**numeraire.decimals, currency=numeraire.name
    )
    return pd.DataFrame(lines, columns=["", "what"])


def _origin_table(run: RunTableInput) -> pd.DataFrame:
    table = tabulate_origins(build_contagion(run.result.frames)).rename(columns={"share": "mean"})
    return table[table["mean"] > 0]


def _generation_table(run: RunTableInput) -> pd.DataFrame:
    return tabulate_generations(build_contagion(run.result.frames)).rename(
        columns={"ratio": "mean"}
    )


def _quality_table(run: RunTableInput) -> pd.DataFrame:
    makers = tuple(
        population.name
        for population in run.result.config.populations
        if isinstance(population, LadderMakers)
    )
    return _figure_table(measure_quality(run.result.frames, run.instrument, makers))


def _health_table(run: RunTableInput) -> pd.DataFrame:
    config = run.result.config
    lot = next(
        instrument.lot
        for venue in config.venues
        for instrument in venue.instruments
        if instrument.name == run.instrument
    )
    lot_value = lot * 10 ** config.assets[0].decimals
    return _figure_table(measure_health(run.result.frames, run.instrument, lot_value))


def _figure_table(figures: Any) -> pd.DataFrame:
    return pd.DataFrame({"measure": figures._fields, "value": list(figures)})


def _facts_table(run: RunTableInput) -> pd.DataFrame:
    mark, index = compare_facts(run.result.frames, run.instrument)
    return pd.DataFrame({"measure": mark._fields, "mark": list(mark), "index": list(index)})


def _tail_table(run: RunTableInput) -> pd.DataFrame:
    """Return the tails of the mark's returns and of cascades by notional, if there are enough
    values.
    """
    sizes = tabulate_cascades(build_contagion(run.result.frames))["notional"].to_numpy(np.float64)
    returns = np.abs(np.diff(np.log(run.steps["mark"].to_numpy(np.float64))))
    parts = []
    for name, values in (("returns of the mark", returns), ("cascades, notional", sizes)):
        try:
            parts.append(fit_tail(values).assign(of=name))
        except DeleverageError:
            continue
    return pd.concat(parts, ignore_index=True)[
        ["of", "rival", "exponent", "start", "values", "ratio", "p"]
    ]


def _criticality_table(run: RunTableInput) -> pd.DataFrame:
    frames, config = run.result.frames, run.result.config
    ratios = tabulate_feedback(frames, run.instrument)
    slots = tabulate_rounds(frames, str(run.steps["venue"].iloc[0]))
    table = ratios.rename(columns=lambda move: f"R({100 * move:+g}%)")
    table["distance"] = compute_distance(ratios)
    table["hawkes"] = estimate_excitation(
        slots, ratios.index.to_numpy(np.int64), round(HAWKES_WINDOW / config.dt)
    )
    seconds = run.steps.set_index("step")["seconds"].reindex(ratios.index)
    table.insert(0, "seconds", seconds)
    return table.rename_axis(columns=None).reset_index()


TABLE_MAKERS: dict[str, Callable[[RunTableInput], pd.DataFrame]] = {
    "closing": _closing_table,
    "origins": _origin_table,
    "generations": _generation_table,
    "quality": _quality_table,
    "health": _health_table,
    "facts": _facts_table,
    "tails": _tail_table,
    CRITICALITY_TABLE: _criticality_table,
}

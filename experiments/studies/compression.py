"""How far each margin rule can be compressed before losses outrun the fund: critical κ, a phase figure, the toll."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures_style import COLOURS, PAGE, save, style
from experiments.markdown import cell, header, row
from experiments.statistics import Estimate, against, holm, refined, summarise, threshold
from experiments.studies.aftermath import aftermath, one_row
from experiments.studies.rules import REFERENCE, joined, look, order, seeds, words
from experiments.sweep.config import StudyConfig
from experiments.sweep.plan import Task
from sim.metrics.cascades import Frames

CELL = ("engine", "elasticity")
BY = (*CELL, "kappa")
OUTCOMES = {"broken": "half", "runaway": "feedback"}
"""Whose probability must pass ½, and the word for it in columns: loss beyond the fund, R(1%) of one or more."""

WORDS = {
    "broken": ("probability of loss beyond the fund", 1),
    "deleveraged": ("ADL, % of open interest", 100),
    "system_loss": ("system loss, % of open interest", 100),
    "amplification": ("amplification", 1),
}
"""What the report tells: words, and by what figures are multiplied."""

MEASURES = (
    *WORDS,
    *("taken_over", "fund_draw", "beyond", "bad_debt", "closed_out"),
    *("feedback", "leverage", "calm_margin", "stress_margin"),
)

CAPTIONS = {
    "phase": "Probability of loss beyond the fund against compression, a panel for each rule at equal capital. Points "
    "with Wilson's intervals; strokes at one half are critical values with bootstrap intervals.",
    "toll": "What compression costs: means with bootstrap intervals.",
    "critical": "Critical compression: where loss beyond the fund, and R(1%) of one or more, are as likely as not.",
}

WIDTH, LEAST, MOST = 0.15, -0.7, 0.95
"""Gaps of κ that are left as they are, and how far a crossing is looked for."""

PANELS = {
    "deleveraged": ("ADL\n(% of open interest)", 100),
    "system_loss": ("System loss\n(% of open interest)", 100),
    "amplification": ("Amplification", 1),
}


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """One row: what the shock took, and what of it the fund could not bear."""
    found = aftermath(config, frames, twin)
    return one_row(found | {"runaway": found["feedback"] >= 1, "scale": config.venues[0].engine.scale})


def refine(study: StudyConfig, runs: pd.DataFrame) -> Sequence[Task]:
    """Values of κ where a rule's probability of loss beyond the fund passes ½: halves of gaps, or beyond the ends."""
    return [
        Task({"engine": engine, "elasticity": elasticity, "kappa": kappa})
        for (engine, elasticity), group in _cells(runs)
        for kappa in _next(group)
    ]


def _next(group: pd.DataFrame) -> tuple[float, ...]:
    found = threshold(group, "kappa", "broken", 0.5)
    further = [round(found.first - 0.3, 6)] if found.side > 0 or np.isneginf(found.low) else []
    further += [MOST] if found.side < 0 or np.isposinf(found.high) else []
    beyond = [kappa for kappa in further if LEAST <= kappa < found.first or found.last < kappa <= MOST]
    halves = [] if found.side else [round(kappa, 6) for kappa in refined(group, found, WIDTH, most=1)]
    return (*beyond, *halves)


def _cells(runs: pd.DataFrame) -> Iterator[tuple[tuple[str, float], pd.DataFrame]]:
    """Runs of each rule and elasticity."""
    for elasticity in sorted(map(float, runs["elasticity"].unique())):
        for engine in order(runs):
            group = runs[(runs["engine"] == engine) & (runs["elasticity"] == elasticity)]
            if len(group):
                yield (engine, elasticity), group


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Critical κ of every rule and elasticity, every measure at every κ, and differences from the reference rule."""
    made = {"critical": critical(runs), "estimates": summarise(runs, BY, MEASURES)}
    if set(runs["engine"]) > {REFERENCE}:
        compared = against(runs, "engine", REFERENCE, BY[1:], ["broken", "deleveraged", "system_loss"])
        made["differences"] = holm(compared, ["measure"])
    return made


def critical(runs: pd.DataFrame) -> pd.DataFrame:
    """κ* by rule and elasticity, where P = ½ and where R(1%) = 1 in half of the runs, and κ* of the preset itself."""
    rows = []
    for (engine, elasticity), group in _cells(runs):
        line: dict[str, Any] = {"engine": engine, "elasticity": elasticity, "n": int(group["seed"].nunique())}
        for outcome, word in OUTCOMES.items():
            found = threshold(group, "kappa", outcome, 0.5)
            line |= {f"{word}_at": found.at, f"{word}_low": found.low, f"{word}_high": found.high}
            line |= {
                f"{word}_p_monotone": found.p_monotone,
                f"{word}_verdict": found.verdict,
                f"{word}_side": found.side,
            }
            line |= {word: _minus(found.told(2))}
        line["preset_at"] = 1 - group["scale"].iloc[0] * (1 - line["half_at"])
        rows.append(line)
    return pd.DataFrame(rows)


def report(runs: pd.DataFrame) -> str:
    """Where each rule breaks, as sentences; κ* by rule; what each κ cost."""
    table = critical(runs)
    lines = ["## Findings", "", *(f"- {line}" for line in findings(runs, table)), "", "## Critical κ", ""]
    lines += [f"κ* at which loss beyond the fund is as likely as not. {seeds(runs)}", "", *_critical(table)]
    return "\n".join([*lines, "", "## What each κ cost", "", *_costs(runs)])


def findings(runs: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """A sentence or two for each elasticity, and one on R."""
    found = [line for each in sorted(map(float, table["elasticity"].unique())) for line in _ranked(each, table)]
    reached = table[table["half_at"].notna()]
    early = reached[(reached["feedback_side"] > 0) | (reached["feedback_at"] < reached["half_at"])]
    if len(reached):
        found.append(
            f"R(1%) passes 1 at a lower κ than P passes ½ in {len(early)} of the {len(reached)} cases where P does: a "
            "fall that feeds itself is not yet a loss that nobody covers."
        )
    several = table[table["half_verdict"] == "several"].to_dict("records")
    return [
        *found,
        *_amplified(runs),
        *(f"{line['engine']}, {words(line['elasticity'])}: {line['half']}." for line in several),
    ]


def _amplified(runs: pd.DataFrame) -> list[str]:
    """Whether close-outs deepen the fall of the mark, at the largest κ that all rules share."""
    known = runs[runs["amplification"].notna()]
    if known.empty:
        return []
    most = _shared(known)[-1]
    table = summarise(known[known["kappa"] == most], BY, ["amplification"])
    told = {
        each: _deepened(table[table["elasticity"] == each]) for each in sorted(map(float, table["elasticity"].unique()))
    }
    return [f"{words(each)}, κ = {most:g}: {line}." for each, line in told.items()]


def _deepened(table: pd.DataFrame) -> str:
    """Rules by the side of one that their amplification's interval lies on."""
    deeper, flatter = (list(table.loc[side, "engine"]) for side in (table["low"] > 1, table["high"] < 1))
    told = f"amplification {table['mean'].min():.3f} to {table['mean'].max():.3f} over rules"
    if not deeper and not flatter:
        return f"no rule's close-outs are shown to change how far the mark falls; intervals cover 1 ({told})"
    parts = [f"deepen the fall of the mark under {joined(deeper)}"] if deeper else []
    parts += [f"make {'it' if deeper else 'the fall of the mark'} shallower under {joined(flatter)}"] if flatter else []
    rest = len(table) - len(deeper) - len(flatter)
    return f"close-outs {' and '.join(parts)}{f', intervals of the other {rest} cover 1' if rest else ''} ({told})"


def _shared(runs: pd.DataFrame) -> list[float]:
    """Values of κ at which every rule was run, at every elasticity."""
    counts = runs.groupby("kappa")[list(CELL)].apply(lambda group: len(group.drop_duplicates()))
    return [float(kappa) for kappa in counts.index[counts == len(runs[list(CELL)].drop_duplicates())]]


def _ranked(elasticity: float, table: pd.DataFrame) -> list[str]:
    """Who breaks first and who last, and who does not."""
    table = table[table["elasticity"] == elasticity]
    reached = table[table["half_at"].notna()].sort_values("half_at")
    safe = [str(name) for name in table.loc[table["half_at"].isna(), "engine"]]
    lines = []
    if len(reached) > 1:
        lines.append(f"{words(elasticity)}: {_order(reached)}.")
    elif len(reached):
        lines.append(f"{words(elasticity)}: {reached['engine'].iloc[0]} breaks at κ* = {reached['half'].iloc[0]}.")
    if safe:
        lines.append(f"{words(elasticity)}: P stays on one side of ½ for {joined(safe)} ({_sides(table)}).")
    return lines


def _order(reached: pd.DataFrame) -> str:
    """Rules by κ*, lowest first; an order is told of those only whose intervals lie apart."""
    first, rest, last = reached.iloc[0], reached.iloc[1:], reached.iloc[-1]
    apart = first["half_high"] < rest["half_low"].min()
    if len(rest) == 1 or not apart:
        told = "" if apart else "; intervals overlap, so the order is not shown"
        ends = f"{first['engine']} breaks first, at κ* = {first['half']}, {last['engine']} last, at {last['half']}"
        return f"{ends}{told}"
    among = "overlap" if rest["half_high"].min() >= rest["half_low"].max() else "do not all overlap"
    ends = (
        f"κ* of {joined(list(rest['engine']))} lie from {rest['half_at'].iloc[0]:.2f} to {rest['half_at'].iloc[-1]:.2f}"
    )
    return f"{first['engine']} breaks first, at κ* = {first['half']}; {ends}, and their intervals {among}"


def _sides(table: pd.DataFrame) -> str:
    return "; ".join(dict.fromkeys(str(told) for told in table.loc[table["half_at"].isna(), "half"]))


def _critical(table: pd.DataFrame) -> list[str]:
    names = ["rule", "ε", "κ* where P = ½", "κ* where R(1%) = 1", "κ* of the preset", "p of monotone P"]
    lines = header(names)
    for found in table.sort_values(["elasticity", "half_at"]).to_dict("records"):
        own = "" if np.isnan(found["preset_at"]) else f"{found['preset_at']:.2f}"
        cells = [found["engine"], f"{found['elasticity']:g}", found["half"], found["feedback"], _minus(own)]
        lines.append(row([*cells, f"{found['half_p_monotone']:.2g}"]))
    return lines


def _minus(text: str) -> str:
    """Signs as they are set; hyphens inside words and names stay."""
    return re.sub(r"(^|[ (\[])-(?=\d)", "\\1\N{MINUS SIGN}", text)


def _costs(runs: pd.DataFrame) -> list[str]:
    """Every headline at every κ that all rules share, a line for each rule."""
    table = summarise(runs, BY, list(WORDS))
    shared = _shared(runs)
    lines: list[str] = []
    for name, (told, factor) in WORDS.items():
        here = table[(table["measure"] == name) & table["kappa"].isin(shared)]
        if not here["n"].any():
            continue
        lines += [
            "",
            f"{told[0].upper()}{told[1:]}:",
            "",
            *header(["rule", "ε", *(f"κ {kappa:g}" for kappa in shared)]),
        ]
        for (engine, elasticity), group in here.groupby(list(CELL), sort=False):
            by = group.set_index("kappa")[list(Estimate._fields)]
            cells = [cell(Estimate(*by.loc[kappa]).times(factor)) if kappa in by.index else "" for kappa in shared]
            lines.append(row([str(engine), f"{elasticity:g}", *cells]))
    return lines[1:]


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``phase``: probability of loss beyond the fund against κ, a panel for each rule; ``toll``: what it cost."""
    with style():
        _phase(runs, folder)
        _toll(runs, folder)


def _phase(runs: pd.DataFrame, folder: Path) -> None:
    table, names = summarise(runs, BY, ["broken"]), order(runs)
    marks = critical(runs)
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(PAGE, 0.6 + 1.75 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _panel(axes, table[table["engine"] == name], marks[marks["engine"] == name])
        axes.set_title(name, fontsize="medium")
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    figure.supxlabel("Compression $\\kappa$ from equal capital", fontsize="medium")
    figure.supylabel("Probability of loss beyond the fund", fontsize="medium")
    handles, told = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, told, loc="outside upper center", ncols=4, frameon=False, handlelength=2.8)
    save(figure, folder / "phase", table.merge(marks, on=list(CELL), suffixes=("", "_of_critical")))


def _panel(axes: Axes, table: pd.DataFrame, marks: pd.DataFrame) -> None:
    """Shares with Wilson's intervals, a line for each elasticity; bars at one half are intervals of κ*."""
    axes.axhline(0.5, color="0.7", linewidth=0.6, zorder=0)
    for number, (elasticity, group) in enumerate(table.groupby("elasticity")):
        at = group.sort_values("kappa")
        colour, told = COLOURS[number], f"$\\epsilon$ = {elasticity:g}"
        reach = np.abs(at[["low", "high"]].to_numpy().T - at["mean"].to_numpy())
        apart = at["kappa"] + 0.012 * (number - 1)  # that intervals do not cover one another
        axes.errorbar(apart, at["mean"], reach, label=told, elinewidth=0.7, **look(number))
        for mark in marks[marks["elasticity"] == elasticity].to_dict("records"):
            _bar(axes, mark, (float(at["kappa"].min()), float(at["kappa"].max())), colour)
    axes.set_ylim(-0.04, 1.04)
    seaborn.despine(ax=axes)


def _bar(axes: Axes, mark: Any, reach: tuple[float, float], colour: Any) -> None:
    """κ* and its interval, cut at the range that was run."""
    if np.isnan(mark["half_at"]):
        return
    low, high = np.clip([mark["half_low"], mark["half_high"]], *reach)
    axes.plot([low, high], [0.5, 0.5], color=colour, linewidth=3, alpha=0.5, solid_capstyle="butt")
    axes.plot([mark["half_at"]], [0.5], "|", color=colour, markersize=9, markeredgewidth=1.4)


def _toll(runs: pd.DataFrame, folder: Path) -> None:
    panels = {name: told for name, told in PANELS.items() if runs[name].notna().any()}
    table = summarise(runs, BY, list(panels))
    elasticities = sorted(table["elasticity"].unique())
    figure = Figure(figsize=(PAGE, 0.7 + 1.6 * len(panels)), layout="constrained")
    grid = figure.subplots(len(panels), len(elasticities), sharex=True, sharey="row", squeeze=False)
    for axes_row, (name, (label, factor)) in zip(grid, panels.items(), strict=True):
        for axes, elasticity in zip(axes_row, elasticities, strict=True):
            here = table[(table["measure"] == name) & (table["elasticity"] == elasticity)]
            for number, engine in enumerate(order(runs)):
                at = here[here["engine"] == engine].sort_values("kappa")
                axes.fill_between(
                    at["kappa"], factor * at["low"], factor * at["high"], color=COLOURS[number], alpha=0.1, linewidth=0
                )
                axes.plot(at["kappa"], factor * at["mean"], label=engine, **look(number))
            seaborn.despine(ax=axes)
        axes_row[0].set_ylabel(label)
    for axes, elasticity in zip(grid[0], elasticities, strict=True):
        axes.set_title(f"$\\epsilon$ = {elasticity:g}", fontsize="medium")
    figure.supxlabel("Compression $\\kappa$ from equal capital", fontsize="medium")
    handles, told = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, told, loc="outside upper center", ncols=min(7, len(told)), frameon=False, handlelength=2.2)
    save(figure, folder / "toll", table)

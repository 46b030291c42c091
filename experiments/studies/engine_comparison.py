"""Margin rules at the same capital: which is safest, and which only looks cheap."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.config import RunConfig
from experiments.figures.style import COLOURS, PAGE_WIDTH, save_figure, use_style
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.results.sentences import (
    ALPHA,
    HolmAdjustedP,
    describe_comparison,
    describe_low_power,
)
from experiments.statistics import (
    Estimate,
    adjust_by_holm,
    compare_with_reference,
    summarise_measures,
    tabulate_frontier,
)
from experiments.statistics.tails import average_worst
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.rules import (
    REFERENCE_RULE,
    REFUSAL_NOTE,
    choose_line_style,
    describe_replications,
    find_identical_rules,
    format_elasticity,
    join_names,
    list_rules,
)
from sim.metrics.cascades import Frames

SETTING_COLUMNS = ("engine", "arm", "elasticity", "kappa")
PRESET_ARM, COMMON_ARM = "preset", "common"
"""Arms: maintenance as in the preset, and half of initial under every rule."""

HARM_MEASURES = ("broken", "deleveraged", "system_loss")
AFTERMATH_MEASURES = (
    "beyond",
    "closed_out",
    "taken_over",
    "calm_margin",
    "stress_margin",
    "open_interest",
    "leverage",
    "requirement",
)
MEASURES = (*HARM_MEASURES, *AFTERMATH_MEASURES)
WORDS = {
    "broken": ("probability of a loss that the fund refuses", 1),
    "deleveraged": ("ADL, % of open interest", 100),
    "system_loss": ("system loss, % of open interest", 100),
    "calm_margin": ("initial margin before the shock, % of notional", 100),
    "stress_margin": ("initial margin from the shock on, % of notional", 100),
    "leverage": ("open interest ÷ equity before the shock", 1),
    "requirement": ("harm to those closed out that the margin model itself did, %", 100),
}
CAPTIONS = {
    "frontier": "Initial margin in calm against system loss, a point for each rule and level of capital; the pale line "
    "joins points that no other beats in both; the table tells in what share of resamples each lies on it.",
    "differences": "Probability of a loss that the fund refuses less that of isolated tiers at the same capital, "
    "with Newcombe's intervals for pairs.",
    "alike": "Rules that show every figure of another, to four digits, and have no lines of their own; n runs.",
    "over_levels": "Differences from isolated tiers at the same capital, mean over its levels.",
    "rise": "Initial margin per notional from the shock on, as a multiple of that in calm; mean over levels.",
    "arms": "Maintenance at half of initial under every rule, less the preset's own; mean over levels of capital.",
}
NEGLIGIBLE_SHARE = 0.01
"""Loss below which the figure's axis is linear, so that nil has a place on it (% of open interest)."""

MIN_SEEDS = 4
"""Rules that a sentence names; more are counted."""

TAIL_SEEDS = 20
"""Replications from which on an expected shortfall can be told; with fewer, means are."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """One row: losses, and the capital that the rule came to ask once people had adapted."""
    return make_score_row(measure_aftermath(config, frames, twin))


def select_distinct_rules(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs of rules that differ from every earlier one; the others are told of and have no lines of their own."""
    return runs[
        ~runs["engine"].isin(find_identical_rules(runs, SETTING_COLUMNS[1:], MEASURES)["engine"])
    ]


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rules that are alike; of the others measures, differences by level and over all, arms, the frontier."""
    same, runs = (
        find_identical_rules(runs, SETTING_COLUMNS[1:], MEASURES),
        select_distinct_rules(runs),
    )
    pooled = average_over_levels(runs)
    return {
        "alike": same,
        "estimates": summarise_measures(runs, SETTING_COLUMNS, MEASURES),
        "differences": adjust_by_holm(
            compare_with_reference(
                runs, "engine", REFERENCE_RULE, SETTING_COLUMNS[1:], HARM_MEASURES
            ),
            ["measure"],
        ),
        "over_levels": adjust_by_holm(
            compare_with_reference(
                pooled, "engine", REFERENCE_RULE, SETTING_COLUMNS[1:3], HARM_MEASURES
            ),
            ["measure"],
        ),
        "arms": adjust_by_holm(
            compare_with_reference(
                pooled, "arm", PRESET_ARM, ["engine", "elasticity"], HARM_MEASURES
            ),
            ["measure"],
        ),
        "rise": summarise_margin_rise(runs[runs["arm"] == PRESET_ARM]),
        "frontier": tabulate_frontiers(runs),
    }


def average_over_levels(runs: pd.DataFrame) -> pd.DataFrame:
    """Each replication's mean over levels of capital: what a rule shows at equal capital, whatever the level."""
    plain = runs.astype(dict.fromkeys(HARM_MEASURES, float))
    return (
        plain.groupby([*SETTING_COLUMNS[:3], "seed"], sort=False)[list(HARM_MEASURES)]
        .mean()
        .reset_index()
    )


def summarise_margin_rise(runs: pd.DataFrame) -> pd.DataFrame:
    """How many times its own margin in calm each rule asks from the shock on, mean over levels of capital."""
    return summarise_measures(_margin_rises(runs), SETTING_COLUMNS[:3], ["rise"])


def _margin_rises(runs: pd.DataFrame) -> pd.DataFrame:
    """The same of each replication."""
    times = runs.assign(rise=(runs["stress_margin"] / runs["calm_margin"]).round(4))
    return times.groupby([*SETTING_COLUMNS[:3], "seed"], sort=False)["rise"].mean().reset_index()


def tabulate_frontiers(runs: pd.DataFrame) -> pd.DataFrame:
    """Rules and levels by mean margin in calm and the tail of system loss, in each arm and for each elasticity.

    A rule of which there are fewer replications than of the others has no tail to compare, and is left out.
    """
    runs = runs[runs.groupby("engine")["seed"].transform("nunique") == runs["seed"].nunique()]
    told, statistic = _choose_tail_statistic(int(runs["seed"].nunique()))
    parts = []
    for arm, elasticity in _iterate_panels(runs):
        group = runs[(runs["arm"] == arm) & (runs["elasticity"] == elasticity)]
        found = tabulate_frontier(
            group, ["engine", "kappa"], "calm_margin", "system_loss", statistic
        )
        parts.append(found.assign(arm=arm, elasticity=elasticity, figure=told))
    return pd.concat(parts, ignore_index=True)


def _choose_tail_statistic(count: int) -> tuple[str, Callable[..., Any]]:
    """The expected shortfall that so many replications can bear, ten of them beyond its level; or the mean."""
    if count < TAIL_SEEDS:
        return "mean", np.mean
    level = 1 - 10 / count
    return f"expected shortfall at {level:.0%}", lambda values, axis=0: average_worst(
        values, level, axis
    )


def report(runs: pd.DataFrame) -> str:
    """Which rule is safest, which only looks cheap; then figures by level."""
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(runs)),
        "",
        f"{describe_replications(runs)} {REFUSAL_NOTE}",
        "",
    ]
    runs = select_distinct_rules(runs)
    lines += ["## Over all levels of capital", "", *_average_table(runs)]
    return "\n".join([*lines, "", "## By level", "", *_level_tables(runs)])


def write_findings(runs: pd.DataFrame) -> list[str]:
    """For each elasticity: the rules at both ends, held against the reference; then what the arms do."""
    made = tables(runs)
    same, runs = _list_identical_rules(made["alike"]), select_distinct_rules(runs)
    lines: list[str] = []
    plain = average_over_levels(runs[runs["arm"] == PRESET_ARM])
    for elasticity in sorted(map(float, plain["elasticity"].unique())):
        means = (
            plain[plain["elasticity"] == elasticity]
            .groupby("engine", sort=False)[["broken", "deleveraged"]]
            .mean()
        )
        if not means["broken"].any():
            lines.append(
                f"{format_elasticity(elasticity)}: the fund refuses no loss under any rule at these levels of capital."
            )
            continue
        ranked = [str(name) for name in means.sort_values(["broken", "deleveraged"]).index]
        ends = {"safest": ranked[0], "most dangerous at the same capital": ranked[-1]}
        apart = {
            engine: _compare_with_engine(plain, elasticity, engine, "broken")
            for engine in ends.values()
        }
        if not any(table["shown"].any() for table in apart.values()):
            few = _too_few_seeds(next(iter(apart.values())))
            told = (
                f"which rule is safer cannot be told: {few}"
                if few
                else "no rule is shown to be safer than another"
            )
            lines.append(f"{format_elasticity(elasticity)}, at these levels of capital: {told}.")
            continue
        for told, engine in ends.items():
            found = _describe_difference(made["over_levels"], engine, elasticity)
            lines.append(
                f"{format_elasticity(elasticity)}, {told}: {found} {_count_differences(apart[engine])}"
            )
    return [
        *lines,
        *_procyclicality_findings(runs[runs["arm"] == PRESET_ARM], made["rise"]),
        *_arm_findings(made["arms"]),
        *same,
    ]


def _compare_with_engine(
    plain: pd.DataFrame, elasticity: float, engine: str, measure: str
) -> pd.DataFrame:
    """All other rules held against one on the same draws; ``shown`` is what outlasts Holm over them."""
    here = plain[plain["elasticity"] == elasticity]
    table = adjust_by_holm(compare_with_reference(here, "engine", engine, [], [measure]))
    return table.assign(
        shown=(table["p_holm"] < ALPHA) & ((table["low"] > 0) | (table["high"] < 0))
    )


def _count_differences(table: pd.DataFrame) -> str:
    """From how many of the other rules one is told apart."""
    alike = table[~table["shown"]]
    if alike.empty:
        return "All other rules are told apart from it."
    names = (
        join_names(list(alike["engine"]))
        if len(alike) <= MIN_SEEDS
        else f"{len(alike)} of {len(table)} other rules"
    )
    if few := _too_few_seeds(table):
        return f"It cannot be told apart from {names}: {few}."
    return f"It is not told apart from {names}."


def _too_few_seeds(table: pd.DataFrame) -> str | None:
    """What so few replications can show at best in a family of comparisons; None where they can show a difference."""
    return describe_low_power(int(table["n"].max()), int(table["p"].notna().sum()) or 1)


def _list_identical_rules(table: pd.DataFrame) -> list[str]:
    """Which rules one line stands for."""
    return [
        f"{join_names(list(group['engine']))} show{'s' * (len(group) == 1)} every figure of {like}, to four digits, in all "
        f"{group['n'].sum()} runs that were compared: its lines stand for {'both' if len(group) == 1 else 'all'}."
        for like, group in table.groupby("like", sort=False)
    ]


def _procyclicality_findings(runs: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Who asks for most once it falls, for each elasticity: equal capital is that of the calm."""
    lines, each_run = [], _margin_rises(runs)
    for elasticity in sorted(map(float, table["elasticity"].unique())):
        here = table[table["elasticity"] == elasticity].set_index("engine")[list(Estimate._fields)]
        name = str(here["mean"].idxmax())
        most, common = (
            format_estimate(Estimate(*here.loc[each])) for each in (name, REFERENCE_RULE)
        )
        lines.append(
            f"{format_elasticity(elasticity)}: from calm to shock {name} raises initial margin per notional most, {most} times, "
            f"mean over levels; {REFERENCE_RULE} {common} times. {_count_differences(_compare_with_engine(each_run, elasticity, name, 'rise'))}"
        )
    return lines


def _describe_difference(table: pd.DataFrame, engine: str, elasticity: float) -> str:
    """A rule held against the reference, in words."""
    what = f"{engine}, probability of a loss that the fund refuses, mean over levels"
    here = table[
        (table["arm"] == PRESET_ARM)
        & (table["engine"] == engine)
        & (table["elasticity"] == elasticity)
    ]
    here = here[here["measure"] == "broken"]
    family = int(table.loc[table["measure"] == "broken", "p"].notna().sum()) or 1
    if here.empty:
        return f"{engine}, the reference itself."
    found = here.to_dict("records")[0]
    figure = Estimate(*(found[name] for name in Estimate._fields))
    return describe_comparison(
        what, engine, REFERENCE_RULE, figure, p_holm=HolmAdjustedP(found["p_holm"], family)
    )


def _arm_findings(table: pd.DataFrame) -> list[str]:
    """Of each harm the rules under which maintenance at half of initial changes it, if that outlasts Holm."""
    lines = []
    for name in HARM_MEASURES:
        told, factor = WORDS[name]
        moved = table[(table["measure"] == name) & (table["p_holm"] < ALPHA)].to_dict("records")
        found = [
            Estimate(*(line[part] for part in Estimate._fields)).rescale(factor) for line in moved
        ]
        parts = [
            f"{line['engine']} at {format_elasticity(line['elasticity'])} {format_estimate(each, signed=True)}"
            for line, each in zip(moved, found, strict=True)
        ]
        few = _too_few_seeds(table[table["measure"] == name])
        shown = (
            join_names(parts) if parts else f"undecided, {few}" if few else "no difference shown"
        )
        lines.append(
            f"Maintenance at half of initial under every rule, less the presets' own: {told}: {shown}."
        )
    return lines


def _average_table(runs: pd.DataFrame) -> list[str]:
    table = summarise_measures(average_over_levels(runs), SETTING_COLUMNS[:3], list(HARM_MEASURES))
    names = [f"{arm}: {WORDS[name][0]}" for arm in runs["arm"].unique() for name in HARM_MEASURES]
    lines = format_header(["rule", "ε", *names])
    for (engine, elasticity), group in table.groupby(["engine", "elasticity"], sort=False):
        by = group.set_index(["arm", "measure"])[list(Estimate._fields)]
        cells = [
            _format_cell(by, (arm, name), WORDS[name][1])
            for arm in runs["arm"].unique()
            for name in HARM_MEASURES
        ]
        lines.append(format_row([str(engine), f"{elasticity:g}", *cells]))
    return lines


def _level_tables(runs: pd.DataFrame) -> list[str]:
    """The arm of presets, levels across."""
    table = summarise_measures(runs[runs["arm"] == PRESET_ARM], SETTING_COLUMNS, list(WORDS))
    levels = sorted(runs["kappa"].unique())
    lines: list[str] = []
    for name, (told, factor) in WORDS.items():
        lines += [
            "",
            f"{told[0].upper()}{told[1:]}:",
            "",
            *format_header(["rule", "ε", *(f"κ {kappa:g}" for kappa in levels)]),
        ]
        here = table[table["measure"] == name]
        for (engine, elasticity), group in here.groupby(["engine", "elasticity"], sort=False):
            by = group.set_index("kappa")[list(Estimate._fields)]
            lines.append(
                format_row(
                    [
                        str(engine),
                        f"{elasticity:g}",
                        *(_format_cell(by, kappa, factor) for kappa in levels),
                    ]
                )
            )
    return lines[1:]


def _format_cell(by: pd.DataFrame, at: Any, factor: float) -> str:
    return format_estimate(Estimate(*by.loc[at]).rescale(factor)) if at in by.index else ""


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """``frontier``: margin in calm against the tail of system loss; ``differences``: from the reference, by level."""
    runs = select_distinct_rules(runs)
    with use_style():
        _draw_frontier(runs, folder)
        _draw_differences(runs, folder)


def _iterate_panels(runs: pd.DataFrame) -> Iterator[tuple[str, float]]:
    for arm in runs["arm"].unique():
        for elasticity in sorted(runs["elasticity"].unique()):
            yield str(arm), float(elasticity)


def _draw_frontier(runs: pd.DataFrame, folder: Path) -> None:
    table, names = tabulate_frontiers(runs), list_rules(runs)
    wide, high = int(runs["elasticity"].nunique()), int(runs["arm"].nunique())
    figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 1.75 * high), layout="constrained")
    grid = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
    for axes, (arm, elasticity) in zip(grid.flat, _iterate_panels(runs), strict=True):
        here = table[(table["arm"] == arm) & (table["elasticity"] == elasticity)]
        _draw_points(axes, here, names)
        axes.set_title(f"{arm}, $\\epsilon$ = {elasticity:g}", fontsize="medium")
    figure.supxlabel("Initial margin before the shock (% of notional)", fontsize="medium")
    figure.supylabel(
        f"System loss (% of open interest)\n{table['figure'].iloc[0]}", fontsize="medium"
    )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(7, len(labels)), frameon=False
    )
    save_figure(figure, folder / "frontier", table)


def _draw_points(axes: Axes, table: pd.DataFrame, names: list[str]) -> None:
    """A point for each rule and level; a line joins those that no other beats, in which margin and loss trade."""
    best = table[table["on_frontier"]].sort_values("calm_margin")
    axes.plot(
        100 * best["calm_margin"], 100 * best["system_loss"], color="0.7", linewidth=3, zorder=0
    )
    for number, engine in enumerate(names):
        here = table[table["engine"] == engine].sort_values("calm_margin")
        told: dict[str, Any] = {**choose_line_style(number), "markersize": 4.5, "linewidth": 0.5}
        axes.plot(100 * here["calm_margin"], 100 * here["system_loss"], label=engine, **told)
    axes.set_yscale("symlog", linthresh=NEGLIGIBLE_SHARE)
    axes.set_yticks(
        [0, NEGLIGIBLE_SHARE, 0.1, 1, 10], ["0", f"{NEGLIGIBLE_SHARE:g}", "0.1", "1", "10"]
    )
    axes.set_xscale("log")
    ticks = [0.3, 1, 3]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    seaborn.despine(ax=axes)


def _draw_differences(runs: pd.DataFrame, folder: Path) -> None:
    table = compare_with_reference(
        runs[runs["arm"] == PRESET_ARM], "engine", REFERENCE_RULE, SETTING_COLUMNS[1:], ["broken"]
    )
    elasticities, names = (
        sorted(runs["elasticity"].unique()),
        [name for name in list_rules(runs) if name != REFERENCE_RULE],
    )
    figure = Figure(figsize=(PAGE_WIDTH, 0.9 + 0.32 * len(names)), layout="constrained")
    grid = figure.subplots(1, len(elasticities), sharex=True, sharey=True, squeeze=False)
    for axes, elasticity in zip(grid[0], elasticities, strict=True):
        axes.axvline(0, color="0.7", linewidth=0.7, zorder=0)
        here = table[table["elasticity"] == elasticity]
        for number, (kappa, group) in enumerate(here.groupby("kappa")):
            at = [names.index(str(name)) + 0.22 * (number - 1) for name in group["engine"]]
            reach = np.abs(group[["low", "high"]].to_numpy().T - group["mean"].to_numpy())
            look: dict[str, Any] = {
                "color": COLOURS[number],
                "marker": "osD"[number % 3],
                "markersize": 3.2,
            }
            told = f"$\\kappa$ = {kappa:g}"
            axes.errorbar(
                group["mean"], at, xerr=reach, linestyle="none", elinewidth=0.8, label=told, **look
            )
        axes.set_title(f"$\\epsilon$ = {elasticity:g}", fontsize="medium")
        axes.set_yticks(range(len(names)), names)
        seaborn.despine(ax=axes)
    grid[0, 0].invert_yaxis()
    figure.supxlabel(
        f"Probability of a loss that the fund refuses, less that of {REFERENCE_RULE}",
        fontsize="medium",
    )
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    save_figure(figure, folder / "differences", table)

"""Comparison of margin rules at the same capital: the safest, and those that only look cheap."""

from pathlib import Path
from typing import Any

import pandas as pd

from experiments.config import RunConfig
from experiments.figures.style import use_style
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
)
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.frontier import (
    PRESET_ARM,
    SETTING_COLUMNS,
    draw_differences,
    draw_frontier,
    tabulate_frontiers,
)
from experiments.studies.shared.rules import (
    REFERENCE_RULE,
    REFUSAL_NOTE,
    describe_replications,
    find_identical_rules,
    format_elasticity,
    join_names,
    name_level,
)
from sim.metrics.cascades import Frames

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
    "broken": ("probability that the fund refuses a loss", 1),
    "deleveraged": ("ADL, % of open interest", 100),
    "system_loss": ("system loss, % of open interest", 100),
    "calm_margin": ("initial margin before the shock, % of notional", 100),
    "stress_margin": ("initial margin from the shock on, % of notional", 100),
    "leverage": ("open interest ÷ equity before the shock", 1),
    "requirement": ("harm to closed-out accounts caused by the margin model itself, %", 100),
}
CAPTIONS = {
    "frontier": "Initial margin in calm against system loss, a point for each rule and level of "
    "capital. The pale line joins points that no other point beats in both. The rules most "
    "often on it are named, beside isolated tiers. The table gives the "
    "share of resamples in which each point lies on it.",
    "differences": "Probability that the fund refuses a loss, less that of isolated tiers at the "
    "same capital, with Newcombe's intervals for pairs.",
    "alike": "Rules whose every figure equals that of another, to four digits; they have no lines "
    "of their own; n runs.",
    "over_levels": "Differences from isolated tiers at the same capital, mean over its levels.",
    "rise": "Initial margin per notional from the shock on, as a multiple of that in calm; mean "
    "over levels.",
    "arms": "Maintenance at half of initial under every rule, less the preset's own; mean over "
    "levels of capital.",
}
MAX_NAMED_RULES = 4
"""Largest number of rules that a sentence names; more are counted."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: losses, and the margin that the rule required once traders had adapted."""
    return make_score_row(measure_aftermath(config, frames, twin))


def select_distinct_rules(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of rules that differ from every earlier one; see ``find_identical_rules``."""
    alike = find_identical_rules(runs, SETTING_COLUMNS[1:], MEASURES)
    return runs[~runs["engine"].isin(alike["engine"])]


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return identical rules; of the others measures, differences, arms and the frontier."""
    same = find_identical_rules(runs, SETTING_COLUMNS[1:], MEASURES)
    runs = select_distinct_rules(runs)
    pooled = average_over_levels(runs)
    by_level = compare_with_reference(
        runs, "engine", REFERENCE_RULE, SETTING_COLUMNS[1:], HARM_MEASURES
    )
    over_levels = compare_with_reference(
        pooled, "engine", REFERENCE_RULE, SETTING_COLUMNS[1:3], HARM_MEASURES
    )
    arms = compare_with_reference(
        pooled, "arm", PRESET_ARM, ["engine", "elasticity"], HARM_MEASURES
    )
    return {
        "alike": same,
        "estimates": summarise_measures(runs, SETTING_COLUMNS, MEASURES),
        "differences": adjust_by_holm(by_level, ["measure"]),
        "over_levels": adjust_by_holm(over_levels, ["measure"]),
        "arms": adjust_by_holm(arms, ["measure"]),
        "rise": summarise_margin_rise(runs[runs["arm"] == PRESET_ARM]),
        "frontier": tabulate_frontiers(runs),
    }


def average_over_levels(runs: pd.DataFrame) -> pd.DataFrame:
    """Return each replication's mean over the levels of capital."""
    plain = runs.astype(dict.fromkeys(HARM_MEASURES, float))
    return (
        plain.groupby([*SETTING_COLUMNS[:3], "seed"], sort=False)[list(HARM_MEASURES)]
        .mean()
        .reset_index()
    )


def summarise_margin_rise(runs: pd.DataFrame) -> pd.DataFrame:
    """Return margin from the shock on as a multiple of that in calm, mean over levels of
    capital.
    """
    return summarise_measures(_margin_rises(runs), SETTING_COLUMNS[:3], ["rise"])


def _margin_rises(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the rise of margin of each replication."""
    times = runs.assign(rise=(runs["stress_margin"] / runs["calm_margin"]).round(4))
    return times.groupby([*SETTING_COLUMNS[:3], "seed"], sort=False)["rise"].mean().reset_index()


def report(runs: pd.DataFrame) -> str:
    """Return findings about the safest and the cheapest rules, then tables by level."""
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
    """Return the rules at both ends for each elasticity, the rise of margin, and the arms."""
    made = tables(runs)
    runs = select_distinct_rules(runs)
    presets = runs[runs["arm"] == PRESET_ARM]
    plain = average_over_levels(presets)
    lines: list[str] = []
    for elasticity in sorted(map(float, plain["elasticity"].unique())):
        here = plain[plain["elasticity"] == elasticity]
        lines += _safety_findings(here, made["over_levels"], elasticity)
    lines += _procyclicality_findings(presets, made["rise"])
    lines += _arm_findings(made["arms"])
    return [*lines, *_list_identical_rules(made["alike"])]


def _safety_findings(
    plain: pd.DataFrame, over_levels: pd.DataFrame, elasticity: float
) -> list[str]:
    """Return sentences about the safest and the most dangerous rule at one elasticity."""
    label = format_elasticity(elasticity)
    means = plain.groupby("engine", sort=False)[["broken", "deleveraged"]].mean()
    if not means["broken"].any():
        return [f"{label}: the fund refuses no loss under any rule at these levels of capital."]
    ranked = [str(name) for name in means.sort_values(["broken", "deleveraged"]).index]
    ends = {"safest": ranked[0], "most dangerous at the same capital": ranked[-1]}
    compared = {
        engine: _compare_with_engine(plain, elasticity, engine, "broken")
        for engine in ends.values()
    }
    if not any(table["significant"].any() for table in compared.values()):
        few = _too_few_seeds(next(iter(compared.values())))
        reason = (
            f"the replications cannot decide which rule is safer: {few}"
            if few
            else "no difference between rules is statistically significant"
        )
        return [f"{label}, at these levels of capital: {reason}."]
    lines = []
    for place, engine in ends.items():
        difference = _describe_difference(over_levels, engine, elasticity)
        lines.append(f"{label}, {place}: {difference} {_count_differences(compared[engine])}")
    return lines


def _compare_with_engine(
    plain: pd.DataFrame, elasticity: float, engine: str, measure: str
) -> pd.DataFrame:
    """Compare all other rules with one on the same draws; ``significant`` is adjusted by Holm."""
    here = plain[plain["elasticity"] == elasticity]
    table = adjust_by_holm(compare_with_reference(here, "engine", engine, [], [measure]))
    excludes_zero = (table["low"] > 0) | (table["high"] < 0)
    return table.assign(significant=(table["p_holm"] < ALPHA) & excludes_zero)


def _count_differences(table: pd.DataFrame) -> str:
    """Return a sentence about the rules that differ significantly from one."""
    alike = table[~table["significant"]]
    if alike.empty:
        return "All other rules differ from it, statistically significantly."
    names = (
        join_names(list(alike["engine"]))
        if len(alike) <= MAX_NAMED_RULES
        else f"{len(alike)} of {len(table)} other rules"
    )
    if few := _too_few_seeds(table):
        return f"The replications cannot separate it from {names}: {few}."
    return f"It does not differ statistically significantly from {names}."


def _too_few_seeds(table: pd.DataFrame) -> str | None:
    """Return the smallest p-value of so few replications; None if a difference can be
    significant.
    """
    return describe_low_power(int(table["n"].max()), int(table["p"].notna().sum()) or 1)


def _list_identical_rules(table: pd.DataFrame) -> list[str]:
    """Return a sentence about each group of rules whose figures are identical."""
    lines = []
    for like, group in table.groupby("like", sort=False):
        verb, count = ("equals", "both") if len(group) == 1 else ("equal", "all")
        lines.append(
            f"{join_names(list(group['engine']))} {verb} {like} in every figure, to four digits, "
            f"in all {group['n'].sum()} runs that were compared: its lines stand for {count}."
        )
    return lines


def _procyclicality_findings(runs: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """Return the rule whose margin rises most for each elasticity; capital is equal in calm."""
    lines, rises = [], _margin_rises(runs)
    for elasticity in sorted(map(float, table["elasticity"].unique())):
        here = table[table["elasticity"] == elasticity].set_index("engine")[list(Estimate._fields)]
        name = str(here["mean"].idxmax())
        most, common = (
            format_estimate(Estimate(*here.loc[engine])) for engine in (name, REFERENCE_RULE)
        )
        compared = _count_differences(_compare_with_engine(rises, elasticity, name, "rise"))
        lines.append(
            f"{format_elasticity(elasticity)}: from calm to shock {name} raises initial margin per "
            f"notional most, {name_level(most)} times, mean over levels; {REFERENCE_RULE} {common} "
            f"times. {compared}"
        )
    return lines


def _describe_difference(table: pd.DataFrame, engine: str, elasticity: float) -> str:
    """Return a sentence that compares a rule with the reference."""
    what = f"{engine}, probability that the fund refuses a loss, mean over levels"
    is_broken = table["measure"] == "broken"
    is_here = (table["arm"] == PRESET_ARM) & (table["engine"] == engine)
    here = table[is_here & (table["elasticity"] == elasticity) & is_broken]
    family = int(table.loc[is_broken, "p"].notna().sum()) or 1
    if here.empty:
        return f"{engine}, the reference itself."
    row = here.to_dict("records")[0]
    difference = Estimate(*(row[name] for name in Estimate._fields))
    p_holm = HolmAdjustedP(row["p_holm"], family)
    return describe_comparison(what, engine, REFERENCE_RULE, difference, p_holm=p_holm)


def _arm_findings(table: pd.DataFrame) -> list[str]:
    """Return the rules whose harm changes significantly with maintenance at half of initial."""
    lines = []
    for name in HARM_MEASURES:
        label, factor = WORDS[name]
        moved = table[(table["measure"] == name) & (table["p_holm"] < ALPHA)].to_dict("records")
        parts = []
        for row in moved:
            change = Estimate(*(row[part] for part in Estimate._fields)).rescale(factor)
            size = format_estimate(change, signed=True)
            parts.append(f"{row['engine']} at {format_elasticity(row['elasticity'])} {size}")
        few = _too_few_seeds(table[table["measure"] == name])
        result = f"undecided, {few}" if few else "no difference is statistically significant"
        if parts:
            result = name_level(join_names(parts))
        lines.append(
            "Maintenance at half of initial under every rule, less the presets' own: "
            f"{label}: {result}."
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
    """Return tables of the presets' arm, with a column for each level."""
    table = summarise_measures(runs[runs["arm"] == PRESET_ARM], SETTING_COLUMNS, list(WORDS))
    levels = sorted(runs["kappa"].unique())
    lines: list[str] = []
    for name, (label, factor) in WORDS.items():
        lines += [
            "",
            f"{label[0].upper()}{label[1:]}:",
            "",
            *format_header(["rule", "ε", *(f"κ {kappa:g}" for kappa in levels)]),
        ]
        here = table[table["measure"] == name]
        for (engine, elasticity), group in here.groupby(["engine", "elasticity"], sort=False):
            by_kappa = group.set_index("kappa")[list(Estimate._fields)]
            cells = [_format_cell(by_kappa, kappa, factor) for kappa in levels]
            lines.append(format_row([str(engine), f"{elasticity:g}", *cells]))
    return lines[1:]


def _format_cell(by: pd.DataFrame, at: Any, factor: float) -> str:
    return format_estimate(Estimate(*by.loc[at]).rescale(factor)) if at in by.index else ""


def figures(runs: pd.DataFrame, folder: Path) -> None:
    """Draw ``frontier``: margin against the tail of losses, and ``differences`` by level."""
    runs = select_distinct_rules(runs)
    with use_style():
        draw_frontier(runs, folder)
        draw_differences(runs, folder)

"""Critical compression κ of each margin rule, at which the fund refuses a loss, and its cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.config import RunConfig
from experiments.results.markdown import format_estimate, format_header, format_row
from experiments.results.sentences import ALPHA, describe_low_power
from experiments.statistics import (
    Estimate,
    adjust_by_holm,
    choose_refinements,
    compare_with_reference,
    find_crossing,
    summarise_measures,
)
from experiments.studies.shared.aftermath import make_score_row, measure_aftermath
from experiments.studies.shared.critical import (
    RULE_COLUMNS,
    SETTING_COLUMNS,
    compare_amplification,
    compare_critical_kappas,
    find_critical_kappas,
    find_shared_kappas,
    group_by_rule,
)
from experiments.studies.shared.phase import figures
from experiments.studies.shared.rules import (
    REFERENCE_RULE,
    REFUSAL_NOTE,
    describe_replications,
    format_elasticity,
    join_names,
    name_level,
)
from experiments.sweep.config import StudyConfig
from experiments.sweep.plan import SettingRequest
from sim.metrics.cascades import Frames

__all__ = ["figures", "refine", "report", "score", "tables", "write_findings"]

WORDS = {
    "broken": ("probability that the fund refuses a loss", 1),
    "deleveraged": ("ADL, % of open interest", 100),
    "system_loss": ("system loss, % of open interest", 100),
    "amplification": ("amplification", 1),
}
"""Label of each measure in the report, and the factor of its figures."""

MEASURES = (
    *WORDS,
    *("taken_over", "fund_draw", "beyond", "bad_debt", "closed_out"),
    *("feedback", "leverage", "calm_margin", "stress_margin"),
    *("holders", "depth_near", "depth", "turnover", "traders_return", "makers_return"),
)

CAPTIONS = {
    "phase": "Probability that the fund refuses a loss against compression, a panel for each rule "
    "at equal capital. Points have Wilson's intervals; strokes in the rows below are critical "
    "values, at which it is one half, with bootstrap intervals.",
    "toll": "Cost of compression, a column for each rule: means with bootstrap intervals.",
    "critical": "Critical compression, at which a refused loss, or an R(1%) of one or more, has "
    "probability one half.",
    "shifts": "Critical compression of each rule less that of isolated tiers, on the same draws.",
    "deepened": "Fall of the mark over that of the twin without close-outs, with p-values of a "
    "test against one.",
}

GAP_WIDTH, MIN_KAPPA, MAX_KAPPA = 0.15, -0.7, 0.95
"""Gaps of κ that are not refined further, and the range in which a crossing is sought."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """Return one row: the losses of the shock, and the part that the fund could not bear."""
    aftermath = measure_aftermath(config, frames, twin)
    scale = config.venues[0].engine.margin_multiplier
    return make_score_row(aftermath | {"runaway": aftermath["feedback"] >= 1, "scale": scale})


def refine(study: StudyConfig, runs: pd.DataFrame) -> Sequence[SettingRequest]:
    """Return values of κ near which a rule's probability of a refused loss passes ½.

    They halve the gaps, or lie beyond the ends.
    """
    return [
        SettingRequest({"engine": engine, "elasticity": elasticity, "kappa": kappa})
        for (engine, elasticity), group in group_by_rule(runs)
        for kappa in _next_kappas(group)
    ]


def _next_kappas(group: pd.DataFrame) -> tuple[float, ...]:
    crossing = find_crossing(group, "kappa", "broken", 0.5)
    further = []
    if crossing.side > 0 or np.isneginf(crossing.low):
        further.append(round(crossing.first - 0.3, 6))
    if crossing.side < 0 or np.isposinf(crossing.high):
        further.append(MAX_KAPPA)
    beyond = [
        kappa
        for kappa in further
        if MIN_KAPPA <= kappa < crossing.first or crossing.last < kappa <= MAX_KAPPA
    ]
    if crossing.side:
        return tuple(beyond)
    halves = choose_refinements(group, crossing, GAP_WIDTH, most=1)
    return (*beyond, *(round(kappa, 6) for kappa in halves))


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return critical κ, every measure at every κ, and differences from the reference rule."""
    made = {
        "critical": find_critical_kappas(runs),
        "estimates": summarise_measures(runs, SETTING_COLUMNS, MEASURES),
    }
    if set(runs["engine"]) > {REFERENCE_RULE}:
        made["shifts"] = compare_critical_kappas(runs)
        compared = compare_with_reference(
            runs,
            "engine",
            REFERENCE_RULE,
            SETTING_COLUMNS[1:],
            ["broken", "deleveraged", "system_loss"],
        )
        made["differences"] = adjust_by_holm(compared[compared["n"] > 0], ["measure"])
    if runs["amplification"].notna().any():
        made["deepened"] = compare_amplification(runs)
    return made


def report(runs: pd.DataFrame) -> str:
    """Return findings as sentences, a table of κ* by rule, and tables of the cost at each κ."""
    table, differences = find_critical_kappas(runs), compare_critical_kappas(runs)
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(runs, table, differences)),
        "",
        "## Critical κ",
        "",
        "κ* is the compression at which the fund refuses a loss with probability one half. "
        f"{REFUSAL_NOTE} {describe_replications(runs)}",
        "",
        *_critical_table(table, differences),
    ]
    return "\n".join([*lines, "", "## Cost of each κ", "", *_cost_tables(runs)])


def write_findings(runs: pd.DataFrame, table: pd.DataFrame, differences: pd.DataFrame) -> list[str]:
    """Return sentences for each elasticity, one on R, and the effect of close-outs at each κ."""
    findings = [
        line
        for elasticity in sorted(map(float, table["elasticity"].unique()))
        for line in _critical_findings(elasticity, table, differences)
    ]
    reached = table[table["half_at"].notna()]
    early = reached[reached["feedback_high"] < reached["half_low"]]
    if len(reached):
        findings.append(
            f"R(1%) passes 1 at a lower κ than P passes ½, with separate intervals, in "
            f"{len(early)} of the {len(reached)} cases in which P does. A fall that feeds itself "
            "is not yet a loss that the fund refuses."
        )
    findings += _amplification_findings(runs)
    several = table[table["half_verdict"] == "several"].to_dict("records")
    findings += [
        f"{line['engine']}, {format_elasticity(line['elasticity'])}: {line['half']}."
        for line in several
    ]
    return findings


def _amplification_findings(runs: pd.DataFrame) -> list[str]:
    """Return a sentence about the effect of close-outs on the fall at every shared κ."""
    if not runs["amplification"].notna().any():
        return []
    table = compare_amplification(runs)
    few = describe_low_power(int(table["n"].max()), int(table["p"].notna().sum()) or 1)
    return [
        f"κ = {kappa:g}: {_describe_amplification(group, few)}."
        for kappa, group in table.groupby("kappa")
    ]


def _describe_amplification(table: pd.DataFrame, few: str | None) -> str:
    """Return the rules whose amplification differs from one by Holm, else why none can."""
    is_significant = table["p_holm"] < ALPHA
    deeper = table[is_significant & (table["low"] > 1)]
    flatter = table[is_significant & (table["high"] < 1)]
    low, high = table["mean"].min(), table["mean"].max()
    spread = f"amplification {low:.3f} to {high:.3f} over rules and ε"
    if few:
        return (
            f"too few replications to decide whether close-outs change the fall ({spread}): {few}"
        )
    if deeper.empty and flatter.empty:
        return (
            "no rule's close-outs change the fall of the mark by a statistically significant "
            f"amount ({spread})"
        )
    parts = [f"deepen the fall of the mark under {_list_rules(deeper)}"] if len(deeper) else []
    fall = "it" if parts else "the fall of the mark"
    parts += [f"make {fall} shallower under {_list_rules(flatter)}"] if len(flatter) else []
    n_rest = len(table) - len(deeper) - len(flatter)
    rest = (
        f"; the other {n_rest} of {len(table)} effects are not statistically significant"
        if n_rest
        else ""
    )
    return f"close-outs {' and '.join(parts)}{rest} ({spread})"


def _list_rules(table: pd.DataFrame) -> str:
    """Return the rules, each with the elasticities at which its effect is significant."""
    words = []
    for engine, group in table.groupby("engine", sort=False):
        values = [format_elasticity(value) for value in sorted(group["elasticity"])]
        numbers = ", ".join(value.removeprefix("ε = ") for value in values)
        words.append(f"{engine} (ε = {numbers})")
    return join_names(words)


def _critical_findings(
    elasticity: float, table: pd.DataFrame, differences: pd.DataFrame
) -> list[str]:
    """Return the range of κ*, significant differences from the reference, and rules without κ*."""
    table = table[table["elasticity"] == elasticity]
    reached = table[table["half_at"].notna()].sort_values("half_at")
    safe = [str(name) for name in table.loc[table["half_at"].isna(), "engine"]]
    lines = []
    if len(reached):
        ends = [reached.iloc[0], reached.iloc[-1]][: len(reached)]
        span = " to ".join(f"{end['half']} under {end['engine']}" for end in ends)
        compared = _describe_differences(differences, elasticity, table)
        lines.append(f"{format_elasticity(elasticity)}: κ* is {name_level(span)}{compared}.")
    if safe:
        sides = _describe_sides(table)
        lines.append(
            f"{format_elasticity(elasticity)}: P stays on one side of ½ for {join_names(safe)} "
            f"({sides})."
        )
    return lines


def _describe_differences(differences: pd.DataFrame, elasticity: float, table: pd.DataFrame) -> str:
    """Return the differences from the reference rule that are significant by Holm."""
    family = int(differences["p"].notna().sum()) or 1
    differences = differences[differences["elasticity"] == elasticity]
    if differences.empty:
        return ""
    n = int(differences["n"].max())
    covers_zero = (differences["low"] <= 0) & (differences["high"] >= 0)
    significant = differences[(differences["p_holm"] < ALPHA) & ~covers_zero]
    own = table.loc[table["engine"] == REFERENCE_RULE, "half"].iloc[0]
    parts = [
        _describe_difference(line) for line in significant.sort_values("mean").to_dict("records")
    ]
    rest = [name for name in differences["engine"] if name not in set(significant["engine"])]
    if rest and (few := describe_low_power(n, family)):
        count = f"{n} replication{'s' * (n != 1)}"
        parts.append(f"{count} cannot decide about {join_names(rest)}: {few}")
    elif rest:
        parts.append(f"the difference is not statistically significant for {join_names(rest)}")
    return f"; against {REFERENCE_RULE} ({own}), on the same draws, {', '.join(parts)}"


def _describe_difference(line: Any) -> str:
    """Return how much earlier or later a rule breaks than the reference."""
    side = "earlier" if line["mean"] < 0 else "later"
    return f"{line['engine']} breaks {side}, by {format_estimate(_absolute_estimate(line))}"


def _absolute_estimate(line: Any) -> Estimate:
    """Return the size of a difference, whatever its sign."""
    return Estimate(*(line[name] for name in Estimate._fields)).rescale(
        -1 if line["mean"] < 0 else 1
    )


def _describe_sides(table: pd.DataFrame) -> str:
    sides = table.loc[table["half_at"].isna(), "half"]
    return "; ".join(dict.fromkeys(str(side) for side in sides))


def _critical_table(table: pd.DataFrame, differences: pd.DataFrame) -> list[str]:
    lines = format_header(
        [
            "rule",
            "ε",
            "κ* where P = ½",
            f"less {REFERENCE_RULE}'s, same draws, p by Holm",
            "κ* where R(1%) = 1",
            "κ* of the preset",
            "p of monotone P",
        ]
    )
    by_rule = differences.set_index(["engine", "elasticity"])
    for row in table.sort_values(["elasticity", "half_at"]).to_dict("records"):
        at = (row["engine"], row["elasticity"])
        less = ""
        if at in by_rule.index:
            difference = Estimate(*by_rule.loc[at, list(Estimate._fields)])
            p_holm = by_rule.loc[at, "p_holm"]
            less = f"{format_estimate(difference, signed=True)}, p = {p_holm:.2g}"
        preset = f"{row['preset_at']:.2f}".replace("-", "\N{MINUS SIGN}")
        cells = [
            row["engine"],
            f"{row['elasticity']:g}",
            row["half"],
            less,
            row["feedback"],
            "" if np.isnan(row["preset_at"]) else preset,
        ]
        lines.append(format_row([*cells, f"{row['half_p_monotone']:.2g}"]))
    return lines


def _cost_tables(runs: pd.DataFrame) -> list[str]:
    """Return a table of each measure at every shared κ, with a line for each rule."""
    table = summarise_measures(runs, SETTING_COLUMNS, list(WORDS))
    common = find_shared_kappas(runs)
    lines: list[str] = []
    for name, (label, factor) in WORDS.items():
        here = table[(table["measure"] == name) & table["kappa"].isin(common)]
        if not here["n"].any():
            continue
        lines += [
            "",
            f"{label[0].upper()}{label[1:]}:",
            "",
            *format_header(["rule", "ε", *(f"κ {kappa:g}" for kappa in common)]),
        ]
        for (engine, elasticity), group in here.groupby(list(RULE_COLUMNS), sort=False):
            by_kappa = group.set_index("kappa")[list(Estimate._fields)]
            cells = [
                format_estimate(Estimate(*by_kappa.loc[kappa]).rescale(factor))
                if kappa in by_kappa.index
                else ""
                for kappa in common
            ]
            lines.append(format_row([str(engine), f"{elasticity:g}", *cells]))
    return lines[1:]

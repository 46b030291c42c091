"""How far each margin rule can be compressed before the fund refuses a loss: critical κ, a phase figure, the toll."""

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
)
from experiments.sweep.config import StudyConfig
from experiments.sweep.plan import SettingRequest
from sim.metrics.cascades import Frames

__all__ = ["figures", "refine", "report", "score", "tables", "write_findings"]

WORDS = {
    "broken": ("probability of a loss that the fund refuses", 1),
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
    "phase": "Probability of a loss that the fund refuses against compression, a panel for each rule at equal "
    "capital. Points with Wilson's intervals; strokes at one half are critical values with bootstrap intervals.",
    "toll": "What compression costs: means with bootstrap intervals.",
    "critical": "Critical compression: where a refused loss, and R(1%) of one or more, are as likely as not.",
    "shifts": "Critical compression of each rule less that of isolated tiers, on the same draws.",
    "deepened": "Fall of the mark over that of the twin without close-outs; p of its being one.",
}

GAP_WIDTH, MIN_KAPPA, MAX_KAPPA = 0.15, -0.7, 0.95
"""Gaps of κ that are left as they are, and how far a crossing is looked for."""


def score(config: RunConfig, frames: Frames, twin: Frames | None) -> pd.DataFrame:
    """One row: what the shock took, and what of it the fund could not bear."""
    found = measure_aftermath(config, frames, twin)
    return make_score_row(
        found | {"runaway": found["feedback"] >= 1, "scale": config.venues[0].engine.scale}
    )


def refine(study: StudyConfig, runs: pd.DataFrame) -> Sequence[SettingRequest]:
    """Values of κ where a rule's probability of a refused loss passes ½: halves of gaps, or beyond the ends."""
    return [
        SettingRequest({"engine": engine, "elasticity": elasticity, "kappa": kappa})
        for (engine, elasticity), group in group_by_rule(runs)
        for kappa in _next_kappas(group)
    ]


def _next_kappas(group: pd.DataFrame) -> tuple[float, ...]:
    found = find_crossing(group, "kappa", "broken", 0.5)
    further = [round(found.first - 0.3, 6)] if found.side > 0 or np.isneginf(found.low) else []
    further += [MAX_KAPPA] if found.side < 0 or np.isposinf(found.high) else []
    beyond = [
        kappa
        for kappa in further
        if MIN_KAPPA <= kappa < found.first or found.last < kappa <= MAX_KAPPA
    ]
    halves = (
        []
        if found.side
        else [round(kappa, 6) for kappa in choose_refinements(group, found, GAP_WIDTH, most=1)]
    )
    return (*beyond, *halves)


def tables(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Critical κ of every rule and elasticity, every measure at every κ, and differences from the reference rule."""
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
    """Where each rule breaks, as sentences; κ* by rule; what each κ cost."""
    table, apart = find_critical_kappas(runs), compare_critical_kappas(runs)
    lines = [
        "## Findings",
        "",
        *(f"- {line}" for line in write_findings(runs, table, apart)),
        "",
        "## Critical κ",
        "",
    ]
    told = f"κ* at which a loss that the fund refuses is as likely as not. {REFUSAL_NOTE} {describe_replications(runs)}"
    lines += [told, "", *_critical_table(table, apart)]
    return "\n".join([*lines, "", "## What each κ cost", "", *_cost_tables(runs)])


def write_findings(runs: pd.DataFrame, table: pd.DataFrame, apart: pd.DataFrame) -> list[str]:
    """A sentence or two for each elasticity, and one on R; what close-outs do to the price at each κ."""
    found = [
        line
        for each in sorted(map(float, table["elasticity"].unique()))
        for line in _critical_findings(each, table, apart)
    ]
    reached = table[table["half_at"].notna()]
    early = reached[reached["feedback_high"] < reached["half_low"]]
    if len(reached):
        found.append(
            f"R(1%) is past 1 at a lower κ than P is past ½, intervals apart, in {len(early)} of the {len(reached)} "
            "cases where P is: a fall that feeds itself is not yet a loss that the fund refuses."
        )
    several = table[table["half_verdict"] == "several"].to_dict("records")
    return [
        *found,
        *_amplification_findings(runs),
        *(
            f"{line['engine']}, {format_elasticity(line['elasticity'])}: {line['half']}."
            for line in several
        ),
    ]


def _amplification_findings(runs: pd.DataFrame) -> list[str]:
    """Whether close-outs deepen the fall of the mark, a sentence for every κ that all rules share."""
    if not runs["amplification"].notna().any():
        return []
    table = compare_amplification(runs)
    few = describe_low_power(int(table["n"].max()), int(table["p"].notna().sum()) or 1)
    return [
        f"κ = {kappa:g}: {_describe_amplification(group, few)}."
        for kappa, group in table.groupby("kappa")
    ]


def _describe_amplification(table: pd.DataFrame, few: str | None) -> str:
    """Rules by the side of one that their amplification lies on, if that outlasts Holm; else why none could."""
    sure = table["p_holm"] < ALPHA
    deeper, flatter = table[sure & (table["low"] > 1)], table[sure & (table["high"] < 1)]
    told = f"amplification {table['mean'].min():.3f} to {table['mean'].max():.3f} over rules and ε"
    if few:
        return f"whether close-outs change how far the mark falls cannot be told ({told}): {few}"
    if deeper.empty and flatter.empty:
        return f"no rule's close-outs are shown to change how far the mark falls ({told})"
    parts = [f"deepen the fall of the mark under {_list_rules(deeper)}"] if len(deeper) else []
    fall = "it" if parts else "the fall of the mark"
    parts += [f"make {fall} shallower under {_list_rules(flatter)}"] if len(flatter) else []
    rest = len(table) - len(deeper) - len(flatter)
    silent = f"; of the other {rest} of {len(table)} nothing is shown" if rest else ""
    return f"close-outs {' and '.join(parts)}{silent} ({told})"


def _list_rules(table: pd.DataFrame) -> str:
    """Rules, each with the elasticities at which something is shown of it."""
    return join_names(
        [
            f"{engine} (ε = {', '.join(format_elasticity(each).removeprefix('ε = ') for each in sorted(group['elasticity']))})"
            for engine, group in table.groupby("engine", sort=False)
        ]
    )


def _critical_findings(elasticity: float, table: pd.DataFrame, apart: pd.DataFrame) -> list[str]:
    """Between which κ* rules break, which of them are shown to break elsewhere than the reference, and who does not."""
    table = table[table["elasticity"] == elasticity]
    reached = table[table["half_at"].notna()].sort_values("half_at")
    safe = [str(name) for name in table.loc[table["half_at"].isna(), "engine"]]
    lines = []
    if len(reached):
        ends = [reached.iloc[0], reached.iloc[-1]][: len(reached)]
        told = " to ".join(f"{end['half']} under {end['engine']}" for end in ends)
        lines.append(
            f"{format_elasticity(elasticity)}: κ* is {told}{_describe_differences(apart, elasticity, table)}."
        )
    if safe:
        lines.append(
            f"{format_elasticity(elasticity)}: P stays on one side of ½ for {join_names(safe)} ({_describe_sides(table)})."
        )
    return lines


def _describe_differences(apart: pd.DataFrame, elasticity: float, table: pd.DataFrame) -> str:
    """Rules held against the reference on the same draws; a difference that does not outlast Holm is not told."""
    family = int(apart["p"].notna().sum()) or 1
    apart = apart[apart["elasticity"] == elasticity]
    if apart.empty:
        return ""
    n = int(apart["n"].max())
    shown = apart[(apart["p_holm"] < ALPHA) & ~((apart["low"] <= 0) & (apart["high"] >= 0))]
    own = table.loc[table["engine"] == REFERENCE_RULE, "half"].iloc[0]
    parts = [
        f"{line['engine']} breaks {'earlier' if line['mean'] < 0 else 'later'}, by {format_estimate(_absolute_estimate(line))}"
        for line in shown.sort_values("mean").to_dict("records")
    ]
    rest = [name for name in apart["engine"] if name not in set(shown["engine"])]
    if rest and (few := describe_low_power(n, family)):
        parts.append(
            f"{n} replication{'s' * (n != 1)} cannot decide about {join_names(rest)}: {few}"
        )
    elif rest:
        parts.append(f"no difference is shown for {join_names(rest)}")
    return f"; against {REFERENCE_RULE} ({own}), on the same draws, {', '.join(parts)}"


def _absolute_estimate(line: Any) -> Estimate:
    """How far apart, whichever way."""
    return Estimate(*(line[name] for name in Estimate._fields)).rescale(
        -1 if line["mean"] < 0 else 1
    )


def _describe_sides(table: pd.DataFrame) -> str:
    return "; ".join(
        dict.fromkeys(str(told) for told in table.loc[table["half_at"].isna(), "half"])
    )


def _critical_table(table: pd.DataFrame, apart: pd.DataFrame) -> list[str]:
    own = f"less {REFERENCE_RULE}'s, same draws, p by Holm"
    lines = format_header(
        [
            "rule",
            "ε",
            "κ* where P = ½",
            own,
            "κ* where R(1%) = 1",
            "κ* of the preset",
            "p of monotone P",
        ]
    )
    by = apart.set_index(["engine", "elasticity"])
    for found in table.sort_values(["elasticity", "half_at"]).to_dict("records"):
        at = (found["engine"], found["elasticity"])
        less = ""
        if at in by.index:
            less = f"{format_estimate(Estimate(*by.loc[at, list(Estimate._fields)]), signed=True)}, p = {by.loc[at, 'p_holm']:.2g}"
        preset = (
            ""
            if np.isnan(found["preset_at"])
            else f"{found['preset_at']:.2f}".replace("-", "\N{MINUS SIGN}")
        )
        cells = [
            found["engine"],
            f"{found['elasticity']:g}",
            found["half"],
            less,
            found["feedback"],
            preset,
        ]
        lines.append(format_row([*cells, f"{found['half_p_monotone']:.2g}"]))
    return lines


def _cost_tables(runs: pd.DataFrame) -> list[str]:
    """Every headline at every κ that all rules share, a line for each rule."""
    table = summarise_measures(runs, SETTING_COLUMNS, list(WORDS))
    common = find_shared_kappas(runs)
    lines: list[str] = []
    for name, (told, factor) in WORDS.items():
        here = table[(table["measure"] == name) & table["kappa"].isin(common)]
        if not here["n"].any():
            continue
        lines += [
            "",
            f"{told[0].upper()}{told[1:]}:",
            "",
            *format_header(["rule", "ε", *(f"κ {kappa:g}" for kappa in common)]),
        ]
        for (engine, elasticity), group in here.groupby(list(RULE_COLUMNS), sort=False):
            by = group.set_index("kappa")[list(Estimate._fields)]
            cells = [
                format_estimate(Estimate(*by.loc[kappa]).rescale(factor))
                if kappa in by.index
                else ""
                for kappa in common
            ]
            lines.append(format_row([str(engine), f"{elasticity:g}", *cells]))
    return lines[1:]

"""Statistics over replications: intervals, pairs, tails, families, crossings and screening.

Each file serves one subject. The functions that studies call are imported here by name.
"""

from experiments.statistics.crossings import (
    Crossing,
    choose_refinements,
    compare_crossings,
    find_crossing,
    tabulate_crossings,
)
from experiments.statistics.families import adjust_by_holm
from experiments.statistics.frontiers import mark_frontier, tabulate_frontier
from experiments.statistics.intervals import (
    LEVEL,
    Estimate,
    bootstrap_bca,
    estimate_difference,
    estimate_mean,
    estimate_probability,
    jackknife_clusters,
)
from experiments.statistics.paired import (
    Paired,
    compare_neighbours,
    compare_pairs,
    compare_with_reference,
    estimate_relative_change,
    summarise_measures,
)
from experiments.statistics.precision import (
    Precision,
    count_further_runs,
    count_pairs_needed,
    find_smallest_p_value,
    measure_precision,
)
from experiments.statistics.screening import (
    define_problem,
    estimate_sobol_indices,
    screen_by_morris,
)
from experiments.statistics.sharing import compute_shapley_values, decompose_outcome
from experiments.statistics.tails import (
    StatisticsError,
    estimate_quantile,
    estimate_shortfall,
    summarise_tails,
)

__all__ = [
    "LEVEL",
    "Crossing",
    "Estimate",
    "Paired",
    "Precision",
    "StatisticsError",
    "adjust_by_holm",
    "bootstrap_bca",
    "choose_refinements",
    "compare_crossings",
    "compare_neighbours",
    "compare_pairs",
    "compare_with_reference",
    "compute_shapley_values",
    "count_further_runs",
    "count_pairs_needed",
    "decompose_outcome",
    "define_problem",
    "estimate_difference",
    "estimate_mean",
    "estimate_probability",
    "estimate_quantile",
    "estimate_relative_change",
    "estimate_shortfall",
    "estimate_sobol_indices",
    "find_crossing",
    "find_smallest_p_value",
    "jackknife_clusters",
    "mark_frontier",
    "measure_precision",
    "screen_by_morris",
    "summarise_measures",
    "summarise_tails",
    "tabulate_crossings",
    "tabulate_frontier",
]

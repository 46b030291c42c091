"""Statistics over replications that a referee accepts: intervals, pairs, tails, families, crossings, screening.

One file a question; what studies call stands here by name.
"""

from experiments.statistics.crossings import Crossing, choose_refinements, compare_crossings, find_crossing, tabulate_crossings
from experiments.statistics.families import adjust_by_holm
from experiments.statistics.frontiers import mark_frontier, tabulate_frontier
from experiments.statistics.intervals import LEVEL, Estimate, bootstrap_bca, jackknife_clusters, estimate_difference, estimate_mean, estimate_probability
from experiments.statistics.paired import Paired, compare_with_reference, compare_pairs, estimate_relative_change, compare_neighbours, summarise_measures
from experiments.statistics.precision import Precision, measure_precision, count_pairs_needed, count_further_runs, find_smallest_p_value
from experiments.statistics.screening import screen_by_morris, define_problem, estimate_sobol_indices
from experiments.statistics.sharing import decompose_outcome, compute_shapley_values
from experiments.statistics.tails import StatisticsError, estimate_quantile, estimate_shortfall, summarise_tails

__all__ = [
    "LEVEL",
    "Crossing",
    "Estimate",
    "Paired",
    "Precision",
    "StatisticsError",
    "measure_precision",
    "compare_with_reference",
    "bootstrap_bca",
    "jackknife_clusters",
    "decompose_outcome",
    "estimate_difference",
    "count_pairs_needed",
    "mark_frontier",
    "count_further_runs",
    "adjust_by_holm",
    "find_smallest_p_value",
    "estimate_mean",
    "screen_by_morris",
    "tabulate_frontier",
    "compare_pairs",
    "estimate_probability",
    "define_problem",
    "estimate_quantile",
    "choose_refinements",
    "estimate_relative_change",
    "compute_shapley_values",
    "compare_crossings",
    "estimate_shortfall",
    "estimate_sobol_indices",
    "compare_neighbours",
    "summarise_measures",
    "summarise_tails",
    "find_crossing",
    "tabulate_crossings",
]

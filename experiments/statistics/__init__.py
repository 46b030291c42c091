"""Statistics over replications that a referee accepts: intervals, pairs, tails, families, crossings, screening.

One file a question; what studies call stands here by name.
"""

from experiments.statistics.crossings import Crossing, refined, shift, threshold, thresholds
from experiments.statistics.families import holm
from experiments.statistics.frontiers import frontier, on_frontier
from experiments.statistics.intervals import LEVEL, Estimate, bca, clustered, difference, mean, probability
from experiments.statistics.paired import Paired, against, pairs, relative, steps_along, summarise
from experiments.statistics.precision import Precision, achieved, enough, further, least_p
from experiments.statistics.screening import morris, problem, sobol
from experiments.statistics.sharing import decompose, shapley
from experiments.statistics.tails import StatisticsError, quantile, shortfall, summarise_tails

__all__ = [
    "LEVEL",
    "Crossing",
    "Estimate",
    "Paired",
    "Precision",
    "StatisticsError",
    "achieved",
    "against",
    "bca",
    "clustered",
    "decompose",
    "difference",
    "enough",
    "frontier",
    "further",
    "holm",
    "least_p",
    "mean",
    "morris",
    "on_frontier",
    "pairs",
    "probability",
    "problem",
    "quantile",
    "refined",
    "relative",
    "shapley",
    "shift",
    "shortfall",
    "sobol",
    "steps_along",
    "summarise",
    "summarise_tails",
    "threshold",
    "thresholds",
]

"""Models of returns, for the requirement ``tail``."""

from sim.margin.registry import MODELS
from sim.margin.tail.models.covariance import CovarianceModel
from sim.margin.tail.models.ewma import EwmaModel
from sim.margin.tail.models.filtered import FilteredModel
from sim.margin.tail.models.garch import GarchModel
from sim.margin.tail.models.historical import HistoricalModel
from sim.margin.tail.models.student_t import StudentTModel

__all__ = ["MODELS"]

MODELS.update(
    {
        "historical": HistoricalModel,
        "filtered": FilteredModel,
        "ewma": EwmaModel,
        "covariance": CovarianceModel,
        "student_t": StudentTModel,
        "garch": GarchModel,
    }
)

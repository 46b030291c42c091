"""Models of returns, for the requirement ``tail``."""

from sim.margin.registry import MODELS
from sim.margin.tail.models.covariance import Covariance
from sim.margin.tail.models.ewma import Ewma
from sim.margin.tail.models.filtered import Filtered
from sim.margin.tail.models.garch import Garch
from sim.margin.tail.models.historical import Historical
from sim.margin.tail.models.student_t import StudentT

__all__ = ["MODELS"]

MODELS.update(
    {
        "historical": Historical,
        "filtered": Filtered,
        "ewma": Ewma,
        "covariance": Covariance,
        "student_t": StudentT,
        "garch": Garch,
    }
)

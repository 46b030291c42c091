"""Models of returns, for the requirement ``tail``."""

from sim.component import Component
from sim.margin.models.covariance import Covariance
from sim.margin.models.ewma import Ewma
from sim.margin.models.filtered import Filtered
from sim.margin.models.garch import Garch
from sim.margin.models.historical import Historical
from sim.margin.models.student_t import StudentT

MODELS: dict[str, type[Component]] = {
    "historical": Historical,
    "filtered": Filtered,
    "ewma": Ewma,
    "covariance": Covariance,
    "student_t": StudentT,
    "garch": Garch,
}

"""Models of returns, for the requirement ``tail``."""

from sim.component import Component
from sim.margin.tail.models.covariance import Covariance
from sim.margin.tail.models.ewma import Ewma
from sim.margin.tail.models.filtered import Filtered
from sim.margin.tail.models.garch import Garch
from sim.margin.tail.models.historical import Historical
from sim.margin.tail.models.student_t import StudentT

MODELS: dict[str, type[Component]] = {
    "historical": Historical,
    "filtered": Filtered,
    "ewma": Ewma,
    "covariance": Covariance,
    "student_t": StudentT,
    "garch": Garch,
}

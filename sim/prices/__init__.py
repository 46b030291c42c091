"""Index prices: processes, stresses and spot impact.

A new process is one file and one line here.
"""

from sim.component import Component
from sim.prices.garch_t import GarchT
from sim.prices.gbm import Gbm
from sim.prices.heston import Heston
from sim.prices.merton_jump import MertonJump
from sim.prices.replay import Replay
from sim.prices.stress import Depeg, DepthWithdrawal, PriceMove, VolatilityRegime
from sim.prices.variance_index import VarianceIndex

PROCESSES: dict[str, type[Component]] = {
    "gbm": Gbm,
    "merton_jump": MertonJump,
    "garch_t": GarchT,
    "heston": Heston,
    "variance_index": VarianceIndex,
    "replay": Replay,
}

STRESSES: dict[str, type[Component]] = {
    "move": PriceMove,
    "volatility": VolatilityRegime,
    "withdrawal": DepthWithdrawal,
    "depeg": Depeg,
}

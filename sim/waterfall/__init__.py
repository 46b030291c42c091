"""Loss layers: they absorb the deficit of a bankrupt account."""

from sim.component import Component
from sim.waterfall.adl_pro_rata import AdlProRata
from sim.waterfall.adl_queue import AdlQueue
from sim.waterfall.fund import FundLayer
from sim.waterfall.socialised import SocialisedLoss

LAYERS: dict[str, type[Component]] = {
    "fund": FundLayer,
    "adl_queue": AdlQueue,
    "adl_pro_rata": AdlProRata,
    "socialised": SocialisedLoss,
}
"""Layers by the ``kind`` that configuration gives."""

"""Loss layers: who bears what a bankrupt account cannot."""

from sim.component import Component
from sim.waterfall.adl_pro_rata import AdlProRata
from sim.waterfall.adl_queue import AdlQueue
from sim.waterfall.fund import Fund
from sim.waterfall.socialised import Socialised

LAYERS: dict[str, type[Component]] = {
    "fund": Fund,
    "adl_queue": AdlQueue,
    "adl_pro_rata": AdlProRata,
    "socialised": Socialised,
}
"""Layers by the ``kind`` that configuration gives."""

"""Who trades: one behavioural type per file, decided together (AGT)."""

from agents.arbitrageurs import Arbitrageurs
from agents.avellaneda_stoikov import AvellanedaStoikov
from agents.base import Behaviour, Participant
from agents.insurance_fund import Fund
from agents.makers import Makers
from agents.population import populate
from agents.traders import Traders
from agents.zero_intelligence import Crowd

POPULATIONS: dict[str, type[Behaviour]] = {
    "traders": Traders,
    "makers": Makers,
    "avellaneda_stoikov": AvellanedaStoikov,
    "arbitrageurs": Arbitrageurs,
    "insurance_fund": Fund,
    "zero_intelligence": Crowd,
}
"""Kind in a configuration → population."""

__all__ = ["POPULATIONS", "Behaviour", "Participant", "populate"]

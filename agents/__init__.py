"""Who trades: one behavioural type per file, decided together (AGT)."""

from agents.arbitrageurs import Arbitrageurs
from agents.avellaneda_stoikov import AvellanedaStoikov
from agents.base import Behaviour, Participant
from agents.carry import Carry
from agents.fundamental import Fundamental
from agents.insurance_fund import Fund
from agents.kelly import Kelly
from agents.latent_liquidity import LatentLiquidity
from agents.liquidators import Liquidators
from agents.makers import Makers
from agents.metaorder import Metaorder
from agents.population import populate
from agents.traders import Traders
from agents.trend import Trend
from agents.zero_intelligence import Crowd

POPULATIONS: dict[str, type[Behaviour]] = {
    "traders": Traders,
    "fundamental": Fundamental,
    "trend": Trend,
    "kelly": Kelly,
    "carry": Carry,
    "makers": Makers,
    "avellaneda_stoikov": AvellanedaStoikov,
    "arbitrageurs": Arbitrageurs,
    "insurance_fund": Fund,
    "latent_liquidity": LatentLiquidity,
    "metaorder": Metaorder,
    "liquidators": Liquidators,
    "zero_intelligence": Crowd,
}
"""Kind in a configuration → population."""

__all__ = ["POPULATIONS", "Behaviour", "Participant", "populate"]

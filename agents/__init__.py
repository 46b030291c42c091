"""Trading populations: one behavioural type per file, whose members decide together (AGT)."""

from agents.arbitrageurs import Arbitrageurs
from agents.avellaneda_stoikov import AvellanedaStoikov
from agents.base import Population, Trader
from agents.carry import CarryTraders
from agents.fundamental import FundamentalTraders
from agents.holders import Holders
from agents.insurance_fund import InsuranceFund
from agents.kelly import KellyTraders
from agents.latent_liquidity import LatentLiquidity
from agents.liquidators import Liquidators
from agents.makers import MarketMakers
from agents.metaorder import Metaorder
from agents.population import populate
from agents.portfolios.diversified import DiversifiedTraders
from agents.portfolios.hedgers import Hedgers
from agents.portfolios.pairs import PairTraders
from agents.portfolios.two_sided import TwoSidedTraders
from agents.traders import NoiseTraders
from agents.trend import TrendFollowers
from agents.zero_intelligence import ZeroIntelligenceCrowd

POPULATIONS: dict[str, type[Population]] = {
    "traders": NoiseTraders,
    "fundamental": FundamentalTraders,
    "trend": TrendFollowers,
    "kelly": KellyTraders,
    "carry": CarryTraders,
    "diversified": DiversifiedTraders,
    "pairs": PairTraders,
    "hedgers": Hedgers,
    "makers": MarketMakers,
    "avellaneda_stoikov": AvellanedaStoikov,
    "arbitrageurs": Arbitrageurs,
    "holders": Holders,
    "insurance_fund": InsuranceFund,
    "latent_liquidity": LatentLiquidity,
    "metaorder": Metaorder,
    "liquidators": Liquidators,
    "zero_intelligence": ZeroIntelligenceCrowd,
    "two_sided": TwoSidedTraders,
}
"""Population class of each `kind` in a configuration."""

__all__ = ["POPULATIONS", "Population", "Trader", "populate"]

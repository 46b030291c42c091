"""Margin engines: netting x valuation x requirement. The registries that configuration chooses from."""

from sim.component import Component
from sim.margin.addons.concentration import Concentration
from sim.margin.addons.gap import Gap
from sim.margin.addons.liquidity import Liquidity
from sim.margin.addons.summed import Summed
from sim.margin.addons.wrong_way import WrongWay
from sim.margin.learned.learned import Learned
from sim.margin.netting import ByUnderlying, Cross, Groups, Isolated
from sim.margin.options.standard_options import StandardOptions
from sim.margin.scenarios.derive_pmrm2 import DerivePmrm2
from sim.margin.scenarios.grid import Grid
from sim.margin.scenarios.span import Span
from sim.margin.tail.models import MODELS
from sim.margin.tail.tail import TailRisk
from sim.margin.tiers.at_entry import AtEntry
from sim.margin.tiers.closing_fee import ClosingFee
from sim.margin.tiers.lognormal import Lognormal
from sim.margin.tiers.open_interest import OpenInterest
from sim.margin.tiers.per_contract import PerContract
from sim.margin.tiers.size_weighted import SizeWeighted
from sim.margin.tiers.tiered import Tiered
from sim.margin.valuations.brackets import Brackets
from sim.margin.valuations.cash import Cash
from sim.margin.valuations.delta_adjusted import DeltaAdjusted
from sim.margin.valuations.dynamic_haircut import DynamicHaircut
from sim.margin.valuations.haircut import Haircut
from sim.margin.valuations.weighted import Weighted
from sim.margin.wrappers.buffered import Buffered
from sim.margin.wrappers.clocked import Clocked
from sim.margin.wrappers.compressed import Compressed
from sim.margin.wrappers.floored import Floored
from sim.margin.wrappers.liquidation_buffer import LiquidationBuffer
from sim.margin.wrappers.scaled import Scaled
from sim.margin.wrappers.stressed import Stressed
from sim.margin.wrappers.volatility_scaled_liquidation import AvslInspired

__all__ = ["MODELS", "NETTINGS", "REQUIREMENTS", "VALUATIONS"]

NETTINGS: dict[str, type[Component]] = {
    "cross": Cross,
    "isolated": Isolated,
    "by_underlying": ByUnderlying,
    "groups": Groups,
}

VALUATIONS: dict[str, type[Component]] = {
    "cash": Cash,
    "haircut": Haircut,
    "brackets": Brackets,
    "dynamic": DynamicHaircut,
    "delta_adjusted": DeltaAdjusted,
    "weighted": Weighted,
}

REQUIREMENTS: dict[str, type[Component]] = {
    "tiered": Tiered,
    "at_entry": AtEntry,
    "closing_fee": ClosingFee,
    "open_interest": OpenInterest,
    "lognormal": Lognormal,
    "size_weighted": SizeWeighted,
    "span": Span,
    "grid": Grid,
    "derive_pmrm2": DerivePmrm2,
    "standard_options": StandardOptions,
    "per_contract": PerContract,
    "tail": TailRisk,
    "learned": Learned,
    "compressed": Compressed,
    "sum": Summed,
    "liquidity": Liquidity,
    "concentration": Concentration,
    "gap": Gap,
    "wrong_way": WrongWay,
    "clocked": Clocked,
    "floored": Floored,
    "stressed": Stressed,
    "buffered": Buffered,
    "scaled": Scaled,
    "avsl_inspired": AvslInspired,
    "liquidation_buffer": LiquidationBuffer,
}

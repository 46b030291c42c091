"""Margin engines: netting x valuation x requirement. The registries that configuration chooses from."""

from sim.component import Component
from sim.margin.at_entry import AtEntry
from sim.margin.avsl import AvslInspired
from sim.margin.brackets import Brackets
from sim.margin.buffered import Buffered
from sim.margin.cash import Cash
from sim.margin.clocked import Clocked
from sim.margin.closing_fee import ClosingFee
from sim.margin.compressed import Compressed
from sim.margin.concentration import Concentration
from sim.margin.delta_adjusted import DeltaAdjusted
from sim.margin.derive_pmrm2 import DerivePmrm2
from sim.margin.dynamic_haircut import DynamicHaircut
from sim.margin.floored import Floored
from sim.margin.gap import Gap
from sim.margin.grid import Grid
from sim.margin.haircut import Haircut
from sim.margin.learned import Learned
from sim.margin.liquidation_buffer import LiquidationBuffer
from sim.margin.liquidity import Liquidity
from sim.margin.lognormal import Lognormal
from sim.margin.models import MODELS
from sim.margin.netting import ByUnderlying, Cross, Groups, Isolated
from sim.margin.open_interest import OpenInterest
from sim.margin.per_contract import PerContract
from sim.margin.scaled import Scaled
from sim.margin.size_weighted import SizeWeighted
from sim.margin.span import Span
from sim.margin.standard_options import StandardOptions
from sim.margin.stressed import Stressed
from sim.margin.summed import Summed
from sim.margin.tail import TailRisk
from sim.margin.tiered import Tiered
from sim.margin.weighted import Weighted
from sim.margin.wrong_way import WrongWay

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

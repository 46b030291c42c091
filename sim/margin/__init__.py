"""Margin engines: netting x valuation x requirement, and the registries of their components."""

from sim.margin.addons.concentration import ConcentrationAddOn
from sim.margin.addons.gap import GapAddOn
from sim.margin.addons.liquidity import LiquidityAddOn
from sim.margin.addons.summed import RequirementSum
from sim.margin.addons.wrong_way import WrongWayAddOn
from sim.margin.learned.learned import LearnedRequirement
from sim.margin.netting import CrossNetting, GroupNetting, IsolatedNetting, UnderlyingNetting
from sim.margin.options.standard_options import StandardOptions
from sim.margin.registry import NETTINGS, REQUIREMENTS, VALUATIONS
from sim.margin.scenarios.derive_pmrm2 import DerivePmrm2
from sim.margin.scenarios.grid import ScenarioGrid
from sim.margin.scenarios.span import SpanRequirement
from sim.margin.tail.models import MODELS
from sim.margin.tail.tail import TailRisk
from sim.margin.tiers.at_entry import EntryTiers
from sim.margin.tiers.closing_fee import ClosingFee
from sim.margin.tiers.lognormal import LognormalRequirement
from sim.margin.tiers.open_interest import OpenInterestRequirement
from sim.margin.tiers.per_contract import PerContractRequirement
from sim.margin.tiers.size_weighted import SizeWeightedRequirement
from sim.margin.tiers.tiered import TieredRequirement
from sim.margin.valuations.brackets import BracketValuation
from sim.margin.valuations.cash import CashValuation
from sim.margin.valuations.delta_adjusted import DeltaAdjustedValuation
from sim.margin.valuations.dynamic_haircut import DynamicHaircut
from sim.margin.valuations.haircut import StaticHaircut
from sim.margin.valuations.weighted import SizeWeightedValuation
from sim.margin.wrappers.buffered import MarginBuffer
from sim.margin.wrappers.clocked import ParameterClock
from sim.margin.wrappers.compressed import Compression
from sim.margin.wrappers.floored import LongRunFloor
from sim.margin.wrappers.liquidation_buffer import LiquidationBuffer
from sim.margin.wrappers.scaled import VolatilityScaling
from sim.margin.wrappers.standalone import StandaloneSum
from sim.margin.wrappers.stressed import StressWeight
from sim.margin.wrappers.volatility_scaled_liquidation import VolatilityScaledLiquidation

__all__ = ["MODELS", "NETTINGS", "REQUIREMENTS", "VALUATIONS"]

NETTINGS.update(
    {
        "cross": CrossNetting,
        "isolated": IsolatedNetting,
        "by_underlying": UnderlyingNetting,
        "groups": GroupNetting,
    }
)

VALUATIONS.update(
    {
        "cash": CashValuation,
        "haircut": StaticHaircut,
        "brackets": BracketValuation,
        "dynamic": DynamicHaircut,
        "delta_adjusted": DeltaAdjustedValuation,
        "weighted": SizeWeightedValuation,
    }
)

REQUIREMENTS.update(
    {
        "tiered": TieredRequirement,
        "at_entry": EntryTiers,
        "closing_fee": ClosingFee,
        "open_interest": OpenInterestRequirement,
        "lognormal": LognormalRequirement,
        "size_weighted": SizeWeightedRequirement,
        "span": SpanRequirement,
        "grid": ScenarioGrid,
        "derive_pmrm2": DerivePmrm2,
        "standard_options": StandardOptions,
        "per_contract": PerContractRequirement,
        "tail": TailRisk,
        "learned": LearnedRequirement,
        "compressed": Compression,
        "sum": RequirementSum,
        "liquidity": LiquidityAddOn,
        "concentration": ConcentrationAddOn,
        "gap": GapAddOn,
        "wrong_way": WrongWayAddOn,
        "clocked": ParameterClock,
        "floored": LongRunFloor,
        "stressed": StressWeight,
        "buffered": MarginBuffer,
        "scaled": VolatilityScaling,
        "avsl_inspired": VolatilityScaledLiquidation,
        "liquidation_buffer": LiquidationBuffer,
        "standalone": StandaloneSum,
    }
)

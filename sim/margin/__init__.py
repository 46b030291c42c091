"""Margin engines: netting x valuation x requirement. The registries that configuration chooses from."""

from sim.component import Component
from sim.margin.at_entry import AtEntry
from sim.margin.cash import Cash
from sim.margin.closing_fee import ClosingFee
from sim.margin.compressed import Compressed
from sim.margin.lognormal import Lognormal
from sim.margin.netting import ByUnderlying, Cross, Groups, Isolated
from sim.margin.open_interest import OpenInterest
from sim.margin.size_weighted import SizeWeighted
from sim.margin.tiered import Tiered

NETTINGS: dict[str, type[Component]] = {
    "cross": Cross,
    "isolated": Isolated,
    "by_underlying": ByUnderlying,
    "groups": Groups,
}

VALUATIONS: dict[str, type[Component]] = {
    "cash": Cash,
}

REQUIREMENTS: dict[str, type[Component]] = {
    "tiered": Tiered,
    "at_entry": AtEntry,
    "closing_fee": ClosingFee,
    "open_interest": OpenInterest,
    "lognormal": Lognormal,
    "size_weighted": SizeWeighted,
    "compressed": Compressed,
}

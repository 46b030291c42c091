"""Margin engines: netting x valuation x requirement. The registries that configuration chooses from."""

from sim.component import Component
from sim.margin.cash import Cash
from sim.margin.compressed import Compressed
from sim.margin.netting import ByUnderlying, Cross, Groups, Isolated
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
    "compressed": Compressed,
}

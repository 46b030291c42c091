"""Order book, mark price, oracle, funding, fees and admission of one venue."""

from sim.component import Component
from sim.exchange.funding import PremiumFunding
from sim.exchange.funding_interest import InterestGapFunding
from sim.exchange.funding_margin import MarginBoundedFunding
from sim.exchange.funding_recorded import RecordedFunding
from sim.exchange.funding_spread import SpreadFunding
from sim.exchange.mark import BookMark, MedianMark

MARKS = {"median": MedianMark, "book": BookMark}

FUNDINGS: dict[str, type[Component]] = {
    "premium": PremiumFunding,
    "margin_bounded": MarginBoundedFunding,
    "spread": SpreadFunding,
    "interest_gap": InterestGapFunding,
}
"""Funding rules by the ``kind`` that configuration gives. They compute a rate from the market."""

RECORDED: dict[str, type[Component]] = {"recorded": RecordedFunding}
"""Funding whose rates are read from a file."""

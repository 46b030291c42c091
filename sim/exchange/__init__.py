"""Order book, mark price, oracle, funding, fees and admission of one venue."""

from sim.component import Component
from sim.exchange.funding import Funding
from sim.exchange.funding_interest import InterestGap
from sim.exchange.funding_margin import MarginBounded
from sim.exchange.funding_recorded import Recorded
from sim.exchange.funding_spread import Spread
from sim.exchange.mark import BookMark, MedianMark

MARKS = {"median": MedianMark, "book": BookMark}

FUNDINGS: dict[str, type[Component]] = {
    "premium": Funding,
    "margin_bounded": MarginBounded,
    "spread": Spread,
    "interest_gap": InterestGap,
}
"""Rules, which make a rate of what the market does."""

RECORDED: dict[str, type[Component]] = {"recorded": Recorded}
"""Rates that are given."""

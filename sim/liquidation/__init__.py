"""Close-out policies: who is closed out, how much of what, at which limit."""

from sim.component import Component
from sim.liquidation.auction import Auction
from sim.liquidation.fraction import Fraction
from sim.liquidation.full import Full

LIQUIDATIONS: dict[str, type[Component]] = {"full": Full, "fraction": Fraction, "auction": Auction}
"""Policies by the ``kind`` that configuration gives."""

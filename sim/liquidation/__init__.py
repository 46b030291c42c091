"""Close-out policies: who is closed out, how much of what, at which limit."""

from sim.component import Component
from sim.liquidation.auction import AuctionCloseOut
from sim.liquidation.fraction import FractionalCloseOut
from sim.liquidation.full import FullCloseOut

LIQUIDATIONS: dict[str, type[Component]] = {
    "full": FullCloseOut,
    "fraction": FractionalCloseOut,
    "auction": AuctionCloseOut,
}
"""Policies by the ``kind`` that configuration gives."""

"""Close-out policies: accounts to close out, lots to trade, and limit prices."""

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

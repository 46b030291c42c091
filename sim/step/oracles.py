"""Publication of the oracles' prices."""

from sim.state import MarketState


def publish_prices(market: MarketState) -> None:
    """Publish each venue's oracle, and let its engines observe it (IDX-3)."""
    seconds = float(market.exogenous_path.seconds[market.tick])
    index, prices = market.spot_index(), market.asset_prices()
    for venue in market.venues:
        venue.update_oracle(market.streams, market.tick, seconds, index, prices)

"""Random markets with options: two underlyings, each with spot, perpetual, futures and options."""

from typing import Any

import numpy as np

from sim.instruments import Asset, Instrument, build_contracts
from sim.pricing.instrument_values import mark_at_model
from sim.types import Contracts, Exposure, MarketView

DAY = 86_400.0
ASSETS = ("USD", "BTC", "ETH")
STARTS = {"btc": 50_000.0, "eth": 2_000.0}


def make_chain(rng: np.random.Generator) -> Contracts:
    """Return the contracts, in any order."""
    listed: list[dict[str, Any]] = []
    for name, start in STARTS.items():
        common = {
            "underlying": name,
            "tick": start / 10_000,
            "lot": 100 / start,
            "max_price": 10 * start,
        }
        listed += [
            {**common, "name": f"{name}-{kind}", "kind": kind} for kind in ("perpetual", "spot")
        ]
        for expiry in (5 * DAY, 60 * DAY):
            listed.append(
                {**common, "name": f"{name}-{expiry:g}", "kind": "future", "expiry": expiry}
            )
            for strike in start * rng.choice([0.6, 0.8, 1.0, 1.1, 1.5], 2, replace=False):
                for side in ("call", "put"):
                    terms = {
                        "kind": "option",
                        "expiry": expiry,
                        "strike": float(strike),
                        "option": side,
                    }
                    listed.append(
                        {**common, **terms, "name": f"{name}-{expiry:g}-{strike:g}-{side}"}
                    )
    order = rng.permutation(len(listed))
    assets = [Asset(name=asset, decimals=2) for asset in ASSETS]
    components = [(0, Instrument.model_validate(listed[number])) for number in order]
    return build_contracts(components, list(STARTS), assets)


def make_market(rng: np.random.Generator) -> MarketView:
    """Return a market in which every option is marked at its value."""
    contracts = make_chain(rng)
    count = len(contracts.names)
    oracle = np.array(list(STARTS.values())) * rng.uniform(0.8, 1.25, 2)
    flat = np.rint(oracle[contracts.underlying] / contracts.tick * rng.uniform(0.98, 1.02, count))
    none = np.zeros(count, dtype=np.int64)
    columns = (flat, flat - 1, flat + 1, flat, np.ones(count), np.zeros(count), none)
    return mark_at_model(
        MarketView(
            *(0, contracts, *columns, oracle, rng.uniform(0.3, 1, 2), rng.uniform(0.2, 1.5, count)),
            *(np.array([1.0, 1.2, 0.7]), np.zeros((0, 2))),
            seconds=float(rng.uniform(0, 4.99 * DAY)),
            rate=rng.uniform(0, 0.2, count),
            feed=rng.uniform(0.3, 1, count),
        )
    )


def make_accounts(rng: np.random.Generator, market: MarketView, accounts: int) -> Exposure:
    """Return accounts that hold some of everything."""
    count = len(market.mark)
    lots = rng.integers(-500, 500, (count, accounts)) * (rng.random((count, accounts)) < 0.4)
    balance = rng.integers(-(10**6), 10**8, (len(market.price), accounts))
    none = np.zeros((count, accounts), dtype=np.int64)
    free = _freeze(np.full((count, accounts), np.inf))
    resting = [_freeze(none.copy()) for _ in range(4)]
    bids, asks, reserved, entry = resting
    return Exposure(
        balance=_freeze(balance),
        pledged=_freeze(np.zeros_like(balance)),
        position=_freeze(lots),
        bids=bids,
        asks=asks,
        reserved=reserved,
        entry=entry,
        leverage=free,
        market=market,
    )


def _freeze(array: Any) -> Any:
    """Return an array transposed, so that it cannot be written."""
    array.flags.writeable = False
    return array.T

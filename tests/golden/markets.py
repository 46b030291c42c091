"""Markets with outcomes kept in ``outcomes.json``: calm, crash, crash under isolated margin."""

from collections.abc import Callable

import numpy as np
from papers import crash

from sim.config import MarketConfig
from sim.market import Market

STEPS, SEED = 120, 7


def _isolated() -> MarketConfig:
    twins = [crash.PERPETUAL, {**crash.PERPETUAL, "name": "SPX-B"}]
    engine = {**crash.EXCHANGE["engine"], "netting": {"kind": "isolated"}}
    exchange = {**crash.EXCHANGE, "instruments": twins, "engine": engine}
    return crash.config(steps=STEPS, venues=[exchange, crash.OUTSIDE])


MARKETS: dict[str, Callable[[], MarketConfig]] = {
    "calm": lambda: crash.config(steps=STEPS, stresses=[]),
    "crash": lambda: crash.config(steps=STEPS),
    "isolated": _isolated,
}


def build(name: str) -> Market:
    """One of the markets before its first step."""
    return crash.market(SEED, MARKETS[name]())


def outcome(market: Market) -> dict[str, int]:
    """Return whole numbers of a finished run: summary, all wealth, positions and last prices."""
    place = np.arange(market.state.n_owners)
    sums = {
        "cash_by_owner": int((market.ledger.balance.sum(axis=(0, 1)) * place).sum()),
        "lots_by_owner": int((market.ledger.position * place).sum()),
    }
    marks = {f"mark_{name}": int(mark) for name, mark in _marks(market)}
    return {name: int(value) for name, value in market.recorder.summary().items()} | sums | marks


def _marks(market: Market) -> list[tuple[str, float]]:
    return [
        pair
        for venue in market.venues
        for pair in zip(venue.contracts.names, venue.view.mark, strict=True)
    ]

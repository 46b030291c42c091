"""A small crash: the exchange of configs/crash_2008.yaml and a fall of 10% in half an hour.

Differences from that configuration: 600 traders wish a median leverage of 15, where BitMEX's 22 to
30 is the reference (targets A13); six makers with little capital of their own carry up to 15 times
of it, and the fund is small in proportion. Spot outside is as deep as 3% of open interest within
1%.
"""

from collections.abc import Mapping
from typing import Any

from agents import POPULATIONS, populate
from sim.config import MarketConfig
from sim.market import Market
from sim.metrics.cascades import measure_fall

STEPS, FALL_AT = 150, 75
"""Length of a run, and the step from which the index falls for 30 steps."""

LADDER = [
    {"floor": 0, "max_leverage": 40},
    {"floor": 2_000_000, "max_leverage": 20},
    {"floor": 10_000_000, "max_leverage": 10},
]
PERPETUAL = {
    "name": "SPX-PERP",
    "underlying": "sp500",
    "tick": 0.05,
    "lot": 0.2,
    "max_price": 2000,
    "max_lots": 2_000_000,
}
EXCHANGE = {
    "name": "exchange",
    "instruments": [PERPETUAL],
    "engine": {"requirement": {"kind": "tiered", "tiers": LADDER}},
    "mark": {"kind": "median", "half_life": 150, "clamp": 0.05},
    "funding": {"interval": 28_800},
    "fees": {"maker": 0.0001, "taker": 0.0004, "liquidation": 0.005},
    "band": 0.1,
    "liquidation": {"kind": "full"},
    "waterfall": [{"kind": "fund"}, {"kind": "adl_queue"}, {"kind": "socialised"}],
}
OUTSIDE = {
    "name": "outside",
    "instruments": [PERPETUAL | {"name": "SPX-SPOT", "kind": "spot"}],
    "engine": {"requirement": {"kind": "tiered", "tiers": [{"floor": 0, "max_leverage": 5}]}},
}
TRADERS = {
    "kind": "traders",
    "count": 600,
    "venue": "exchange",
    "leverage": 15,
    "leverage_sigma": 0.7,
}
TRADERS |= {
    "reference_leverage": 40,
    "elasticity": 1.0,
    "entries_per_day": 2,
    "holding_time": 93_600,
    "long_share": 0.6,
}
TRADERS |= {"initial_entry_share": 0.8, "warm_up": 3600}
MAKERS = {
    "kind": "makers",
    "count": 6,
    "venue": "exchange",
    "wealth": 200_000,
    "half_spread": 2,
    "max_inventory": 15,
}
MAKERS |= {"target_free_margin": 0.5}
ARBITRAGEURS = {
    "kind": "arbitrageurs",
    "count": 5,
    "venue": "exchange",
    "spot_venue": "outside",
    "wealth": 1_000_000,
}
FUND = {"kind": "insurance_fund", "venue": "exchange", "wealth": 30_000}


def plain(*, depth: float | None = 1_000_000, steps: int = STEPS, **changes: Any) -> dict[str, Any]:
    """Return the crash as in a file, without populations, with some top-level settings changed.

    Args:
        depth: net notional that moves spot by 1%; none = spot never notices.
        steps: length of the run.
        changes: any field of a market's configuration.
    """
    impact = {"depth": depth, "half_life": 3600}
    index = {
        "name": "sp500",
        "start": 1200,
        "process": {"kind": "gbm", "volatility": 0.4},
        "impact": impact,
    }
    fall = {"kind": "move", "at": 60 * FALL_AT, "duration": 1800, "size": -0.10}
    rules = {
        "duration": 60 * steps,
        "underlyings": [index],
        "stresses": [fall],
        "venues": [EXCHANGE, OUTSIDE],
    }
    return rules | changes


def people(makers: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """The populations as a file would say them; ``makers`` changes fields of theirs."""
    return [TRADERS, MAKERS | dict(makers or {}), ARBITRAGEURS, FUND]


def config(**changes: Any) -> MarketConfig:
    """The same, read; see ``plain``."""
    return MarketConfig.model_validate(plain(**changes))


def market(
    seed: int, rules: MarketConfig | None = None, makers: Mapping[str, Any] | None = None
) -> Market:
    """A crash before its first step."""
    configured = [POPULATIONS[each["kind"]].model_validate(each) for each in people(makers)]
    return Market(rules or config(), populate(configured), seed=seed)


def run(market: Market) -> Market:
    """The same market after its last step."""
    while market.tick < market.steps_planned:
        market.step()
    market.ledger.check_conservation()
    return market


def measures(market: Market) -> dict[str, float]:
    """Measure a cascade: mark and basis (first perpetual) in %, notionals and money in millions."""
    frames, million = market.recorder.frames(), 10.0**8
    steps = frames["steps"]
    listed, first = (
        steps[steps["venue"] == "exchange"],
        steps[steps["instrument"] == PERPETUAL["name"]],
    )
    venue = frames["venues"].query("venue == 'exchange'")
    before, after = first["mark"].iloc[FALL_AT - 1], first["mark"].iloc[FALL_AT - 1 :]
    return {
        "lowest mark": 100 * (after.min() / before - 1),
        "worst basis": 100 * (first["mark"] / first["oracle"] - 1).min(),
        "closed out": listed["liquidated_notional"].sum() / million,
        "deleveraged": listed["adl_notional"].sum() / million,
        "shortfall": venue["shortfall"].sum() / million,
        "rounds": float(frames["market"]["rounds"].sum()),
        "fell": measure_fall(frames, PERPETUAL["name"], FALL_AT + 1),
    }

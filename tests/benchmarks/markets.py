"""Markets of known work: a crowd without intelligence, and the baseline behaviours."""

from collections.abc import Mapping
from typing import Any

from agents import POPULATIONS, populate
from sim.config import MarketConfig
from sim.market import Market

TICKS, LOTS, START = 20, 10, 10_000
"""Orders of the crowd, here and at the peers.

Each member has one order per step, which replaces its last one. The side is random, the price
uniform within TICKS of the middle, the size 1 to LOTS lots; the price starts at START ticks.
"""

DT = 60.0


def market(
    rules: Mapping[str, Any], people: list[dict[str, Any]], steps: int, seed: int = 1
) -> Market:
    """A market of ``steps`` steps of a minute."""
    config = MarketConfig.model_validate({"dt": DT, "duration": DT * steps, **rules})
    return Market(
        config, populate([POPULATIONS[each["kind"]](**each) for each in people]), seed=seed
    )


def perpetuals(count: int, **rules: Any) -> dict[str, Any]:
    """The rules of one venue that lists perpetuals on ``count`` underlyings under cross margin."""
    names = [f"u{number}" for number in range(count)]
    listed = [
        {"name": f"{name}-PERP", "underlying": name, "tick": 1, "lot": 0.01, "max_price": 4 * START}
        for name in names
    ]
    gbm = {"kind": "gbm", "volatility": 0.6}
    venue = {
        "name": "venue",
        "instruments": listed,
        "engine": {"requirement": {"kind": "tiered"}},
    } | rules
    return {
        "underlyings": [{"name": name, "start": START, "process": gbm} for name in names],
        "venues": [venue],
    }


def crowd(members: int, steps: int, instruments: int = 1, seed: int = 1) -> Market:
    """Return a market in which every member sends an order in every step."""
    people = {
        "kind": "zero_intelligence",
        "name": "crowd",
        "venue": "venue",
        "count": members,
        "wealth": 100_000,
    }
    people |= {"ticks": TICKS, "lots": LOTS}
    return market(perpetuals(instruments), [people], steps, seed)


def baseline(traders: int, steps: int, instruments: int = 1, **rules_of_all: Any) -> Market:
    """Traders, makers, arbitrageurs and a fund, as in configs/crash_2008.yaml, on a random walk."""
    rules = perpetuals(
        instruments,
        funding={},
        fees={"maker": 0.0001, "taker": 0.0004, "liquidation": 0.005},
        waterfall=[{"kind": "fund"}, {"kind": "adl_queue"}, {"kind": "socialised"}],
    )
    listed = [
        {**each, "name": f"{each['underlying']}-SPOT", "kind": "spot"}
        for each in rules["venues"][0]["instruments"]
    ]
    spot = {"name": "spot", "instruments": listed, "engine": {"requirement": {"kind": "tiered"}}}
    here, scale = {"venue": "venue"}, traders / 2_000
    wishes = {
        "wealth": 10_000,
        "leverage": 8,
        "leverage_sigma": 0.7,
        "reference_leverage": 40,
        "elasticity": 1,
    }
    habits = {
        "entries_per_day": 2,
        "holding_time": 93_600,
        "initial_entry_share": 0.6,
        "warm_up": 7_200,
    }
    people = [
        {"kind": "traders", "count": traders, **wishes, **habits, **here},
        {
            "kind": "makers",
            "count": 6,
            "wealth": 1_500_000 * scale,
            "half_spread": 2,
            "max_inventory": 4,
            **here,
        },
        {
            "kind": "arbitrageurs",
            "count": 5,
            "spot_venue": "spot",
            "wealth": 1_000_000 * scale,
            **here,
        },
        {"kind": "insurance_fund", "name": "fund", "wealth": 250_000 * scale, **here},
    ]
    return market({**rules, "venues": [*rules["venues"], spot], **rules_of_all}, people, steps)

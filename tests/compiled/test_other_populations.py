"""Members who are not leveraged traders decide in compiled code as in plain Python, to the byte."""

import json
import re
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
from markets import build as build_market
from markets import config as market_config
from markets import script
from twins import assert_same, build, run_twins

from agents import POPULATIONS
from agents.ladders import QuoteContext
from agents.makers import MarketMakers
from experiments.config import load_run
from sim.compiled.arrays import StepArrays
from sim.compiled.components import CompiledPopulation
from sim.component import has_own_rules
from sim.market import Market
from sim.numerics.bound_kernels import BoundKernel
from sim.types import F8, LIMIT

TRADERS = {"kind": "traders", "count": 60, "venue": "exchange", "wealth": 50_000, "leverage": 8}
TRADERS |= {"initial_entry_share": 0.6, "warm_up": 600, "entries_per_day": 40}
TRADERS |= {"holding_time": 7200}
MAKERS = {"kind": "makers", "count": 4, "venue": "exchange", "wealth": 400_000}
ARBITRAGEURS = {"kind": "arbitrageurs", "count": 7, "venue": "exchange", "spot_venue": "outside"}
ARBITRAGEURS |= {"wealth": 200_000, "entry_threshold": 6, "exit_threshold": 1}

KINDS: dict[str, dict[str, Any]] = {
    "makers": MAKERS | {"refresh_time": 150, "price_range": 30, "levels": 5},
    "makers who never withdraw": MAKERS | {"is_capital_limited": False, "post_only": False},
    "makers of volatile markets": MAKERS
    | {
        "calm_volatility": 0.1,
        "volatility_exponent": 0.7,
        "half_spread": 0.5,
        "max_inventory": 0.3,
    },
    "makers of one book": MAKERS | {"book": {"half_life": 1200}, "depth_elasticity": 0.7},
    "makers of one book by given correlations": MAKERS
    | {"kind": "avellaneda_stoikov", "refresh_time": 90, "max_inventory": 0.4}
    | {"book": {"correlation": 0.6, "half_life": None}},
    "makers of one limit": MAKERS
    | {"book": {"has_shared_reservation": False}, "depth_elasticity": 1, "max_inventory": 0.3},
    "avellaneda_stoikov": MAKERS | {"kind": "avellaneda_stoikov", "refresh_time": 90},
    "many levels": MAKERS | {"count": 30, "levels": 64, "max_inventory": 8, "depth": 4},
    "arbitrageurs": ARBITRAGEURS,
    "one arbitrageur in a hurry": ARBITRAGEURS
    | {"count": 1, "reaction": 1, "max_step_share": 1, "slippage": 0},
    "insurance_fund": {"kind": "insurance_fund", "venue": "exchange", "wealth": 50_000},
    "latent_liquidity": {"kind": "latent_liquidity", "venue": "exchange", "count": 101}
    | {"wealth": 90_000, "lifetime": 1800, "return_time": 300, "price_range": 0.03},
    "metaorder": {"kind": "metaorder", "venue": "exchange", "count": 2, "quantity": 777}
    | {"at": 300, "duration": 1500, "slippage": 0.002},
    "metaorder that outlasts the run": {"kind": "metaorder", "venue": "exchange"}
    | {"quantity": -100_000, "at": 0, "duration": 100_000},
    "no order": {"kind": "metaorder", "venue": "exchange", "quantity": 0},
    "zero_intelligence": {"kind": "zero_intelligence", "venue": "exchange", "count": 103}
    | {"ticks": 40, "lots": 30},
    "liquidators": {"kind": "liquidators", "venue": "exchange", "count": 5},
    "hedgers": {"kind": "hedgers", "venue": "exchange", "spot_venue": "outside", "count": 31},
}


IDLE = {"no order", "insurance_fund", "liquidators"}

BASE = [TRADERS, MAKERS]


def run_pair(
    populations: Sequence[dict[str, Any]], *settings: str, name: str = "two_coins"
) -> Market:
    """Make a run by plain and by compiled steps, compare the two, and return the compiled one."""
    given = [f"populations={json.dumps(list(populations))}", "duration=3600", *settings]
    config = load_run(name, given)
    with ExitStack() as stack:
        for kind in {type(each) for each in config.populations}:
            stack.enter_context(patch.object(kind, "decide", side_effect=AssertionError))
        build(config, 5).advance(2)
    plain, compiled = run_twins(config, 5, batches=(7, 20))
    assert_same(plain, compiled)
    return compiled


def test_every_registered_kind_decides_in_compiled_code() -> None:
    plain = [
        kind
        for kind, cls in POPULATIONS.items()
        if not issubclass(cls, CompiledPopulation)
        or has_own_rules(cls.model_construct(), "bind_decision")
    ]
    assert plain == ["two_sided"]  # venues in hedge mode decide in Python, between kernels


class Cautious(MarketMakers):
    """A plug-in that inherits kernels and changes a rule of its base in Python."""

    def compute_quote_offsets(self, context: QuoteContext) -> tuple[F8, F8]:
        shift, half = super().compute_quote_offsets(context)
        return shift, 3 * half


class Bold(Cautious):
    """A plug-in that binds kernels again stands for its own rules."""

    def bind_decision(self, step: StepArrays, members: slice) -> BoundKernel:
        return super().bind_decision(step, members)


def test_a_subclass_with_rules_in_python_decides_in_python() -> None:
    fields = {"venue": "x", "count": 2}
    assert has_own_rules(Cautious(**fields), "bind_decision")
    assert not has_own_rules(Bold(**fields), "bind_decision")
    makers = [Cautious(**fields), {"kind": "zero_intelligence", "count": 9, "venue": "x"}]
    plain, compiled = (build_market(market_config(), makers) for _ in range(2))
    for _ in range(10):
        plain.step()
    compiled.advance(10)
    assert_same(plain, compiled)


@pytest.mark.parametrize("kind", KINDS)
def test_members_decide_as_in_plain_python(kind: str) -> None:
    tested = KINDS[kind] | {"name": "tested"}
    market = run_pair([*BASE, tested])
    traded = market.ledger.position[:, market.member_slices[-1]]
    # a fund without bankrupt accounts and liquidators without an auction have nothing to trade
    assert traded.any() == (kind not in IDLE)


CRASH = "stresses=[{kind: move, at: 600, duration: 900, size: -0.2}, "
CRASH += "{kind: withdrawal, at: 600, duration: 1800, share: 0.25}]"
AUCTION = ["venues.0.liquidation={kind: auction}", "venues.0.waterfall=[{kind: fund}]"]
FUND = {"kind": "insurance_fund", "venue": "exchange", "wealth": 5_000_000, "unwind_time": 36_000}
BIDDERS = {"kind": "liquidators", "venue": "exchange", "count": 5, "unwind_time": 36_000}


@pytest.mark.parametrize("netting", ["cross", "isolated"])
def test_a_crash_is_the_same(netting: str) -> None:
    """Makers withdraw, liquidators bid, the fund takes over, and both unwind what they got."""
    people = [*BASE, KINDS["avellaneda_stoikov"], ARBITRAGEURS, FUND, BIDDERS]
    settings = [CRASH, *AUCTION, f"venues.0.engine.netting.kind={netting}"]
    market = run_pair(people, *settings)
    close_outs = market.recorder.frames()["closeouts"]
    assert {"book", "auction"} <= set(close_outs["route"])
    assert market.ledger.position[:, market.member_slices[-1]].any()


def test_a_fund_unwinds_what_it_took_over() -> None:
    market = run_pair([*BASE, FUND], CRASH, "venues.0.waterfall=[{kind: fund}]")
    assert market.ledger.position[:, market.member_slices[-1]].any()


def test_hedges_in_the_same_account_are_the_same() -> None:
    pairs = ARBITRAGEURS | {"spot_venue": "exchange"}
    makers = MAKERS | {"instruments": ["BTC-PERP", "BTC-SPOT", "ETH-PERP", "ETH-SPOT"]}
    market = run_pair([TRADERS, makers, pairs], name="hedged")
    held = market.ledger.position[:, market.member_slices[-1]]
    assert held[2].any()
    assert (held[2] == -held[3]).all()


def test_members_in_python_may_send_any_number_of_orders() -> None:
    """The tables of orders grow, and kernels of the populations after them find the new ones."""
    orders = {
        tick: [(0, 0, 1, 900 + n % 90, LIMIT, n) for n in range(count)]
        for tick, count in ((2, 40), (3, 5_000), (4, 100), (6, 20_000))
    }
    crowd = {"kind": "zero_intelligence", "count": 9, "venue": "x"}
    people = [script([1e9], orders), crowd]
    plain, compiled = (build_market(market_config(), people) for _ in range(2))
    for _ in range(10):
        plain.step()
    compiled.advance(10)
    assert_same(plain, compiled)
    assert compiled.order_books.resting_totals.sum() > 10_000


def test_a_leverage_below_one_is_refused_alike() -> None:
    orders = {4: [(0, 0, 1, 990, LIMIT, 0, 500), (1, 0, 1, 990, LIMIT, 0, 50)]}
    plain, compiled = (build_market(market_config(), [script([1e9, 1e9], orders)]) for _ in "12")
    for _ in range(3):
        plain.step()
    compiled.advance(3)
    assert_same(plain, compiled)
    with pytest.raises(ValueError, match="owner 1 chooses leverage 50") as told:
        plain.step()
    with pytest.raises(ValueError, match=re.escape(str(told.value))):
        compiled.advance(1)

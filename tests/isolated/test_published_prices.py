"""Published liquidation prices of isolated and cross margin, in a running market (ISO-1, MAR-1).

The same cases hold the engines in ``tests/vectors``. Here a member opens the position at the
entry, the account gets the margin of the case, and the mark walks to the price: one tick before it
the position is kept, one tick beyond it is closed out. Prices are printed: ``-rP``.
"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markets import STILL, build, config, move, script, venue
from vectors.accounts import SIGN, bracket, tiered

from sim.market import Market
from sim.types import LIMIT

VECTORS = Path(__file__).parents[1] / "vectors"
MINE = 0
WEALTH, RICH = 4e6, 1e8
DECIMALS = 5


def cases(name: str) -> Iterator[Any]:
    for case in json.loads((VECTORS / f"{name}.json").read_text("utf-8")):
        yield pytest.param(case, id=case["id"])


def listed(name: str, entry: float, quantity: float, tick: float) -> dict[str, Any]:
    """An instrument with lots that divide the quantity, quoted up to half above the entry."""
    exponent = min(0, int(Decimal(str(abs(quantity))).normalize().as_tuple().exponent))
    return {
        "name": name,
        "underlying": name.lower(),
        "tick": tick,
        "lot": 10.0**exponent,
        "max_price": round(1.5 * entry / tick) * tick,
        "max_lots": 2 * round(abs(quantity) / 10.0**exponent),
    }


def at_entry(
    legs: dict[str, tuple[float, float, int]], tick: float, engine: dict[str, Any], **rules: Any
) -> Market:
    """Open legs (signed quantity, entry, leverage in hundredths) of one member in step 1."""
    instruments = [listed(name, entry, lots, tick) for name, (lots, entry, _) in legs.items()]
    underlyings = [
        {"name": name.lower(), "start": entry, "process": STILL}
        for name, (_, entry, _) in legs.items()
    ]
    orders: list[Any] = []
    for k, (quantity, entry, leverage) in enumerate(legs.values()):
        lots, price = round(quantity / instruments[k]["lot"]), round(entry / tick)
        orders += [(MINE, k, lots, price, LIMIT, 0, leverage), (1, k, -lots, price, LIMIT, 0, 100)]
    place = venue(instruments=instruments, **engine)
    whole = config(
        place,
        steps=4,
        underlyings=underlyings,
        assets=[{"name": "USD", "decimals": DECIMALS}],
        stresses=rules.pop("stresses", []),
    )
    wealth = [rules.pop("wealth", WEALTH), RICH]
    return build(whole, [script(wealth, {1: orders}, **rules)])


def is_closed_out(market: Market) -> bool:
    return bool((market.recorder.frames()["closeouts"]["owner"] == MINE).any())


def equity(market: Market, pool: int = 0) -> float:
    return float(market.venues[0].pool_states[pool].assessment.equity[MINE]) / 10**DECIMALS


def margin_of(case: dict[str, Any]) -> float | None:
    """The margin that a case states; none where leverage alone sets it."""
    known = case["inputs"].get("wallet_balance", case["expected"].get("assigned_pos_balance"))
    return None if known is None else float(known)


def engine_of(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    """The requirement of a venue, as ``tests/vectors`` holds it."""
    amounts = [inputs[key] for key in ("maintenance_amount", "mm_deduction") if key in inputs]
    ladder = tiered(bracket(inputs["mm_rate"], *amounts))
    fee = inputs.get("taker_fee", inputs.get("taker"))
    if fee is not None:
        ladder = {"kind": "closing_fee", "inner": ladder, "fee": fee}
    if name == "bybit_isolated":
        ladder = {"kind": "at_entry", "inner": ladder}
    return {"netting": {"kind": "isolated"}, "requirement": ladder}


def neighbours(case: dict[str, Any], tick: float, side: float) -> tuple[float, float]:
    """Prices on the grid just before and just beyond the published one, of its own accuracy."""
    price = float(case["expected"]["liq_price"])
    places = -int(Decimal(str(price)).as_tuple().exponent)
    accuracy = min(0.5 * 10.0**-places, case["tolerance"]["value"] * price) + 1e-9 * price
    before, beyond = price + side * accuracy, price - side * accuracy
    away = (np.ceil, np.floor) if side > 0 else (np.floor, np.ceil)
    return float(away[0](before / tick) * tick), float(away[1](beyond / tick) * tick)


ISOLATED = ("binance_isolated_tiered", "bybit_isolated", "phemex_isolated", "gate_okx_isolated")


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, *case.values, id=case.id) for name in ISOLATED for case in cases(name)],
)
def test_isolated_positions_are_closed_out_at_the_published_price(
    name: str, case: dict[str, Any]
) -> None:
    """Leverage sets the margin where the case says so; otherwise the member adds it by an act."""
    inputs = case["inputs"]
    quantity = inputs.get("qty", inputs.get("size", 1.0))
    entry = inputs.get("entry", inputs.get("open_value", 0.0) / quantity)
    side = SIGN[inputs.get("side", "long")]
    tick = 0.01 if entry > 1000 else 0.0001
    adds = name == "gate_okx_isolated" or "leverage" not in inputs
    leg = {"X": (side * quantity, entry, 0 if adds else round(100 * inputs["leverage"]))}
    before, beyond = neighbours(case, tick, side)
    jumps = [move(3, before / entry - 1), move(4, beyond / before - 1)]
    engine, margin = engine_of(name, inputs), margin_of(case)
    first = at_entry(leg, tick, engine)
    first.step()
    added: dict[str, Any] = {}
    if adds:
        assert margin is not None
        missing = round((margin - equity(first)) * 10**DECIMALS)
        assert missing > 0
        added = {"payments": {2: ((MINE, 0, missing),)}}
    market = at_entry(leg, tick, engine, stresses=jumps, **added)
    closed, behind = [], 0.0
    for step in range(4):
        market.step()
        closed.append(is_closed_out(market))
        if step == 1:
            behind = equity(market)
            assert margin is None or behind == pytest.approx(margin, abs=2 * 10**-DECIMALS)
    assert closed == [False, False, False, True]
    limit = market.recorder.frames()["closeouts"].query("owner == 0")["limit"].iloc[0]
    bankruptcy = entry - side * behind / quantity
    assert -1e-9 <= side * (limit - bankruptcy) < tick + 1e-9, "rounded away from loss"
    wallet = market.venues[0].wallet_pool
    assert market.ledger.balance[0, wallet, MINE] > 0, "the wallet does not protect it"
    print(f"{case['id']}: kept at {before:.6g}, closed out at {beyond:.6g}")


@pytest.mark.parametrize("case", list(cases("binance_cross_tiered")))
def test_cross_positions_are_closed_out_at_the_published_price(case: dict[str, Any]) -> None:
    """Loss and maintenance of the other position move the price of the first."""
    inputs, tick = case["inputs"], 0.01
    others = {f"P{n}": each for n, each in enumerate(inputs["others"], start=1)}
    held = {"P0": inputs["target"], **others}
    ladders = {name: bracket(each["mmr"], each["cum"]) for name, each in held.items()}
    engine = {"requirement": tiered(bracket(0.01), instruments=ladders)}
    legs = {name: (each["q"], each["ep"], 0) for name, each in held.items()}
    before, beyond = neighbours(case, tick, np.sign(inputs["target"]["q"]))
    jumps = [
        move(2, each["mark"] / each["ep"] - 1, underlyings=[name.lower()])
        for name, each in others.items()
    ]
    jumps += [
        move(3, before / inputs["target"]["ep"] - 1, underlyings=["p0"]),
        move(4, beyond / before - 1, underlyings=["p0"]),
    ]
    market = at_entry(legs, tick, engine, stresses=jumps, wealth=inputs["wallet_balance"])
    closed = []
    for _ in range(4):
        market.step()
        closed.append(is_closed_out(market))
    assert closed == [False, False, False, True]
    print(f"{case['id']}: kept at {before:.2f}, closed out at {beyond:.2f}")

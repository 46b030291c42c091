"""Isolated and cross margin by brackets: zeros of the engine's excess (margin.md §1, §2)."""

from typing import Any

import numpy as np
from vectors.accounts import SIGN, Account, Leg, bracket, tiered
from vectors.runner import Case, Engine

from sim.liquidation import inverse
from sim.liquidation.bankruptcy import compute_bankruptcy_prices


def binance_isolated(inputs: Case) -> Case:
    quantity = SIGN[inputs["side"]] * inputs["qty"]
    ladder = bracket(inputs["mm_rate"], inputs["maintenance_amount"])
    leg = Leg(quantity, inputs["entry"], leverage=inputs.get("leverage", np.inf))
    return {
        "liq_price": Account(
            inputs["wallet_balance"], {"X": leg}, tiers(ladder)
        ).liquidation_price()
    }


def binance_cross(inputs: Case) -> Case:
    positions = [inputs["target"], *inputs["others"]]
    legs = {f"P{n}": Leg(each["q"], each["mark"], each["ep"]) for n, each in enumerate(positions)}
    ladders = {f"P{n}": bracket(each["mmr"], each["cum"]) for n, each in enumerate(positions)}
    engine = {"requirement": tiered(bracket(0.01), instruments=ladders)}
    return {"liq_price": Account(inputs["wallet_balance"], legs, engine).liquidation_price()}


def gate_okx(inputs: Case) -> Case:
    leg = Leg(
        SIGN[inputs["side"]] * inputs["qty"],
        inputs["entry"],
        leverage=inputs.get("leverage", np.inf),
    )
    engine = with_fee(bracket(inputs["mm_rate"]), inputs["taker_fee"])
    return {"liq_price": Account(inputs["wallet_balance"], {"X": leg}, engine).liquidation_price()}


def phemex(inputs: Case) -> Case:
    """Position balance is the engine's initial margin, and all that the account holds."""
    entry = inputs["open_value"] / inputs["size"]
    leg = Leg(SIGN[inputs.get("side", "long")] * inputs["size"], entry, leverage=inputs["leverage"])
    engine = with_fee(bracket(inputs["mm_rate"], inputs.get("mm_amount", 0.0)), inputs["taker"])
    empty = Account(0.0, {"X": leg}, engine)
    assigned = empty.money(empty.risk.initial)
    price = Account(assigned, {"X": leg}, engine).liquidation_price()
    return {"assigned_pos_balance": assigned, "liq_price": price}


def bybit(inputs: Case) -> Case:
    leg = Leg(
        SIGN[inputs["side"]] * inputs.get("qty", 1.0), inputs["entry"], leverage=inputs["leverage"]
    )
    ladder = bracket(inputs["mm_rate"], inputs.get("mm_deduction", 0.0))
    engine = {"requirement": {"kind": "at_entry", "inner": tiered(ladder)}}
    empty = Account(0.0, {"X": leg}, engine)
    initial = empty.money(empty.risk.initial)
    price = Account(
        initial + inputs.get("extra_margin", 0.0), {"X": leg}, engine
    ).liquidation_price()
    return {
        "initial_margin": initial,
        "maintenance_margin": empty.money(empty.risk.maintenance),
        "liq_price": price,
    }


def hyperliquid(inputs: Case) -> Case:
    leg = Leg(SIGN[inputs["side"]] * inputs["size"], inputs["entry"])
    engine = tiers([{"floor": 0, "max_leverage": inputs["max_leverage"]}])
    return {
        "liq_price": Account(inputs["margin"], {inputs["coin"]: leg}, engine).liquidation_price()
    }


def bybit_inverse(inputs: Case) -> Case:
    balance, fee = inputs["balance_btc"] - inputs.get("order_margin", 0.0), inputs["taker_fee"]
    held = inverse.InversePosition(
        inputs["contracts_usd"], inputs["entry"], balance, SIGN[inputs["side"]]
    )
    return {
        "bankruptcy_price": float(inverse.compute_cross_bankruptcy(held, fee)),
        "liq_price": float(inverse.compute_cross_liquidation(held, inputs["mm_rate"], fee)),
    }


def bankruptcy(inputs: Case) -> Case:
    side = SIGN[inputs["side"]]
    if inputs.get("contract") == "inverse":
        price = inverse.compute_isolated_bankruptcy(inputs["entry"], inputs["leverage"], side)
        return {"bankruptcy_price": float(price)}
    size, entry = inputs.get("size", 1.0), inputs["entry"]
    margin = (
        inputs["position_margin"]
        if "position_margin" in inputs
        else entry * size / inputs["leverage"]
    )
    account = Account(
        margin + inputs.get("wallet_balance", 0.0), {"X": Leg(side * size, entry)}, {}
    )
    weights = account.engine.compute_leg_shares(account.book)
    prices = compute_bankruptcy_prices(account.book, account.risk.equity, weights)
    return {"bankruptcy_price": account.price(prices[0, 0])}


def tiers(ladder: list[dict[str, float]]) -> dict[str, Any]:
    return {"requirement": tiered(ladder)}


def with_fee(ladder: list[dict[str, float]], fee: float) -> dict[str, Any]:
    return {"requirement": {"kind": "closing_fee", "inner": tiered(ladder), "fee": fee}}


ENGINES: dict[str, Engine] = {
    "binance_isolated_tiered": binance_isolated,
    "binance_cross_tiered": binance_cross,
    "gate_okx_isolated": gate_okx,
    "phemex_isolated": phemex,
    "bybit_isolated": bybit,
    "bybit_inverse_cross": bybit_inverse,
    "bankruptcy_price": bankruptcy,
    "hyperliquid": hyperliquid,
}

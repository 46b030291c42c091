"""dYdX v4, Vega and Drift: margin, prices of liquidations, sizing (margin.md §3, §4, §8, §9)."""

from typing import Any

import numpy as np
from vectors.accounts import Account, Leg
from vectors.runner import Case, Engine

from sim.liquidation import drift, dydx
from sim.margin.tiers.lognormal import LognormalMargin
from sim.margin.tiers.open_interest import OpenInterestRequirement
from sim.margin.valuations.asset_weights import (
    compute_asset_weight,
    compute_liability_weight,
    truncate_to_basis_points,
)
from sim.waterfall.insurance import compute_fund_gain

QUANTUM = 6
"""Decimals of dYdX's quote currency."""
PPM = 1_000_000


def dydx_v4(inputs: Case) -> Case:
    """Dispatch by the requested result: rates, a requirement, or prices of an account."""
    if "imf_ppm" in inputs:
        rule = OpenInterestRequirement(
            initial=inputs["imf_ppm"] / PPM, fraction=inputs["maintenance_fraction_ppm"] / PPM
        )
        return {"mmf_ppm": rule.maintenance_ppm}
    return _open_interest(inputs) if "base_imf_ppm" in inputs else _prices(inputs)


def _open_interest(inputs: Case) -> Case:
    """Amounts are quantums, as are the caps: one unit of the numeraire here."""
    lower, upper = inputs["oi_lower_cap"], inputs["oi_upper_cap"]
    rule = {"initial": inputs["base_imf_ppm"] / PPM, "lower": lower, "upper": upper}
    engine = {"requirement": {"kind": "open_interest", **rule}}
    account = Account(
        0.0,
        {"X": Leg(inputs.get("notional", 1), 1.0)},
        engine,
        decimals=0,
        interest=inputs["oi_notional"],
    )
    rate = OpenInterestRequirement.model_validate(rule).compute_initial_ppm(
        np.array([float(inputs["oi_notional"])])
    )
    return {"imf_ppm": float(rate[0]), "imr": account.money(account.risk.initial)}


def _prices(inputs: Case) -> Case:
    names = list(inputs["positions"])
    asset = inputs["asset"] if "asset" in inputs else inputs["close_asset"]
    closed = {asset: inputs.get("close_size", 0.0)}
    legs = {
        n: Leg(inputs["positions"][n], inputs["prices"][n], part=closed.get(n, 0.0)) for n in names
    }
    cost = sum(leg.quantity * leg.mark for leg in legs.values())
    requirement = {"kind": "open_interest", "initial": inputs["mmf"], "fraction": 1.0, "upper": 0}
    cash = (
        inputs["quote_balance"] + cost
    )  # a wallet to which all of the position's cost has been charged
    account = Account(cash, legs, {"requirement": requirement}, decimals=QUANTUM)
    leg = names.index(asset)
    if "close_size" in inputs:
        held = int(account.book.position[0, leg])
        lots = -np.sign(held) * round(
            abs(inputs["close_size"]) / account.book.market.contracts.lot[leg]
        )
        quote = dydx.compute_bankruptcy_quote(
            account.engine.assess, account.book, leg, np.array([lots], dtype=np.int64)
        )
        return {"bankruptcy_quote": account.money(quote)}
    prices = dydx.compute_fillable_prices(
        account.book,
        account.risk,
        account.engine.compute_leg_shares(account.book),
        adjustment=inputs["bankruptcy_adjustment"],
        spread=inputs["spread_to_mmr"],
    )
    return {"fillable_price": account.price(prices[0, leg], leg)}


def insurance(inputs: Case) -> Case:
    side = {"sell": 1, "buy": -1}[inputs["side"]]
    received, due = (
        np.array([side * round(inputs[key] * PPM)]) for key in ("fill_quote", "bankruptcy_quote")
    )
    return {
        "insurance_fund_delta": compute_fund_gain(received, due, inputs["max_liq_fee"])[0] / PPM
    }


def vega(inputs: Case) -> Case:
    """Levels are whole units where a case gives factors; the spec's examples are not rounded."""
    whole = "search_scale" in inputs
    rule: dict[str, Any] = {
        "kind": "lognormal",
        "factors": (inputs.get("rf_long", 0.0), inputs.get("rf_short", 0.0)),
        "slippage": inputs.get("linear_slippage", 0.0),
    }
    if whole:
        rule |= {name: inputs[f"{name}_scale"] for name in ("search", "initial", "release")}
    orders = inputs.get("buys") or 0, inputs.get("sells") or 0

    def levels(orders: tuple[float, float], **changed: Any) -> Case:
        leg = {"X": Leg(inputs["open_volume"], inputs["mark"])}
        account = Account(
            0.0,
            leg,
            {"requirement": rule | changed},
            decimals=0 if whole else QUANTUM,
            orders=orders,
        )
        requirement = account.engine.requirement
        assert isinstance(requirement, LognormalMargin)
        return {
            name: account.money(amount)
            for name, amount in requirement.compute_levels(account.book)._asdict().items()
        }

    got = levels(orders)
    if any(orders):  # the spec's example charges slippage on the riskiest volume, orders included
        slipping = levels(orders, slippage_on="riskiest", factors=(0.0, 0.0))["maintenance"]
        got["maintenance_position_printed"] = slipping + levels((0, 0), slippage=0.0)["maintenance"]
        got["maintenance_with_orders_printed"] = levels(orders, slippage_on="riskiest")[
            "maintenance"
        ]
    return got | {"maintenance_correct": got["maintenance"]}


def drift_liquidation(inputs: Case) -> Case:
    if "slots" in inputs:
        rise = {
            "base": inputs["base_fee"],
            "largest": inputs["max_fee"],
            "grace": inputs["grace_slots"],
        }
        return {
            "fee": drift.compute_liquidator_fee(
                np.array(inputs["slots"], dtype=float), **rise
            ).tolist()
        }
    if "liability_price" in inputs:
        weights = inputs["asset_weight"], inputs["liability_weight"]
        multipliers = inputs["asset_mult"], inputs["liability_mult"]
        shortage, price = np.array(inputs["shortage"]), inputs["liability_price"]
        fee = inputs.get("if_fee", 0.0)
        amount = drift.compute_transfer_to_cover(
            shortage, price, weights=weights, multipliers=multipliers, fund_fee=fee
        )
        return {"transfer": float(amount)}
    shortage, fees = (
        np.array(inputs["margin_shortage"]),
        (inputs["liquidator_fee"], inputs["if_fee"]),
    )
    price, quote = inputs["oracle_price"], inputs["quote_price"]
    return {
        "base_amount": float(
            drift.compute_base_to_cover(
                shortage, inputs["margin_ratio"], price, quote=quote, fees=fees
            )
        )
    }


def concentration(inputs: Case) -> Case:
    """Weights in whole basis points, as they are kept on the chain."""
    size, factor = np.array(float(inputs["size"])), inputs["imf_factor"]
    held, owed = inputs.get("base_asset_weight"), inputs.get("base_liability_weight")
    got: Case = (
        {}
        if held is None
        else {
            "asset_weight": float(
                truncate_to_basis_points(compute_asset_weight(size, factor, held))
            )
        }
    )
    if owed is not None:
        got["liability_weight"] = float(
            truncate_to_basis_points(compute_liability_weight(size, factor, owed))
        )
    return got


ENGINES: dict[str, Engine] = {
    "dydx_v4": dydx_v4,
    "insurance_fund": insurance,
    "vega_cross": vega,
    "drift_liquidation": drift_liquidation,
    "concentration_addon": concentration,
}

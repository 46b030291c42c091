"""Portfolio margin by scenarios: a case becomes contracts, a market and a book for the engine."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from vectors.runner import Case, Engine

from sim.instruments import Asset, Instrument, build_contracts
from sim.margin.scenarios.derive_pmrm2 import DerivePmrm2
from sim.margin.scenarios.grid import ScenarioGrid
from sim.margin.scenarios.scenarios import TailScenarios, VolShock
from sim.margin.scenarios.span import SpanRequirement
from sim.margin.valuations.haircut import StaticHaircut
from sim.pricing.instrument_values import mark_at_model
from sim.types import Exposure, MarketView

GRAIN, DECIMALS = 1e-8, 8
UNIT = 10**DECIMALS
"""Lots and minor units fine enough for the cases; one tick is one unit of quote currency."""

DAY = 86_400.0


def whole(amount: float, grain: float = GRAIN) -> int:
    """A quantity in whole lots, or money in minor units."""
    return round(Decimal(str(amount)) / Decimal(str(grain)))


def market(
    listed: Sequence[Case], oracle: float, assets: Sequence[str] = (), **columns: Any
) -> MarketView:
    """Return a venue's view of instruments on one underlying, with columns of prices and risk."""
    common = {"underlying": "U", "tick": 1, "lot": GRAIN, "max_price": 10**9}
    components = [(0, Instrument.model_validate({**common, **each})) for each in listed]
    known = [Asset(name=name, decimals=DECIMALS) for name in ("cash", *assets)]
    contracts, count = build_contracts(components, ["U"], known), len(listed)
    flat, none = np.full(count, oracle), np.zeros(count, dtype=np.int64)
    view = MarketView(
        *(0, contracts, flat, flat, flat, flat, flat, flat, none, np.array([oracle]), np.ones(1)),
        *(np.full(count, 0.5), np.ones(len(known)), np.zeros((0, 1))),
    )
    return view._replace(
        **{name: np.array(column, dtype=float) for name, column in columns.items()}
    )


def book(view: MarketView, held: Sequence[float], balance: Sequence[float] = (0.0,)) -> Exposure:
    """One account."""
    sizes = zip(held, view.contracts.lot.tolist(), strict=True)
    position = np.array([[whole(units, lot) for units, lot in sizes]])
    none, cash = np.zeros_like(position), np.array([[whole(each) for each in balance]])
    free = np.full(position.shape, np.inf)
    return Exposure(cash, np.zeros_like(cash), position, none, none, none, none, free, view)


def span16(inputs: Case) -> Case:
    """Risk arrays as published or from a scan range, and the requirement (margin.md §5c)."""
    if "price_scan_range" in inputs:
        points, extreme = inputs["points"], inputs.get("extreme_points", 0.7 * inputs["points"])
        price, multiple = (
            100.0 * points,
            inputs["price_scan_range"] / points,
        )  # a contract is worth so much per point
        # the book prints arrays to the next ten
        rule = SpanRequirement.model_validate(
            {
                "commodity": {"scan": points / price},
                "min_short_option_share": extreme / points / 2,
                "round_to": 10,
            }
        )
        held = inputs.get("positions", {"future": 1})
        view = market([{"name": name, "lot": multiple} for name in held], price)
        quantities = [multiple * contracts for contracts in held.values()]
    else:
        held = inputs.get("positions", {"array": 1})
        arrays = {name: inputs.get(f"{name}_array", inputs.get("array")) for name in held}
        rule, quantities = SpanRequirement.model_validate({"arrays": arrays}), list(held.values())
        view = market([{"name": name, "lot": 1} for name in held], 100.0)
    bound = rule.bind(view.contracts, UNIT)
    account = book(view, quantities)
    array = (bound.scenario_gains(account)[:, 0] / UNIT).tolist()
    return {
        "array": array,
        "portfolio_array": array,
        "extreme_pnl": array[14],
        "span_requirement": float(bound.compute_margins(account).maintenance[0]) / UNIT,
    }


def paradex_pm(inputs: Case) -> Case:
    """Weights of the extended grid (margin.md §5b)."""
    return {
        "weight": TailScenarios(moves=inputs["shocks"])
        .compute_weights(inputs["regular_max"])
        .tolist()
    }


def deribit_pm(inputs: Case) -> Case:
    """Volatility moves and contingencies (margin.md §5b), the latter in units of the underlying."""
    if "dte" in inputs:
        rule = VolShock(up=inputs["base"], short_power=inputs["power"], long_power=inputs["power"])
        up = rule.shock_volatility(np.ones(1), np.array([inputs["dte"] / 365]), ["up"])
        return {"shock": float(up[0, 0]) - 1}
    near, far = (
        {"kind": "option", "option": "call", "strike": 100, "expiry": days * DAY}
        for days in (30, 60)
    )
    listed = [
        *(
            {"name": "call", **near},
            {"name": "put", **near, "option": "put"},
            {"name": "far", **far},
        ),
        *({"name": "perpetual"}, {"name": "future", "kind": "future", "expiry": 90 * DAY}),
    ]
    view = market(listed, 100.0)

    def charged(charges: Case, held: Sequence[float]) -> float:
        bound = ScenarioGrid(contingencies=charges).bind(view.contracts, UNIT)  # type: ignore[arg-type]
        return float(bound.sum_contingencies(book(view, held))[0]) / (100 * UNIT)

    naked, all_options = inputs.get("net_short_per_strike", 0), inputs.get("all_options_btc", 0) / 2
    offset, vega = inputs.get("offset_futures_btc", 0), inputs.get("vega_offset", 0)
    per_point = (
        ScenarioGrid().bind(view.contracts, UNIT).risk_arrays.get_current(view).vega[[0, 2]]
        / GRAIN
        / UNIT
        / 100
    )
    opposite = [vega / per_point[0], 0, -vega / per_point[1], 0, 0]
    several = [
        charged({"futures": each}, [0, 0, 0, offset, -offset])
        for each in np.atleast_1d(inputs.get("coef_fut", 0))
    ]
    return {
        "short_opt_btc": charged(
            {"short_options": inputs.get("coef_short", 0)}, [naked, -2 * naked, 0, 0, 0]
        ),
        "futures_btc": several if isinstance(inputs.get("coef_fut"), list) else several[0],
        "all_opts_btc": charged(
            {"options": inputs.get("coef_all", 0)}, [all_options, -all_options, 0, 0, 0]
        ),
        "vega_btc": charged({"vega": inputs.get("coef_vega", 0)}, opposite),
    }


DIRECTIONS = {"Up": "up", "Down": "down", "None": "none", "LINEAR": "linear", "ABS": "abs"}


def pmrm_rule(params: Case) -> Case:
    """The parameters of a case under the names they have here."""
    vol, skew, factors = params["VolShock"], params["SkewShock"], params["Margin"]
    basis, other = params["BasisContingency"], params["OtherContingency"]
    scenarios = [
        {
            "move": each["SpotShock"] - 1,
            "vol": DIRECTIONS[each["VolShockDirection"]],
            "weight": each["DampeningFactor"],
        }
        for each in params["Scenarios"]
    ]
    return {
        "scenarios": scenarios,
        "vol": {
            **{
                "up": vol["VOLRANGEUP"],
                "down": vol["VOLRANGEDOWN"],
                "least": vol["MIN_VOL_EVAL_SHOCKED"],
            },
            **{"short_power": vol["SHORTTERMPOWER"], "long_power": vol["LONGTERMPOWER"]},
            "floor": vol["DTE_FLOOR"] * DAY,
        },
        "skew": {
            **{"linear_base": skew["LINEAR_SCALE_CAP"], "linear_slope": skew["LINEAR_CBASE"]},
            **{"abs_base": skew["ABS_SCALE_CAP"], "abs_slope": skew["ABS_CBASE"]},
            **{"least": skew["MIN_K_STAR"], "width": skew["MIN_WIDTH_SCALE"]},
            **{"level": skew["VOL_PARAM_STATIC"], "term": skew["VOL_PARAM_SCALE"]},
        },
        "discount": {
            **{
                "long": factors["BASE_STATIC_DISCOUNT"],
                "short": factors["BASE_STATIC_DISCOUNT_NEG"],
            },
            **{
                "long_scale": factors["LONG_RATE_MULTSCALE"],
                "long_add": factors["LONG_RATE_ADDSCALE"],
            },
            **{
                "short_scale": factors["SHORT_RATE_MULTSCALE"],
                "short_add": factors["SHORT_RATE_ADDSCALE"],
            },
        },
        "basis": {
            **{"up": basis["SCENARIO_SPOT_UP"] - 1, "down": basis["SCENARIO_SPOT_DOWN"] - 1},
            **{"add": basis["BASIS_CONT_ADD_FACTOR"], "mult": basis["BASIS_CONT_MULT_FACTOR"]},
        },
        "charges": {
            **{
                "perp_maintenance": other["MM_PERP_PERCENT"],
                "perp_initial": other["IM_PERP_PERCENT"],
            },
            **{
                "option_maintenance": other["MM_OPTION_PERCENT"],
                "option_initial": other["IM_OPTION_PERCENT"],
            },
            **{"confidence": other["CONF_THRESHOLD"], "doubt_factor": other["CONF_MARGIN"]},
            **{"peg": other["PEG_LOSS_THRESHOLD"], "peg_factor": other["PEG_LOSS_FACTOR"]},
        },
        "initial": factors["IM_LOSS_FACTOR"],
        "maintenance": factors["MM_LOSS_FACTOR"],
    }


TIMES = 100
"""Multiple of a case held by an account, as some state more decimals than lots can have."""


def pmrm_account(inputs: Case) -> Exposure:
    """Return the book of a case, ``TIMES`` as large, with options marked at their model value."""
    feeds = {feed["sec"]: feed for feed in inputs["feeds"]}
    soon = 1.0  # seconds on the clock: what has expired did so at the beginning
    listed: list[Case] = [{"name": "perpetual"}]
    mark, vol, forward, rate, sure = (
        [inputs["perp_price"]],
        [0.5],
        [inputs["spot"]],
        [0.0],
        [inputs["perp_conf"]],
    )
    for number, option in enumerate(inputs["options"]):
        feed = feeds[option["sec"]]
        terms = {
            "strike": option["K"],
            "expiry": option["sec"] + soon,
            "option": "call" if option["call"] else "put",
        }
        listed.append({"name": f"option {number}", "kind": "option", **terms})
        mark.append(0.0)
        vol.append(option["vol"])
        forward.append(feed["fwd"])
        rate.append(max(feed["rate"], 0.0))  # the venue marks options at rates of at least zero
        sure.append(min(feed["fwd_conf"], feed["rate_conf"], feed["vol_conf"]))
    held = [inputs["perps"], *(option["qty"] for option in inputs["options"])]
    pledged = inputs["collaterals"]
    view = market(
        listed,
        inputs["spot"],
        [each["Name"] for each in pledged],
        **{"mark": mark, "vol": vol, "forward": forward, "rate": rate, "feed": sure},
        confidence=[inputs["spot_conf"]],
        price=[1.0, *(each["Price"] / inputs["stable"] for each in pledged)],
        trust=[1.0, *(each["Confidence"] for each in pledged)],
    )
    view = view._replace(seconds=soon, peg=inputs["stable"])
    owed = inputs["perps"] * inputs["perp_price"]  # cash was paid for what the perpetual is worth
    cash = inputs["cash"] + inputs["perp_upnl"] + inputs["perp_funding"] - owed
    held, balance = (
        [TIMES * each for each in amounts]
        for amounts in (held, [cash, *(p["Amount"] for p in pledged)])
    )
    return book(mark_at_model(view), held, balance)


def derive_pmrm2(inputs: Case) -> Case:
    """Return the equity left by PMRM_2, and steps on the way (margin.md §5).

    Portfolio 67 of the published ones is disabled upstream as invalid: it moves the price in a tilt
    of the smile, which is refused here, too.
    """
    if "regular_max" in inputs:
        tails = TailScenarios(moves=inputs["shocks"], dampening=inputs["k"])
        return {"damp": tails.compute_weights(inputs["regular_max"]).tolist()}
    changes = inputs.get("param_overrides") or {}
    params = {
        name: changes.get(name, block)
        if isinstance(block, list)
        else {**block, **changes.get(name, {})}
        for name, block in inputs["params"].items()
    }
    rule, account = pmrm_rule(params), pmrm_account(inputs)
    rule["collateral"] = {
        each["Name"]: "U" if each["IsRiskCancelling"] else "" for each in inputs["collaterals"]
    }
    cuts = {
        each["Name"]: each["MMHaircut"] for each in inputs["collaterals"]
    }  # that of IM comes on top
    more = {
        each["Name"]: min(each["MMHaircut"] + each["IMHaircut"], 1.0)
        for each in inputs["collaterals"]
    }
    valuation = StaticHaircut(maintenance=cuts, initial=more)
    contracts, equity, unit = account.market.contracts, float(account.equity()[0]), TIMES * UNIT
    factors = {"initial": rule["initial"], "maintenance": rule["maintenance"]}
    left = {}
    # a market refuses an initial factor below that of maintenance, the contract does not
    for name, part, factor in (("IM", 0, "initial"), ("MM", 1, "maintenance")):
        both = {"initial": max(factors.values()), "maintenance": min(factors.values())} | {
            factor: factors[factor]
        }
        bound = DerivePmrm2.model_validate(rule | both).bind(contracts, UNIT)
        asked = bound.compute_margins(account)[part] + valuation.compute_haircuts(account)[part]
        left[name] = (equity - float(asked[0])) / unit
    return {
        **left,
        "mtm": equity / unit,
        "basis_contingency": float(bound.basis_contingency(account)[0]) / unit,
        "scenario_pnl": (bound.scenario_gains(account)[:, 0] / unit).tolist(),
    }


ENGINES: dict[str, Engine] = {
    "span16": span16,
    "paradex_pm": paradex_pm,
    "deribit_pm": deribit_pm,
    "derive_pmrm2": derive_pmrm2,
}

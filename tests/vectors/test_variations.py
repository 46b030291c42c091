"""Random cases of every signature of the margin vectors, against a second copy of the formulas.

The formulas are those of the published pages, in plain numbers; the runner uses the real engines.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vectors.runner import Case, differences
from vectors.test_vectors import ENGINES

Rng = np.random.Generator
Drawn = tuple[Case, Case]
"""Inputs, and what is expected of them."""

MILLION = 10**6
COUNT = 12


def decimal(rng: Rng, low: float, high: float, places: int = 4) -> float:
    """A number with so many decimals at most."""
    return (
        round(
            float(np.exp(rng.uniform(math.log(low), math.log(high)))), int(rng.integers(places + 1))
        )
        or low
    )


def side(rng: Rng) -> tuple[str, int]:
    return (("long", 1), ("short", -1))[int(rng.integers(2))]


def binance_isolated(rng: Rng) -> Drawn:
    name, s = side(rng)
    q, entry, mmr = (
        decimal(rng, 0.01, 5_000),
        decimal(rng, 0.5, 60_000),
        float(rng.choice([0.004, 0.01, 0.025, 0.1])),
    )
    wallet = q * entry / float(rng.integers(2, 20))
    cum = round(0.2 * mmr * q * entry * rng.random(), 2)
    case = {
        "wallet_balance": wallet,
        "maintenance_amount": cum,
        "mm_rate": mmr,
        "side": name,
        "qty": q,
        "entry": entry,
    }
    return case, {"liq_price": (wallet + cum - s * q * entry) / (q * mmr - s * q)}


def binance_cross(rng: Rng) -> Drawn:
    def leg() -> Case:
        q, entry, mmr = (
            decimal(rng, 0.01, 900),
            decimal(rng, 10, 60_000, 2),
            float(rng.choice([0.004, 0.025, 0.1])),
        )
        cum = round(0.2 * mmr * q * entry * rng.random(), 2)
        return {
            "q": q * float(rng.choice([-1, 1])),
            "ep": entry,
            "mark": round(entry * 0.97, 2),
            "mmr": mmr,
            "cum": cum,
        }

    target, others = leg(), [leg() for _ in range(int(rng.integers(4)))]
    kept = sum(abs(each["q"]) * each["mark"] * each["mmr"] - each["cum"] for each in others)
    gained = sum(each["q"] * (each["mark"] - each["ep"]) for each in others)
    q, s = abs(target["q"]), math.copysign(1, target["q"])
    wallet = round(q * target["ep"] / 4 + kept - gained, 2)
    top = wallet - kept + gained + target["cum"] - s * q * target["ep"]
    price = top / (q * target["mmr"] - s * q)
    return {"wallet_balance": wallet, "target": target, "others": others}, {"liq_price": price}


def gate_okx(rng: Rng) -> Drawn:
    name, s = side(rng)
    q, entry, mmr, fee = (
        decimal(rng, 0.01, 500),
        decimal(rng, 0.5, 60_000),
        0.01,
        float(rng.choice([0, 0.0006, 0.002])),
    )
    leverage = int(rng.integers(1, 30))
    wallet = q * entry / leverage
    case = {
        "wallet_balance": wallet,
        "mm_rate": mmr,
        "taker_fee": fee,
        "side": name,
        "qty": q,
        "entry": entry,
    }
    price = (entry - s * wallet / q) / (1 - s * (mmr + fee))
    return case | {"leverage": leverage}, {"liq_price": price if price > 0 else None}


def phemex(rng: Rng) -> Drawn:
    value, size, leverage = (
        decimal(rng, 50, 5_000, 2),
        int(rng.integers(1, 900)),
        int(rng.integers(2, 30)),
    )
    fee, mmr, amount = float(rng.choice([0, 0.0006, 0.001])), 0.01, float(rng.choice([0, 0.1]))
    balance = value / leverage + (value - value / leverage) * fee
    case = {
        "open_value": value,
        "leverage": leverage,
        "taker": fee,
        "mm_rate": mmr,
        "mm_amount": amount,
        "size": size,
    }
    price = (value - balance - amount) / ((1 - fee) - mmr) / size
    return case, {"assigned_pos_balance": balance, "liq_price": price}


def bybit(rng: Rng) -> Drawn:
    name, s = side(rng)
    q, entry, leverage = decimal(rng, 0.01, 90), decimal(rng, 1, 60_000), int(rng.integers(1, 80))
    mmr, extra = 0.005, round(rng.random() * q * entry / leverage / 4, 2)
    deduction = float(round(0.3 * mmr * q * entry * rng.random(), 3))
    initial, kept = q * entry / leverage, q * entry * mmr - deduction
    price = entry - s * (initial - kept) / q - s * extra / q
    case = {
        "qty": q,
        "entry": entry,
        "leverage": leverage,
        "mm_rate": mmr,
        "mm_deduction": deduction,
        "side": name,
    }
    expected = {
        "initial_margin": initial,
        "maintenance_margin": kept,
        "liq_price": price if price > 0 else None,
    }
    return case | {"extra_margin": extra}, expected


def bybit_inverse(rng: Rng) -> Drawn:
    value, entry, fee, mmr = (
        float(rng.integers(1_000, 90_000)),
        decimal(rng, 2_000, 60_000, 1),
        0.00075,
        0.005,
    )
    balance = round(value / entry / float(rng.integers(2, 20)), 6)
    held = round(balance * rng.random() / 4, 6)
    broken = (1 + fee) * value / (value / entry + balance - held)
    # Q (1/EP - 1/LP) = -(balance - orders - Q/EP mmr - Q fee / BP)
    price = 1 / (1 / entry + (balance - held - value / entry * mmr - value * fee / broken) / value)
    case = {"balance_btc": balance, "order_margin": held, "contracts_usd": value, "entry": entry}
    return case | {"mm_rate": mmr, "taker_fee": fee, "side": "long"}, {
        "bankruptcy_price": broken,
        "liq_price": price,
    }


def bankruptcy(rng: Rng) -> Drawn:
    name, s = side(rng)
    entry, leverage = decimal(rng, 1, 60_000, 2), int(rng.integers(2, 90))
    if rng.random() < 0.4:
        price = entry * leverage / (leverage + s)
        return {"entry": entry, "leverage": leverage, "side": name, "contract": "inverse"}, {
            "bankruptcy_price": price
        }
    if rng.random() < 0.4:
        return {"entry": entry, "leverage": leverage, "side": name}, {
            "bankruptcy_price": entry * (1 - s / leverage)
        }
    size, margin, wallet = (
        int(rng.integers(1, 900)),
        round(entry / 3, 2),
        round(entry * rng.random() / 4, 2),
    )
    case = {
        "entry": entry,
        "size": size,
        "position_margin": margin,
        "wallet_balance": wallet,
        "side": name,
    }
    return case, {"bankruptcy_price": entry - s * (margin + wallet) / size}


def hyperliquid(rng: Rng) -> Drawn:
    name, s = side(rng)
    size, entry, most = (
        decimal(rng, 0.001, 500),
        decimal(rng, 0.5, 70_000),
        int(rng.choice([3, 10, 20, 40, 50])),
    )
    leverage = float(rng.integers(1, most + 1))
    margin, rate = round(size * entry / leverage * 0.99, 6), 1 / (2 * most)
    price = entry - s * (margin - size * entry * rate) / size / (1 - rate * s)
    case = {
        "coin": "C",
        "side": name,
        "entry": entry,
        "size": size,
        "margin": margin,
        "max_leverage": most,
    }
    return case | {"leverage": leverage}, {"liq_price": price if price > 0 else None}


def ladders(rng: Rng) -> Drawn:
    count = int(rng.integers(1, 12))
    caps = np.cumsum(rng.integers(1, 50, count) * 10_000.0)
    if rng.random() < 0.5:
        leverages = np.sort(rng.choice(np.arange(1, 101), count, replace=False))[::-1]
        floors = [0.0, *caps[:-1].tolist()]
        rates = [1 / (2 * each) for each in leverages.tolist()]
        tiers = [
            [floor, leverage] for floor, leverage in zip(floors, leverages.tolist(), strict=True)
        ]
        return {"tiers": tiers}, {"mm_rate": rates, "deduction": cumulated(floors, rates)}
    percent = np.sort(np.round(rng.uniform(0.4, 50, count), 2)).tolist()
    floors = [0.0, *caps[:-1].tolist()]
    return {"tier_cap": caps.tolist(), "mm_rate_pct": percent}, {
        "maintenance_amount": cumulated(floors, [each / 100 for each in percent])
    }


def cumulated(floors: list[float], rates: list[float]) -> list[float]:
    amounts = [0.0]
    for k in range(1, len(rates)):
        amounts.append(amounts[-1] + floors[k] * (rates[k] - rates[k - 1]))
    return amounts


def dydx_rates(rng: Rng) -> Drawn:
    base, lower = int(rng.integers(1, MILLION)), int(rng.integers(0, 10**13))
    upper = int(rng.choice([0, lower + int(rng.integers(1, 10**13))]))
    lower, interest = (0 if not upper else lower), int(rng.integers(0, 2 * 10**13))
    scaled = (
        0
        if not upper
        else min(max(interest - lower, 0) * (MILLION - base) // (upper - lower), MILLION - base)
    )
    case: Case = {
        "base_imf_ppm": base,
        "oi_lower_cap": lower,
        "oi_upper_cap": upper,
        "oi_notional": interest,
    }
    if rng.random() < 0.5:
        return case, {"imf_ppm": base + scaled}
    notional = int(rng.integers(1, 10**12))
    return case | {"notional": notional}, {"imr": -(-notional * (base + scaled) // MILLION)}


def dydx_maintenance(rng: Rng) -> Drawn:
    base, fraction = int(rng.integers(1, MILLION + 1)), int(rng.integers(0, MILLION + 1))
    return {"imf_ppm": base, "maintenance_fraction_ppm": fraction}, {
        "mmf_ppm": base * fraction // MILLION
    }


def dydx_account(rng: Rng) -> tuple[Case, float, float]:
    """An account, its net collateral and its maintenance."""
    prices = {"BTC": float(rng.integers(100, 900) * 100), "ETH": float(rng.integers(10, 90) * 100)}
    names = ["BTC"] if rng.random() < 0.5 else ["BTC", "ETH"]
    positions = {name: float(rng.choice([-1, 1]) * rng.integers(1, 200)) / 1_000 for name in names}
    mmf = float(rng.choice([0.03, 0.05, 0.1]))
    value = sum(positions[name] * prices[name] for name in names)
    kept = sum(abs(positions[name]) * prices[name] * mmf for name in names)
    balance = round(-value + kept * float(rng.uniform(-0.5, 1.2)))
    return (
        {"quote_balance": balance, "positions": positions, "prices": prices, "mmf": mmf},
        value + balance,
        kept,
    )


def dydx_fillable(rng: Rng) -> Drawn:
    case, net, kept = dydx_account(rng)
    asset = str(rng.choice(list(case["positions"])))
    adjustment, spread = float(rng.choice([1, 2, 5])), float(rng.choice([0.1, 0.2]))
    rating = min(max(adjustment * (1 - net / kept), 0), 1)
    size, price = case["positions"][asset], case["prices"][asset]
    asked = (size * price - rating * spread * abs(size) * price * case["mmf"]) / size
    return case | {"asset": asset, "bankruptcy_adjustment": adjustment, "spread_to_mmr": spread}, {
        "fillable_price": asked
    }


def dydx_bankruptcy(rng: Rng) -> Drawn:
    case, net, kept = dydx_account(rng)
    asset = str(rng.choice(list(case["positions"])))
    size, price = case["positions"][asset], case["prices"][asset]
    part = float(rng.choice([0.25, 0.5, 1]))
    closed = round(abs(size) * part, 6)
    value = -math.copysign(closed, size) * price
    freed = closed * price * case["mmf"]
    quote = math.ceil(round((-value - net * freed / kept) * MILLION, 3)) / MILLION
    return case | {"close_asset": asset, "close_size": closed}, {"bankruptcy_quote": quote}


def insurance(rng: Rng) -> Drawn:
    name, s = (("sell", 1), ("buy", -1))[int(rng.integers(2))]
    due, fee = round(rng.uniform(100, 9_000), 2), float(rng.choice([0.001, 0.005]))
    filled = round(due * (1 + s * rng.uniform(-0.05, 0.05)), 2)
    gain = round(s * (filled - due), 6)
    case = {"side": name, "fill_quote": filled, "bankruptcy_quote": due, "max_liq_fee": fee}
    capped = math.floor(round(fee * filled * MILLION, 3)) / MILLION
    return case, {"insurance_fund_delta": gain if gain <= 0 else min(gain, capped)}


def vega_levels(rng: Rng) -> Drawn:
    volume, mark = int(rng.choice([-1, 1]) * rng.integers(1, 200)), int(rng.integers(1_000, 10**7))
    slip, factor = round(rng.uniform(0, 2), 3), round(rng.uniform(0.01, 0.5), 4)
    kept = math.ceil(round(abs(volume) * mark * (slip + factor), 6))
    scales = {"search_scale": 1.1, "initial_scale": 1.5, "release_scale": 1.7}
    case = {"open_volume": volume, "mark": mark, "linear_slippage": slip}
    case["rf_long" if volume > 0 else "rf_short"] = factor
    levels = {
        name.removesuffix("_scale"): math.floor(round(scale * kept, 6))
        for name, scale in scales.items()
    }
    return case | scales, {"maintenance": kept, **levels}


def vega_plain(rng: Rng) -> Drawn:
    volume, mark = int(rng.choice([-1, 1]) * rng.integers(1, 200)), int(rng.integers(1, 90_000))
    slip, factor = float(rng.choice([0, 0.25, 100])), round(rng.uniform(0.01, 0.5), 3)
    case = {"open_volume": volume, "mark": mark, "linear_slippage": slip}
    return case | {"rf_long" if volume > 0 else "rf_short": factor}, {
        "maintenance": abs(volume) * mark * (slip + factor)
    }


def drift_size(rng: Rng) -> Drawn:
    short, ratio, price = float(rng.integers(1, 500)), 0.1, float(rng.integers(1, 900))
    fee, fund, quote = (
        float(rng.choice([0, 0.01])),
        float(rng.choice([0, 0.01])),
        float(rng.choice([0.99, 1, 1.01])),
    )
    case = {"margin_shortage": short, "margin_ratio": ratio, "liquidator_fee": fee, "if_fee": fund}
    amount = short / (price * quote * (ratio - fee) - price * fund)
    return case | {"oracle_price": price, "quote_price": quote}, {"base_amount": amount}


def drift_transfer(rng: Rng) -> Drawn:
    short, price = float(rng.integers(1, 500)), float(rng.integers(1, 900))
    asset, owed = float(rng.choice([0.8, 0.9])), float(rng.choice([1.1, 1.2]))
    mults = 1 - float(rng.choice([0, 0.01])), 1 + float(rng.choice([0, 0.02]))
    case = {
        "shortage": short,
        "asset_weight": asset,
        "liability_weight": owed,
        "liability_price": price,
    }
    amount = short / (price * (owed - asset * mults[0] / mults[1]))
    return case | {"asset_mult": mults[0], "liability_mult": mults[1]}, {"transfer": amount}


def drift_fee(rng: Rng) -> Drawn:
    base, most, grace = 0.01 * int(rng.integers(4)), 0.05, int(rng.integers(0, 3_000))
    slots = rng.integers(0, 200_000, 5).tolist()
    fees = [min(most, base + 1e-6 * each) if each >= grace else base for each in slots]
    return {"base_fee": base, "max_fee": most, "grace_slots": grace, "slots": slots}, {"fee": fees}


def drift_weights(rng: Rng) -> Drawn:
    size, factor = float(rng.choice([0, 1, 1_000, 10**6])), float(rng.choice([0, 1e-4, 0.003, 0.1]))
    held, owed = float(rng.choice([0.8, 0.9, 1])), float(rng.choice([1, 1.1, 1.2]))
    asset = math.floor(min(held, 1.1 / (1 + factor * math.sqrt(size))) * 10_000 + 1e-6) / 10_000
    liability = (
        math.floor(max(owed, 0.8 * owed + factor * math.sqrt(size)) * 10_000 + 1e-6) / 10_000
    )
    case = {
        "size": size,
        "imf_factor": factor,
        "base_asset_weight": held,
        "base_liability_weight": owed,
    }
    return case, {"asset_weight": asset, "liability_weight": liability}


def span_arrays(rng: Rng) -> Drawn:
    held = {
        name: int(rng.integers(-9, 10))
        for name in ("future", "call", "put")[: int(rng.integers(1, 4))]
    }
    arrays = {f"{name}_array": rng.integers(-9_000, 9_000, 16).tolist() for name in held}
    total = [sum(held[name] * arrays[f"{name}_array"][s] for name in held) for s in range(16)]
    return {"positions": held, **arrays}, {
        "portfolio_array": total,
        "span_requirement": max(0, -min(total)),
    }


def haircut(rng: Rng) -> Drawn:
    count = int(rng.integers(1, 6))
    caps = np.cumsum(rng.integers(1, 90, count) * 1e5).tolist()
    rates = np.sort(np.round(rng.uniform(0.2, 0.98, count), 2))[::-1].tolist()
    amounts = [float(rng.integers(0, int(caps[-1] * 1.2))) for _ in range(3)]
    edges = [0.0, *caps]
    told = [
        sum(rate * max(min(q, edges[k + 1]) - edges[k], 0) for k, rate in enumerate(rates))
        for q in amounts
    ]
    return {"tier_cap_units": caps, "discount": rates, "qty": amounts}, {"weighted_units": told}


def deribit_shock(rng: Rng) -> Drawn:
    dte, base, power = (
        float(rng.uniform(1.5, 300)),
        float(rng.choice([0.38, 0.4, 0.5])),
        float(rng.choice([0.3, 0.5])),
    )
    return {"dte": dte, "base": base, "power": power}, {"shock": base * (30 / dte) ** power}


def paradex_weights(rng: Rng) -> Drawn:
    reach, shocks = float(rng.choice([0.12, 0.16, 0.2])), (rng.integers(25, 600, 6) / 100).tolist()
    return {"regular_max": reach, "shocks": shocks}, {"weight": [reach / each for each in shocks]}


def binance_queue(rng: Rng) -> Drawn:
    gain, wallet, ratio = (
        round(float(rng.uniform(*ends)), 4) for ends in ((-500, 500), (0, 9), (0, 1.5))
    )
    share = max(0.0, gain) / max(1.0, wallet)
    case = {"unrealized": gain, "wallet_balance": wallet, "margin_ratio": ratio}
    return case, {"pnl_percent": share, "leverage_pnl": share * ratio}


def bitmex_queue(rng: Rng) -> Drawn:
    """One account after another, best score first, until enough; a light per fifth of the queue."""
    side, other = ("longs", "short") if rng.random() < 0.5 else ("shorts", "long")
    queue = [
        {"acct": str(n), "qty": int(rng.integers(1, 90)), "score": n % 7 - 3}
        for n in rng.permutation(12)
    ]
    first = sorted(queue, key=lambda each: -each["score"])
    total, wanted = sum(each["qty"] for each in queue), int(rng.integers(1, 400))
    fills, lights, seen = [], [], 0
    for each in first:
        taken = max(0, min(each["qty"], wanted - seen))
        fills += [[each["acct"], taken]] if taken else []
        seen += each["qty"]
        lights.append(20 * math.ceil(5 * seen / total - 1e-12))
    case = {side: queue, f"liquidated_{other}_size": wanted, "bankruptcy_price": 650}
    return case, {"order": [each["acct"] for each in first], "fills": fills, "percentile": lights}


def vega_funding(rng: Rng) -> Drawn:
    f, s, years = (
        float(rng.uniform(90, 110)),
        float(rng.uniform(90, 110)),
        float(rng.choice([0, 0.001, 0.01])),
    )
    rate, low, high = (
        float(rng.choice([0, 0.05])),
        -float(rng.uniform(0, 0.05)),
        float(rng.uniform(0, 0.05)),
    )
    paid = f - s + min(max((1 + years * rate) * s - f, low * s), high * s)
    case = {
        "f_twap": f,
        "s_twap": s,
        "delta_t": years,
        "interest_rate": rate,
        "clamp_lower": low,
        "clamp_upper": high,
    }
    return case, {"funding_payment": paid, "funding_rate": paid / s}


def vega_bounds(rng: Rng) -> Drawn:
    f, s, scaling = (
        float(rng.uniform(90, 110)),
        float(rng.uniform(90, 110)),
        float(rng.choice([0.5, 1, 2])),
    )
    low, high = -float(rng.uniform(0, 0.02)), float(rng.uniform(0, 0.02))
    case = {
        "internal_twap": f,
        "external_twap": s,
        "scaling": scaling,
        "rate_lower": low,
        "rate_upper": high,
    }
    return case | {"clamp": 0, "interest": 0}, {
        "funding_rate": min(max(scaling * (f - s) / s, low), high)
    }


def dydx_index(rng: Rng) -> Drawn:
    rate, seconds, price = (
        int(rng.integers(-(10**6), 10**6)),
        3_600 * int(rng.integers(1, 9)),
        int(rng.integers(1, 10**6)),
    )
    # parts per million of quote quantums per base quantum: price x 10^(exponent + resolution + 6)
    case = {
        "rate8h_ppm": rate,
        "dt_s": seconds,
        "price": price,
        "price_exp": -6,
        "atomic_resolution": 0,
    }
    exact = rate * seconds * price
    return case, {"index_delta": int(math.copysign(abs(exact) // 28_800, exact)) if exact else 0}


SIGNATURES: dict[str, tuple[str, Callable[[Rng], Drawn], float]] = {
    "binance isolated": ("binance_isolated_tiered", binance_isolated, 1e-9),
    "binance cross": ("binance_cross_tiered", binance_cross, 1e-8),
    "gate, okx": ("gate_okx_isolated", gate_okx, 1e-9),
    "phemex": ("phemex_isolated", phemex, 1e-9),
    "bybit": ("bybit_isolated", bybit, 1e-8),
    "bybit inverse": ("bybit_inverse_cross", bybit_inverse, 1e-12),
    "bankruptcy": ("bankruptcy_price", bankruptcy, 1e-9),
    "hyperliquid": ("hyperliquid", hyperliquid, 1e-8),
    "ladders": ("tiered_brackets", ladders, 1e-12),
    "dydx rates": ("dydx_v4", dydx_rates, 0.0),
    "dydx maintenance": ("dydx_v4", dydx_maintenance, 0.0),
    "dydx fillable": ("dydx_v4", dydx_fillable, 1e-9),
    "dydx bankruptcy": ("dydx_v4", dydx_bankruptcy, 1e-9),
    "insurance": ("insurance_fund", insurance, 1e-9),
    "vega levels": ("vega_cross", vega_levels, 0.0),
    "vega": ("vega_cross", vega_plain, 1e-9),
    "drift size": ("drift_liquidation", drift_size, 1e-9),
    "drift transfer": ("drift_liquidation", drift_transfer, 1e-9),
    "drift fee": ("drift_liquidation", drift_fee, 1e-9),
    "drift weights": ("concentration_addon", drift_weights, 1e-9),
    "span": ("span16", span_arrays, 1e-12),
    "haircut": ("collateral_haircut", haircut, 1e-9),
    "binance queue": ("adl_binance", binance_queue, 1e-12),
    "bitmex queue": ("adl_bitmex", bitmex_queue, 0.0),
    "deribit": ("deribit_pm", deribit_shock, 1e-9),
    "paradex": ("paradex_pm", paradex_weights, 1e-9),
    "vega funding": ("funding_vega", vega_funding, 1e-9),
    "vega bounds": ("funding_vega", vega_bounds, 1e-9),
    "dydx index": ("funding_dydx", dydx_index, 0.0),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_the_rule_not_the_case(name: str) -> None:
    engine, draw, within = SIGNATURES[name]
    found = []
    for number in range(COUNT):
        inputs, expected = draw(np.random.default_rng([number, len(name)]))
        got: Any = ENGINES[engine](inputs)
        found += [
            f"{inputs}: {line}"
            for line in differences(got, expected, {"type": "rel", "value": within}, name)
        ]
    assert found == []

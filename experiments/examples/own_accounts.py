"""A book of accounts in a fall of 15%: its liquidation map and a run, under three engines.

The table of this example is drawn from quantiles of account values and leverage that are published
for accounts deleveraged on Hyperliquid on 10 October 2025 (HyperReplay data set, by way of
pluriholonomic/autodeleveraging-analysis). With the folder of these data as an argument, all of
their quantiles are used:

    python experiments/examples/own_accounts.py FOLDER
"""

import sys
from pathlib import Path

import deleverage
import numpy as np
import pandas as pd

from experiments.accounts.liquidation_map import compute_map
from experiments.accounts.open_table import open_markets

SHARES = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.94, 0.96, 0.98)
LEVERAGE = (0.053, 0.199, 0.434, 0.839, 1.278, 3.236, 5.462, 8.015, 17.65)
ACCOUNT_VALUE = (39.37, 326.7, 940.7, 3_952, 9_682, 43_664, 127_783, 254_645, 626_907)
"""Shares of accounts, and the published quantiles at them: leverage (times), value (USD)."""

FILE = "hyperliquid_adl_users_quantiles.csv"
N_ACCOUNTS, PRICE, LOT = 400, 50_000, 0.01
FALL = [
    "stresses.0.size=-0.15",
    *("populations.0.count=20", "populations.1.count=5"),
    *("populations.5.wealth=1000", "populations.5.share=null"),
]
"""The fall, few traders beside the book and its makers, and an insurance fund of 1,000 USD."""


def read_quantiles(folder: Path) -> pd.DataFrame:
    """Return the published quantiles of value and leverage, from the file or from those above."""
    if len(sys.argv) > 1:
        table = pd.read_csv(folder / FILE)
        table = table[table["quantile"].between(SHARES[0], SHARES[-1])]
        named = {"leverage_realtime": "leverage", "account_value_realtime": "value"}
        return table.rename(columns=named)
    return pd.DataFrame({"quantile": SHARES, "leverage": LEVERAGE, "value": ACCOUNT_VALUE})


def draw_accounts(quantiles: pd.DataFrame) -> pd.DataFrame:
    """Return a table of accounts: the larger half of values, leverage independent of value.

    Three in five are long. Values, leverage and sides are at evenly spaced shares, in random order.
    """
    draws = np.random.default_rng(10_10_2025)
    even = (np.arange(N_ACCOUNTS) + 0.5) / N_ACCOUNTS
    shares, logs = quantiles["quantile"], np.log(quantiles[["leverage", "value"]])
    leverage = np.exp(np.interp(SHARES[0] + even * 0.88, shares, logs["leverage"]))
    value = np.exp(np.interp(0.5 + even * 0.48, shares, logs["value"]))
    side = np.where(draws.permutation(even) < 0.6, 1, -1)
    lots = np.maximum(np.rint(value * draws.permutation(leverage) / (PRICE * LOT)), 1)
    return pd.DataFrame(
        {
            "owner": [f"account {number}" for number in range(N_ACCOUNTS)],
            "instrument": "BTC-PERP",
            "quantity": np.round(side * lots * LOT, 2),
            "entry": PRICE,
            "collateral": np.round(value, 2),
        }
    )


folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
if len(sys.argv) > 1 and not (folder / FILE).is_file():
    print(f"skipped: {folder} has no {FILE}, the published quantiles")
    sys.exit()
table = draw_accounts(read_quantiles(folder))
table.to_csv("my_book.csv", index=False)
gross, net = table["quantity"].abs().sum() * PRICE, table["quantity"].sum() * PRICE
print(f"{len(table)} accounts, {gross:,.0f} USD gross, {net:+,.0f} USD net")

print("\nby the map, at once and before any trade:")
engines = ("binance", "hyperliquid", "span")
for engine, market in open_markets("small_crash", "my_book.csv", ",".join(engines)).items():
    moves = compute_map(market, {}).moves
    rows = moves[np.isclose(moves["move"], -0.15)].iloc[0]
    book = market.state.opening_book
    below = book.counts.liquidatable
    print(f"{engine:12}{below:3} owners below maintenance at the start; ", end="")
    print(f"-15%: {rows['owners']} owners, {rows['notional']:,.0f} USD ({rows['share']:.0%})")

print("\nin a market that falls by 15% in half an hour, close-outs included:")
for engine in engines:
    words = ["accounts.file=my_book.csv", *FALL]
    crash = deleverage.run("small_crash", words, engine=engine)
    holders = crash.frames["accounts"].query("population == 'holders'")["owner"].unique()
    close_outs, losses = (
        crash.frames[name].query("owner in @holders") for name in ("closeouts", "losses")
    )
    sold, owners = close_outs["notional"].sum() / 100, close_outs["owner"].nunique()
    layers = losses.groupby("layer")[["notional", "absorbed"]].sum() / 100
    taken, adl = (layers["notional"].get(name, 0.0) for name in ("fund", "adl_queue"))
    print(f"{engine:12}{owners:3} owners, {sold:,.0f} USD sold, ", end="")
    print(f"{taken:,.0f} taken by the fund, ADL {adl:,.0f}, ", end="")
    print(f"system loss {layers['absorbed'].sum():,.0f}")

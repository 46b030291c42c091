"""Units of the columns of all frames; `sim/recording/README.md` has them beside the meanings."""

import pandas as pd

from sim.instruments import Asset

QUOTE, NUMERAIRE = "quote", "numeraire"
"""Units that depend on the market: a price in quote currency, and minor units of the numeraire."""

UNITS: dict[str, dict[str, str]] = {
    "steps": {
        "1": "step funding margin_long margin_short feedback",
        "s": "seconds",
        "date and time": "stamp",
        "name": "venue instrument kind",
        "quote": "index exogenous oracle mark mid bid ask last",
        "lots": "depth depth_near open_interest to_sell to_buy volume liquidated adl",
        "numeraire": "gross markout liquidated_notional adl_notional",
        "count": "trades closeouts",
        "true or false": "fallback",
    },
    "venues": {
        "1": "step",
        "s": "seconds",
        "date and time": "stamp",
        "name": "venue",
        "numeraire": "fund equity initial maintenance shortfall deposits withdrawals",
        "count": "calls calls_met calls_missed",
    },
    "market": {
        "1": "step",
        "s": "seconds",
        "date and time": "stamp",
        "count": "rounds",
    },
    "closeouts": {
        "1": "id step round order owner action pool",
        "name": "venue population instrument route",
        "lots": "planned filled",
        "quote": "limit mark_before mark_after mid_before mid_after",
        "numeraire": "notional equity maintenance",
    },
    "causes": {
        "1": "action step round",
        "name": "kind instrument",
        "numeraire": "amount",
    },
    "losses": {
        "1": "step pool owner",
        "name": "venue layer",
        "numeraire": "shortfall absorbed notional",
        "lots": "lots",
    },
    "accounts": {
        "name": "moment population venue",
        "1": "step owner pool",
        "numeraire": "equity initial maintenance gross net alone wallet",
        "count": "instruments",
    },
    "profile": {
        "1": "step",
        "name": "venue instrument",
        "share": "move",
        "numeraire": "at_risk",
        "lots": "fresh resting",
    },
    "populations": {
        "1": "step",
        "name": "venue population",
        "numeraire": "equity initial gross",
    },
}
"""Columns by frame and unit, separated by spaces."""


def label_units(frames: dict[str, pd.DataFrame], numeraire: Asset) -> dict[str, pd.DataFrame]:
    """Write the unit of every column into the ``attrs`` of each frame, in place; return the frames.

    ``attrs["units"]`` maps columns to units. Money is in minor units of the numeraire, such as
    ``0.01 USD``; divide it by ``attrs["minor_units"]`` for units of ``attrs["numeraire"]``.
    """
    minor = 10**numeraire.decimals
    words = {QUOTE: "quote currency", NUMERAIRE: f"{1 / minor:g} {numeraire.name}"}
    for name, frame in frames.items():
        units = {
            column: words.get(unit, unit)
            for unit, columns in UNITS[name].items()
            for column in columns.split()
        }
        frame.attrs["units"] = {column: units[column] for column in frame.columns.astype(str)}
        frame.attrs |= {"numeraire": numeraire.name, "minor_units": minor}
    return frames

"""A few populations for a packaged exchange, independent of the calibration of packaged ones."""

TRADERS = {
    "kind": "traders",
    "count": 150,
    "venue": "exchange",
    "leverage": 8,
    "leverage_sigma": 0.7,
}
TRADERS |= {
    "reference_leverage": 40,
    "elasticity": 1.0,
    "initial_entry_share": 0.6,
    "warm_up": 1800,
}
TRADING = [
    TRADERS,
    {"kind": "makers", "count": 6, "venue": "exchange", "wealth": 1_500_000, "max_inventory": 4},
    {
        "kind": "arbitrageurs",
        "count": 5,
        "venue": "exchange",
        "spot_venue": "outside",
        "wealth": 1_000_000,
    },
    {"kind": "insurance_fund", "venue": "exchange", "wealth": 250_000},
]

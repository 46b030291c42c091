"""A hedged and an open position under every packaged engine: what each has to hold."""

import deleverage
import pandas as pd

accounts = pd.DataFrame(
    [
        ("basis trade", "BTC-Q", 1.0),
        ("basis trade", "BTC-PERP", -1.0),
        ("perpetual alone", "BTC-PERP", -1.0),
    ],
    columns=["account", "instrument", "quantity"],
)
table = deleverage.margins("portfolios/hedged_basis", accounts, cash=50_000.0)
initial = table["initial"].unstack("account")
initial["hedged ÷ open"] = initial["basis trade"] / initial["perpetual alone"]
print(initial.round(2).to_string())

"""Read the frames of a run with pandas: close-outs, their times, and the payers of losses."""

import deleverage

CAP_100 = "venues.0.engine.requirement.tiers=[{floor: 0, max_leverage: 100}]"

crash = deleverage.run("small_crash", [CAP_100])
unit = 10 ** crash.config.assets[0].decimals

close_outs = crash.frames["closeouts"]
by_population = close_outs.groupby("population").agg(
    owners=("owner", "nunique"), notional=("notional", "sum")
)
by_population["notional"] = (by_population["notional"] / unit).round()
print(by_population.to_string())

steps = crash.frames["steps"].set_index("seconds")
worst = steps["liquidated_notional"].idxmax()
print(f"\nmost was closed out at {worst / 60:.0f} minutes")

losses = crash.frames["losses"].groupby("layer", sort=False)["absorbed"].sum() / unit
print("losses borne by layer (USD):")
print(losses.round().to_string())

"""A counterfactual on the same draws: the crash again, with one account kept out of liquidation."""

import deleverage

from sim.metrics.overview import find_deepest_fall

CAP_100 = "venues.0.engine.requirement.tiers=[{floor: 0, max_leverage: 100}]"

crash = deleverage.run("small_crash", [CAP_100])
close_outs = crash.frames["closeouts"]
notional = close_outs[close_outs["population"] == "noise"].groupby("owner")["notional"].sum()
largest = int(notional.idxmax())
print(f"as it is: {len(notional)} owners closed out; owner {largest} has the most notional")

spared = deleverage.run("small_crash", [CAP_100, f"rescues=[{{owners: [{largest}]}}]"])
others = spared.frames["closeouts"].query("population == 'noise' and owner != @largest")
before, after = (
    notional.drop(largest).sum() / 100,
    others["notional"].sum() / 100,
)
print(f"others closed out: {before:,.0f} USD as it is, {after:,.0f} USD without it")
for label, run in (("as it is", crash), ("without it", spared)):
    print(f"{label}: the mark fell {-find_deepest_fall(run.frames, 'mark').value:.2%}")

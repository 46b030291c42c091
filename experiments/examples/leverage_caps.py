"""The same crash under three leverage caps: how far the mark falls, and who is closed out."""

import deleverage

from sim.metrics.overview import find_deepest_fall, sum_close_outs

TIERS = "venues.0.engine.requirement.tiers=[{{floor: 0, max_leverage: {cap}}}]"

for cap in (10, 50, 100):
    crash = deleverage.run("small_crash", [TIERS.format(cap=cap)])
    fall = find_deepest_fall(crash.frames, "mark")
    owners = sum_close_outs(crash.frames)["owners"]
    shortfall = crash.summary["shortfall"] / 100
    print(f"cap {cap:3}: the mark fell {-fall.value:.1%}, {owners} owners closed out, ", end="")
    print(f"{shortfall:,.0f} USD beyond their margin")

"""Tables of tiers: what continuity makes of a ladder."""

from vectors.runner import Case, Engine

from sim.margin.tiers.tiered import (
    Tier,
    TieredRequirement,
    compute_cumulative_amounts,
    tabulate_ladder,
)


def tiered_brackets(inputs: Case) -> Case:
    """Maintenance rates and the amounts that make them continuous (margin.md §1, §2)."""
    if "tiers" in inputs:  # Hyperliquid: floors and highest leverages
        rule = TieredRequirement(
            tiers=tuple(
                Tier(floor=floor, max_leverage=leverage) for floor, leverage in inputs["tiers"]
            )
        )
        _, _, rate, amount = tabulate_ladder(rule.tiers, rule.maintenance_ratio, unit=1)
        return {"mm_rate": rate.tolist(), "deduction": amount.tolist()}
    floors = [0.0, *inputs["tier_cap"][:-1]]
    rates = [percent / 100 for percent in inputs["mm_rate_pct"]]
    return {"maintenance_amount": compute_cumulative_amounts(floors, rates).tolist()}


ENGINES: dict[str, Engine] = {
    "tiered_brackets": tiered_brackets,
}

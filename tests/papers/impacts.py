"""Metaorders in variants of the baseline, each beside its twin, and what they move the mark by."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from papers import calm

from agents import POPULATIONS, populate
from experiments.config import load_run
from sim.market import Market
from sim.metrics.impact import measure_impact

AT, PARTS = 120, 60
"""Steps before the order, the time over which traders enter; and those over which it is worked."""


class Setup(NamedTuple):
    """A variant of the baseline."""

    overrides: tuple[str, ...] = ()
    latent: dict[str, Any] | None = None  # fields of latent liquidity, if there is any


def worked(setup: Setup, quantity: int, seed: int) -> Market:
    """The market when an order of so many lots has been worked."""
    config = load_run(
        "baseline", [f"duration={60 * (AT + PARTS)}", "populations.0.count=500", *setup.overrides]
    )
    order = {"kind": "metaorder", "quantity": quantity, "at": 60 * AT, "duration": 60 * PARTS}
    joined = (
        [order] if setup.latent is None else [{"kind": "latent_liquidity"} | setup.latent, order]
    )
    people = [
        POPULATIONS[fields["kind"]].model_validate({"venue": "exchange"} | fields)
        for fields in joined
    ]
    market = Market(config, populate([*config.populations, *people]), seed=seed)
    while market.tick < market.steps_planned:
        market.step()
    return market


def impacts(setup: Setup, sizes: Sequence[int], seed: int) -> dict[str, float]:
    """Return the impact of each size, log units, and the filled share (key ``filled_`` + size)."""
    twin = worked(setup, 0, seed).recorder.frames()
    found = {}
    for size in sizes:
        market = worked(setup, size, seed)
        held = market.ledger.position[0, market.member_slices[-1].start]
        found[str(size)] = measure_impact(
            market.recorder.frames(), twin, calm.PERPETUAL, AT + PARTS
        )
        found[f"filled_{size}"] = float(held) / size
    return found

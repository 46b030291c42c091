"""Three estimates of a known branching ratio (LIQ-7, LIQ-8); figures: ``pytest -rP``."""

import numpy as np
import pytest
from papers.branching import Chain, played

from sim.metrics.contagion import build_contagion
from sim.metrics.criticality import fit_hawkes, tabulate_feedback, tabulate_rounds
from sim.metrics.generations import estimate_branching, tabulate_generations
from sim.metrics.returns import NORMAL_95, estimate_jackknife_interval

Found = tuple[float, float]
"""An estimate and the half-width of its 95% interval."""


def estimates(chain: Chain) -> dict[str, Found]:
    """Estimate the ratio from causes, from counts of close-outs, and from the book beforehand."""
    frames = played(chain).recorder.frames()
    linked, slots = estimate_branching(build_contagion(frames)), tabulate_rounds(frames, "venue")
    counted = fit_hawkes(slots["count"].to_numpy(), slots["outside"].to_numpy())
    ahead = tabulate_feedback(frames, "PERP")[-0.01].to_numpy()[
        :-6
    ]  # the last window would look beyond the last account
    low, high = estimate_jackknife_interval(lambda part: float(part.mean()), ahead, blocks=10)
    return {
        "graph": (linked.value, (linked.high - linked.low) / 2),
        "Hawkes": (counted.ratio, (counted.high - counted.low) / 2),
        "R(1%)": (float(ahead.mean()), (high - low) / 2),
    }


def check(
    accounts: int, ratios: tuple[float, ...], tolerance: dict[float, float], width: float
) -> None:
    print(
        f"{accounts} accounts\n   R  "
        + "".join(f"{name:>20}" for name in ("graph", "Hawkes", "R(1%)"))
    )
    for ratio in ratios:
        found = estimates(Chain(ratio, accounts))
        print(
            f"{ratio:4.2f}  "
            + "".join(f"{value:12.3f} ± {half:.3f}" for value, half in found.values())
        )
        for name, (value, half) in found.items():
            assert abs(value - ratio) <= tolerance[ratio], f"{name} at {ratio}"
            assert half <= width, f"{name} at {ratio}"


def test_three_estimates_of_one_ratio() -> None:
    """A tenth of the accounts of the slow test, hence wider."""
    check(2_000, (0.5,), {0.5: 0.08}, 0.1)


@pytest.mark.slow
def test_three_estimates_of_each_ratio() -> None:
    check(20_000, (0.3, 0.5, 0.7, 0.9), {0.3: 0.05, 0.5: 0.05, 0.7: 0.05, 0.9: 0.08}, 0.05)


def test_every_generation_is_r_times_the_one_before() -> None:
    frames = played(Chain(0.5)).recorder.frames()
    table = tabulate_generations(build_contagion(frames)).query("actions > 100")
    assert len(table) >= 3
    assert (np.abs(table["ratio"] - 0.5) < 2 * NORMAL_95 * np.sqrt(0.5 / table["actions"])).all()

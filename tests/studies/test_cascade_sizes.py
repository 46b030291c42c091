"""The study of cascade sizes on cascades drawn from a known law."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.studies import cascade_sizes


def drawn(power: float, seeds: int = 12) -> pd.DataFrame:
    """Draw geometric sizes whose cutoff, 2 x mean - 1, is a power of the number of traders."""
    parts = []
    for traders in (100, 200, 400, 800):
        mean = (7 * (traders / 100) ** power + 1) / 2
        for seed in range(seeds):
            accounts = np.random.default_rng((traders, seed)).geometric(1 / mean, 60)
            parts.append(
                pd.DataFrame(
                    {"size": traders / 400, "seed": seed, "traders": traders, "accounts": accounts}
                )
            )
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("power", "sentence"),
    [
        (0.0, "its growth is not statistically significant"),
        (0.5, "it grows more slowly than the market"),
        (1.0, "it keeps its share of the market"),
    ],
)
def test_a_cutoff_grows_as_the_law_it_was_drawn_from(power: float, sentence: str) -> None:
    runs = drawn(power)
    table = cascade_sizes.fit_growth(cascade_sizes.tabulate_sizes(runs))
    (found,) = table.to_dict("records")
    assert found["low"] <= power <= found["high"]
    assert found["high"] - found["low"] < 0.3
    assert sentence in cascade_sizes.describe_growth(table)


@pytest.mark.slow
def test_an_exponential_tail_is_not_called_a_power_law(tmp_path: Path) -> None:
    runs = drawn(1.0, seeds=3)
    table = cascade_sizes.tables(runs)["tails"].set_index(["traders", "rival"])
    assert (table.loc[(800, "exponential"), "ratio"]) < 0
    cascade_sizes.figures(runs, tmp_path)
    shown = pd.read_csv(tmp_path / "cascade_sizes.csv")
    assert (shown.groupby("traders")["share"].max() == 1).all()
    assert (tmp_path / "cascade_sizes.pdf").exists()


def test_markets_with_few_cascades_have_their_line() -> None:
    few = drawn(1.0, seeds=1).groupby("traders").head(3)
    text = cascade_sizes.report(few)
    assert "Too few markets with cascades" in text
    assert "| 100 | 3 |" in text

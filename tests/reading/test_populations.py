"""Populations with sources: lists that runs include, and published figures (AGT-6, targets A13)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.leveraged import LognormalLeverage
from experiments.config import RunConfig, load_run
from sim.errors import ConfigError
from sim.numerics.rng import RandomStreams
from sim.reading.loading import resolve_config
from sim.types import F8, I8, Contracts, MarketSpec

MANY = 100
"""Times as many members as a run has, so that draws do not matter."""

RUN = """
include: [baseline]
populations:
  - {{include: populations/{name}{more}}}
  - {{kind: makers, count: 6, venue: exchange}}
"""


def run_of(folder: Path, name: str, *overrides: str, more: str = "") -> RunConfig:
    path = folder / "run.yaml"
    path.write_text(RUN.format(name=name, more=more))
    return load_run(path, overrides)


def weighted(folder: Path, name: str) -> tuple[F8, F8]:
    """Return the target leverage and the open interest of members with a lognormal leverage."""
    columns = {
        "venue": [0, 1],
        "underlying": [0, 0],
        "settle": [0, 0],
        "kind": [0, 1],
        "multiplier": [1, 1],
    }
    columns |= {"tick": [1, 1], "lot": [1, 1], "max_price": [10**6, 10**6]}
    contracts = Contracts(
        ("PERP", "SPOT"), **{name: np.array(column) for name, column in columns.items()}
    )
    setting = MarketSpec(60.0, 100, ("exchange", "outside"), ("btc",), contracts, np.array([0, 1]))
    leverage, interest = [np.empty(0)], [np.empty(0)]
    for config in run_of(folder, name).populations:
        if isinstance(config, LognormalLeverage):
            crowd = config.model_copy(update={"count": config.count * MANY}, deep=True)
            draws = RandomStreams(1).draw_uniform(crowd.name, 0, crowd.count, crowd.n_trait_draws)
            wealth: I8 = crowd.start(setting, draws)[:, 0]
            leverage.append(crowd._members.target_leverage)
            interest.append(
                wealth * np.minimum(crowd._members.target_leverage, crowd.reference_leverage)
            )
    return np.concatenate(leverage), np.concatenate(interest)


def test_hyperliquid_like_has_the_shares_of_open_interest_by_leverage(tmp_path: Path) -> None:
    """36% up to 3 times, 48% from 3 to 7, 15% above."""
    leverage, interest = weighted(tmp_path, "hyperliquid_like")
    edges = (leverage >= 3).astype(int) + (leverage >= 7)
    shares = np.bincount(edges, interest) / interest.sum()
    print("hyperliquid_like, open interest up to 3, to 7, above:", shares.round(3))
    assert shares == pytest.approx([0.36, 0.48, 0.15], abs=0.025)


def test_bitmex_like_has_the_mean_and_the_percentile_by_contracts(tmp_path: Path) -> None:
    """Mean 22 to 30 times, 80th percentile 47 to 54."""
    leverage, interest = weighted(tmp_path, "bitmex_like")
    order = np.argsort(leverage)
    high = leverage[order][np.searchsorted(np.cumsum(interest[order]), 0.8 * interest.sum())]
    mean = np.average(np.minimum(leverage, 100), weights=interest)
    print(f"bitmex_like, by contracts: mean {mean:.1f}, 80th percentile {high:.1f}")
    assert 22 <= mean <= 30
    assert 47 <= high <= 54


@pytest.mark.parametrize("name", ["hyperliquid_like", "bitmex_like"])
def test_a_run_includes_them_beside_others(tmp_path: Path, name: str) -> None:
    populations = run_of(tmp_path, name).populations
    kinds = {population.kind for population in populations}
    assert kinds == {"traders", "trend", "fundamental", "kelly", "carry", "makers"}
    assert sum(population.count for population in populations) == 2006
    assert populations[-1].kind == "makers"


def test_keys_beside_the_include_win_in_each(tmp_path: Path) -> None:
    populations = run_of(
        tmp_path, "bitmex_like", more=", elasticity: 0, entries_per_day: 5"
    ).populations
    assert {(p.elasticity, p.entries_per_day) for p in populations[:-1]} == {(0.0, 5.0)}


class TestStars:
    """``populations.*.field``: wherever the field is known."""

    def test_a_field_is_set_in_all_that_have_it(self, tmp_path: Path) -> None:
        config = run_of(
            tmp_path,
            "hyperliquid_like",
            "populations.*.elasticity=0.5",
            "populations.*.heterogeneity=0.1",
        )
        assert {p.elasticity for p in config.populations[:-1]} == {0.5}
        assert config.populations[-1].heterogeneity == 0.1

    def test_a_nested_field_and_its_defaults_too(self, tmp_path: Path) -> None:
        config = run_of(
            tmp_path,
            "hyperliquid_like",
            "populations.*.capital.trim_probability=0.7",
            "venues.*.fees.taker=0.001",
        )
        managed = [p.capital for p in config.populations[:-1]]
        assert all(capital is not None and capital.trim_probability == 0.7 for capital in managed)
        assert [venue.fees.taker for venue in config.venues] == [0.001, 0.001]

    def test_an_old_name_is_refused_with_the_new_one(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            run_of(tmp_path, "hyperliquid_like", "populations.*.capital.trims=0.7")
        assert caught.value.problems == [
            "populations.*.capital.trims: was renamed, write trim_probability"
        ]

    @pytest.mark.parametrize(
        "path", ["populations.*.elastcity", "nowhere.*.count", "populations.*", "seed.*.count"]
    )
    def test_a_field_that_none_has_is_refused(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(ConfigError) as caught:
            run_of(tmp_path, "hyperliquid_like", f"{path}=1")
        assert len(caught.value.problems) == 1
        expected = (
            "ends in *, which stands for items of a list"
            if path.endswith("*")
            else "no item there has a part"
        )
        assert caught.value.problems[0].startswith(f"{path}: {expected}")


class TestLists:
    def resolved(self, folder: Path, **files: str) -> Any:
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        return resolve_config(folder / "top.yaml")

    def test_a_list_is_spliced_in_place_and_lists_may_include_lists(self, tmp_path: Path) -> None:
        inner, outer = "- {a: 1}\n- {a: 2}", "- {a: 0}\n- {include: inner.yaml, b: 5}"
        top = self.resolved(
            tmp_path, inner=inner, outer=outer, top="x: [{include: outer.yaml, c: 7}, {a: 3}]"
        )
        assert top == {
            "x": [{"a": 0, "c": 7}, {"a": 1, "b": 5, "c": 7}, {"a": 2, "b": 5, "c": 7}, {"a": 3}]
        }

    def test_elsewhere_a_list_is_refused(self, tmp_path: Path) -> None:
        for top in (
            "x: {include: inner.yaml}",
            "x: [{include: [inner.yaml]}]",
            "include: inner.yaml",
        ):
            with pytest.raises(
                ConfigError, match="only an item of a list can include a list"
            ) as caught:
                self.resolved(tmp_path, inner="- {a: 1}", top=top)
            assert len(caught.value.problems) == 1

    def test_a_list_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"a list of 1, must be a mapping of keys"):
            self.resolved(tmp_path, top="- {a: 1}")

    def test_circles_of_lists_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="includes itself"):
            self.resolved(
                tmp_path, inner="- {include: inner.yaml}", top="x: [{include: inner.yaml}]"
            )

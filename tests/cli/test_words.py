"""One word replaces a part of a run: engine, policy, waterfall, population."""

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from agents import POPULATIONS
from experiments.cli import app
from experiments.comparison.capital import equal_capital_overrides, take_calm_books
from experiments.config import RunConfig, load_run
from experiments.sweep.config import load_study
from experiments.sweep.plan import JobPlanner, unpack_config
from experiments.words import NO_TRADERS, VENUE_WORDS
from sim.errors import ConfigError
from sim.liquidation import LIQUIDATIONS
from sim.margin.efficiency import measure_capital
from sim.reading.packaged import list_packaged

FOLDERS = {"engine": "engines/", "policy": "liquidations/", "waterfall": "waterfalls/"}


def packaged(word: str) -> list[str]:
    folder = FOLDERS[word]
    return [name.removeprefix(folder) for name in list_packaged() if name.startswith(folder)]


@pytest.mark.parametrize("word", ["policy", "waterfall"])
def test_packaged_variants_are_all_different(word: str) -> None:
    """Each loads at the venue with the perpetual, changes nothing else, and is like no other."""
    base, seen = load_run("small_crash"), []
    for name in packaged(word):
        config = load_run("small_crash", [f"{word}={name}"])
        found = getattr(config.venues[0], VENUE_WORDS[word])
        assert found not in seen
        seen.append(found)
        assert config.venues[1] == base.venues[1]
        venue = base.venues[0].model_copy(update={VENUE_WORDS[word]: found})
        assert config == base.model_copy(update={"venues": (venue, base.venues[1])})
    assert len(seen) >= 5


@pytest.mark.parametrize("kind", sorted(LIQUIDATIONS))
def test_a_kind_is_a_word(kind: str) -> None:
    (venue, _) = load_run("small_crash", [f"policy={kind}"]).venues
    assert venue.liquidation == LIQUIDATIONS[kind]()


def members(config: RunConfig) -> tuple[int, list[object]]:
    """The number of traders, and the populations that serve them."""
    traders = [each for each in config.populations if not isinstance(each, NO_TRADERS)]
    return sum(each.count for each in traders), [
        each for each in config.populations if isinstance(each, NO_TRADERS)
    ]


@pytest.mark.parametrize("name", ["bitmex_like", "hyperliquid_like", "trend", "zero_intelligence"])
@pytest.mark.parametrize("market", ["small_crash", "hedged"])
@pytest.mark.parametrize("quick", [False, True])
def test_a_population_replaces_the_traders_alone(market: str, name: str, quick: bool) -> None:
    before = load_run(market, quick=quick)
    after = load_run(market, [f"population={name}"], quick=quick)
    assert members(after) == members(before)
    kinds = {each.kind for each in after.populations}
    assert kinds != {each.kind for each in before.populations}
    if name in POPULATIONS:
        assert name in kinds


def test_overrides_apply_to_the_new_population() -> None:
    config = load_run("small_crash", ["populations.0.count=7", "population=bitmex_like"])
    assert (config.populations[0].name, config.populations[0].count) == ("modest", 7)


@pytest.mark.parametrize(
    ("word", "known"), [("policy", "hyperliquid, full"), ("waterfall", "pro_rata, fund")]
)
def test_an_unknown_word_lists_names_and_kinds(word: str, known: str) -> None:
    with pytest.raises(ConfigError, match="'nothing' is not one of ") as caught:
        load_run("small_crash", [f"{word}=nothing"])
    assert known in str(caught.value)
    with pytest.raises(ConfigError, match="bitmex_like, hyperliquid_like, traders"):
        load_run("small_crash", ["population=nothing"])


def test_words_are_paths_of_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = {
        "name": "words",
        "base": "small_crash",
        "overrides": {"waterfall": "no_fund"},
        "seeds": 1,
        "axes": [
            {"name": "engine", "values": ["isolated", "span"], "paths": {"engine": 1}},
            {
                "name": "policy",
                "values": [
                    {"label": "slow", "set": {"policy": "congested", "population": "trend"}}
                ],
            },
        ],
    }
    Path("words.yaml").write_text(json.dumps(study))
    Path("words.py").write_text("")
    jobs = JobPlanner(load_study("words.yaml")).plan_first_jobs()
    configs = [unpack_config(job.configs.packed_configs["base"]) for job in jobs]
    expected = ["waterfall=no_fund", "policy=congested", "population=trend"]
    assert configs == [
        load_run("small_crash", [*expected, f"engine={name}"]) for name in ("isolated", "span")
    ]
    with pytest.raises(ConfigError, match="--policy: 'auction', the study sets policy itself"):
        load_study("words.yaml", words={"policy": "auction"})


def test_engines_run_side_by_side_on_the_same_draws(tmp_path: Path) -> None:
    out = tmp_path / "x"
    words = ["run", "small_crash", "--engines", "isolated,span", "--out", str(out)]
    brief = ["duration=2400", "populations.0.count=150", "profile_every=600"]
    done = CliRunner().invoke(app.app, [*words, *brief])
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(out)
    assert "--equal-capital scales them to that of isolated" in done.stdout
    table = pd.read_csv(out / "engines.csv").set_index("engine")
    paths = {}
    for name in ("isolated", "span"):
        steps = pd.read_parquet(out / name / "steps.parquet")
        paths[name] = steps["exogenous"]
        perpetual = steps[steps["kind"] == "perpetual"]
        venues = pd.read_parquet(out / name / "venues.parquet").query("venue == 'exchange'")
        initial = venues.loc[venues["step"] > 0, "initial"].sum()
        assert table.loc[name, "capital"] == pytest.approx(initial / perpetual["gross"].sum())
        closeouts = pd.read_parquet(out / name / "closeouts.parquet")
        assert table.loc[name, "closeouts"] == (closeouts["filled"] > 0).sum()
    assert paths["isolated"].equals(paths["span"])
    assert table.loc["span", "capital"] > 2 * table.loc["isolated", "capital"]
    assert CliRunner().invoke(app.app, ["verify", str(out), "--sample", "1"]).exit_code == 0
    with (out / "engines.csv").open("a") as table_file:
        table_file.write("\n")
    (out / "note").touch()
    (out / "span" / "losses.parquet").unlink()
    (out / "other").mkdir()
    broken = CliRunner().invoke(app.app, ["verify", str(out), "--sample", "0"])
    assert broken.exit_code == 1
    assert broken.stderr.splitlines() == [
        "engines.csv: differs from its checksum in manifest.json",
        "note: was not written by deleverage, remove it",
        "other: has no config.resolved.yaml",
        "span/losses.parquet: is not there",
    ]
    again = CliRunner().invoke(app.app, [*words, *brief])
    assert (again.exit_code, again.stdout) == (2, "")
    assert "replace it with --overwrite" in again.stderr


def test_equal_capital_is_that_of_the_first_engine() -> None:
    brief = ["duration=1800", "populations.0.count=150"]
    configs = [load_run("small_crash", [f"engine={name}", *brief]) for name in ("binance", "vega")]
    first, (line,) = equal_capital_overrides(configs)
    assert first == []
    scaled = load_run("small_crash", ["engine=vega", *brief, line])
    (book,) = take_calm_books(configs[0]).values()
    own, other = (
        measure_capital(config.venues[0].engine, book, 100).total for config in (configs[0], scaled)
    )
    assert other == pytest.approx(own)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--engines", "span"), "must name at least two"),
        (("--engines", "span,span.yaml"), "names must differ"),
        (("--engines", "span,cross", "--engine", "span"), "leave --engine out"),
        (("--equal-capital",), "name them with --engines A,B"),
        (("--policy", ""), "--policy: '', names no policy"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: tuple[str, ...], expected: str) -> None:
    done = CliRunner().invoke(app.app, ["run", "small_crash", *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert expected in done.stderr

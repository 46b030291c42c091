"""`deleverage explain`: a cascade in a page, and twins that say what would have stopped it (LIQ-9)."""

import re
import shutil
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from papers import crash
from typer.testing import CliRunner

from experiments import case as cases
from experiments import counterfactual, provenance, store, twins
from experiments.agreement import agreement
from experiments.cli_explain import app
from experiments.cli_tails import app as tails
from experiments.config import RunConfig
from experiments.fork import advanced
from experiments.reference import taken
from experiments.simulation import finished
from sim.loading import load
from sim.margin.efficiency import capital
from sim.margin.engine import EngineConfig
from sim.metrics.contagion import contagion
from sim.metrics.generations import branching, cascades


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(90, tmp_path_factory.mktemp("run"))


def written(steps: int, folder: Path) -> Path:
    """A crash as a result folder, as far as it is read."""
    config = RunConfig.model_validate(crash.plain(steps=steps, profile_every=0) | {"populations": crash.people()})
    for name, frame in finished(config, {}).recorder.frames().items():
        store.write_frame(frame, folder / f"{name}.parquet", {})
    (folder / "summary.json").write_text(f'{{"version": "{provenance.version()}"}}')
    store.write_yaml(config.model_dump(mode="json"), folder / "config.resolved.yaml")
    return folder


def told(*words: str) -> tuple[int, str]:
    """Exit code and what is printed, without the line that these results are of no recorded code."""
    done = CliRunner().invoke(app, list(words))
    lines = done.output.splitlines(keepends=True)
    return done.exit_code, "".join(line for line in lines if "made by an earlier build" not in line)


def test_cascades_are_listed_and_exported(result: Path, tmp_path: Path) -> None:
    code, text = told(str(result), "--export", str(tmp_path / "out"))
    links = contagion(cases.read(result)[1])
    assert code == 0
    assert text.startswith(f"branching ratio {branching(links).value:.2f}")
    assert set(nx.read_graphml(tmp_path / "out" / "contagion.graphml")) >= {"index", "action 0"}
    edges = pd.read_parquet(tmp_path / "out" / "links.parquet")
    into = edges[edges["target"].str.startswith("action")].groupby("target")["share"].sum()
    assert into.to_numpy() == pytest.approx(np.ones(len(links.actions)))
    assert pd.read_parquet(tmp_path / "out" / "actions.parquet")["cascade"].max() == len(
        pd.read_parquet(tmp_path / "out" / "cascades.parquet")
    )


def test_a_page_names_trigger_people_cost_and_what_would_have_stopped_it(result: Path) -> None:
    code, text = told(str(result), "--cascade", "1", "--twins", "1")
    assert code == 0
    for word in (
        "trigger       index",
        "contagion",
        "margin model  0.0%",
        "generations",
        "who",
        "cost",
        "any close-out",
        "of the cascade less",
    ):
        assert word in text
    assert len(text.splitlines()) <= 60, "a page"


def test_twins_are_the_run_without_somebody(result: Path) -> None:
    """Without close-outs nothing is closed out and the mark stands higher; a rescued account costs what it lacked."""
    case = cases.chosen(*cases.read(result), 1)
    alone, everybody, first = twins.twins(case, 1)
    closed = case.frames["closeouts"]
    assert alone.prevented == closed.loc[closed["step"].between(*case.window), "notional"].sum()
    assert alone.way > twins.way(case, case.frames)
    assert everybody.attributed == 0, "they have no others"
    assert first.attributed > 0
    assert first.gift > 0
    assert alone.gift == 0


def test_whom_to_remove_may_be_named(result: Path) -> None:
    case = cases.chosen(*cases.read(result), 1)
    trigger = case.actions.iloc[0]
    owner, step = trigger["owner"], trigger["step"]
    whole, once = twins.twins(case, 0, [f"{owner}", f"{owner}@{step}"])
    assert whole.name == f"traders {owner}"
    assert once.name == f"traders {owner} in step {step}"
    assert once.gift > 0
    code, text = told(str(result), "--cascade", "1", "--twins", "0", "--without", "tradrs")
    assert code == 2
    assert "--without: 'tradrs' was not closed out in cascade 1, those that were are " in text
    assert "(did you mean 'traders'?)" in text


def test_what_is_asked_of_no_cascade_or_cannot_be_written_is_told(result: Path, tmp_path: Path) -> None:
    code, text = told(str(result), "--without", "traders", "--worlds", "2")
    assert (code, text) == (2, "--without, --worlds: tells of one cascade, name it with --cascade N\n")
    (tmp_path / "taken").write_text("a file")
    code, text = told(str(result), "--export", str(tmp_path / "taken"))
    assert code == 2
    assert f"{tmp_path / 'taken'}: cannot be written" in text


def test_attribution_stands_beside_removal_and_another_engine(result: Path, tmp_path: Path) -> None:
    brief = written(84, tmp_path)
    code, text = told(str(brief), "--cascade", "1", "--twins", "0", "--worlds", "2", "--engine", "binance")
    assert code == 0, text
    assert "under binance" in text
    assert re.search(r"under binance: scaled by [\d.]+, at which it asks what the run's own engine does", text)
    assert "attribution beside removal" in text
    assert re.search(r"means of (2|4|8|2 to 4|2 to 8|4 to 8) neighbouring worlds", text)
    case = cases.chosen(*cases.read(brief), 1)
    here = case.frames["closeouts"].query("@case.window[0] <= step <= @case.window[1]")
    assert ("found nobody at its limit" in text) == bool((here["planned"].abs() > here["filled"]).any())
    for measure in ("others pushed under", "close-outs of others", "way of the mark, moves by lots"):
        assert re.search(rf"{measure} +same sign \d+% \((of \d+ told|none told) from nil", text), measure
    code, text = told(str(result), "--cascade", "1", "--twins", "0", "--engine", "binanse")
    assert code == 2
    assert "did you mean 'binance'?" in text
    assert "binance" in text


def test_a_sign_is_told_where_the_interval_leaves_nil_out() -> None:
    """Nil in every world decides nothing, nor does what rounding left of it."""
    table = pd.DataFrame({"spared": [0.0, 1e-17, -1e-17, 0.02, 0.02], "spared_reach": [0.0, 0.0, 0.0, 0.03, 0.01]})
    assert counterfactual.decided(table, "spared").tolist() == [False, False, False, False, True]


PAIRS = st.lists(st.tuples(*[st.integers(-100, 100)] * 2), min_size=2, max_size=20)


@given(PAIRS, st.integers(2, 9), st.randoms(use_true_random=False))
def test_agreement_knows_no_unit_no_order_and_no_side(pairs, times, rnd) -> None:
    claims, found = (np.array(each) / 100 for each in zip(*pairs, strict=True))
    table = pd.DataFrame({"pushed": claims, "spared": found, "spared_reach": 0.1})
    told = agreement(table, "others pushed under")
    assert 0 <= told.same <= 1
    assert told.decided <= told.owners == len(table)
    mixed = table.iloc[rnd.sample(range(len(table)), len(table))]
    for other in (mixed, table.assign(pushed=times * claims), table.assign(pushed=-claims, spared=-found)):
        again = agreement(other, "others pushed under")
        assert (again.same, again.decided) == (told.same, told.decided)
        assert again.correlation == pytest.approx(told.correlation, nan_ok=True)
    assert agreement(table.assign(pushed=found), "others pushed under").same == 1


def test_what_cannot_be_explained_is_told(result: Path, tmp_path: Path) -> None:
    assert told(str(result), "--cascade", "999")[0] == 2
    code, text = told(str(tmp_path))
    assert code == 2
    assert "no result, holds neither" in text
    older = tmp_path / "older"
    older.mkdir()
    for path in result.iterdir():
        (older / path.name).write_bytes(path.read_bytes())
    causes = pd.read_parquet(older / "causes.parquet").drop(columns="amount")
    store.write_frame(causes, older / "causes.parquet", {})
    code, text = told(str(older), "--cascade", "1")
    assert code == 2
    assert "causes: no column 'amount', contagion needs it, make the run again with this version" in text
    for name in ("closeouts", "causes", "losses"):
        store.write_frame(pd.read_parquet(result / f"{name}.parquet").iloc[:0], older / f"{name}.parquet", {})
    assert told(str(older)) == (0, "nothing was closed out in this run: no cascades\n")
    assert "cascade: 1, nothing was closed out in this run" in told(str(older), "--cascade", "1")[1]


def test_sizes_of_cascades_of_several_results(result: Path, tmp_path: Path) -> None:
    """One run's two or three are too few for a tail, and it says so; what is no result has its line."""
    done = CliRunner().invoke(tails, [str(result), str(result)])
    links = contagion(cases.read(result)[1])
    assert done.exit_code == 0, done.output
    assert f"{2 * len(cascades(links))} cascades among 612 accounts" in done.output
    assert "20 that are not all the same are needed" in done.output
    assert done.output.splitlines()[-1].split()[:2] == ["612", f"{2 * len(cascades(links))}"]
    damaged = shutil.copytree(result, tmp_path / "damaged")
    (damaged / "closeouts.parquet").write_bytes(b"x")
    done = CliRunner().invoke(tails, [str(result), str(damaged)])
    assert done.exit_code == 2
    assert f"{damaged / 'closeouts.parquet'}: cannot be read" in done.output
    done = CliRunner().invoke(tails, [str(tmp_path)])
    assert done.exit_code == 2
    assert "no result, holds neither" in done.output
    shutil.copytree(result, tmp_path / "older")
    (tmp_path / "older" / "causes.parquet").unlink()
    done = CliRunner().invoke(tails, [str(result), str(tmp_path / "older")])
    assert done.exit_code == 2
    assert f"{tmp_path / 'older'}: causes: no such frame, contagion needs it" in done.output.replace("\n", "")


def asked_before(case: cases.Case, engine: EngineConfig) -> float:
    """Capital that an engine ties up of the accounts before a cascade, share of notional."""
    market = advanced(twins.begun(case.config), case.window[0] - 1)
    return capital(engine, [taken(market)], 10 ** case.config.assets[0].decimals).total


@pytest.mark.parametrize(("preset", "kappa", "constant"), [("binance", 0.0, False), ("fhs_es", 0.2, True)])
def test_another_engine_is_compared_at_equal_capital_and_compression(
    preset: str, kappa: float, constant: bool, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a preset was taken as packaged: at another capital, without the run's κ, and in short runs a constant."""
    config, frames = cases.read(result)
    own = config.venues[0].engine.model_copy(update={"kappa": kappa})
    venues = config.venues[0].model_copy(update={"engine": own}), *config.venues[1:]
    config = config.model_copy(update={"venues": venues})
    case, seen = cases.chosen(config, frames, 1), []
    begun = twins.begun
    monkeypatch.setattr(twins, "begun", lambda config: seen.append(config.venues[0].engine) or begun(config))
    found = twins.engine(case, preset)
    assert seen[0] == own
    used = seen[-1]
    assert used.kappa == kappa
    monkeypatch.undo()
    assert used.requirement == load(f"engines/{preset}", [], EngineConfig).requirement
    assert asked_before(case, used) == pytest.approx(asked_before(case, own), rel=1e-9)
    assert f"scaled by {used.scale:.3g}" in found.terms
    assert f"compressed by κ = {kappa:g} as in the run" in found.terms
    assert ("needs 17 h of past" in found.terms and "a constant" in found.terms) == constant


def test_a_run_under_its_own_engine_again_is_the_run(result: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, frames = cases.read(result)
    case = cases.chosen(config, frames, 1)
    monkeypatch.setattr(twins, "engine_named", lambda *_: config.venues[0].engine)
    same = twins.engine(case, "its own")
    assert same.prevented == 0
    assert same.way == twins.way(case, case.frames)
    assert "scaled by 1," in same.terms

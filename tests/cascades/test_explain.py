"""`deleverage explain`: the page of a cascade, and counterfactual runs that stop it (LIQ-9)."""

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

from experiments.cascades import counterfactual, counterfactual_runs
from experiments.cascades import one_cascade as cases
from experiments.cascades.attribution_vs_removal import measure_agreement
from experiments.cascades.branching import advance_to
from experiments.cli.explain import app
from experiments.cli.tails import app as tails
from experiments.config import RunConfig
from experiments.generated.reference_books import take_snapshot
from experiments.results import provenance, store
from experiments.simulation import simulate_market
from sim.margin.efficiency import measure_capital
from sim.margin.engine import EngineConfig
from sim.metrics.contagion import build_contagion
from sim.metrics.generations import estimate_branching, tabulate_cascades
from sim.reading.loading import load_config


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(90, tmp_path_factory.mktemp("run"))


def written(steps: int, folder: Path) -> Path:
    """A crash as a result folder, as far as it is read."""
    config = RunConfig.model_validate(
        crash.plain(steps=steps, profile_every=0) | {"populations": crash.people()}
    )
    for name, frame in simulate_market(config, {}).recorder.frames().items():
        store.write_frame(frame, folder / f"{name}.parquet", {})
    (folder / "summary.json").write_text(f'{{"version": "{provenance.read_version()}"}}')
    store.write_yaml(config.model_dump(mode="json"), folder / "config.resolved.yaml")
    return folder


def told(*words: str) -> tuple[int, str]:
    """Return the exit code and the output, without the line about results of no recorded code."""
    done = CliRunner().invoke(app, list(words))
    lines = done.output.splitlines(keepends=True)
    return done.exit_code, "".join(line for line in lines if "made by an earlier build" not in line)


def test_cascades_are_listed_and_exported(result: Path, tmp_path: Path) -> None:
    code, text = told(str(result), "--export", str(tmp_path / "out"))
    links = build_contagion(cases.read_run(result)[1])
    assert code == 0
    assert text.startswith(f"branching ratio {estimate_branching(links).value:.2f}")
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
        "owners",
        "losses",
        "any close-out",
        "close-outs of others fall by",
    ):
        assert word in text
    assert len(text.splitlines()) <= 60, "a page"


def test_twins_are_the_run_without_an_account(result: Path) -> None:
    """Without close-outs the mark stands higher; a rescued account costs its deficit."""
    case = cases.select_cascade(*cases.read_run(result), 1)
    alone, everyone, first = counterfactual_runs.run_counterfactuals(case, 1)
    closed = case.frames["closeouts"]
    assert alone.prevented == closed.loc[closed["step"].between(*case.window), "notional"].sum()
    assert alone.mark_move > counterfactual_runs.measure_mark_move(case, case.frames)
    assert everyone.attributed == 0, "they have no others"
    assert first.attributed > 0
    assert first.granted > 0
    assert alone.granted == 0


def test_whom_to_remove_may_be_named(result: Path) -> None:
    case = cases.select_cascade(*cases.read_run(result), 1)
    trigger = case.actions.iloc[0]
    owner, step = trigger["owner"], trigger["step"]
    whole, once = counterfactual_runs.run_counterfactuals(case, 0, [f"{owner}", f"{owner}@{step}"])
    assert whole.name == f"traders {owner}"
    assert once.name == f"traders {owner} in step {step}"
    assert once.granted > 0
    code, text = told(str(result), "--cascade", "1", "--twins", "0", "--without", "tradrs")
    assert code == 2
    assert "--without: 'tradrs' was not closed out in cascade 1, those that were are " in text
    assert "(did you mean 'traders'?)" in text


def test_what_is_asked_of_no_cascade_or_cannot_be_written_is_told(
    result: Path, tmp_path: Path
) -> None:
    code, text = told(str(result), "--without", "traders", "--worlds", "2")
    assert (code, text) == (
        2,
        "--without, --worlds: applies to one cascade, name it with --cascade N\n",
    )
    (tmp_path / "taken").write_text("a file")
    code, text = told(str(result), "--export", str(tmp_path / "taken"))
    assert code == 2
    assert f"{tmp_path / 'taken'}: cannot be written" in text


@pytest.mark.slow  # further runs of the cascade
def test_attribution_stands_beside_removal_and_another_engine(result: Path, tmp_path: Path) -> None:
    brief = written(84, tmp_path)
    code, text = told(
        str(brief), "--cascade", "1", "--twins", "0", "--worlds", "2", "--engine", "binance"
    )
    assert code == 0, text
    assert "under binance" in text
    assert re.search(
        r"under binance: scaled by [\d.]+, at which it requires as much as the run's own", text
    )
    assert "attribution compared with removal" in text
    assert re.search(r"means of (2|4|8|2 to 4|2 to 8|4 to 8) neighbouring worlds", text)
    case = cases.select_cascade(*cases.read_run(brief), 1)
    here = case.frames["closeouts"].query("@case.window[0] <= step <= @case.window[1]")
    assert ("found no counterparty" in text) == bool((here["planned"].abs() > here["filled"]).any())
    for measure in (
        "due close-outs of others",
        "filled close-outs of others",
        "move of the mark, moves by lots",
    ):
        assert re.search(
            rf"{measure} +same sign \d+% \((of \d+ significant|none significant)", text
        ), measure
    code, text = told(str(result), "--cascade", "1", "--twins", "0", "--engine", "binanse")
    assert code == 2
    assert "did you mean 'binance'?" in text
    assert "binance" in text


def test_a_sign_is_decided_where_the_interval_excludes_zero() -> None:
    """Zero in every world decides nothing, nor does a rounding error."""
    table = pd.DataFrame(
        {"spared": [0.0, 1e-17, -1e-17, 0.02, 0.02], "spared_reach": [0.0, 0.0, 0.0, 0.03, 0.01]}
    )
    assert counterfactual.find_decided_rows(table, "spared").tolist() == [
        False,
        False,
        False,
        False,
        True,
    ]


PAIRS = st.lists(st.tuples(*[st.integers(-100, 100)] * 2), min_size=2, max_size=20)


@given(PAIRS, st.integers(2, 9), st.randoms(use_true_random=False))
def test_agreement_knows_no_unit_no_order_and_no_side(pairs, times, rnd) -> None:
    claims, found = (np.array(each) / 100 for each in zip(*pairs, strict=True))
    table = pd.DataFrame({"pushed": claims, "spared": found, "spared_reach": 0.1})
    told = measure_agreement(table, "due close-outs of others")
    assert 0 <= told.same_sign_share <= 1
    assert told.n_decided <= told.n_owners == len(table)
    mixed = table.iloc[rnd.sample(range(len(table)), len(table))]
    for other in (
        mixed,
        table.assign(pushed=times * claims),
        table.assign(pushed=-claims, spared=-found),
    ):
        again = measure_agreement(other, "due close-outs of others")
        assert (again.same_sign_share, again.n_decided) == (told.same_sign_share, told.n_decided)
        assert again.correlation == pytest.approx(told.correlation, nan_ok=True)
    exact = measure_agreement(table.assign(pushed=found), "due close-outs of others")
    assert exact.same_sign_share == 1


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
    assert (
        "causes: no column 'amount', contagion needs it, make the run again with this version"
        in text
    )
    for name in ("closeouts", "causes", "losses"):
        store.write_frame(
            pd.read_parquet(result / f"{name}.parquet").iloc[:0], older / f"{name}.parquet", {}
        )
    assert told(str(older)) == (0, "nothing was closed out in this run: no cascades\n")
    assert "cascade: 1, nothing was closed out in this run" in told(str(older), "--cascade", "1")[1]


def test_sizes_of_cascades_of_several_results(result: Path, tmp_path: Path) -> None:
    """Cascades too few for a tail are reported, and so is a folder that is no result."""
    done = CliRunner().invoke(tails, [str(result), str(result)])
    links = build_contagion(cases.read_run(result)[1])
    assert done.exit_code == 0, done.output
    assert f"{2 * len(tabulate_cascades(links))} cascades among 612 accounts" in done.output
    assert "20 that are not all the same are needed" in done.output
    assert done.output.splitlines()[-1].split()[:2] == [
        "612",
        f"{2 * len(tabulate_cascades(links))}",
    ]
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
    assert (
        f"{tmp_path / 'older'}: causes: no such frame, contagion needs it"
        in done.output.replace("\n", "")
    )


def asked_before(case: cases.Cascade, engine: EngineConfig) -> float:
    """Capital that an engine ties up of the accounts before a cascade, share of notional."""
    market = advance_to(counterfactual_runs.start_run(case.config), case.window[0] - 1)
    return measure_capital(
        engine, [take_snapshot(market)], 10 ** case.config.assets[0].decimals
    ).total


@pytest.mark.parametrize(
    ("preset", "kappa", "constant"), [("binance", 0.0, False), ("fhs_es", 0.2, True)]
)
def test_another_engine_is_compared_at_equal_capital_and_compression(
    preset: str, kappa: float, constant: bool, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preset is compared at the capital and the κ of the run, and not as it is packaged."""
    config, frames = cases.read_run(result)
    own = config.venues[0].engine.model_copy(update={"compression": kappa})
    venues = config.venues[0].model_copy(update={"engine": own}), *config.venues[1:]
    config = config.model_copy(update={"venues": venues})
    case, seen = cases.select_cascade(config, frames, 1), []
    begun = counterfactual_runs.start_run
    monkeypatch.setattr(
        counterfactual_runs,
        "start_run",
        lambda config: seen.append(config.venues[0].engine) or begun(config),
    )
    found = counterfactual_runs.run_under_engine(case, preset)
    assert seen[0] == own
    used = seen[-1]
    assert used.compression == kappa
    monkeypatch.undo()
    assert used.requirement == load_config(f"engines/{preset}", [], EngineConfig).requirement
    assert asked_before(case, used) == pytest.approx(asked_before(case, own), rel=1e-9)
    assert f"scaled by {used.margin_multiplier:.3g}" in found.terms
    assert f"compressed by κ = {kappa:g} as in the run" in found.terms
    assert ("needs 17 h of past" in found.terms and "a constant" in found.terms) == constant


def test_a_run_under_its_own_engine_again_is_the_run(
    result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, frames = cases.read_run(result)
    case = cases.select_cascade(config, frames, 1)
    monkeypatch.setattr(counterfactual_runs, "engine_named", lambda *_: config.venues[0].engine)
    same = counterfactual_runs.run_under_engine(case, "its own")
    assert same.prevented == 0
    assert same.mark_move == counterfactual_runs.measure_mark_move(case, case.frames)
    assert "scaled by 1," in same.terms

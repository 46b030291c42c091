"""The runner: whole folders, resumption, failures, shared runs, folders of others, batches."""

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from experiments import simulation
from experiments.cli import app
from experiments.simulation import TimeLimitError, simulate_market
from experiments.statistics import StatisticsError
from experiments.sweep import driver, execute_jobs
from experiments.sweep.config import StudyConfig, load_study
from experiments.sweep.executors import WorkerDiedError
from experiments.sweep.folder import ResultFolder
from experiments.sweep.messages import COMPLETE, JobBatch, RunStatus, SweepContext
from experiments.sweep.messages import JobResult as Done
from experiments.sweep.plan import JobPlanner, PlannedJob, SettingRequest, plan_study
from experiments.sweep.runner import SweepOptions, run_sweep
from sim.errors import ConfigError, OutputError

TINY = Path(__file__).parents[1] / "studies" / "tiny.yaml"
SERIAL = SweepOptions("serial")

ONE_CAP = {
    "name": "cap",
    "values": [2],
    "paths": {"venues.0.engine.requirement.tiers.0.max_leverage": 1},
}

Made = list[float]


def tiny(**changes: object) -> StudyConfig:
    """Two caps in two falls, one seed; or something else in place of any part."""
    study = load_study(TINY)
    return StudyConfig.model_validate(study.model_dump() | changes).with_module(study.module)


def files(folder: Path) -> dict[str, bytes]:
    """All but the manifest."""
    found = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {name: path.read_bytes() for name, path in found.items() if name != "manifest.json"}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(
        app.app, ["sweep", str(TINY), "--executor", "serial", *map(str, arguments)]
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nothing interrupted."""
    return run_sweep(tiny(), out=tmp_path_factory.mktemp("whole") / "tiny", options=SERIAL).folder


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The caps of runs that are simulated, as they are."""
    caps: Made = []

    def counted(config: Any, *rest: Any) -> Any:
        caps.append(cap_of(config))
        return simulate_market(config, *rest)

    monkeypatch.setattr(execute_jobs, "simulate_market", counted)
    return caps


def cap_of(config: Any) -> float:
    cap: float = config.venues[0].engine.requirement.tiers[0].max_leverage
    return cap


def faulty(monkeypatch: pytest.MonkeyPatch, fault: Callable[[], object]) -> None:
    """Runs at a cap of 50 fall to it."""

    def fallen(config: Any, *rest: Any) -> Any:
        if cap_of(config) == 50:
            fault()
        return simulate_market(config, *rest)

    monkeypatch.setattr(execute_jobs, "simulate_market", fallen)


def test_the_folder_holds_runs_scores_and_what_was_made_of_them(whole: Path) -> None:
    names = {name for name in files(whole) if not name.startswith("runs/")}
    assert names == {
        *("study.resolved.yaml", "tiny.py", "runs.parquet", "scores.parquet", "report.md"),
        *(f"tables/{name}.{suffix}" for name in ("means", "metrics") for suffix in ("csv", "tex")),
        *(f"figures/low.{suffix}" for suffix in ("pdf", "png", "csv")),
    }
    scores = pd.read_parquet(whole / "scores.parquet")
    assert list(scores.columns) == ["cap", "move", "seed", "low", "alone", "closed"]
    assert scores[["cap", "move", "seed"]].to_numpy().tolist() == [
        [cap, move, 1] for cap in (2, 50) for move in ("small", "large")
    ]
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["runs"] == {"complete": len(list((whole / "runs").iterdir()))}
    assert set(manifest["files"]) == names
    assert manifest["study"]["name"] == "tiny"


def test_a_run_is_a_row_and_a_folder(whole: Path) -> None:
    runs = pd.read_parquet(whole / "runs.parquet")
    assert list(runs.columns) == [
        "cap",
        "move",
        "seed",
        "role",
        "hash",
        "status",
        "error",
        "config",
    ]
    assert runs["role"].tolist() == ["base", "twin"] * 4
    assert set(runs["status"]) == {COMPLETE}
    assert runs[["error", "config"]].isna().all(axis=None)
    assert {path.name for path in (whole / "runs").iterdir()} == set(runs["hash"])
    one = whole / "runs" / runs["hash"][0]
    frames = execute_jobs.read_run(one)
    assert {"steps", "closeouts", "causes", "losses", "accounts"} <= set(frames)
    assert {path.name for path in one.iterdir()} == {
        "summary.json",
        *(f"{name}.parquet" for name in frames),
    }


def test_a_run_just_made_is_scored_from_the_frames_that_a_resumed_sweep_reads(
    whole: Path, tmp_path: Path
) -> None:
    unit = plan_study(tiny())[0]
    for spec in unit.pack_job().runs.values():
        made = execute_jobs.write_run(spec, tmp_path / spec.hash)
        read = execute_jobs.read_run(tmp_path / spec.hash)
        assert list(made) == list(read)
        for name, frame in made.items():
            pd.testing.assert_frame_equal(frame, read[name], check_exact=True)
            assert frame.attrs == read[name].attrs


def test_a_sweep_reads_no_run_that_it_made(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(execute_jobs, "read_run", read.append)
    out = run_sweep(tiny(), out=tmp_path / "tiny", options=SERIAL).folder
    assert read == []
    assert files(out) == files(whole)


def test_a_twin_that_nothing_tells_apart_is_its_base(whole: Path) -> None:
    names = pd.read_parquet(whole / "runs.parquet")["hash"].to_numpy().reshape(-1, 2)
    closed = pd.read_parquet(whole / "scores.parquet")["closed"] > 0
    assert (names[:, 0] != names[:, 1]).tolist() == closed.tolist() == [False, False, False, True]


@pytest.fixture
def kept(whole: Path, tmp_path: Path) -> Path:
    """A copy of the same, to be changed."""
    return shutil.copytree(whole, tmp_path / "kept")


def test_a_second_start_makes_nothing_again(whole: Path, made: Made) -> None:
    before = files(whole)
    run_sweep(tiny(), out=whole, options=SERIAL)
    assert (made, files(whole)) == ([], before)


def test_runs_that_other_results_have_are_taken_over(
    whole: Path, made: Made, tmp_path: Path
) -> None:
    done = call("--out", tmp_path / "x", "--known", whole)
    assert done.exit_code == 0, done.stderr
    assert made == []
    assert files(tmp_path / "x") == files(whole)


def test_damaged_runs_of_other_results_are_made(kept: Path, made: Made, tmp_path: Path) -> None:
    steps = sorted(kept.glob("runs/*/steps.parquet"))[0]
    steps.write_bytes(steps.read_bytes()[:-1])
    done = call("--out", tmp_path / "x", "--known", kept)
    assert done.exit_code == 0, done.stderr
    assert len(made) == 1
    assert f"{steps.parent.name}/steps.parquet: differed from what had been written" in done.stderr


def test_what_is_missing_or_damaged_is_made_again_and_nothing_else(kept: Path, made: Made) -> None:
    before, runs = files(kept), pd.read_parquet(kept / "runs.parquet")
    gone, cut, flipped = runs.loc[runs["role"] == "base", "hash"][:3]
    for path in (kept / "runs" / gone).iterdir():
        path.unlink()
    steps, accounts = (
        kept / "runs" / cut / "steps.parquet",
        kept / "runs" / flipped / "accounts.parquet",
    )
    steps.write_bytes(steps.read_bytes()[:100])
    accounts.write_bytes(accounts.read_bytes()[:-60] + bytes(60))
    half = kept / "runs" / ".0123456789ab.77.tmp"
    half.mkdir()
    done = call("--out", kept)
    assert done.exit_code == 0
    named = (kept / "runs" / gone / "summary.json", steps, accounts)
    assert all(
        f"{path}: differed from what had been written, the run was made again" in done.stderr
        for path in named
    )
    assert len(made) == 3
    assert files(kept) == before
    assert not half.exists()


def test_more_seeds_join_and_fewer_are_a_part(kept: Path, made: Made) -> None:
    before = files(kept)
    run_sweep(tiny(seeds=2), out=kept, options=SERIAL)
    assert len(made) == len(set(pd.read_parquet(kept / "runs.parquet").query("seed == 2")["hash"]))
    assert pd.read_parquet(kept / "scores.parquet")["seed"].tolist() == [1] * 4 + [2] * 4
    run_sweep(tiny(), out=kept, options=SERIAL)
    assert {name: found for name, found in files(kept).items() if name in before} == before


def test_a_run_that_raises_is_a_row_and_is_tried_again(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fault() -> None:
        raise ValueError("a fault\nof two lines")

    with monkeypatch.context() as patch:
        faulty(patch, fault)
        done = call("--out", tmp_path / "x")
    assert done.exit_code == app.FAILED
    assert "runs failed; " in done.stderr
    runs = pd.read_parquet(tmp_path / "x" / "runs.parquet")
    failed = runs[runs["status"] == "failed"]
    assert set(failed["error"]) == {"ValueError: a fault"}
    assert set(failed["cap"]) == {50}
    assert json.loads(failed["config"].iloc[0])["populations"][0]["count"] == 20
    assert (
        "of two lines" in (tmp_path / "x" / "failed" / f"{failed['hash'].iloc[0]}.txt").read_text()
    )
    assert set(pd.read_parquet(tmp_path / "x" / "scores.parquet")["cap"]) == {2}, (
        "the others are scored"
    )
    assert call("--out", tmp_path / "x").exit_code == 0
    assert files(tmp_path / "x") == files(whole)


def test_a_run_out_of_time_is_a_row_and_is_tried_again(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def late() -> None:
        raise TimeLimitError("ran out of its 5 s")

    with monkeypatch.context() as patch:
        faulty(patch, late)
        done = call("--out", tmp_path / "x", "--time-limit", 5)
    assert done.exit_code == app.FAILED
    assert "runs out of time; " in done.stderr
    runs = pd.read_parquet(tmp_path / "x" / "runs.parquet")
    assert set(runs.loc[runs["status"] == "timeout", "error"]) == {"ran out of its 5 s"}
    assert call("--out", tmp_path / "x").exit_code == 0
    assert files(tmp_path / "x") == files(whole)


def test_time_runs_out_between_steps_and_within_one(monkeypatch: pytest.MonkeyPatch) -> None:
    config = execute_jobs.unpack_config(plan_study(tiny())[0].pack_job().runs["base"].config)
    with pytest.raises(TimeLimitError, match=r"ran out of its 1e-09 s"):
        simulate_market(config, {}, 1e-9)

    def hang(market: Any, steps: int) -> None:
        while True:
            pass

    monkeypatch.setattr(simulation.Market, "advance", hang)
    with pytest.raises(TimeLimitError):
        simulate_market(config, {}, 0.2)


def test_settings_that_come_to_the_same_are_run_once(made: Made, tmp_path: Path) -> None:
    same = {
        "name": "move",
        "values": [{"label": word, "set": {"dt": 60}} for word in ("one", "other")],
    }
    study = tiny(axes=[ONE_CAP, same])
    folder = run_sweep(study, out=tmp_path / "x", options=SERIAL).folder
    assert len(set(pd.read_parquet(folder / "runs.parquet")["hash"])) == len(made)
    assert pd.read_parquet(folder / "scores.parquet")["move"].tolist() == ["one", "other"]


def test_a_module_asks_for_more_until_it_has_enough(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[int] = []

    def refine(study: StudyConfig, runs: pd.DataFrame) -> list[SettingRequest]:
        asked.append(len(runs))
        return (
            [SettingRequest({"cap": 7.0 + len(runs), "move": "small"}, (1,))]
            if len(runs) < 6
            else []
        )

    module = execute_jobs.load_study_module(tiny().module)
    monkeypatch.setitem(vars(module), "refine", refine)
    study = tiny()
    folder = run_sweep(study, out=tmp_path / "x", options=SERIAL).folder
    assert asked == [4, 5, 6]
    assert pd.read_parquet(folder / "scores.parquet")["cap"].tolist() == [2, 2, 50, 50, 11, 12]
    before, count = files(folder), len(made)
    run_sweep(study, out=folder, options=SERIAL)
    assert (files(folder), len(made)) == (before, count), "a second sweep repeats none"


def test_the_roles_beside_a_twin_are_rows_of_their_own(tmp_path: Path) -> None:
    roles = {"twin": {"suppress_closeouts": True}, "wide": {"populations.1.half_spread": 50}}
    study = tiny(roles=roles)
    scores = pd.read_parquet(
        run_sweep(study, out=tmp_path / "x", options=SERIAL).folder / "scores.parquet"
    )
    assert scores["role"].tolist() == ["base", "wide"] * 4


# Folders of other users


def test_another_studys_results_are_refused_by_name(whole: Path) -> None:
    study = tiny(name="other")
    with pytest.raises(OutputError, match="holds results of the study 'tiny', not of 'other'"):
        run_sweep(study, out=whole, options=SERIAL)


def test_the_same_study_with_other_changes_is_refused(whole: Path) -> None:
    done = call("--out", whole, "dt=30")
    assert done.exit_code == app.BAD_INPUT
    assert done.stderr.startswith(
        f"{whole}: holds results of 'tiny' with other values of also (changes of every run"
    )
    assert done.stderr.endswith("on the command line), choose another folder with --out\n")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    assert "hence no study's results" in call("--out", tmp_path).stderr
    assert call("--out", tmp_path / "thesis.tex").stderr.endswith(
        "is a file, results need a folder, choose another with --out\n"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.tex"}


def test_one_sweep_at_a_time_writes_to_a_folder(whole: Path) -> None:
    before = files(whole)
    with ResultFolder(whole).claim(tiny()):
        done = call("--out", whole)
    assert done.exit_code == app.BAD_INPUT
    assert "another sweep writes to it" in done.stderr
    assert files(whole) == before


def test_a_study_that_cannot_be_read_back_is_reported(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "study.resolved.yaml").write_bytes(b"\xff\xfe: [")
    assert "study.resolved.yaml: cannot be read" in call("--out", tmp_path).stderr


# What is wrong with a study


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("--executor", "slurm"),
            "--executor: 'slurm' is not one of serial, threads, loky, dask, tcp://HOST:PORT, tls://HOST:PORT",
        ),
        (("--executor", "loki"), "(did you mean 'loky'?)"),
        (("--executor", "loky", "--jobs", "0"), "--jobs: 0, must be at least 1"),
        (("venues.0.bnad=3",), "tiny at cap=2.0, move=small: venues.0.bnad: "),
        (
            ("--executor", "tcp://nowhere"),
            "--executor: tcp://nowhere, no dask scheduler answers there",
        ),
        (("--time-limit", "0"), "--time-limit: 0, must be above 0"),
        (("--known", "nowhere"), "--known: nowhere, has no folder runs, name results of a sweep"),
        (("--plugin", "nothing_of_that_name"), "--plugin nothing_of_that_name: cannot be imported"),
    ],
)
def test_bad_input_is_a_line_and_leaves_nothing(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    done = call("--out", tmp_path / "x", *arguments)
    assert (done.exit_code, done.stdout) == (app.BAD_INPUT, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_axis_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    axis = {"name": "cap", "values": [1], "paths": {"venues.0.engine.cap": 1}}
    with pytest.raises(ConfigError, match=r"tiny at cap=1\.0: venues\.0\.engine\.cap: "):
        run_sweep(tiny(axes=[axis]), out=tmp_path / "x", options=SERIAL)


def test_a_metric_that_scores_lack_is_told_after_the_first_run(made: Made, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"metrics: 'lwo' is not one of low, alone, closed \(did you mean 'low'\?\)",
    ):
        run_sweep(tiny(metrics=["lwo"]), out=tmp_path / "x", options=SERIAL)
    assert len(made) <= 4
    assert run_sweep(tiny(), out=tmp_path / "x", options=SERIAL).counts, "what was made is kept"


@pytest.mark.parametrize("what", ["tables", "figures"])
def test_what_a_module_promises_it_makes(whole: Path, what: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{what}: 'missing' is not one of "):
        run_sweep(tiny(**{what: ["missing"]}), out=tmp_path / "x", options=SERIAL)


def test_a_score_that_raises_is_reported_and_runs_are_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = execute_jobs.load_study_module(tiny().module)

    def score(*rest: Any) -> None:
        raise ZeroDivisionError("no trades")

    with monkeypatch.context() as patch:
        patch.setitem(vars(module), "score", score)
        done = call("--out", tmp_path / "x")
    assert done.exit_code == app.FAILED
    line = f"{__file__}:{score.__code__.co_firstlineno + 1}"
    problem = f"score fails (ZeroDivisionError: no trades, {line}), correct it"
    assert done.stderr.endswith(f"study failed: tiny: cap 2, move small, seed 1: {problem}\n")
    assert set(pd.read_parquet(tmp_path / "x" / "runs.parquet")["status"]) == {COMPLETE}
    assert call("--out", tmp_path / "x").exit_code == 0


def test_statistics_that_do_not_fit_these_axes_are_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(runs: pd.DataFrame) -> None:
        raise StatisticsError("cap: 1 settings, a crossing needs two, add values of the axis")

    monkeypatch.setattr(execute_jobs.load_study_module(tiny().module), "tables", refuse)
    result = call("--out", tmp_path / "tiny", "--seeds", 1)
    assert result.exit_code == app.BAD_INPUT
    assert (
        result.stderr.splitlines()[-1]
        == "cap: 1 settings, a crossing needs two, add values of the axis"
    )
    assert list((tmp_path / "tiny" / "runs").iterdir())


def test_a_study_is_two_files(tmp_path: Path) -> None:
    (tmp_path / "alone.yaml").write_text(
        TINY.read_text(encoding="utf-8").replace("name: tiny", "name: alone")
    )
    with pytest.raises(ConfigError, match=r"no alone\.py beside it, a study is two files"):
        load_study(tmp_path / "alone.yaml")
    (tmp_path / "alone.py").write_text("def tables(runs): ...\n")
    with pytest.raises(ConfigError, match="no function 'score', every study has one, write it"):
        run_sweep(load_study(tmp_path / "alone.yaml"), out=tmp_path / "x", options=SERIAL)
    assert not (tmp_path / "x").exists()


# Verification


def verified(*arguments: object) -> Result:
    return CliRunner().invoke(app.app, ["verify", *map(str, arguments)])


def test_results_come_out_again(whole: Path, made: Made) -> None:
    done = verified(whole, "--sample", 2)
    assert (done.exit_code, done.stderr) == (0, "")
    others = sum(not name.startswith("runs/") for name in files(whole))
    assert (
        done.stdout
        == f"{others} files compared with the manifest, 2 runs made again: all the same\n"
    )
    assert len(made) == 2


def runs_in(folder: Path) -> int:
    return len(list((folder / "runs").iterdir()))


def test_a_report_leaves_everything_as_the_sweep_wrote_it(kept: Path) -> None:
    """Figures, tables and report are remade to the byte; those of single runs on request."""
    assert CliRunner().invoke(app.app, ["report", str(kept), "--study", str(TINY)]).exit_code == 0
    page = (kept / "report.html").read_text(encoding="utf-8")
    assert "<title>Tiny</title>" in page
    assert "venues.0.engine.requirement.tiers.0.max_leverage" in page, (
        "every parameter of what all runs start from"
    )
    run = next((kept / "runs").iterdir())
    assert (
        CliRunner().invoke(app.app, ["report", str(run), "--out", str(kept / "one")]).exit_code == 0
    )
    assert (kept / "one" / "report.html").is_file()
    assert verified(kept, "--sample", 1).exit_code == 0


def test_what_does_not_come_out_again_is_named(kept: Path) -> None:
    steps = next((kept / "runs").glob("*/steps.parquet"))
    steps.write_bytes(b"of another market")
    (kept / "tables" / "means.csv").write_text("cap\n")
    (kept / "report.md").unlink()
    done = verified(kept, "--sample", 99)
    assert done.exit_code == app.FAILED
    assert done.stderr.splitlines() == [
        "report.md: is not there",
        "tables/means.csv: differs from its checksum in manifest.json",
        f"runs/{steps.parent.name}/steps.parquet: differs",
    ]
    assert done.stdout.endswith(f"{runs_in(kept)} runs made again: 3 differences\n")


def test_files_are_compared_also_where_another_version_made_the_run(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot be made again by this version still has checksums."""
    steps = next((kept / "runs").glob("*/steps.parquet"))
    steps.write_bytes(steps.read_bytes() + b"x")
    monkeypatch.setattr("experiments.sweep.verify.provenance.read_version", lambda: "9.9")
    done = verified(kept, "--sample", 99)
    assert done.exit_code == app.FAILED
    lines = [line for line in done.stderr.splitlines() if line.startswith("runs/")]
    damaged = f"runs/{steps.parent.name}/steps.parquet: differs from its checksum in summary.json"
    assert damaged in lines
    assert sum("this is 9.9" in line for line in lines) == runs_in(kept)
    assert len(lines) == runs_in(kept) + 1


def test_only_finished_results_are_verified(tmp_path: Path) -> None:
    done = verified(tmp_path)
    assert done.exit_code == app.BAD_INPUT
    assert "has no study.resolved.yaml, hence no finished results of a study" in done.stderr


# Batches and deaths


PLACE = SweepContext(
    folder="", module="", plugins=(), path="", version="", shared=(), limit=1.0, apart=False
)


class Hospital:
    """A pool whose workers die of some jobs, and in which one death ends everything under way."""

    def __init__(
        self, killers: Iterator[int] | set[int], slots: int = 2, seconds: float = 0.01
    ) -> None:
        self.killers, self.n_slots, self.seconds = set(killers), slots, seconds
        self.orders: list[list[int]] = []
        self.most = 0
        self.pending: list[Future[list[Done]]] = []

    def submit(self, order: JobBatch) -> Future[list[Done]]:
        future: Future[list[Done]] = Future()
        numbers = [job.number for job in order.jobs]
        self.orders.append(numbers)
        self.pending = [each for each in self.pending if not each.done()] + [future]
        if self.killers & set(numbers):
            future.set_exception(WorkerDiedError())
        else:
            future.set_result(
                [
                    Done(n, {"base": RunStatus("", COMPLETE)}, None, "", (), self.seconds)
                    for n in numbers
                ]
            )
        return future

    def collect_results(self, future: Future[list[Done]]) -> list[Done]:
        return future.result()

    def restart_workers(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing."""


def units(count: int) -> list[PlannedJob]:
    (unit, *_) = JobPlanner(tiny()).plan_first_jobs()
    return [unit._replace(number=number) for number in range(count)]


def test_every_job_is_done_once_though_workers_die() -> None:
    pool = Hospital({3, 17})
    results = list(driver.run_jobs(units(40), pool, PLACE))
    assert sorted(result.number for result in results) == list(range(40))
    fallen = {
        result.number: set(result.states.values())
        for result in results
        if result.states["base"].status != COMPLETE
    }
    assert set(fallen) == {3, 17}, "only those who kill when tried alone"
    assert all(
        "ended from outside" in state.error for states in fallen.values() for state in states
    )


def test_short_jobs_go_in_batches_that_shrink_towards_the_end() -> None:
    pool = Hospital(set(), slots=2, seconds=0.05)
    list(driver.run_jobs(units(400), pool, PLACE))
    sizes = [len(order) for order in pool.orders]
    assert sizes[0] == 1, "the duration of a job is still unknown"
    assert max(sizes) == round(driver.BATCH_SECONDS / 0.05)
    assert sizes[-1] == 1


def test_long_jobs_go_one_by_one() -> None:
    pool = Hospital(set(), slots=2, seconds=30)
    list(driver.run_jobs(units(10), pool, PLACE))
    assert pool.orders == [[number] for number in range(10)]

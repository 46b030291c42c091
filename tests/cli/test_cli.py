"""The command line: exit codes, messages, folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from synthetic import FakeMarket
from typer.testing import CliRunner, Result

from experiments import run
from experiments.cli import app
from experiments.config import load_run
from experiments.figures import overview
from experiments.figures.overview import FIGURES
from sim.reading.loading import resolve_config
from sim.reading.packaged import list_packaged

CONFIG = "crash_2008"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a working folder of its own and a market that costs nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "Market", FakeMarket)
    monkeypatch.setattr(overview, "FIGURES", {"overview": FIGURES["overview"]})
    monkeypatch.setattr(FakeMarket, "at", {})
    monkeypatch.setattr(FakeMarket, "seeds", [])


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app.app, list(arguments))


def test_a_run_prints_its_folder_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "FIGURES", FIGURES)
    done = call("run", CONFIG)
    assert done.exit_code == 0, done.output
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.parent == Path("results")
    assert folder.name.startswith("crash_2008-")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *("manifest.json", "config.resolved.yaml", "summary.json"),
        *(
            f"{name}.parquet"
            for name in ("steps", "venues", "closeouts", "causes", "losses", "accounts", "profile")
        ),
        *(f"figures/{name}.{suffix}" for name in FIGURES for suffix in ("pdf", "png", "csv")),
    }
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert done.stdout.startswith("Index fall, worst")


def test_a_quiet_run_prints_its_folder_only() -> None:
    assert call("run", CONFIG, "--quiet", "--out", "x").stdout == "x\n"


def test_what_a_result_says_of_itself() -> None:
    folder = Path(call("run", CONFIG, "--seed", "11").stdout.splitlines()[-1])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["seed"] == 11 == FakeMarket.seeds[0]
    assert (
        manifest["status"]
        == "complete"
        == json.loads((folder / "summary.json").read_text())["status"]
    )
    assert folder.name.endswith(manifest["config_hash"])
    assert set(manifest["data"]) == {"sp500"}
    assert {
        "version",
        "python",
        "platform",
        "packages",
        "git",
        "command",
        "elapsed_s",
        "threads",
    } <= set(manifest)
    # the resolved configuration is the run again
    assert load_run(folder / "config.resolved.yaml") == load_run(CONFIG, ["seed=11"])
    assert (
        Path(
            call("run", str(folder / "config.resolved.yaml"), "--overwrite").stdout.splitlines()[-1]
        )
        == folder
    )


def test_results_differ_by_folder_and_are_the_same_bytes() -> None:
    one, two, other = (
        call("run", CONFIG, *more).stdout.split()[-1]
        for more in ([], ["--out", "b"], ["--seed", "9"])
    )
    assert len({one, two, other}) == 3
    names = [
        path.relative_to(one)
        for path in Path(one).rglob("*")
        if path.is_file() and path.name != "manifest.json"
    ]
    assert len(names) == 12
    for name in names:
        assert (Path(one) / name).read_bytes() == (Path(two) / name).read_bytes(), name


def test_a_result_is_replaced_only_when_asked() -> None:
    assert call("run", CONFIG, "--out", "x").exit_code == 0
    again = call("run", CONFIG, "--out", "x")
    assert again.exit_code == 2
    assert again.stderr == (
        "x: exists, results are never replaced silently, add --overwrite or name another "
        "folder with --out\n"
    )
    assert call("run", CONFIG, "--out", "x", "--overwrite").exit_code == 0
    assert sorted(path.name for path in Path().iterdir()) == ["x"]


def test_a_folder_that_is_no_result_is_never_replaced() -> None:
    Path("precious").mkdir()
    Path("precious/thesis.txt").write_text("mine")
    done = call("run", CONFIG, "--out", "precious", "--overwrite")
    assert done.exit_code == 2
    assert Path("precious/thesis.txt").read_text() == "mine"


def test_places_that_cannot_be_written() -> None:
    Path("file").write_text("")
    for out in ("file", "file/below", "/proc/nowhere/x"):
        done = call("run", CONFIG, "--out", out)
        assert done.exit_code == 2, out
        assert done.stderr.count("\n") == 1


def test_bad_input_is_told_one_line_each() -> None:
    done = call("run", CONFIG, "sede=3", "venues.0.band=7", "populations.0.kind=trader")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert sorted(line.split(":")[0] for line in done.stderr.splitlines()) == [
        *("populations.0.kind", "sede", "venues.0.band"),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "nowhere: no such file or packaged configuration"),
        ([CONFIG, "--seed", "-1"], "seed: -1, must be at least 0"),
        ([CONFIG, "underlyings.0.process.source=arch:sp50"], "arch:sp50: 'sp50' is not one of"),
        ([CONFIG, "underlyings.0.process.source=gone.csv"], "gone.csv: no such file"),
    ],
)
def test_bad_input(arguments: list[str], expected: str) -> None:
    done = call("run", *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(expected)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["run"], ["run", CONFIG, "--sede", "3"], ["fly"], ["run", CONFIG, "--seed", "x"]]
)
def test_usage_errors_are_plain(arguments: list[str]) -> None:
    done = call(*arguments)
    assert done.exit_code == 2
    assert "Error: " in done.stderr
    assert "╭" not in done.stderr


def test_a_failed_run_leaves_its_traceback_only() -> None:
    FakeMarket.at = {3: "fail"}
    done = call("run", CONFIG, "--out", "x", "--seed", "4")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == (
        "run failed: crash_2008: step 3 of 5: ZeroDivisionError: nothing; traceback in "
        "x/failed/seed-4.txt\n"
    )
    assert [path.as_posix() for path in Path().rglob("*") if path.is_file()] == [
        "x/failed/seed-4.txt"
    ]
    assert "ZeroDivisionError" in Path("x/failed/seed-4.txt").read_text()
    # and does not stand in the way of the next try
    FakeMarket.at = {}
    assert call("run", CONFIG, "--out", "x", "--seed", "4").exit_code == 0
    assert Path("x/failed/seed-4.txt").exists()


def test_a_failed_replacement_keeps_what_was_there() -> None:
    call("run", CONFIG, "--out", "x")
    before = Path("x/steps.parquet").read_bytes()
    FakeMarket.at = {3: "fail"}
    assert call("run", CONFIG, "--out", "x", "--overwrite").exit_code == 1
    assert Path("x/steps.parquet").read_bytes() == before


def test_an_interrupted_run_keeps_whole_steps() -> None:
    FakeMarket.at = {3: "interrupt"}
    done = call("run", CONFIG, "--out", "x")
    assert done.exit_code == 130
    assert done.stdout.endswith("\n\nx\n")
    assert json.loads(Path("x/manifest.json").read_text())["status"] == "interrupted"
    assert json.loads(Path("x/summary.json").read_text()) == {
        "money": "0.01 USD",
        "status": "interrupted",
        "steps": 3,
    }
    assert list(pd.read_parquet("x/steps.parquet")["step"]) == [1, 2, 3]


def test_quick_applies_what_the_configuration_says_and_the_user_wins() -> None:
    data = resolve_config(CONFIG) | {"quick": {"dt": 30, "populations.0.count": 7}}
    Path("mine.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    assert load_run("mine.yaml").dt == resolve_config(CONFIG)["dt"]
    quick = load_run("mine.yaml", ["populations.0.count=8"], quick=True)
    assert (quick.dt, quick.populations[0].count) == (30, 8)
    assert load_run("mine.yaml", ["quick={dt: 15}"], quick=True).dt == 15


@pytest.mark.parametrize("name", [name for name in list_packaged() if "/" not in name])
@pytest.mark.parametrize("quick", [False, True])
def test_packaged_configurations_are_valid(name: str, quick: bool) -> None:
    assert load_run(name, quick=quick).description


def test_configs_lists_them_with_a_line_each() -> None:
    done = call("configs")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list_packaged()
    assert all(line.split(maxsplit=1)[1:] for line in done.stdout.splitlines())


def test_version() -> None:
    assert call("--version").stdout.startswith("deleverage ")


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = os.environ | environment
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=settings
    )


HEAVY = [
    "numpy",
    "pandas",
    "scipy",
    "numba",
    "mesa",
    "pydantic",
    "omegaconf",
    "yaml",
    "matplotlib",
    "pyarrow",
    "rich",
]
HEAVY += ["sklearn", "arch", "threadpoolctl", "networkx", "seaborn"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """tests/benchmarks limits the time of these commands."""
    code = f"import sys; sys.argv[1:] = {arguments}; import atexit\n"
    code += "from experiments.__main__ import main\n"
    code += (
        f"atexit.register(lambda: print('heavy', [name for name in {HEAVY} if name in "
        "sys.modules])); main()"
    )
    done = python(code)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "heavy []")


def test_what_only_some_margins_need_is_not_loaded_for_the_others() -> None:
    """The names of all engines load neither scikit-learn (trees) nor arch (GARCH and series)."""
    code = "import sys, experiments.backtest.coverage, experiments.backtest.train, sim.market\n"
    code += (
        "from experiments.backtest.engines import PUBLISHED_ENGINES, EngineDefaults, "
        "parse_engines\n"
    )
    code += "from sim.margin.tail.margin_path import build_perpetuals\n"
    code += (
        "engines = parse_engines([*PUBLISHED_ENGINES, 'learned', 'garch_1000'], EngineDefaults())\n"
    )
    code += "bound = [each.rule.bind(build_perpetuals(1), 1) for each in engines if each.rule]\n"
    code += "print([name for name in ('sklearn', 'arch') if name in sys.modules])"
    done = python(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


DRAWING_AND_TESTS = ["matplotlib", "seaborn", "scipy.stats", "scipy.optimize", "sklearn", "arch"]


@pytest.mark.parametrize("modules", ["experiments.run", "experiments.sweep.execute_jobs"])
def test_a_run_loads_neither_plots_nor_statistics(modules: str) -> None:
    """They take most of the time of a short run, and only figures and tables need them."""
    code = f"import sys, {modules}\n"
    code += "from experiments.sweep.study import load_study_module\n"
    code += "from experiments.sweep.config import list_study_names\n"
    code += "[load_study_module(f'experiments.studies.{name}') for name in list_study_names()]\n"
    code += f"print([name for name in {DRAWING_AND_TESTS} if name in sys.modules])"
    done = python(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


IMPATIENT = """
import sys

class Impatient:
    def find_spec(self, name, *_):
        if name == {name!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Impatient())
sys.argv[1:] = ["run", "baseline"]
from experiments.__main__ import main
main()
"""


@pytest.mark.parametrize("module", ["typer", "sim.market"])
def test_an_interrupt_while_modules_load_is_answered(module: str, tmp_path: Path) -> None:
    done = python(IMPATIENT.format(name=module))
    assert (done.returncode, done.stdout, done.stderr) == (
        130,
        "",
        "interrupted; no result was kept\n",
    )
    assert list(tmp_path.iterdir()) == []


def test_threads_are_pinned_whatever_the_environment_says() -> None:
    pin = "from experiments.results import provenance; provenance.pin_threads()"
    code = f"import os; {pin}; print(os.environ['OMP_NUM_THREADS'])"
    assert python(code, OMP_NUM_THREADS="8").stdout == "1\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child begins at its parent's peak")
def test_peak_memory_is_a_process_s_own() -> None:
    """A child of one that held 200 MB, which itself holds next to nothing."""
    ask = (
        "from experiments.results.provenance import measure_peak_memory; "
        "print(measure_peak_memory())"
    )
    hold = "import subprocess, sys; held = b'x' * (200 << 20)"
    expected = python(f"{hold}; subprocess.run([sys.executable, '-c', {ask!r}]); {ask}")
    child, parent = map(float, expected.stdout.split())
    assert 5 < child < 100
    assert 200 < parent < 400


def test_a_shadowing_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "agents.py").write_text("raise SystemExit('the wrong agents ran')")
    done = python(f"import sys; sys.path.insert(1, {str(tmp_path)!r}); import experiments.cli.app")
    assert done.returncode == 1
    assert (
        done.stderr.splitlines()[-1]
        .removeprefix("ImportError: ")
        .startswith(f"agents: imported from {tmp_path / 'agents.py'}, must be ")
    )

"""Arguments that no command can use, remedies that work, and first progress lines of sweeps."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.config import load_run
from experiments.sweep import progress
from sim.errors import ConfigError
from sim.instruments import Instrument
from sim.numerics.rounding import MAX_EXACT, to_exact_int
from sim.numerics.whole_units import compute_tick_value

pytestmark = pytest.mark.usefixtures("without_figures")

ROOT = Path(__file__).parents[2]
LONG = "x" * 5000
UNUSABLE = {
    "a\0b": "NUL byte",
    "\udcff": "not UTF-8",
    LONG: "at most",
    f"{LONG}.yaml": "at most",
    "a/" * 3000: "at most",
}
COMMANDS = [
    *(
        ["run", "@"],
        ["run", "small_crash", "--out", "@"],
        ["run", "small_crash", "--engine", "@"],
        ["sweep", "@"],
    ),
    *(
        ["sweep", "compression", "--out", "@"],
        ["verify", "@"],
        ["margin", "@"],
        ["backtest", "--data", "@"],
    ),
    *(
        ["backtest", "--run", "@"],
        ["train", "--data", "@", "--out", "x"],
        ["explain", "@"],
        ["figures", "@"],
    ),
    *(
        ["tables", "@"],
        ["report", "@"],
        ["tails", "@"],
        ["schema", "--out", "@"],
        ["configs", "--plugin", "@"],
        ["@"],
    ),
    ["margin", "portfolios/single_perp", "--engines", "@"],
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_unusable_arguments_are_refused_by_every_command(command: list[str]) -> None:
    for value, expected in UNUSABLE.items():
        done = CliRunner().invoke(app.app, [word.replace("@", value) for word in command])
        assert (done.exit_code, done.stdout) == (2, "")
        assert expected in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert len(done.stderr) < 900
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a b", "a/b", "mine.py", "-", "1", "os..path", "\n", "~"]
)
def test_plugins_have_names_of_modules(name: str) -> None:
    done = CliRunner().invoke(app.app, ["configs", "--plugin", name])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("--plugin ")


def test_a_plugin_that_fails_is_named_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(".")
    for name, text in (
        ("fails", "x = 1\n1 / 0\n"),
        ("broken", "def :\n"),
        ("leaves", "raise SystemExit(3)\n"),
    ):
        Path(f"{name}_plugin.py").write_text(text)
        done = CliRunner().invoke(app.app, ["configs", "--plugin", f"{name}_plugin"])
        assert (done.exit_code, done.stdout) == (2, "")
        assert f"--plugin {name}_plugin: fails when imported" in done.stderr
    assert "fails_plugin.py:2" not in done.stderr


@pytest.mark.parametrize("place", ["~root", "~", "arch:x", "s3:x", "a b\u202e"])
def test_folders_of_any_name_are_folders(place: str) -> None:
    done = CliRunner().invoke(
        app.app, ["run", "small_crash", "duration=60", "--quiet", "--out", place]
    )
    assert done.exit_code == 0, done.stderr
    assert (Path(place) / "steps.parquet").is_file()


def test_links_to_themselves_and_folders_are_no_files() -> None:
    Path("loop").symlink_to("loop")
    Path("folder.yaml").mkdir()
    os.mkfifo("fifo.yaml")
    for name in ("loop", "folder.yaml", "fifo.yaml", "/dev/zero", "~user"):
        for command in ("run", "sweep", "margin", "verify", "explain", "tails"):
            done = CliRunner().invoke(app.app, [command, name])
            assert (done.exit_code, done.stdout) == (2, ""), (command, name, done.exception)


P = "venues.0.instruments.0."
GRAINS = [
    (0.1, 0.001, 90_000),
    (0.1, 1e-8, 90_000),
    (0.01, 1e-8, 90_000),
    (0.5, 0.003, 90_000),
    (0.3, 0.007, 84_000),
]
GRAINS += [(0.125, 0.25, 90_000), (7, 1 / 1024, 84_000), (0.1, 1e-15, 90_000), (0.05, 3e-7, 90_000)]


@pytest.mark.parametrize(("tick", "lot", "price"), GRAINS)
def test_every_remedy_for_grains_works(tick: float, lot: float, price: float) -> None:
    wrong = [f"{P}tick={tick}", f"{P}lot={lot!r}", f"{P}max_price={price}"]
    with pytest.raises(ConfigError) as caught:
        load_run("small_crash", wrong)
    (line,) = caught.value.problems
    remedies = re.findall(r"(?:; |, or )set (.*?)(?=, or |$)", line)
    assert remedies, line
    for remedy in remedies:
        changes = [each.replace(" to ", "=") for each in remedy.split(" and ")]
        load_run("small_crash", [*wrong, *changes])


def test_lots_of_one_satoshi_trade() -> None:
    lots = [f"{P}tick=0.1", f"{P}lot=1e-8", f"{P}max_price=90000", "assets.0.decimals=9"]
    lots += [
        "venues.1.instruments.0.max_lots=225",
        "duration=240",
        "venues.0.instruments.0.max_lots=1000000",
    ]
    done = CliRunner().invoke(app.app, ["run", "small_crash", *lots, "--quiet", "--out", "x"])
    assert done.exit_code == 0, done.stderr
    satoshi = Instrument(name="P", underlying="btc", tick=0.1, lot=1e-8, max_price=90_000)
    assert compute_tick_value(satoshi, 9) == 1


def test_portfolios_name_remedies_that_work() -> None:
    head = "underlyings: [{name: btc, price: 50000}]\n"
    head += "instruments: [{name: P, underlying: btc, tick: 0.1, lot: 0.001, "
    head += "max_price: 100000, max_lots: 1000}]\ncollateral: {BTC: 1}\n"
    Path("mine.yaml").write_text(head)
    done = CliRunner().invoke(app.app, ["margin", "mine.yaml"])
    assert done.exit_code == 2
    assert (
        "collateral.BTC: 'BTC' is no asset, declare it: add {name: BTC, price: its price} under "
        "assets"
    ) in done.stderr
    assert "set assets.0.decimals to 4" in done.stderr
    Path("mine.yaml").write_text(
        f"{head}assets: [{{name: USD, decimals: 4}}, {{name: BTC, price: 50000}}]\n"
    )
    assert CliRunner().invoke(app.app, ["margin", "mine.yaml"]).exit_code == 0
    Path("mine.yaml").write_text(
        head.replace("BTC: 1", "USD: 1").replace("0.1, lot", "1, lot").replace("0.001", "0.01")
    )
    done = CliRunner().invoke(app.app, ["margin", "mine.yaml"])
    assert "'USD' is the numeraire, put the amount under cash" in done.stderr


LADDERS = (
    "{kind: tiered, instruments: {%s: [{floor: 0, max_leverage: 10}], ETH-PERP: [{floor: 0, "
    "max_leverage: 5}]}}"
)


def test_a_file_of_ladders_may_hold_more_than_a_venue_lists() -> None:
    Path("tiers.yaml").write_text(
        f"netting: {{kind: cross}}\nrequirement: {LADDERS % 'BTC-PERP'}\n"
    )
    run = [
        "run",
        "small_crash",
        "--engine",
        "tiers.yaml",
        "duration=60",
        "--quiet",
        "--overwrite",
        "--out",
        "x",
    ]
    assert CliRunner().invoke(app.app, run).exit_code == 0
    for name in ("BTC-PERPS", "BTC-PREP", "DOG"):  # nothing listed has a ladder then: a mistake
        Path("tiers.yaml").write_text(f"netting: {{kind: cross}}\nrequirement: {LADDERS % name}\n")
        done = CliRunner().invoke(app.app, run)
        assert done.exit_code == 2
        assert f"'{name}' is not an instrument of this venue, use one of BTC-PERP" in done.stderr


def test_casts_are_held_where_floats_are_exact() -> None:
    found = to_exact_int(np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 3.0, -0.0]))
    assert found.tolist() == [
        0,
        int(MAX_EXACT),
        -int(MAX_EXACT),
        int(MAX_EXACT),
        -int(MAX_EXACT),
        3,
        0,
    ]


EXTREMES = [
    "populations.0.capital.margin_buffer=1e300",
    "populations.0.warm_up=1e300",
    "populations.2.refresh_time=1e300",
]
EXTREMES += [
    "venues.0.engine.margin_multiplier=1e300",
    "populations.0.initial_entry_share=1e-300",
    "populations.0.capital.reaction=1e-300",
]


@pytest.mark.parametrize("override", EXTREMES)
def test_extremes_reach_no_cast(override: str) -> None:
    """Warnings of numpy, such as of a cast of infinity, are errors here."""
    done = CliRunner().invoke(
        app.app, ["run", "small_crash", override, "duration=1200", "--quiet", "--out", "x"]
    )
    assert done.exit_code in (0, 2), done.stderr


@pytest.mark.parametrize("kind", ["agents.py", "agents/__init__.py", "sim.py"])
def test_a_module_of_the_users_own_is_named_in_a_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.parent.mkdir(exist_ok=True)
    path.write_text("x = 1\n")
    (tmp_path / "script.py").write_text(
        "from experiments.config import load_run\n\nfrom agents import populate\n"
    )
    settings = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "script.py"], env=settings, capture_output=True, text=True, cwd=tmp_path
    )
    name = kind.split(".")[0].split("/")[0]
    line = f"{name}: imported from {path}, must be {ROOT / name}, rename or move the former"
    assert done.stderr.splitlines()[-1] == f"ImportError: {line}"
    command = [sys.executable, "-m", "experiments", "configs"]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{line}\n")


def test_the_first_runs_of_a_sweep_do_not_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two at a time: 85 s of compiling each, then a run a second."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.ProgressReporter("study", quiet=False, slots=2) as counter:
        counter.writes_lines = True
        counter.add_jobs(range(84))
        for seconds in (85, 86, *range(87, 169)):
            now[0] = float(seconds)
            counter.count_job()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "study: 1 of 84, the first runs compile, time left is not known yet"
    assert lines[1] == "study: 32 of 84, 1.0 a second, 0:00:52 left"
    assert lines[-1].startswith("study: 84 of 84, 1.0 a second, 0:00:00 left")


def test_runs_that_a_study_adds_are_announced(capsys: pytest.CaptureFixture[str]) -> None:
    """Else a total that grows after "0:00:00 left" reads like an error."""
    with progress.ProgressReporter("study", quiet=False) as counter:
        counter.writes_lines = True
        counter.add_jobs(range(1))
        counter.count_job()
        counter.add_jobs(range(28))
        counter.add_jobs([])
    assert capsys.readouterr().err.splitlines()[1:] == ["study: 28 more runs to refine the result"]

"""Messages about arguments of commands, files of other kinds and plug-ins.

Each is raised, its remedy is applied, and the result is accepted.
"""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from experiments.cautions import find_idle_settings
from experiments.cli import app
from experiments.cli.arguments import MAX_NAME_BYTES, find_unusable_arguments
from experiments.config import load_run
from experiments.file_kinds import absent, explain_wrong_kind, load_kind, namesake
from experiments.studies.shared.shocks import find_shock_step
from experiments.sweep.config import load_study
from experiments.sweep.executors import open_pool
from experiments.sweep.runner import SweepOptions, run_sweep
from sim.errors import ConfigError
from sim.reading.packaged import list_packaged

pytestmark = pytest.mark.usefixtures("without_figures")

TINY = Path(__file__).parent.parent / "studies" / "tiny.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]


def call(*words: object) -> Result:
    return CliRunner().invoke(app.app, [str(word) for word in words])


COMMANDS = {"run": "run", "sweep": "study", "margin": "portfolio"}
"""Commands that read a file -> its kind."""

FILES = {
    "small_crash": "run",
    "compression": "study",
    "single_perp": "portfolio",
    "span": "engine",
    "shocks": "shocks",
}
"""Names of packaged files without their folder -> their kind."""

FOLDER = {
    "run": "",
    "study": "studies/",
    "portfolio": "portfolios/",
    "engine": "engines/",
    "shocks": "portfolios/",
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "form", ["{folder}{name}", "{name}", "configs/{folder}{name}.yaml", "{name}x"]
)
def test_a_file_of_another_kind_names_a_command_that_takes_it(
    command: str, name: str, form: str
) -> None:
    """In one step, by its name without a folder and misspelt too."""
    if COMMANDS[command] == FILES[name]:
        return
    given = form.format(folder=FOLDER[FILES[name]], name=name)
    done = call(
        command, given, *(["--out", "x", "--executor", "none"] if command == "sweep" else [])
    )
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    if command == "sweep" and form == "{name}x":
        assert "is not one of anatomy, " in line, "names of studies, as the command takes them"
        return
    words = shlex.split(line.partition("use deleverage ")[2].rstrip("?)"))
    assert words, line
    accepted({"MARKET": "small_crash", "PORTFOLIO": "portfolios/single_perp"}, words)


def accepted(stands_for: dict[str, str], words: list[str]) -> None:
    """Check that a command reads the file that it names."""
    words = [stands_for.get(word, word) for word in words]
    if words[0] == "run":
        engine = words[words.index("--engine") + 1] if "--engine" in words else None
        load_run(words[1], [] if engine is None else [f"venues.0.engine={engine}"])
    elif words[0] == "sweep":
        load_study(words[1])
    else:
        done = call(*words)
        assert done.exit_code == 0, done.stderr


def test_a_name_that_no_file_has_lists_files_that_the_command_reads() -> None:
    kinds = {
        "run": "venues",
        "study": "axes",
        "portfolio": "positions",
        "shocks": "shocks",
        "engine": "requirement",
    }
    for kind in kinds:
        (line,) = absent(kind, "qqqq")
        names = line.partition("packaged are: ")[2].partition(", choose one")[0].split(", ")
        assert names, line
        assert set(names) <= set(list_packaged())
        assert all(not explain_wrong_kind(kind, name) and not absent(kind, name) for name in names)
        assert namesake(kind, "qqqq") == []


NEAR = [
    ("run", "smal_crash"),
    ("portfolio", "single_per"),
    ("portfolio", "single_perp"),
    ("shocks", "shocks"),
]


@pytest.mark.parametrize(("kind", "name"), NEAR)
def test_a_like_name_is_one_that_the_command_takes(kind: str, name: str) -> None:
    (line,) = absent(kind, name)
    found = re.search(r"did you mean '([^']+)'\?\)$", line)
    assert found is not None, line
    assert absent(kind, found[1]) == explain_wrong_kind(kind, found[1]) == []


@pytest.mark.parametrize("name", ["nothing.yaml", "engines/spam", "spam", "folder/spam.yaml"])
def test_engines_that_are_not_there_list_those_that_are(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_run("small_crash", [f"venues.0.engine={name}"])
    (line,) = caught.value.problems
    assert "binance, bybit, " in line
    assert "baseline" not in line, "a market is no engine"
    near = re.search(r"did you mean '([^']+)'", line)
    load_run("small_crash", [f"venues.0.engine={near[1] if near else 'binance'}"])


PLUGINS: list[tuple[str, str, str, str]] = [
    (
        "own_a",
        "def :",
        "--plugin own_a: fails when imported (SyntaxError: invalid syntax, ",
        "x = 1",
    ),
    (
        "own_b",
        "1 / 0",
        "--plugin own_b: fails when imported (ZeroDivisionError: division by zero, ",
        "x = 1",
    ),
    (
        "own_c",
        "raise StopIteration",
        "--plugin own_c: fails when imported (StopIteration: no message, ",
        "x = 1",
    ),
    (
        "own_d",
        "raise EOFError",
        "--plugin own_d: fails when imported (EOFError: no message, ",
        "x = 1",
    ),
    (
        "own_e",
        "raise MemoryError",
        "--plugin own_e: fails when imported (MemoryError: no message, ",
        "x = 1",
    ),
    (
        "own_f",
        "class E(Exception): ...\nraise E('x')",
        "--plugin own_f: fails when imported (E: x, ",
        "x = 1",
    ),
    (
        "own_g",
        "raise SystemExit(3)",
        "--plugin own_g: fails when imported (SystemExit: 3, ",
        "x = 1",
    ),
    (
        "own_h",
        "import own_nothing",
        "--plugin own_h: fails when imported (ModuleNotFoundError: No module ",
        "x = 1",
    ),
    (
        "own_i",
        "from sim import qqq",
        "--plugin own_i: fails when imported (ImportError: cannot import ",
        "x = 1",
    ),
]


@pytest.mark.parametrize(
    ("name", "wrong", "expected", "mended"), PLUGINS, ids=[row[1] for row in PLUGINS]
)
def test_plugins_that_fail_are_named_with_their_line(
    name: str, wrong: str, expected: str, mended: str
) -> None:
    Path(f"{name}.py").write_text(wrong, encoding="utf-8")
    done = call("studies", "--jobs", 1, "--plugin", name)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith(expected)
    assert re.search(rf"{name}\.py:\d+\), correct it\n$", done.stderr), (
        "the line of the user's own file"
    )
    Path(f"{name}.py").write_text(mended + "\n" * 3, encoding="utf-8")
    assert call("schema", "--out", "s.json", "--plugin", name).exit_code == 0


def test_plugins_are_named_as_modules() -> None:
    missing = call("configs", "--plugin", "own_none")
    assert missing.stderr.startswith(
        "--plugin own_none: cannot be imported (No module named 'own_none'), name a module"
    )
    Path("own_z.py").write_text("x = 1\n", encoding="utf-8")
    expected = "--plugin own_z.py: is the name of a file, name the module in it: --plugin own_z\n"
    assert call("configs", "--plugin", "own_z.py").stderr == expected
    assert call("configs", "--plugin", "own_z").exit_code == 0
    assert (
        "'': is no name of a module, write one such as mine"
        in call("configs", "--plugin", "").stderr
    )
    Path("own_folder").mkdir()
    expected = (
        "--plugin own_folder: is a folder without __init__.py, which registers nothing, write "
        "that file or name"
    )
    assert call("configs", "--plugin", "own_folder").stderr.startswith(expected)
    Path("own_package").mkdir()
    Path("own_package/__init__.py").write_text("", encoding="utf-8")
    assert call("configs", "--plugin", "own_package").exit_code == 0


EXECUTORS = [
    (
        "slurm",
        1,
        "--executor: 'slurm' is not one of serial, threads, loky, dask, tcp://HOST:PORT",
        "serial",
        1,
    ),
    ("serail", 1, "(did you mean 'serial'?)", "serial", 1),
    (
        "serial",
        0,
        "--jobs: 0, must be at least 1, the default is one for each processor",
        "serial",
        1,
    ),
    (
        "tls://localhost:1",
        1,
        "needs certificates, name their files in dask's configuration or in DASK_",
        "serial",
        1,
    ),
]


@pytest.mark.parametrize(("wrong", "jobs", "expected", "mended", "count"), EXECUTORS)
def test_remedies_of_executors_work(
    wrong: str, jobs: int, expected: str, mended: str, count: int
) -> None:
    with pytest.raises(ConfigError) as caught, open_pool(wrong, jobs):
        pass
    assert expected in str(caught.value)
    with open_pool(mended, count) as pool:
        assert pool.n_slots == 1


OPTIONS = [
    (
        SweepOptions("serial", known=("nowhere",), quiet=True),
        "--known: nowhere, has no folder runs, name results of a sweep",
    ),
    (
        SweepOptions("serial", limit=0, quiet=True),
        "--time-limit: 0, must be above 0 (s), leave it out for none",
    ),
    (
        SweepOptions("serial", limit=float("nan"), quiet=True),
        "--time-limit: nan, must be above 0 (s), leave it out for none",
    ),
]


@pytest.mark.parametrize(("options", "expected"), OPTIONS, ids=[row[1][:30] for row in OPTIONS])
def test_options_of_a_sweep_that_no_run_could_keep(options: SweepOptions, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        run_sweep(load_study(TINY), out="x", options=options)
    assert str(caught.value) == expected
    assert not Path("x").exists()


def test_runs_out_of_time_name_the_option_that_gives_them_more() -> None:
    command = ("sweep", TINY, "--executor", "serial", "--quiet", "--out", "x")
    done = call(*command, "--time-limit", 1e-6)
    assert done.exit_code == 1
    assert done.stderr == (
        "8 runs out of time; x/runs.parquet holds the reasons, the same command tries again, "
        "with a longer --time-limit "
        "if need be\n"
    )
    assert call(*command, "--time-limit", 600).exit_code == 0


ARGUMENTS = [
    (
        f"--out={'x' * (MAX_NAME_BYTES + 1)}",
        f"holds a name of {MAX_NAME_BYTES + 1} bytes, at most {MAX_NAME_BYTES} are possible, "
        "shorten it",
    ),
    ("x/" * 2100, "has 4,200 bytes, a path has at most 4,095, shorten it"),
    ("a\0b", "holds a NUL byte, which no name or value can, remove it"),
    ("\udcff", "is not UTF-8, which names and values must be, rename the file or write it again"),
]


@pytest.mark.parametrize(("wrong", "expected"), ARGUMENTS, ids=[row[1][:24] for row in ARGUMENTS])
def test_arguments_that_no_command_can_use(wrong: str, expected: str) -> None:
    (line,) = find_unusable_arguments([wrong])
    assert line.endswith(expected)
    assert (
        find_unusable_arguments([wrong.encode("ascii", "ignore").decode().replace("\0", "")[:200]])
        == []
    )


def test_files_are_read_as_what_they_are() -> None:
    with pytest.raises(
        ConfigError, match="small_crash: is a market, use deleverage run small_crash"
    ):
        load_kind("study", "small_crash", (), type(load_study(TINY)))


ADJUSTED = "venues.0.engine.valuation={kind: delta_adjusted}"
BIDDERS = (
    "populations=[{kind: traders, count: 9, venue: exchange}, {kind: liquidators, count: 2, "
    "venue: exchange}]"
)
CAUTIONS = [
    (
        "small_crash",
        [BIDDERS],
        "set venues.0.liquidation.kind to auction",
        ["venues.0.liquidation.kind=auction"],
    ),
    (
        "hedged",
        [ADJUSTED, "venues.0.engine.netting.kind=isolated"],
        "set venues.0.engine.netting.kind to cross",
        ["venues.0.engine.netting.kind=cross"],
    ),
    (
        "small_crash",
        [ADJUSTED, "venues.0.engine.netting.kind=cross"],
        "or choose another valuation",
        ["venues.0.engine.valuation={kind: haircut}"],
    ),
]


@pytest.mark.parametrize(
    ("name", "settings", "expected", "remedy"), CAUTIONS, ids=[row[2] for row in CAUTIONS]
)
def test_remedies_of_idle_settings_work(
    name: str, settings: list[str], expected: str, remedy: list[str]
) -> None:
    (line,) = find_idle_settings(load_run(name, settings))
    assert expected in line
    assert find_idle_settings(load_run(name, [*settings, *remedy])) == []


def test_a_study_of_a_shock_needs_one() -> None:
    with pytest.raises(ConfigError) as caught:
        find_shock_step(load_run("small_crash", ["stresses=[]"]))
    (line,) = caught.value.problems
    remedy = line.partition("add one such as ")[2]
    assert line.startswith("stresses: no move among them")
    assert find_shock_step(load_run("small_crash", [f"stresses=[{remedy}]"])) > 1

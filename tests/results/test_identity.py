"""Identity of a run: all code that its bytes depend on; mixed code is always reported."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from experiments import plugins
from experiments.cli import app
from experiments.config import load_run
from experiments.results import identity, provenance, store
from experiments.results.checksums import hash_file
from experiments.results.imported_sources import find_imported_files, find_project_files
from experiments.sweep import execute_jobs, sealed
from experiments.sweep.config import StudyConfig, list_study_names, load_study
from experiments.sweep.messages import CodeFingerprint, SweepContext
from experiments.sweep.paths import check_paths
from experiments.sweep.runner import SweepOptions, run_sweep
from experiments.sweep.study import hash_study_module
from sim.errors import ConfigError, OutputError

pytestmark = pytest.mark.usefixtures("without_figures")

ROOT = Path(__file__).parents[2]
STUDIES = ROOT / "tests" / "studies"
TINY = STUDIES / "tiny.yaml"
SERIAL = SweepOptions("serial")


def tiny(**changes: object) -> StudyConfig:
    study = load_study(TINY)
    return StudyConfig.model_validate(study.model_dump() | changes).with_module(study.module)


def call(*words: object) -> Result:
    return CliRunner().invoke(app.app, [str(word) for word in words])


def again(folder: Path) -> Result:
    return call("sweep", TINY, "--executor", "serial", "--out", folder)


def files(folder: Path) -> dict[str, bytes]:
    """All but the manifest."""
    found = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    return {name: path.read_bytes() for name, path in found.items() if name != "manifest.json"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_sweep(tiny(), out=tmp_path_factory.mktemp("whole") / "tiny", options=SERIAL).folder


@pytest.fixture
def kept(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "kept")


# What counts


def test_facts_name_all_that_changes_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    base = identity.describe_code()
    assert base == identity.describe_code()
    assert {"numpy", "scipy", "numba", "pandas", "pyarrow", "mesa"} <= set(base["packages"])
    assert set(base["sources"]) == {"sim", "agents", "experiments"}
    assert base["python"] == f"CPython {sys.version_info.major}.{sys.version_info.minor}"
    for key, word in (
        ("packages", "numpy 0, here"),
        ("python", "python 2.7, here"),
        ("sources", "sources of sim"),
    ):
        other = {"packages": base["packages"] | {"numpy": "0"}, "python": "2.7"}
        other["sources"] = base["sources"] | {"sim": "0"}
        changed = base | {key: other[key]}
        assert identity.compute_digest(changed) != identity.compute_digest(base)
        assert [line.startswith(word) for line in identity.describe_differences(changed, base)] == [
            True
        ]
    assert identity.describe_differences(base, base) == []


def test_parts_of_experiments_that_make_a_run_count_and_others_do_not() -> None:
    makers = {
        path.relative_to(ROOT).as_posix() for path in find_project_files(identity.RUN_MODULES)
    } | set(identity.EXTRA_FILES)
    needed = {
        f"experiments/{name}.py"
        for name in (
            "simulation",
            "config",
            "price_files/bars",
            "results/store",
            "results/provenance",
        )
    }
    assert needed | {"experiments/sweep/execute_jobs.py"} <= makers
    assert not any(
        word in name for name in makers for word in ("figures", "paper", "cli", "statistics")
    )


def test_sources_are_read_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    identity.hash_sources()
    identity.describe_code()
    reads: list[Path] = []
    read = Path.read_bytes

    def counted(path: Path) -> bytes:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    for _ in range(100):
        identity.describe_code()
    assert reads == []


def test_what_a_module_imports_beside_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outer.py").write_text("import json, numpy\nfrom helper_of_mine import x\n")
    (tmp_path / "helper_of_mine.py").write_text("def f():\n    import pack_of_mine.deep\nx = 1\n")
    (tmp_path / "pack_of_mine").mkdir()
    (tmp_path / "pack_of_mine" / "__init__.py").write_text("")
    (tmp_path / "pack_of_mine" / "deep.py").write_text("from sim import types\n")
    (tmp_path / "pack_of_mine" / "table.csv").write_text("1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(find_imported_files(tmp_path / "outer.py")) == [
        *("helper_of_mine.py", "outer.py"),
        *("pack_of_mine/__init__.py", "pack_of_mine/deep.py", "pack_of_mine/table.csv"),
    ]
    plugins.import_plugins(["helper_of_mine"])
    try:
        assert list(plugins.get_file_digests("helper_of_mine")) == [
            *(
                "helper_of_mine.py",
                "pack_of_mine/__init__.py",
                "pack_of_mine/deep.py",
                "pack_of_mine/table.csv",
            ),
        ]
    finally:
        plugins._FILE_DIGESTS.pop("helper_of_mine")


def test_what_a_plugin_imports_by_a_name_put_together_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kinds_of_mine.py").write_text(
        "import importlib\nimportlib.import_module('rules' + '_of_mine')\n"
    )
    (tmp_path / "rules_of_mine.py").write_text("SHARE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.import_plugins(["kinds_of_mine"])
    try:
        assert list(plugins.get_file_digests("kinds_of_mine")) == [
            "kinds_of_mine.py",
            "rules_of_mine.py",
        ]
    finally:
        plugins._FILE_DIGESTS.pop("kinds_of_mine")


def test_a_run_says_which_code_made_it(whole: Path) -> None:
    run = next((whole / "runs").iterdir())
    summary = json.loads((run / "summary.json").read_text())
    assert summary["code"] == identity.describe_code()
    assert summary["config_hash"] == run.name == sealed.derive_run_name(summary)
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["code"] == [identity.describe_code()]
    assert manifest["sources"]["agents/makers.py"] == identity.hash_sources()["agents/makers.py"]


# Workers


def place(**changes: object) -> SweepContext:
    """Return the context of a sweep of this process."""
    code = CodeFingerprint(
        identity.describe_code(),
        identity.hash_sources(),
        hash_study_module(str(TINY.with_suffix(".py"))),
    )._replace(**changes)
    module = str(TINY.with_suffix(".py"))
    return SweepContext(
        str(STUDIES), module, (), "", provenance.read_version(), (), 1.0, apart=True, code=code
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"facts": identity.describe_code() | {"python": "CPython 3.99"}}, "in python CPython"),
        ({"facts": identity.describe_code() | {"algebra": ["openblas 0 Zen x1"]}}, "in algebra "),
        *(
            (
                {
                    "facts": identity.describe_code()
                    | {"packages": identity.describe_code()["packages"] | {name: "0"}}
                },
                f"in {name} ",
            )
            for name in ("numpy", "scipy", "numba", "llvmlite")
        ),
        (
            {"files": identity.hash_sources() | {"experiments/statistics/paired.py": "0"}},
            "in experiments/statistics/paired.py:",
        ),
        ({"files": {}}, " more: workers need the driver's code"),
        ({"study": "0"}, "in study module tiny.py: "),
    ],
)
def test_workers_that_differ_are_refused_by_name(
    changes: dict[str, object], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        execute_jobs.threadpoolctl, "threadpool_info", list
    )  # threads of the tests are not pinned
    (tmp_path / "runs").mkdir()
    execute_jobs.check_worker(place()._replace(folder=str(tmp_path)))
    with pytest.raises(OutputError) as error:
        execute_jobs.check_worker(place(**changes)._replace(folder=str(tmp_path)))
    assert expected in str(error.value)
    assert str(error.value).startswith("worker ")
    assert "\n" not in str(error.value)


# Runs of other code


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The code of this process after an edit of the makers."""
    sources = identity._sources() | {"agents": "0123456789abcdef"}
    monkeypatch.setattr(identity, "_sources", lambda: sources)
    return sources


def test_runs_of_other_code_are_made_again(kept: Path, edited: dict[str, str]) -> None:
    before = {path.name for path in (kept / "runs").iterdir()}
    done = again(kept)
    assert done.exit_code == 0
    told = [line for line in done.stderr.splitlines() if "other code" in line]
    rule = "they were made again; --mixed takes such runs as they are"
    assert told == [f"{len(before)} runs there were made by other code (sources of agents), {rule}"]
    names = set(pd.read_parquet(kept / "runs.parquet")["hash"])
    assert not names & before
    assert all(
        json.loads((kept / "runs" / name / "summary.json").read_text())["code"]["sources"] == edited
        for name in names
    )
    assert call("tails", kept).exit_code == 0
    assert "other code" not in again(kept).stderr, "once is enough"


def test_mixed_runs_are_taken_and_every_table_says_so(kept: Path, edited: dict[str, str]) -> None:
    before = {path.name for path in (kept / "runs").iterdir()}
    done = call("sweep", TINY, "--executor", "serial", "--out", kept, "--seeds", 2, "--mixed")
    assert done.exit_code == 0
    assert (
        f"{len(before)} runs there were made by other code (sources of agents), they were taken"
        in done.stderr
    )
    table = pd.read_parquet(kept / "runs.parquet")
    assert set(table.loc[table["seed"] == 1, "hash"]) == before
    assert not set(table.loc[table["seed"] == 2, "hash"]) & before
    mixed = "Mixed: runs of 2 codes, which differ in sources of agents"
    for _ in range(2):
        for path in (kept / "tables").glob("*.csv"):
            assert set(pd.read_csv(path)["mixed"]) == {mixed}
        for path in (kept / "tables").glob("*.tex"):
            assert mixed in path.read_text()
        assert f"\n\n**{mixed}**\n\n" in (kept / "report.md").read_text()
        assert call("report", kept, "--study", TINY).exit_code == 0
    assert mixed in (kept / "report.html").read_text()
    done = again(kept)
    assert "they were made again" in done.stderr
    assert "mixed" not in pd.read_csv(kept / "tables" / "means.csv")


def test_a_damaged_run_of_other_code_is_made_by_this_one(
    kept: Path, edited: dict[str, str]
) -> None:
    hurt = sorted((kept / "runs").iterdir())[0]
    (hurt / "steps.parquet").write_bytes(b"PAR1")
    done = call("sweep", TINY, "--executor", "serial", "--out", kept, "--mixed")
    assert done.exit_code == 0
    assert (
        f"{hurt}/steps.parquet: differed from what had been written, the run was made again"
        in done.stderr
    )
    assert hurt.name not in set(pd.read_parquet(kept / "runs.parquet")["hash"])


# A run and its name


def test_another_runs_folder_under_a_name_is_made_again(whole: Path, kept: Path) -> None:
    one, other = sorted((kept / "runs").iterdir())[:2]
    shutil.rmtree(one)
    shutil.copytree(other, one)
    assert (
        f"runs/{one.name}/summary.json: was changed" in call("verify", kept, "--sample", 0).stderr
    )
    done = again(kept)
    assert (
        f"{one}/summary.json: differed from what had been written, the run was made again"
        in done.stderr
    )
    assert files(kept) == files(whole)


def test_another_runs_frames_with_their_checksums_are_made_again(whole: Path, kept: Path) -> None:
    """The seal made anew, as by one who knows how."""
    one, other = sorted((kept / "runs").iterdir())[:2]
    for path in other.glob("*.parquet"):
        shutil.copy(path, one / path.name)
    summary, theirs = (json.loads((each / "summary.json").read_text()) for each in (one, other))
    summary = {key: value for key, value in summary.items() if key != "seal"} | {
        "sha256": theirs["sha256"]
    }
    store.write_json(sealed.seal_summary(summary), one / "summary.json")
    assert "differed from what had been written" in again(kept).stderr
    assert files(kept) == files(whole)


def damage(run: Path, how: str) -> None:
    summary = json.loads((run / "summary.json").read_text())
    bare = {key: value for key, value in summary.items() if key != "seal"}
    other = next(path for path in run.parent.iterdir() if path != run)
    texts = {
        **{
            "null": "null",
            "list": "[]",
            "word": '"x"',
            "nothing": "",
            "empty": "{}",
            "none": '{"sha256": {}}',
        },
        **{
            "deep": "[" * 100_000,
            "numbers": '{"sha256": [1], "seal": 1}',
            "cut": json.dumps(summary)[:-9],
        },
        "totals": json.dumps(summary | {"totals": {}}),
        "no frames": json.dumps(sealed.seal_summary(bare | {"sha256": {}})),
        "outside": json.dumps(
            sealed.seal_summary(
                bare | {"sha256": bare["sha256"] | {f"../{other.name}/steps.parquet": "0" * 64}}
            )
        ),
        "absolute": json.dumps(
            sealed.seal_summary(bare | {"sha256": {str(other / "steps.parquet"): "0" * 64}})
        ),
    }
    if how in texts:
        (run / "summary.json").write_text(texts[how])
    elif how == "link":
        moved = run.parent.parent / "moved"
        run.rename(moved)
        run.symlink_to(moved)
    elif how == "broken link":
        shutil.rmtree(run)
        run.symlink_to(run.parent.parent / "nowhere")
    elif how == "linked frame":
        content = (run / "steps.parquet").rename(run.parent.parent / "steps.parquet")
        (run / "steps.parquet").symlink_to(content)
    elif how == "file":
        shutil.rmtree(run)
        run.write_text("a file")
    elif how == "folder":
        (run / "steps.parquet").unlink()
        (run / "steps.parquet").mkdir()


HOW = [
    "null",
    "list",
    "word",
    "nothing",
    "empty",
    "none",
    "deep",
    "numbers",
    "cut",
    "totals",
    "no frames",
    "outside",
]
HOW += ["absolute", "link", "broken link", "linked frame", "file", "folder"]


def test_damage_of_every_form_is_made_again_and_stops_no_other_run(
    whole: Path, tmp_path: Path
) -> None:
    for how in HOW:
        folder = shutil.copytree(whole, tmp_path / how)
        run = sorted((folder / "runs").iterdir())[0]
        damage(run, how)
        checked = call("verify", folder, "--sample", 0)
        assert checked.exit_code == 1, how
        assert checked.stderr.startswith(f"runs/{run.name}"), how
        done = again(folder)
        assert (done.exit_code, done.exception) == (0, None), how
        told = [
            line
            for line in done.stderr.splitlines()
            if "differed from what had been written" in line
        ]
        assert [line.startswith(str(run)) for line in told] == [True], how
        assert {
            name: held for name, held in files(folder).items() if name in files(whole)
        } == files(whole), how
        assert not run.is_symlink()
        assert call("verify", folder, "--sample", 0).exit_code == 0


def test_links_to_other_folders_cost_nothing_there(kept: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    (kept / "failed").symlink_to(other)
    shutil.move(kept / "runs", other / "runs")
    (kept / "runs").symlink_to(other / "runs")
    (other / "runs" / ".mine.tmp").mkdir()
    assert again(kept).exit_code == 0
    assert (other / "notes.txt").read_text() == "mine"
    assert (other / "runs" / ".mine.tmp").is_dir()
    assert not (kept / "failed").exists()


def unsign(folder: Path) -> list[str]:
    """Strip the recorded code from the runs of a sweep, as early builds of 0.2.0 had none.

    Returns:
        names of the runs.
    """
    frame = pd.read_parquet(folder / "runs.parquet")
    for run in sorted((folder / "runs").iterdir()):
        summary = json.loads((run / "summary.json").read_text())
        plain = {
            key: held for key, held in summary.items() if key not in ("code", "seal", "config_hash")
        }
        text = store.dump_canonical_json({key: plain[key] for key in ("config", "version", "data")})
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        store.write_json(plain, run / "summary.json")
        frame["hash"] = frame["hash"].replace(run.name, name)
        run.rename(run.with_name(name))
    for name in ("runs.parquet", "scores.parquet"):
        held = frame if name == "runs.parquet" else pd.read_parquet(folder / name)
        store.write_frame(held, folder / name, {"version": provenance.read_version()})
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["code"]
    manifest["files"] |= {
        name: hash_file(folder / name) for name in ("runs.parquet", "scores.parquet")
    }
    store.write_json(manifest, folder / "manifest.json")
    return sorted(path.name for path in (folder / "runs").iterdir())


def test_a_result_of_an_early_build_is_reported_in_a_line(kept: Path) -> None:
    names = unsign(kept)
    done = call("tables", kept, "--study", TINY)
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1)
    assert "was made by an earlier build, which did not record its code" in done.stderr
    done = call("verify", kept)
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1)
    assert f"{len(names)} runs were made by an earlier build" in done.stderr
    assert "0 runs made again: all the same" in done.stdout
    frame = kept / "runs" / names[0] / "steps.parquet"
    whole = frame.read_bytes()
    frame.write_bytes(whole[:-1])
    assert (
        f"runs/{names[0]}/steps.parquet: differs from its checksum" in call("verify", kept).stderr
    )
    frame.write_bytes(whole)
    for mixed in ((), ("--mixed",)):
        done = call("sweep", TINY, "--executor", "serial", "--out", kept, *mixed)
        line = (
            f"{len(names)} runs there were made by an earlier build, "
            "which did not record its code, they were not"
        )
        assert (done.exit_code, line in done.stderr) == (0, not mixed)
    done = call("verify", kept)
    assert (done.exit_code, done.stderr) == (0, "")


# Verification


def test_a_manifest_that_lists_no_files_verifies_nothing(kept: Path) -> None:
    store.write_json({"files": {}}, kept / "manifest.json")
    done = call("verify", kept, "--sample", 0)
    assert done.exit_code == 1
    assert "runs.parquet: manifest.json has no checksum of it\n" in done.stderr


def test_verify_compares_every_stored_file(kept: Path) -> None:
    runs = sorted((kept / "runs").iterdir())
    whole = {run: (run / "closeouts.parquet").read_bytes() for run in runs}
    for run in runs:
        frame = pd.read_parquet(run / "closeouts.parquet")
        store.write_frame(
            frame.assign(more=1), run / "closeouts.parquet", {"config_hash": run.name}
        )
    done = call("verify", kept)
    assert done.exit_code == 1
    told = done.stderr.splitlines()
    for run in runs:
        assert sum(line.startswith(f"runs/{run.name}/closeouts.parquet: ") for line in told) == 1
    assert len(told) == len(runs)
    for run, content in whole.items():
        (run / "closeouts.parquet").write_bytes(content)
    assert call("verify", kept, "--sample", 0).exit_code == 0
    gone = sorted((kept / "runs").iterdir())[0]
    shutil.rmtree(gone)
    assert f"runs/{gone.name}: is not there\n" in call("verify", kept, "--sample", 0).stderr


def test_verify_reports_a_frame_that_no_run_wrote(kept: Path, ran: Path, tmp_path: Path) -> None:
    run = sorted((kept / "runs").iterdir())[0]
    shutil.copyfile(run / "steps.parquet", run / "more.parquet")
    for sample in (0, 9):
        done = call("verify", kept, "--sample", sample)
        assert (done.exit_code, done.stderr.startswith(f"runs/{run.name}/more.parquet: ")) == (
            1,
            True,
        )
    folder = shutil.copytree(ran, tmp_path / "ran")
    shutil.copyfile(run / "steps.parquet", folder / "more.parquet")
    done = call("verify", folder, "--sample", 0)
    assert (done.exit_code, done.stderr) == (
        1,
        "more.parquet: manifest.json has no checksum of it\n",
    )


def test_verify_takes_one_run_of_a_sweep(kept: Path) -> None:
    run = sorted((kept / "runs").iterdir())[0]
    assert (call("verify", run).exit_code, call("verify", run, "--sample", 0).exit_code) == (0, 0)
    (run / "accounts.parquet").write_bytes(b"")
    assert call("verify", run).stderr == "accounts.parquet: differs\n"
    assert call("verify", run, "--sample", 0).stderr == (
        "accounts.parquet: differs from its checksum in summary.json\n"
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ran") / "run"
    assert (
        call(
            "run", "small_crash", "duration=300", "profile_every=0", "--out", folder, "--quiet"
        ).exit_code
        == 0
    )
    return folder


def test_verify_takes_the_folder_of_a_run(ran: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(ran, tmp_path / "run")
    held = sum(path.is_file() for path in folder.rglob("*")) - 1
    done = call("verify", folder)
    assert (done.exit_code, done.stderr) == (0, "")
    assert (
        done.stdout == f"{held} files compared with the manifest, 1 runs made again: all the same\n"
    )
    store.write_frame(
        pd.read_parquet(folder / "losses.parquet").assign(more=1), folder / "losses.parquet", {}
    )
    (folder / "events.json").unlink(missing_ok=True)
    done = call("verify", folder)
    assert done.exit_code == 1
    assert "losses.parquet: differs from its checksum in manifest.json\n" in done.stderr


def test_a_run_with_checksums_of_other_content_does_not_come_out_again(
    ran: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(ran, tmp_path / "run")
    path, manifest = folder / "steps.parquet", json.loads((folder / "manifest.json").read_text())
    frame = pd.read_parquet(path)
    store.write_frame(frame.assign(mark=frame["mark"] + 1), path, {})
    manifest["files"] |= {"steps.parquet": store.hash_files(folder)["steps.parquet"]}
    store.write_json(manifest, folder / "manifest.json")
    assert call("verify", folder).stderr == "steps.parquet: differs\n"
    assert call("verify", folder, "--sample", 0).exit_code == 0
    manifest["files"] |= {"../run/steps.parquet": "0"}
    store.write_json(manifest, folder / "manifest.json")
    told = call("verify", folder, "--sample", 0).stderr
    assert told == "../run/steps.parquet: leads out of the folder, manifest.json was changed\n"
    resolved = folder / "config.resolved.yaml"
    resolved.write_text(re.sub(r"(?m)^seed: \d+$", "seed: 99", resolved.read_text()))
    assert (
        "config.resolved.yaml: its configuration is not that of manifest.json"
        in call("verify", folder).stderr
    )


# Plug-ins


def deleverage(folder: Path, *words: object, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """In a process of its own, without compiling."""
    code = "from experiments.cli.app import main; main()"
    settings = os.environ | {"PYTHONPATH": str(root), "PYTHONSAFEPATH": "1"}
    settings |= {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True)


KIND = """
from typing import Literal
from agents import POPULATIONS
from agents.traders import NoiseTraders
from beside import SHARE

class Mine(NoiseTraders):
    kind: Literal["mine"] = "mine"

    def decide(self, *rest):
        orders = super().decide(*rest)
        return orders._replace(quantity=(orders.quantity * SHARE).astype(orders.quantity.dtype))

POPULATIONS["mine"] = Mine
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's folder: a study with a population of a plug-in, which imports a file beside it."""
    (tmp_path / "kinds.py").write_text(KIND)
    (tmp_path / "beside.py").write_text("SHARE = 1\n")
    (tmp_path / "small.py").write_text((STUDIES / "faulty.py").read_text(encoding="utf-8"))
    text = (
        TINY.read_text(encoding="utf-8")
        .replace("name: tiny", "name: small")
        .replace("kind: traders", "kind: mine")
    )
    text = text.split("roles:")[0].replace("seeds: 1", "seeds: 1\nmetrics: [low]")
    (tmp_path / "small.yaml").write_text(text)
    return tmp_path


PLUG = ("--plugin", "kinds")
COMMANDS = [("tables", "x"), ("figures", "x"), ("report", "x"), ("tails", "x"), ("verify", "x")]


@pytest.mark.slow
def test_a_plugin_and_what_it_imports_belong_to_a_run(mine: Path) -> None:
    start = ("sweep", "small.yaml", "--executor", "serial", "--out", "x", "--quiet", *PLUG)
    done = deleverage(mine, *start)
    assert done.returncode == 0, done.stderr
    before = pd.read_parquet(mine / "x" / "runs.parquet")["hash"]
    assert set(json.loads((mine / "x" / "manifest.json").read_text())["plugins"]["kinds"]) == {
        "beside.py",
        "kinds.py",
    }
    for words in COMMANDS:
        own = ("--study", "small.yaml") if words[0] in ("tables", "figures", "report") else ()
        done = deleverage(mine, *words, *own)
        assert done.returncode == 2, words
        assert done.stderr == "x: was made with a plug-in, name it: --plugin kinds\n"
        done = deleverage(mine, *words, *own, *PLUG)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (
        deleverage(mine, *start[:-2]).stderr
        == "x: was made with a plug-in, name it: --plugin kinds\n"
    )
    run = mine / "x" / "runs" / before[0]
    for words in (("explain", run), ("verify", run), ("tables", run, "--out", "t")):
        done = deleverage(mine, *words)
        assert (done.returncode, done.stderr) == (
            2,
            f"{run}: was made with a plug-in, name it: --plugin kinds\n",
        )
    assert deleverage(mine, "explain", run, *PLUG).returncode == 0
    (mine / "beside.py").write_text("SHARE = 2\n")
    done = deleverage(mine, "tables", "x", "--study", "small.yaml", *PLUG)
    assert done.returncode == 0
    assert done.stderr == "--plugin kinds: is not as it was when x was made, figures may differ\n"
    assert "made by other code: plug-in kinds\n" in deleverage(mine, "verify", "x", *PLUG).stderr
    done = deleverage(mine, *start)
    assert done.returncode == 0
    assert (
        "4 runs there were made by other code (plug-in kinds), they were made again" in done.stderr
    )
    assert not set(before) & set(pd.read_parquet(mine / "x" / "runs.parquet")["hash"])


@pytest.mark.slow
def test_a_run_remembers_its_plugins(mine: Path) -> None:
    populations = (
        "[{kind: mine, count: 20, venue: exchange, warm_up: 60}, "
        "{kind: makers, count: 3, venue: exchange}]"
    )
    done = deleverage(
        mine,
        "run",
        "small_crash",
        "duration=300",
        f"populations={populations}",
        "--out",
        "r",
        "--quiet",
        *PLUG,
    )
    assert done.returncode == 0, done.stderr
    commands = [
        ("verify", "r"),
        ("tables", "r"),
        ("explain", "r"),
        ("backtest", "--run", "r"),
        ("tails", "r"),
    ]
    for words in commands:
        done = deleverage(mine, *words)
        assert (done.returncode, done.stderr) == (
            2,
            "r: was made with a plug-in, name it: --plugin kinds\n",
        ), words
        done = deleverage(mine, *words, *PLUG)
        assert "plug-in" not in done.stderr
        assert "Traceback" not in done.stderr
    for words in (("margin", "portfolios/long_perpetual"), ("studies",), ("configs",), ("schema",)):
        assert "No such option" not in deleverage(mine, *words, *PLUG).stderr


# Sources on disk


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's packages, to be edited."""
    place = tmp_path_factory.mktemp("tree")
    for name in ("sim", "agents", "experiments", "configs"):
        shutil.copytree(
            ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "*.png")
        )
    return place


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        "agents/makers.py",
        "sim/types.py",
        "experiments/simulation.py",
        "experiments/sweep/execute_jobs.py",
    ],
)
def test_a_sweep_after_an_edit_makes_its_runs_again(file: str, tree: Path, tmp_path: Path) -> None:
    start = ("sweep", TINY, "--executor", "serial", "--out", tmp_path / "x", "--quiet")
    assert deleverage(tmp_path, *start, root=tree).returncode == 0
    before = set(pd.read_parquet(tmp_path / "x" / "runs.parquet")["hash"])
    (tree / file).write_text(
        (tree / file).read_text(encoding="utf-8") + "\n# edited\n", encoding="utf-8"
    )
    done = deleverage(tmp_path, *start, "--seeds", 2, root=tree)
    assert done.returncode == 0
    what = f"sources of {file.split('/')[0]}"
    assert (
        f"{len(before)} runs there were made by other code ({what}), they were made again"
        in done.stderr
    )
    assert not before & set(pd.read_parquet(tmp_path / "x" / "runs.parquet")["hash"])


# Paths without effect


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"axes": [{"name": "s", "values": [1, 2], "paths": {"seed": 1}}]},
            "axes.s.paths: 'seed', a sweep sets it",
        ),
        (
            {"axes": [{"name": "s", "values": [{"label": "a", "set": {"seed": 4}}]}]},
            "axes.s: a: 'seed', a sweep sets",
        ),
        ({"overrides": {"seed": 3}}, "overrides: 'seed', a sweep sets it"),
        ({"also": ["seed=3"]}, "changes: 'seed', a sweep sets it"),
        ({"roles": {"other": {"seed": 3}}}, "roles.other: 'seed', a sweep sets it"),
        (
            {"axes": [{"name": "n", "values": [{"label": "a", "set": {"name": "b"}}]}]},
            "axes.n: a: 'name', it is a name",
        ),
        (
            {"also": ["quick.duration=3"]},
            "changes: 'quick.duration', --quick of a run has no part in a sweep",
        ),
        (
            {"also": ["venues.0.engine.requirement.tiers.0.max_leverage=7"]},
            "has no effect: the axis cap sets",
        ),
        (
            {"also": ["stresses.0.size=-0.2"]},
            "changes: 'stresses.0.size', has no effect: the axis move sets",
        ),
    ],
)
def test_changes_without_effect_are_refused(
    changes: dict[str, object], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as error:
        run_sweep(tiny(**changes), out=tmp_path / "x", options=SERIAL)
    assert expected in str(error.value)
    assert not (tmp_path / "x").exists()


def test_a_span_on_the_seed_is_refused() -> None:
    axis = {"name": "s", "span": {"low": 1, "high": 9, "is_integer": True}, "paths": {"seed": 1}}
    with pytest.raises(ConfigError, match=r"axes\.s\.paths: 'seed', a sweep sets it by itself"):
        check_paths(tiny(axes=[axis], design={"kind": "sobol", "points": 2}))


def test_an_axis_that_overwrites_another_is_refused() -> None:
    path = "venues.0.engine.requirement.tiers.0.max_leverage"
    one, other = ({"name": name, "values": [2, 3], "paths": {path: 1}} for name in ("one", "other"))
    with pytest.raises(ConfigError, match=r"axes\.one: '.*', has no effect: the axis other sets"):
        check_paths(tiny(axes=[one, other]))
    check_paths(tiny(axes=[one]))


def test_packaged_studies_vary_nothing_without_effect() -> None:
    for name in list_study_names():
        for quick in (False, True):
            check_paths(load_study(name, quick=quick))


def test_a_part_of_quick_is_an_override_like_any_other() -> None:
    """Such a change was accepted and ignored."""
    assert load_run("small_crash", ["quick.duration=900"], quick=True).duration == 900
    assert load_run("small_crash", ["quick={duration: 600}"], quick=True).duration == 600

"""The wheel, installed in a fresh environment and used from another folder."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment that has the wheel and nothing of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT), python=Path(sys.executable))
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    pip(
        "install",
        "-q",
        "-c",
        str(ROOT / "constraints.txt"),
        str(wheel),
        python=folder / "env" / "bin" / "python",
    )
    return folder / "env" / "bin"


def pip(*arguments: str, python: Path) -> None:
    subprocess.run(
        [str(python), "-m", "pip", "--disable-pip-version-check", *arguments], check=True
    )


def test_every_download_can_be_checked_by_a_hash(tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip(
        "install",
        "-q",
        "--require-hashes",
        "-r",
        str(ROOT / ".ci" / "requirements-hashed.txt"),
        python=python,
    )
    pip("install", "-q", "--no-deps", "--no-build-isolation", str(ROOT), python=python)
    pip("check", python=python)
    done = call(str(python.with_name("deleverage")), "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def call(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL"))
    }
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True)


def test_runs_a_packaged_configuration_elsewhere(installed: Path, tmp_path: Path) -> None:
    done = call(
        str(installed / "deleverage"),
        "run",
        "crash_2008",
        "--quick",
        "--out",
        "result",
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "result"
    assert {"manifest.json", "steps.parquet", "figures"} <= {
        path.name for path in (tmp_path / "result").iterdir()
    }


def test_a_users_own_module_is_named_as_the_culprit(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "agents.py").write_text("raise SystemExit('the wrong agents ran')")
    line = f"agents: imported from {tmp_path / 'agents.py'}, must be "
    done = call(str(installed / "python"), "-m", "experiments", "configs", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    done = call(str(installed / "python"), "-c", "import experiments.config", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"ImportError: {line}")


def test_documents_and_configurations_are_shipped(installed: Path) -> None:
    code = (
        "import configs, sim, pathlib; "
        "print(*(pathlib.Path(m.__file__).parent for m in (configs, sim)))"
    )
    configs, sim = call(str(installed / "python"), "-c", code, cwd=installed).stdout.split()
    assert (Path(configs) / "crash_2008.yaml").is_file()
    assert (Path(configs) / "accounts" / "small_book.csv").is_file()
    assert (Path(sim) / "README.md").is_file() == (ROOT / "sim" / "README.md").is_file()

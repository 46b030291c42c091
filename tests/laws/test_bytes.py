"""The same configuration and seed give the same bytes for any process, folder, hash seed, threads.

This holds per lock file and type of processor. Time and place of a run are in ``manifest.json``,
which is not compared.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import yaml
from papers import crash

NAMES = (
    "steps",
    "venues",
    "market",
    "closeouts",
    "causes",
    "losses",
    "accounts",
    "profile",
    "populations",
)
FRAMES = {f"{name}.parquet" for name in NAMES}
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def digests(folder: Path, *, hash_seed: int, threads: int) -> dict[str, str]:
    """Hash the data that ``deleverage run`` leaves in a fresh folder, in its own process.

    No figures are drawn, because they are not compared.
    """
    folder.mkdir()
    changes = {"name": "crash", "seed": 3, "populations": crash.people()}
    (folder / "crash.yaml").write_text(yaml.safe_dump(crash.plain(**changes)), encoding="utf-8")
    program = [
        sys.executable,
        "-c",
        "from experiments.cli import app; app.provenance.pin_threads(); "
        "from experiments.figures import overview; overview.FIGURES = {}; app.main()",
        "run",
        "crash.yaml",
        "--quiet",
    ]
    surroundings = (
        os.environ | {"PYTHONHASHSEED": str(hash_seed)} | dict.fromkeys(THREADS, str(threads))
    )
    done = subprocess.run(
        program, cwd=folder, env=surroundings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = folder / done.stdout.splitlines()[-1]
    compared = [
        path
        for path in result.iterdir()
        if path.suffix == ".parquet" or path.name == "summary.json"
    ]
    assert {path.name for path in compared} == FRAMES | {"summary.json"}
    assert all(len(pd.read_parquet(path)) for path in compared if path.suffix == ".parquet"), (
        "an empty frame shows nothing"
    )
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in compared}


def test_nothing_but_configuration_and_seed_decides_the_bytes(tmp_path: Path) -> None:
    one = digests(tmp_path / "one", hash_seed=0, threads=1)
    assert digests(tmp_path / "another", hash_seed=4_294_967_295, threads=2) == one

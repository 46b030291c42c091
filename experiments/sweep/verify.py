"""Whether a study's results come out again: some of its runs, and the checksums of all that was made of them."""

import tempfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from experiments import provenance, store
from experiments.sweep.folder import RESOLVED
from experiments.sweep.making import SUMMARY, digests, write
from experiments.sweep.outputs import MANIFEST, sha256
from experiments.sweep.records import COMPLETE, Spec
from experiments.sweep.tally import RUNS
from sim.documents import read_json
from sim.errors import OutputError


class Verdict(NamedTuple):
    """What was compared, and what differs."""

    files: int
    runs: int
    differences: tuple[str, ...]  # path: what is wrong


def verify(place: Path, sample: int, seed: int = 0) -> Verdict:
    """Compare checksums of all files with the manifest, and make some runs again.

    Args:
        place: a study's results.
        sample: how many runs to make again; the same ones for the same seed.
        seed: of the choice.

    Raises:
        OutputError: no study's results, or not finished.
    """
    manifest, names = _manifest(place), _complete(place)
    chosen = np.random.default_rng(seed).permutation(len(names))[:sample]
    wrong = [
        f"{path}: {told}" for path, digest in manifest["files"].items() if (told := _compared(place / path, digest))
    ]
    for number in sorted(chosen.tolist()):
        wrong += [f"runs/{names[number]}/{told}" for told in _again(place / "runs" / names[number])]
    return Verdict(len(manifest["files"]), len(chosen), tuple(wrong))


def _manifest(place: Path) -> dict[str, Any]:
    for name in (RESOLVED, RUNS, MANIFEST):
        if not (place / name).is_file():
            rule = "no finished results of a study, name the folder of a sweep that has ended"
            raise OutputError(f"{place}: has no {name}, hence {rule}")
    try:
        return read_json(place / MANIFEST)
    except (OSError, ValueError) as error:
        raise OutputError(f"{place / MANIFEST}: cannot be read ({error}), run the sweep again") from error


def _complete(place: Path) -> list[str]:
    try:
        runs = pd.read_parquet(place / RUNS)
    except (ValueError, OSError, pa.ArrowException) as error:
        told = str(error).splitlines()[0]
        raise OutputError(f"{place / RUNS}: cannot be read ({told}), run the sweep again") from error
    return list(dict.fromkeys(runs.loc[runs["status"] == COMPLETE, "hash"]))


def _compared(path: Path, digest: str) -> str:
    if not path.is_file():
        return "is not there"
    return "" if sha256(path) == digest else f"is not the file that {MANIFEST} tells of"


def _again(folder: Path) -> list[str]:
    """What differs when a run is made once more."""
    try:
        summary = read_json(folder / SUMMARY)
        config, data, version = summary["config"], summary["data"], summary["version"]
    except (OSError, ValueError, KeyError):
        return [f"{SUMMARY}: cannot be read"]
    if version != provenance.version():
        return [f"{SUMMARY}: made by deleverage {version}, this is {provenance.version()}"]
    if store.config_hash(config, version, data) != folder.name:
        return [f"{SUMMARY}: its configuration is not that of its name"]
    with tempfile.TemporaryDirectory() as bench:
        spec = Spec(folder.name, zlib.compress(store.canonical(config).encode()), data)
        try:
            write(spec, Path(bench) / folder.name)
        except store.WriteError as error:
            told = f"{bench}: cannot be written, make room or name another folder for temporary files with TMPDIR"
            raise store.WriteError(told) from error
        there, now = digests(folder), digests(Path(bench) / folder.name)
    return [f"{name}: differs" for name in sorted({*there, *now}) if there.get(name) != now.get(name)]

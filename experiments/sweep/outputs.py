"""What is written of all scores: tables, figures, the report, and the manifest that says where they came from."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import provenance, store
from experiments.paper import measured
from experiments.paper.tables import Words
from experiments.paper.tables import write as write_tables
from experiments.sweep.config import StudyConfig
from experiments.sweep.folder import Results
from experiments.sweep.study import made_by, module_of
from sim.errors import ConfigError, not_one_of

MANIFEST = "manifest.json"
"""The only file with times, paths and machines."""


def write(results: Results, study: StudyConfig, scores: pd.DataFrame, mixed: str = "") -> str:
    """Tables as CSV and LaTeX, figures, ``report.md``; returns the report.

    Args:
        results: of the study.
        study: what promises tables and figures.
        scores: of all its runs.
        mixed: which codes made the runs, for every table; empty = one.

    Raises:
        ConfigError: the module makes no table or figure of a name that the study promises.
    """
    module = module_of(study.module)
    axes = [*(axis.name for axis in study.axes), *(["role"] if "role" in scores else [])]
    made_of = made_by(module, "tables", scores) | measured.tables(scores, axes, study.metrics, measured.Asked())
    words = Words.of(module)._replace(mixed=mixed)
    results.put("tables", lambda folder: _tables(made_of, folder, words, study.name))
    results.put("figures", lambda folder: _figures(module, scores, folder))
    report = words.introduced(made_by(module, "report", scores))
    results.put("report.md", lambda path: store.write_text(report + "\n", path))
    made = {"tables": _names(results.place / "tables"), "figures": _names(results.place / "figures")}
    promised = {"tables": study.tables, "figures": study.figures}
    problems = [
        f"{what}: {not_one_of(name, made[what])}" for what in made for name in promised[what] if name not in made[what]
    ]
    if problems:
        raise ConfigError(problems)
    return report


def _tables(tables: dict[str, pd.DataFrame], folder: Path, words: Words, of: str) -> None:
    folder.mkdir()
    write_tables(tables, folder, words, of)


def _figures(module: Any, scores: pd.DataFrame, folder: Path) -> None:
    folder.mkdir()
    made_by(module, "figures", scores, folder)


def _names(folder: Path) -> list[str]:
    return sorted({path.stem for path in folder.iterdir()})


def sign(results: Results, study: StudyConfig, about: dict[str, Any]) -> None:
    """The manifest."""
    record = {"study": study.model_dump(mode="json"), "root_seed": study.seed, **about, **provenance.manifest()}
    record["files"] = {path.relative_to(results.place).as_posix(): sha256(path) for path in _files(results.place)}
    results.put(MANIFEST, lambda path: store.write_json(record, path))


def _files(place: Path) -> Iterable[Path]:
    """All that was written but the runs, which ``runs.parquet`` names."""
    inner = (path for name in ("tables", "figures") for path in place.glob(f"{name}/*"))
    return sorted([*(path for path in place.iterdir() if path.is_file() and path.name != MANIFEST), *inner])


def sha256(path: Path) -> str:
    """Of a file's bytes, as hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

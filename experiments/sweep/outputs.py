"""What is written of all scores: tables, figures, the report, and the manifest that says where they came from."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.paper import metric_tables
from experiments.paper.tables import TableLabels
from experiments.paper.tables import write_tables as write_tables
from experiments.results import provenance, store
from experiments.sweep.config import StudyConfig
from experiments.sweep.folder import ResultFolder
from experiments.sweep.study import load_study_module, made_by
from sim.errors import ConfigError, describe_unknown

MANIFEST = "manifest.json"
"""The only file with times, paths and machines."""


def write_outputs(
    results: ResultFolder, study: StudyConfig, scores: pd.DataFrame, mixed: str = ""
) -> str:
    """Tables as CSV and LaTeX, figures, ``report.md``; returns the report.

    Args:
        results: of the study.
        study: what promises tables and figures.
        scores: of all its runs.
        mixed: which codes made the runs, for every table; empty = one.

    Raises:
        ConfigError: the module makes no table or figure of a name that the study promises.
    """
    module = load_study_module(study.module)
    axes = [*(axis.name for axis in study.axes), *(["role"] if "role" in scores else [])]
    made_of = made_by(module, "tables", scores) | metric_tables.tabulate_metrics(
        scores, axes, study.metrics, metric_tables.MetricOptions()
    )
    words = TableLabels.from_module(module)._replace(mixed=mixed)
    results.replace_entry(
        "tables", lambda folder: _write_tables(made_of, folder, words, study.name)
    )
    results.replace_entry("figures", lambda folder: _draw_figures(module, scores, folder))
    report = words.add_mixed_notice(made_by(module, "report", scores))
    results.replace_entry("report.md", lambda path: store.write_text(report + "\n", path))
    made = {
        "tables": _list_names(results.path / "tables"),
        "figures": _list_names(results.path / "figures"),
    }
    promised = {"tables": study.tables, "figures": study.figures}
    problems = [
        f"{what}: {describe_unknown(name, made[what])}"
        for what in made
        for name in promised[what]
        if name not in made[what]
    ]
    if problems:
        raise ConfigError(problems)
    return report


def _write_tables(
    tables: dict[str, pd.DataFrame], folder: Path, words: TableLabels, of: str
) -> None:
    folder.mkdir()
    write_tables(tables, folder, words, of)


def _draw_figures(module: Any, scores: pd.DataFrame, folder: Path) -> None:
    folder.mkdir()
    made_by(module, "figures", scores, folder)


def _list_names(folder: Path) -> list[str]:
    return sorted({path.stem for path in folder.iterdir()})


def write_manifest(results: ResultFolder, study: StudyConfig, about: dict[str, Any]) -> None:
    """The manifest."""
    record = {
        "study": study.model_dump(mode="json"),
        "root_seed": study.seed,
        **about,
        **provenance.describe_process(),
    }
    record["files"] = {
        path.relative_to(results.path).as_posix(): hash_file(path)
        for path in _output_files(results.path)
    }
    results.replace_entry(MANIFEST, lambda path: store.write_json(record, path))


def _output_files(place: Path) -> Iterable[Path]:
    """All that was written but the runs, which ``runs.parquet`` names."""
    inner = (path for name in ("tables", "figures") for path in place.glob(f"{name}/*"))
    return sorted(
        [*(path for path in place.iterdir() if path.is_file() and path.name != MANIFEST), *inner]
    )


def hash_file(path: Path) -> str:
    """Of a file's bytes, as hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()

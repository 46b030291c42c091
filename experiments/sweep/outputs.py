"""Outputs of a sweep from all scores: tables, figures, report and manifest."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.paper import metric_tables
from experiments.paper.report_file import format_report_file
from experiments.paper.tables import TableLabels
from experiments.paper.tables import write_tables as write_tables
from experiments.results import provenance, store
from experiments.results.checksums import MANIFEST, hash_file
from experiments.sweep.config import StudyConfig
from experiments.sweep.folder import ResultFolder
from experiments.sweep.study import load_study_module, made_by
from sim.errors import ConfigError, describe_unknown


def write_outputs(
    results: ResultFolder,
    study: StudyConfig,
    scores: pd.DataFrame,
    mixed: str = "",
    plugins: Iterable[str] = (),
) -> str:
    """Write tables as CSV and LaTeX, figures, and ``report.md``; return the report.

    Args:
        results: result folder of the study.
        study: study, which promises tables and figures.
        scores: scores of all its runs.
        mixed: notice about several codes, for every table; empty if one code made all runs.
        plugins: modules that register the kinds of the study.

    Raises:
        ConfigError: the module does not make a table or figure that the study promises.
    """
    module = load_study_module(study.module)
    axes = [*(axis.name for axis in study.axes), *(["role"] if "role" in scores else [])]
    tables = made_by(module, "tables", scores) | metric_tables.tabulate_metrics(
        scores, axes, study.metrics, metric_tables.MetricOptions()
    )
    labels = TableLabels.from_module(module)._replace(mixed=mixed)
    results.replace_entry(
        "tables", lambda folder: _write_tables(tables, folder, labels, study.name)
    )
    results.replace_entry("figures", lambda folder: _draw_figures(module, scores, folder))
    report = made_by(module, "report", scores)
    content = format_report_file(study, report, labels, plugins)
    results.replace_entry("report.md", lambda path: store.write_text(content, path))
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
    return labels.add_mixed_notice(report)


def _write_tables(
    tables: dict[str, pd.DataFrame], folder: Path, labels: TableLabels, of: str
) -> None:
    folder.mkdir()
    write_tables(tables, folder, labels, of)


def _draw_figures(module: Any, scores: pd.DataFrame, folder: Path) -> None:
    folder.mkdir()
    made_by(module, "figures", scores, folder)


def _list_names(folder: Path) -> list[str]:
    return sorted({path.stem for path in folder.iterdir()})


def write_manifest(results: ResultFolder, study: StudyConfig, about: dict[str, Any]) -> None:
    """Write the manifest."""
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
    """Return all written files except the runs, which ``runs.parquet`` names."""
    inner = (path for name in ("tables", "figures") for path in place.glob(f"{name}/*"))
    return sorted(
        [*(path for path in place.iterdir() if path.is_file() and path.name != MANIFEST), *inner]
    )

"""Figures, tables and report of a result folder, for the three commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.paper import figures, metric_tables, page, run_tables, tables
from experiments.paper.load_results import RunResult, StudyResult
from experiments.paper.metric_tables import MetricOptions
from experiments.paper.report_file import format_report_file
from experiments.paper.run_tables import PaperTables
from experiments.results import store
from experiments.sweep.folder import ResultFolder
from experiments.sweep.study import made_by

REPORT = "report.html"
DEFAULT_OPTIONS = MetricOptions()


class WrittenFiles(NamedTuple):
    """Files that a command wrote, and problems that it met."""

    paths: Sequence[Path]
    problems: Sequence[str]


def make_figures(result: RunResult | StudyResult, out: Path) -> WrittenFiles:
    """Write ``figures/`` in a folder: PDF, PNG and CSV of each figure.

    Args:
        result: see ``open_result``.
        out: existing folder: the result's own, or another.
    """
    problems = list(result.problems)

    def draw(folder: Path) -> None:
        folder.mkdir()
        problems.extend(figures.draw_figures(result, folder))

    ResultFolder(out).replace_entry("figures", draw)
    return WrittenFiles(sorted((out / "figures").iterdir()), problems)


def make_tables(
    result: RunResult | StudyResult, out: Path, options: MetricOptions = DEFAULT_OPTIONS
) -> WrittenFiles:
    """Write ``tables/`` in a folder: CSV and LaTeX of each table.

    Args:
        result: see ``open_result``.
        out: existing folder.
        options: metrics that a user requests.

    Raises:
        ConfigError: a metric or reference is unknown.
    """
    return _write_tables(result, collect_tables(result, options), out)


def make_report(result: RunResult | StudyResult, out: Path) -> WrittenFiles:
    """Write figures, tables and ``report.html``, and ``report.md`` of a study.

    Args:
        result: see ``open_result``.
        out: existing folder.
    """
    content, drawn = collect_tables(result), make_figures(result, out)
    paths, problems = list(drawn.paths), [*drawn.problems, *content.problems]
    if isinstance(result, StudyResult):
        report = made_by(result.module, "report", result.scores)
        text = result.table_labels.add_mixed_notice(report)
        written = format_report_file(
            result.study, report, result.table_labels, result.about.get("plugins", {})
        )
        ResultFolder(out).replace_entry("report.md", lambda path: store.write_text(written, path))
        paths += [*_write_tables(result, content, out).paths, out / "report.md"]
        html = page.make_study_page(result, out / "figures", content.tables, text)
    else:
        html = page.make_run_page(result, out / "figures", content.tables, problems)
    ResultFolder(out).replace_entry(REPORT, lambda path: page.write_page(html, path))
    return WrittenFiles([*paths, out / REPORT], problems)


def collect_tables(
    result: RunResult | StudyResult, options: MetricOptions = DEFAULT_OPTIONS
) -> PaperTables:
    """Return the tables of a study's module and metrics, or those of a run."""
    if isinstance(result, StudyResult):
        of_metrics = metric_tables.tabulate_metrics(
            result.scores, result.axes, result.study.metrics, options
        )
        return PaperTables(made_by(result.module, "tables", result.scores) | of_metrics)
    return run_tables.tabulate_run(result)


def _write_tables(result: RunResult | StudyResult, content: PaperTables, out: Path) -> WrittenFiles:
    if isinstance(result, StudyResult):
        name, labels = result.study.name, result.table_labels
    else:
        name, labels = result.config.name, run_tables.RUN_TABLE_LABELS

    def fill(folder: Path) -> None:
        folder.mkdir()
        tables.write_tables(content.tables, folder, labels, name)

    ResultFolder(out).replace_entry("tables", fill)
    return WrittenFiles(sorted((out / "tables").iterdir()), [*result.problems, *content.problems])

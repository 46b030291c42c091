"""The three commands: figures, tables and report of a result folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.paper import figures, metric_tables, page, run_tables, tables
from experiments.paper.load_results import RunResult, StudyResult
from experiments.paper.metric_tables import MetricOptions
from experiments.paper.run_tables import PaperTables
from experiments.results import store
from experiments.sweep.folder import ResultFolder
from experiments.sweep.study import made_by

REPORT = "report.html"
DEFAULT_OPTIONS = MetricOptions()


class WrittenFiles(NamedTuple):
    """What a command wrote, and what it could not."""

    paths: Sequence[Path]
    problems: Sequence[str]


def make_figures(result: RunResult | StudyResult, out: Path) -> WrittenFiles:
    """``figures/`` in a folder: PDF, PNG and CSV of each.

    Args:
        result: see ``opened``.
        out: existing; the result's own, or another.
    """
    problems = list(result.problems)

    def draw(folder: Path) -> None:
        folder.mkdir()
        problems.extend(figures.draw_figures(result, folder))

    ResultFolder(out).replace_entry("figures", draw)
    return WrittenFiles(sorted((out / "figures").iterdir()), problems)


def make_tables(
    result: RunResult | StudyResult, out: Path, asked: MetricOptions = DEFAULT_OPTIONS
) -> WrittenFiles:
    """``tables/`` in a folder: CSV and LaTeX of each; args as of ``make_figures``, and metrics that a user asks for.

    Raises:
        ConfigError: an unknown metric or reference.
    """
    return _write_tables(result, collect_tables(result, asked), out)


def make_report(result: RunResult | StudyResult, out: Path) -> WrittenFiles:
    """Figures and tables again, ``report.md`` of a study, and ``report.html``; args as of ``make_figures``."""
    found, drawn = collect_tables(result), make_figures(result, out)
    paths, problems = list(drawn.paths), [*drawn.problems, *found.problems]
    if isinstance(result, StudyResult):
        told = result.table_labels.add_mixed_notice(made_by(result.module, "report", result.scores))
        ResultFolder(out).replace_entry(
            "report.md", lambda path: store.write_text(told + "\n", path)
        )
        paths += [*_write_tables(result, found, out).paths, out / "report.md"]
        content = page.make_study_page(result, out / "figures", found.tables, told)
    else:
        content = page.make_run_page(result, out / "figures", found.tables, problems)
    ResultFolder(out).replace_entry(REPORT, lambda path: page.write_page(content, path))
    return WrittenFiles([*paths, out / REPORT], problems)


def collect_tables(
    result: RunResult | StudyResult, asked: MetricOptions = DEFAULT_OPTIONS
) -> PaperTables:
    """The tables of a study's module and of its metrics; of a run, see ``run_tables``."""
    if isinstance(result, StudyResult):
        of_metrics = metric_tables.tabulate_metrics(
            result.scores, result.axes, result.study.metrics, asked
        )
        return PaperTables(made_by(result.module, "tables", result.scores) | of_metrics)
    return run_tables.tabulate_run(result)


def _write_tables(result: RunResult | StudyResult, found: PaperTables, out: Path) -> WrittenFiles:
    name = (result.study if isinstance(result, StudyResult) else result.config).name
    words = result.table_labels if isinstance(result, StudyResult) else run_tables.RUN_TABLE_LABELS

    def fill(folder: Path) -> None:
        folder.mkdir()
        tables.write_tables(found.tables, folder, words, name)

    ResultFolder(out).replace_entry("tables", fill)
    return WrittenFiles(sorted((out / "tables").iterdir()), [*result.problems, *found.problems])

"""The three commands: figures, tables and report of a result folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from experiments import store
from experiments.paper import figures, measured, page, run_tables, tables
from experiments.paper.measured import Asked
from experiments.paper.opened import RunResult, StudyResult
from experiments.paper.run_tables import Found
from experiments.sweep.folder import Results
from experiments.sweep.study import made_by

REPORT = "report.html"
DEFAULT = Asked()


class Made(NamedTuple):
    """What a command wrote, and what it could not."""

    paths: Sequence[Path]
    problems: Sequence[str]


def make_figures(result: RunResult | StudyResult, out: Path) -> Made:
    """``figures/`` in a folder: PDF, PNG and CSV of each.

    Args:
        result: see ``opened``.
        out: existing; the result's own, or another.
    """
    problems = list(result.problems)

    def draw(folder: Path) -> None:
        folder.mkdir()
        problems.extend(figures.draw(result, folder))

    Results(out).put("figures", draw)
    return Made(sorted((out / "figures").iterdir()), problems)


def make_tables(result: RunResult | StudyResult, out: Path, asked: Asked = DEFAULT) -> Made:
    """``tables/`` in a folder: CSV and LaTeX of each; args as of ``make_figures``, and metrics that a user asks for.

    Raises:
        ConfigError: an unknown metric or reference.
    """
    return _written(result, found_in(result, asked), out)


def make_report(result: RunResult | StudyResult, out: Path) -> Made:
    """Figures and tables again, ``report.md`` of a study, and ``report.html``; args as of ``make_figures``."""
    found, drawn = found_in(result), make_figures(result, out)
    paths, problems = list(drawn.paths), [*drawn.problems, *found.problems]
    if isinstance(result, StudyResult):
        told = result.words.introduced(made_by(result.module, "report", result.scores))
        Results(out).put("report.md", lambda path: store.write_text(told + "\n", path))
        paths += [*_written(result, found, out).paths, out / "report.md"]
        content = page.of_study(result, out / "figures", found.tables, told)
    else:
        content = page.of_run(result, out / "figures", found.tables, problems)
    Results(out).put(REPORT, lambda path: page.write(content, path))
    return Made([*paths, out / REPORT], problems)


def found_in(result: RunResult | StudyResult, asked: Asked = DEFAULT) -> Found:
    """The tables of a study's module and of its metrics; of a run, see ``run_tables``."""
    if isinstance(result, StudyResult):
        of_metrics = measured.tables(result.scores, result.axes, result.study.metrics, asked)
        return Found(made_by(result.module, "tables", result.scores) | of_metrics)
    return run_tables.tables(result)


def _written(result: RunResult | StudyResult, found: Found, out: Path) -> Made:
    name = (result.study if isinstance(result, StudyResult) else result.config).name
    words = result.words if isinstance(result, StudyResult) else run_tables.WORDS

    def fill(folder: Path) -> None:
        folder.mkdir()
        tables.write(found.tables, folder, words, name)

    Results(out).put("tables", fill)
    return Made(sorted((out / "tables").iterdir()), [*result.problems, *found.problems])

"""The three commands: figures, tables and report of a result folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from experiments.paper import figures, measured, page, run_tables, tables
from experiments.paper.measured import Asked
from experiments.paper.opened import RunResult, StudyResult
from experiments.sweep.folder import Results

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
    found, name = frames_of(result, asked), (result.study if isinstance(result, StudyResult) else result.config).name
    words = tables.Words.of(result.module) if isinstance(result, StudyResult) else run_tables.WORDS

    def fill(folder: Path) -> None:
        folder.mkdir()
        tables.write(found, folder, words, name)

    Results(out).put("tables", fill)
    return Made(sorted((out / "tables").iterdir()), result.problems)


def frames_of(result: RunResult | StudyResult, asked: Asked = DEFAULT) -> dict[str, pd.DataFrame]:
    """The tables of a study's module and of its metrics; of a run, see ``run_tables``."""
    if isinstance(result, StudyResult):
        found = measured.tables(result.scores, result.axes, result.study.metrics, asked)
        return result.module.tables(result.scores) | found
    return run_tables.tables(result)


def make_report(result: RunResult | StudyResult, out: Path) -> Made:
    """Figures and tables again, ``report.md`` of a study, and ``report.html``; args as of ``make_figures``."""
    drawn = make_figures(result, out)
    if isinstance(result, StudyResult):
        filled, told = make_tables(result, out), result.module.report(result.scores)
        Results(out).put("report.md", lambda path: path.write_text(told + "\n", encoding="utf-8"))
        content = page.of_study(result, out / "figures", frames_of(result), told)
        paths = [*drawn.paths, *filled.paths, out / "report.md"]
    else:
        content = page.of_run(result, out / "figures", drawn.problems[len(result.problems) :])
        paths = list(drawn.paths)
    Results(out).put(REPORT, lambda path: page.write(content, path))
    return Made([*paths, out / REPORT], drawn.problems)

"""Figures of a result, drawn again from its files."""

from pathlib import Path

from experiments.figures.overview import FIGURES
from experiments.paper.load_results import RunResult, StudyResult
from experiments.sweep.study import made_by
from sim.errors import DeleverageError


def draw_figures(result: RunResult | StudyResult, folder: Path) -> list[str]:
    """Draw PDF, PNG and CSV of every figure; the bytes are the same each time.

    Args:
        result: result of one run or of a study.
        folder: existing folder.

    Returns:
        A line for each figure that could not be drawn.
    """
    if isinstance(result, RunResult):
        return _draw_run_figures(result, folder)
    made_by(result.module, "figures", result.scores, folder)
    return []


def _draw_run_figures(result: RunResult, folder: Path) -> list[str]:
    problems = []
    if "steps" not in result.frames:
        return []  # the problems of the result already name that file
    if not len(result.frames["steps"]):
        return [f"{result.folder}: no step was recorded, figures need some, make the run again"]
    numeraire = result.config.assets[0]
    for name, figure in FIGURES.items():
        try:
            figure(result.frames, folder, unit=10**numeraire.decimals, currency=numeraire.name)
        except DeleverageError as error:
            problems.append(f"figures/{name}: not drawn, {error}")
    return problems

"""All figures of a result, drawn again from its files."""

from pathlib import Path

from experiments.figures import FIGURES
from experiments.paper.opened import RunResult, StudyResult
from experiments.sweep.study import made_by
from sim.errors import DeleverageError


def draw(result: RunResult | StudyResult, folder: Path) -> list[str]:
    """PDF, PNG and CSV of every figure; the same bytes each time.

    Args:
        result: of one run or of a study.
        folder: existing.

    Returns:
        What could not be drawn, a line each.
    """
    if isinstance(result, RunResult):
        return _run(result, folder)
    made_by(result.module, "figures", result.scores, folder)
    return []


def _run(result: RunResult, folder: Path) -> list[str]:
    problems = []
    if "steps" not in result.frames:
        return []  # what is wrong with that file is among the problems of the result
    if not len(result.frames["steps"]):
        return [f"{result.folder}: no step was recorded, figures need some, make the run again"]
    numeraire = result.config.assets[0]
    for name, figure in FIGURES.items():
        try:
            figure(result.frames, folder, unit=10**numeraire.decimals, currency=numeraire.name)
        except DeleverageError as error:
            problems.append(f"figures/{name}: not drawn, {error}")
    return problems

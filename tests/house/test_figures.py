"""Statistical plots are drawn with seaborn; what matplotlib draws itself is listed here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "experiments").rglob("*.py"))

SEABORN_HAS = {
    *("plot", "step", "stairs", "scatter", "errorbar", "fill_between", "fill_betweenx"),
    *("bar", "barh", "hist", "hist2d", "ecdf", "boxplot", "violinplot", "hexbin"),
    *("imshow", "matshow", "pcolor", "pcolormesh", "vlines", "hlines", "semilogx", "loglog"),
}
"""Methods of matplotlib's axes for plots that seaborn has."""

ARTISTS = {"LineCollection", "PolyCollection", "PathCollection", "Rectangle"}
"""Artists of matplotlib that stand for a plot, and that seaborn may have."""

ALLOWED = {
    # Links between close-outs form a graph, and cells follow the mark: seaborn has neither.
    ("experiments/figures/contagion.py", "LineCollection"),
    ("experiments/figures/contagion.py", "PolyCollection"),
}


def is_axes(owner: ast.expr) -> bool:
    """Return true for an expression that may be matplotlib's axes."""
    return not (isinstance(owner, ast.Name) and owner.id in ("seaborn", "objects"))


def find_plots(path: Path) -> Iterator[str]:
    """Yield the name of each call that draws with matplotlib what seaborn could draw."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {line.asname or line.name for line in imported_names(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in ARTISTS & own:
            yield function.id
        if not isinstance(function, ast.Attribute) or function.attr not in SEABORN_HAS:
            continue
        # A plot takes data; Plot.plot() of seaborn.objects and Market.step() take nothing.
        has_data = bool(node.args or node.keywords)
        if is_axes(function.value) and has_data:
            yield function.attr


def imported_names(tree: ast.AST) -> Iterator[ast.alias]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from node.names


def imports_from_matplotlib(path: Path) -> bool:
    """Return true for a module that makes a figure."""
    text = path.read_text(encoding="utf-8")
    return "from matplotlib.figure import Figure" in text


def test_matplotlib_draws_only_what_seaborn_lacks() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), name) for path in SOURCES for name in find_plots(path)
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if imports_from_matplotlib(path)], ids=lambda path: path.stem
)
def test_a_module_that_makes_figures_draws_with_seaborn(path: Path) -> None:
    """Directly, or with the functions of ``figures.style``, which do."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        ast.unparse(node.func).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    shared = {name for name in called if name.startswith("draw_")}
    assert "seaborn" in called or shared


@pytest.mark.parametrize(
    "line",
    [
        "axes.plot([1], [2])",
        "panels[0].scatter(x, y)",
        "figure.subplots().errorbar(at, mean, reach)",
        "axes.imshow(cells)",
        "from matplotlib.collections import PolyCollection\nPolyCollection(corners)",
    ],
)
def test_a_plot_of_matplotlib_is_found(line: str, tmp_path: Path) -> None:
    file = tmp_path / "drawn.py"
    file.write_text(line, encoding="utf-8")
    assert list(find_plots(file))


@pytest.mark.parametrize(
    "line", ["seaborn.lineplot(x=[1], y=[2])", "objects.Plot(table).add(bars).on(axes).plot()"]
)
def test_a_plot_of_seaborn_is_accepted(line: str, tmp_path: Path) -> None:
    file = tmp_path / "drawn.py"
    file.write_text(line, encoding="utf-8")
    assert not list(find_plots(file))

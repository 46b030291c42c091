"""The commands ``deleverage figures``, ``deleverage tables`` and ``deleverage report``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.options import OwnStudy, Plugins, print_notices

if TYPE_CHECKING:
    from experiments.paper.load_results import RunResult, StudyResult
    from experiments.paper.output import WrittenFiles

BAD_INPUT = 2

Folder = Annotated[
    Path,
    typer.Argument(metavar="RESULTS", help="Result folder of a sweep or of a run."),
]
Out = Annotated[Path | None, typer.Option(help="Folder to write to; default the result's own.")]

app = typer.Typer()


@app.command()
def figures(
    results: Folder, *, out: Out = None, study: OwnStudy = None, plugin: Plugins = None
) -> None:
    """Redraw all figures of a result: PDF, PNG and CSV."""
    with _report_errors():
        from experiments.paper import output

        result = _open(results, study, plugin)
        _print_paths(output.make_figures(result, _make_folder(out, results)))


@app.command()
def tables(
    results: Folder,
    *,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Column of the scores; default the metrics of the study."
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="AXIS=VALUE", help="Add paired differences of the metrics from this setting."
        ),
    ] = "",
    precision: Annotated[
        float,
        typer.Option(
            min=1e-6,
            max=1,
            help="Target half-width, as a share of the mean, for the number of replications.",
        ),
    ] = 0.1,
    out: Out = None,
    study: OwnStudy = None,
    plugin: Plugins = None,
) -> None:
    """Rewrite all tables of a result: tidy CSV, and LaTeX with n and intervals."""
    with _report_errors():
        from experiments.paper import output
        from experiments.paper.metric_tables import MetricOptions

        result = _open(results, study, plugin)
        options = MetricOptions(metric or (), against, precision)
        _print_paths(output.make_tables(result, _make_folder(out, results), options))


@app.command()
def report(
    results: Folder, *, out: Out = None, study: OwnStudy = None, plugin: Plugins = None
) -> None:
    """Write the figures, the tables and the report of a result; the report is one HTML file."""
    with _report_errors():
        from experiments.paper import output

        result = _open(results, study, plugin)
        _print_paths(output.make_report(result, _make_folder(out, results)))


def _open(results: Path, study: Path | None, plugin: list[str] | None) -> "RunResult | StudyResult":
    """Import plug-ins, then open a result and print its notices."""
    from experiments.plugins import import_plugins

    import_plugins(plugin)
    from experiments.paper.load_results import open_result

    result = open_result(results, study)
    print_notices(result.notices)
    return result


def _make_folder(out: Path | None, results: Path) -> Path:
    from experiments.results.store import translate_os_error

    place = out or results
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise translate_os_error(error, place) from error
    return place


def _print_paths(made: "WrittenFiles") -> None:
    for path in made.paths:
        typer.echo(path)
    for line in made.problems:
        typer.echo(line, err=True)
    if made.problems:
        raise typer.Exit(BAD_INPUT)


@contextmanager
def _report_errors() -> Iterator[None]:
    """Print invalid input on one line and exit with its code."""
    from sim.errors import DeleverageError

    try:
        yield
    except DeleverageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

"""Command line interface: the program ``deleverage``.

Heavy modules are imported inside the commands, so that help is printed at once.
"""

import atexit
import gc
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments import neighbours
from experiments.cli import backtest, check, explain, margin, mechanisms, paper, run, sweep, tails
from experiments.cli.failures import CommandGroup
from experiments.cli.options import Plugins
from experiments.results import provenance

FAILED, BAD_INPUT = 1, 2
"""Exit codes other than 0."""

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(backtest.app)
app.add_typer(check.app)
app.add_typer(explain.app)
app.add_typer(margin.app)
app.add_typer(mechanisms.app)
app.add_typer(paper.app)
app.add_typer(run.app)
app.add_typer(sweep.app)
app.add_typer(tails.app)


def main() -> None:
    """Start the command line interface."""
    atexit.register(gc.freeze)  # or the last garbage collections take half a second
    provenance.pin_threads()
    refuse_shadowed_packages()
    app()


def refuse_shadowed_packages() -> None:
    """Exit if a user's own module would be imported instead of a module of this project."""
    if lines := neighbours.find_shadowed_packages():
        _print_error("\n".join(lines))
        sys.exit(BAD_INPUT)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"deleverage {provenance.read_version()}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Simulate how margin rules make or break a leveraged market."""
    _shorten_warnings()


def _shorten_warnings() -> None:
    """Print warnings about settings and data on one line each, without the position in the code."""
    from sim.errors import SettingWarning

    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, SettingWarning):
            _print_error(str(message))
        else:
            before(message, category, *where, **more)

    warnings.simplefilter("default", SettingWarning)
    warnings.showwarning = show


@app.command()
def configs(plugin: Plugins = None) -> None:
    """List the packaged configurations."""
    _import_plugins(plugin)
    from sim.reading.loading import describe_config
    from sim.reading.packaged import list_packaged

    names = list_packaged()
    width = max(map(len, names), default=0)
    for name in names:
        typer.echo(f"{name:<{width}}  {describe_config(name)}".rstrip())


@app.command()
def schema(
    out: Annotated[
        Path | None, typer.Option(help="File to write; default standard output.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write the JSON Schema of a configuration, for editors."""
    _import_plugins(plugin)
    from experiments.generated.schema import build_schema_text

    text = build_schema_text()
    if out is None:
        typer.echo(text, nl=False)
        return
    from experiments.results.store import translate_os_error, write_text
    from sim.errors import OutputError

    try:
        write_text(text, out)
    except (OSError, OutputError) as error:
        problem = error if isinstance(error, OutputError) else translate_os_error(error, out)
        _print_error(str(problem))
        raise typer.Exit(BAD_INPUT if isinstance(problem, OutputError) else FAILED) from error


def _import_plugins(modules: list[str] | None) -> None:
    """Import a user's modules; exit with one line if an import fails."""
    from experiments.plugins import import_plugins
    from sim.errors import ConfigError

    try:
        import_plugins(modules)
    except ConfigError as error:
        _print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error


def _print_error(lines: str) -> None:
    typer.echo(lines, err=True)

"""Command line interface: the program ``deleverage``.

Heavy modules are imported inside the commands, so that help is printed at once.
"""

import atexit
import gc
import sys
import warnings
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experiments import neighbours
from experiments.cli import backtest, check, explain, margin, paper, sweep, tails
from experiments.cli.failures import CommandGroup
from experiments.cli.options import Accounts, Plugins
from experiments.imports import pause_garbage_collection
from experiments.results import provenance

if TYPE_CHECKING:
    from experiments.config import RunConfig
    from experiments.run import RunOptions, RunOutcome

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
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
app.add_typer(paper.app)
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
def run(
    config: Annotated[
        str,
        typer.Argument(help="YAML file, or name of a packaged configuration (deleverage configs)."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[a.b=3 ...]", help="Changes to the configuration."),
    ] = None,
    *,
    data: Annotated[
        str | None,
        typer.Option(help="Prices to replay as the first index: CSV, Parquet, or arch:NAME."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Root seed, instead of the configuration's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Result folder; default results/NAME-CONFIGHASH.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Shorter run: apply the configuration's own quick: values."),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print neither progress nor the closing table.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing result.")
    ] = False,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Make steps in plain Python, slower, with the same result."),
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET",
            help="Margin engine of the venues with perpetuals: a preset's name or a file.",
        ),
    ] = None,
    accounts: Accounts = None,
    plugin: Plugins = None,
) -> None:
    """Run one market; print a closing table and, last, the result folder."""
    from experiments.figures.parallel import open_helper

    fixed = _list_option_overrides(seed, accounts)
    try:
        with open_helper() as helper:
            with pause_garbage_collection():
                _import_plugins(plugin)
                from experiments.cautions import find_idle_settings
                from experiments.config import engine_overrides, load_run
                from experiments.price_files.bars import describe_replays
                from experiments.run import COMPLETE, RunOptions

            given = [*engine_overrides(config, engine), *(overrides or []), *fixed]
            if data is not None:
                from experiments.price_files.own_data import own_data_overrides

                given = [*own_data_overrides(config, data, given, quick=quick), *given]
            settings = load_run(config, given, quick=quick and data is None)
            for line in [*describe_replays(settings.underlyings), *find_idle_settings(settings)]:
                _print_error(line)
            outcome = _execute_run(settings, out, RunOptions(overwrite, quiet, plain, helper))
    except KeyboardInterrupt as error:
        _print_error("interrupted; no result was kept")
        raise typer.Exit(INTERRUPTED) from error
    except _input_errors() as error:
        _print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error
    _print_outcome(outcome, quiet=quiet)
    if outcome.status != COMPLETE:
        _print_error("interrupted; the recorded part is kept and marked as interrupted")
        raise typer.Exit(INTERRUPTED)


def _execute_run(settings: "RunConfig", out: Path | None, options: "RunOptions") -> "RunOutcome":
    """Run one market, and return its outcome; exit with one line if it fails."""
    from experiments.run import RunError, execute_run

    try:
        return execute_run(settings, out=out, options=options)
    except RunError as error:
        place = f"; traceback in {error.path}" if error.path else ""
        _print_error(f"run failed: {error}{place}")
        raise typer.Exit(FAILED) from error
def _list_option_overrides(seed: int | None, accounts: str | None) -> list[str]:
    """Return the overrides of ``--seed`` and ``--accounts``."""
    opened = [] if accounts is None else [f"accounts.file={dumps(accounts)}"]
    return opened if seed is None else [*opened, f"seed={seed}"]


def _print_outcome(outcome: "RunOutcome", *, quiet: bool) -> None:
    """Print notices on standard error, the closing table, and last the result folder."""
    for line in outcome.notices:
        _print_error(line)
    if outcome.summary_table and not quiet:
        typer.echo(f"{outcome.summary_table}\n")
    typer.echo(outcome.folder)


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


def _input_errors() -> tuple[type[Exception], ...]:
    """Return the errors that invalid input raises; imported only once an error was raised."""
    from sim.errors import ConfigError, DataError, OutputError

    return ConfigError, DataError, OutputError


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

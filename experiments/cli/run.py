"""The command ``deleverage run``."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.options import Accounts, LossLayers, Plugins, Policy, Traders
from experiments.imports import pause_garbage_collection

if TYPE_CHECKING:
    from experiments.comparison.requests import RunRequest
    from experiments.config import RunConfig
    from experiments.run import RunOptions

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer()


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
    engines: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Run under each of these engines on the same draws, and print one table.",
        ),
    ] = None,
    equal_capital: Annotated[
        bool,
        typer.Option(
            "--equal-capital", help="With --engines: scale them to the capital of the first one."
        ),
    ] = False,
    policy: Policy = None,
    waterfall: LossLayers = None,
    population: Traders = None,
    accounts: Accounts = None,
    plugin: Plugins = None,
) -> None:
    """Run one market; print a closing table and, last, the result folder."""
    from experiments.figures.parallel import open_helper

    words = {"engine": engine, "policy": policy, "waterfall": waterfall, "population": population}
    with _report_errors(), open_helper() as helper:
        _import_plugins(plugin)
        with pause_garbage_collection():
            from experiments.comparison.requests import RunRequest
            from experiments.run import RunOptions
            from experiments.words import word_overrides

        fixed = _list_option_overrides(seed, accounts)
        given = [*word_overrides(words), *(overrides or []), *fixed]
        given = _replay_data(config, data, given, quick=quick)
        request = RunRequest(config, given, quick and data is None)
        options = RunOptions(overwrite, quiet, plain, helper)
        _check_options(engine, engines, equal_capital=equal_capital)
        if engines is None:
            _run_one(request, out, options)
        else:
            _run_several(request, engines, out, options, is_equal=equal_capital)


def _list_option_overrides(seed: int | None, accounts: str | None) -> list[str]:
    """Return the overrides of ``--seed`` and ``--accounts``."""
    opened = [] if accounts is None else [f"accounts.file={dumps(accounts)}"]
    return opened if seed is None else [*opened, f"seed={seed}"]


@contextmanager
def _report_errors() -> Iterator[None]:
    """Print errors of input and of the run on one line each.

    Raises:
        Exit: with the code of the error.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        _print_error("interrupted; no result was kept")
        raise typer.Exit(INTERRUPTED) from error
    except _input_errors() as error:
        _print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error
    except _run_errors() as error:
        place = f"; traceback in {error.path}" if error.path else ""  # type: ignore[attr-defined]
        _print_error(f"run failed: {error}{place}")
        raise typer.Exit(FAILED) from error


def _replay_data(config: str, data: str | None, given: list[str], *, quick: bool) -> list[str]:
    """Return overrides with those that replay a user's own prices before them."""
    if data is None:
        return given
    from experiments.price_files.own_data import own_data_overrides

    return [*own_data_overrides(config, data, given, quick=quick), *given]


def _check_options(engine: str | None, engines: str | None, *, equal_capital: bool) -> None:
    """Refuse options that do not belong together.

    Raises:
        ConfigError: with one line.
    """
    from sim.errors import ConfigError

    if equal_capital and engines is None:
        raise ConfigError(["--equal-capital: scales several engines, name them with --engines A,B"])
    if engine is not None and engines is not None:
        raise ConfigError(["--engine: --engines names all engines, leave --engine out"])


def _run_one(request: "RunRequest", out: Path | None, options: "RunOptions") -> None:
    """Make one run, and print its table and folder."""
    with pause_garbage_collection():
        from experiments.config import load_run
        from experiments.run import COMPLETE, execute_run
    settings = load_run(request.name, request.overrides, quick=request.quick)
    _print_notices([settings])
    outcome = execute_run(settings, out=out, options=options)
    for line in outcome.notices:
        _print_error(line)
    if outcome.summary_table and not options.quiet:
        typer.echo(f"{outcome.summary_table}\n")
    typer.echo(outcome.folder)
    if outcome.status != COMPLETE:
        _print_error("interrupted; the recorded part is kept and marked as interrupted")
        raise typer.Exit(INTERRUPTED)


def _run_several(
    request: "RunRequest",
    engines: str,
    out: Path | None,
    options: "RunOptions",
    *,
    is_equal: bool,
) -> None:
    """Make a run under each engine, and print one table and the folder of all."""
    with pause_garbage_collection():
        from experiments.comparison import engine_runs
        from experiments.run import COMPLETE
    configs = engine_runs.load_engine_runs(request, engines, is_equal=is_equal)
    _print_notices(list(configs.values()))
    outcome = engine_runs.compare_engines(configs, out, options, is_equal=is_equal)
    if outcome.text and not options.quiet:
        typer.echo(f"{outcome.text}\n")
    typer.echo(outcome.folder)
    if outcome.status != COMPLETE:
        _print_error("interrupted; the finished runs are kept")
        raise typer.Exit(INTERRUPTED)


def _print_notices(settings: Sequence["RunConfig"]) -> None:
    """Print notices about data and settings of runs, each once."""
    from experiments.cautions import find_idle_settings
    from experiments.price_files.bars import describe_replays

    lines = [
        line
        for each in settings
        for line in (*describe_replays(each.underlyings), *find_idle_settings(each))
    ]
    for line in dict.fromkeys(lines):
        _print_error(line)


def _import_plugins(modules: list[str] | None) -> None:
    from experiments.plugins import import_plugins

    with pause_garbage_collection():
        import_plugins(modules)


def _input_errors() -> tuple[type[Exception], ...]:
    """Return the errors that invalid input raises; imported only once an error was raised."""
    from sim.errors import ConfigError, DataError, OutputError

    return ConfigError, DataError, OutputError


def _run_errors() -> type[Exception]:
    """Return the error of a failed run."""
    from experiments.run import RunError

    return RunError


def _print_error(lines: str) -> None:
    typer.echo(lines, err=True)

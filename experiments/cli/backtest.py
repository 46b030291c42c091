"""The command ``deleverage backtest``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from experiments.cli.options import Plugins, print_notices

if TYPE_CHECKING:
    from experiments.backtest.engines import EngineDefaults
    from experiments.price_files.return_series import Returns, ReturnSeries

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def backtest(
    data: Annotated[
        str | None,
        typer.Option(help="Prices or returns: arch:sp500, or a CSV or Parquet file."),
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(help="Engines, separated by commas; default those of the published table."),
    ] = None,
    *,
    run: Annotated[
        Path | None, typer.Option(help="Result folder of a run: test its engines on its prices.")
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(min=1, help="Look-back in days; these days are not scored. Default 500."),
    ] = None,
    confidence: Annotated[
        str | None,
        typer.Option(help="Confidence levels, separated by commas; default 0.99."),
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(
            help="Loss horizons in days, separated by commas; default 1. With --run: in seconds."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Weights of the columns, separated by commas; default equal weights."),
    ] = None,
    assets: Annotated[
        str | None,
        typer.Option(help="Columns to use, separated by commas; default the price columns."),
    ] = None,
    returns: Annotated[
        str,
        typer.Option(
            help="Kind of returns: log (of prices), differences (of prices, for a spread), "
            "given (log returns), or auto."
        ),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the table, CSV, LaTeX, JSON and figure."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing result.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
    plugin: Plugins = None,
) -> None:
    """Measure coverage and procyclicality of margin engines on a return series or on a run."""
    with _report_errors():
        from experiments.plugins import import_plugins
        from sim.errors import ConfigError

        import_plugins(plugin)
        target = _OutputTarget(out, overwrite, json)
        if run is not None:
            _refuse_series_options(
                {
                    "data": data,
                    "engines": engines,
                    "window": window,
                    "weights": weights,
                    "assets": assets,
                    "returns": None if returns == "auto" else returns,
                }
            )
            _backtest_run(run, confidence, horizon, target)
            return
        from experiments.backtest import report
        from experiments.backtest.coverage import backtest_engines
        from experiments.backtest.engines import PUBLISHED_ENGINES, parse_engines

        if data is None:
            raise ConfigError(
                ["--data: none given, name a series such as arch:sp500, or a result with --run"]
            )
        days = window or 500
        defaults = _parse_defaults(days, confidence, horizon)
        names = PUBLISHED_ENGINES if engines is None else _split_words(engines)
        chosen = parse_engines(names, defaults)
        series = _read_series(data, assets, returns)
        shares = None if weights is None else _parse_numbers("weights", weights, -1e3, 1e3)
        results = backtest_engines(chosen, series, window=days, weights=shares)
        if out is not None:
            source = report.describe_source(series, data)
            report.write_backtest(results, source, out, overwrite=overwrite)
        text = report.format_json(results) if json else report.format_text(results)
        _print_result(text, target)
        if json:
            for line in report.list_unjudged(results):
                typer.echo(line, err=True)


def _refuse_series_options(options: dict[str, str | int | None]) -> None:
    """Refuse options that only apply to a return series, when a run is tested."""
    from sim.errors import ConfigError

    problems = [
        f"--{name}: has no meaning for a run, leave it out"
        for name, value in options.items()
        if value
    ]
    if problems:
        raise ConfigError(problems)


def _parse_defaults(days: int, confidence: str | None, horizon: str | None) -> "EngineDefaults":
    from experiments.backtest.engines import EngineDefaults

    levels = "0.99" if confidence is None else confidence
    spans = "1" if horizon is None else horizon
    return EngineDefaults(
        days,
        _parse_numbers("confidence", levels, 0.5, 1),
        _parse_whole_numbers("horizon", spans),
    )


def _read_series(data: str, assets: str | None, returns: str = "auto") -> "ReturnSeries":
    """Read a return series and print its notes on standard error."""
    from experiments.price_files.return_series import read_return_series

    columns = _split_words(assets or "")
    series = read_return_series(data, columns, _parse_returns_kind(returns))
    for note in series.notes:
        typer.echo(note, err=True)
    return series


class _OutputTarget(NamedTuple):
    """Destination and form of the results."""

    out: Path | None
    overwrite: bool
    json: bool


def _backtest_run(
    folder: Path, confidence: str | None, horizon: str | None, target: _OutputTarget
) -> None:
    from experiments.backtest import finished_run_report
    from experiments.backtest.finished_run import CoverageTarget, backtest_run
    from experiments.paper.load_results import list_code_notices

    level = None if confidence is None else _parse_number("confidence", confidence, 0.5, 1)
    seconds = None if horizon is None else _parse_number("horizon", horizon, 1e-3, 1e9)
    results = backtest_run(folder, CoverageTarget(level, seconds))
    print_notices(list_code_notices(folder))
    if target.out is not None:
        finished_run_report.write_run_backtest(
            results, target.out, source=str(folder), overwrite=target.overwrite
        )
    _print_result(
        finished_run_report.format_json(results)
        if target.json
        else finished_run_report.format_text(results),
        target,
    )


def _print_result(text: str, target: _OutputTarget) -> None:
    typer.echo(text)
    if target.out is not None and not target.json:
        typer.echo(f"\n{target.out}")


@app.command()
def train(
    data: Annotated[
        str, typer.Option(help="Prices or returns: arch:sp500, or a CSV or Parquet file.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model, its report and figure.")],
    *,
    assets: Annotated[
        str | None,
        typer.Option(help="Columns to use, separated by commas; default the price columns."),
    ] = None,
    confidence: Annotated[str, typer.Option(help="Confidence level.")] = "0.99",
    horizon: Annotated[int, typer.Option(min=1, help="Loss horizon in days.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing result.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Train a margin model on a return series; print its scores and, last, the model's file."""
    with _report_errors():
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.backtest import train as training
        from experiments.backtest.engines import DAY
        from sim.margin.learned.learned import LearnedRequirement

        rule = LearnedRequirement(
            level=_parse_number("confidence", confidence, 0.5, 1), horizon=horizon * DAY
        )
        series = _read_series(data, assets)
        report = training.train_model(series, rule)
        path = training.write_training(report, rule, out, source=data, overwrite=overwrite)
        typer.echo(f"{training.format_training(report)}\n\n{path}")


def _parse_returns_kind(text: str) -> "Returns":
    from sim.errors import ConfigError, describe_unknown

    kinds: dict[str, Returns] = {
        "auto": "auto",
        "log": "log",
        "differences": "differences",
        "given": "given",
    }
    if text not in kinds:
        raise ConfigError([f"--returns: {describe_unknown(text, kinds)}"])
    return kinds[text]


def _split_words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _parse_number(option: str, text: str, low: float, high: float) -> float:
    from sim.errors import ConfigError

    first, *more = _parse_numbers(option, text, low, high)
    if more:
        raise ConfigError([f"--{option}: '{text}', takes one number here, give a single number"])
    return first


def _parse_numbers(option: str, text: str, low: float, high: float) -> tuple[float, ...]:
    """Parse numbers from ``low`` to below ``high``, separated by commas."""
    from sim.errors import ConfigError

    try:
        values = tuple(float(word) for word in _split_words(text))
    except ValueError:
        values = ()
    if not values or not all(low <= value < high for value in values):
        rule = f"must be numbers from {low:g} to below {high:g}"
        raise ConfigError([f"--{option}: '{text}', {rule}, give one, or more with commas"])
    return values


def _parse_whole_numbers(option: str, text: str) -> tuple[int, ...]:
    from sim.errors import ConfigError

    values = tuple(
        int(word) if word.isdecimal() and len(word) < 10 else 0 for word in _split_words(text)
    )
    if not values or not all(values):
        raise ConfigError(
            [f"--{option}: '{text}', must be whole numbers from 1 to below 10^9, write 1 or 1,10"]
        )
    return values


@contextmanager
def _report_errors() -> Iterator[None]:
    """Print invalid input on one line and exit with its code."""
    from sim.errors import ConfigError, DataError, OutputError

    try:
        yield
    except (ConfigError, DataError, OutputError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

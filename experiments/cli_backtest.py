"""The command ``deleverage backtest``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from experiments.cli_options import Plugins, notify

if TYPE_CHECKING:
    from experiments.series import Returns

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def backtest(
    data: Annotated[str | None, typer.Option(help="arch:sp500, or a CSV or Parquet file of prices or returns.")] = None,
    engines: Annotated[str | None, typer.Option(help="Names with commas between; default the published table.")] = None,
    *,
    run: Annotated[Path | None, typer.Option(help="Folder of a run's result: judge what its market made.")] = None,
    window: Annotated[int | None, typer.Option(min=1, help="Look-back, and days nobody is judged on; 500.")] = None,
    confidence: Annotated[str | None, typer.Option(help="Share of days to cover, 0.99; several with commas.")] = None,
    horizon: Annotated[
        str | None, typer.Option(help="Days a loss accrues, 1; several with commas. Of a run: seconds.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Of several columns, with commas between; default equal.")] = None,
    assets: Annotated[str | None, typer.Option(help="Columns to use, with commas; default those of prices.")] = None,
    returns: Annotated[
        str, typer.Option(help="log of prices, differences of prices (a spread), given log returns, or auto.")
    ] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for table, CSV, LaTeX, JSON and figure.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that is there already.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of the table.")] = False,
    plugin: Plugins = None,
) -> None:
    """Judge margin engines on a return series, or a run's engines on what its market made: coverage, procyclicality."""
    with _answering():
        from experiments.plugins import plug_in
        from sim.errors import ConfigError

        plug_in(plugin)
        if run is not None:
            given = {"data": data, "engines": engines, "window": window, "weights": weights, "assets": assets}
            given["returns"] = None if returns == "auto" else returns
            problems = [f"--{name}: has no meaning for a run, leave it out" for name, value in given.items() if value]
            if problems:
                raise ConfigError(problems)
            _judge_run(run, confidence, horizon, _Target(out, overwrite, json))
            return
        from experiments import backtest_report
        from experiments.backtest import judge
        from experiments.backtest_engines import ALL, Scope, engines_of
        from experiments.series import read_series

        if data is None:
            raise ConfigError(["--data: none given, name a series such as arch:sp500, or a result with --run"])
        days = window or 500
        levels, spans = "0.99" if confidence is None else confidence, "1" if horizon is None else horizon
        scope = Scope(days, _numbers("confidence", levels, 0.5, 1), _whole("horizon", spans))
        chosen = engines_of(ALL if engines is None else _words(engines), scope)
        series = read_series(data, _words(assets or ""), _kind(returns))
        for note in series.notes:
            typer.echo(note, err=True)
        shares = None if weights is None else _numbers("weights", weights, -1e3, 1e3)
        judged = judge(chosen, series, window=days, weights=shares)
        if out is not None:
            backtest_report.write(judged, backtest_report.source_of(series, data), out, overwrite=overwrite)
        _print(backtest_report.as_json(judged) if json else backtest_report.text(judged), _Target(out, overwrite, json))
        if json:
            for line in backtest_report.lacking(judged):
                typer.echo(line, err=True)


class _Target(NamedTuple):
    """Where results go."""

    out: Path | None
    overwrite: bool
    json: bool


def _judge_run(folder: Path, confidence: str | None, horizon: str | None, target: _Target) -> None:
    from experiments import backtest_run_report
    from experiments.backtest_run import Asked, judge_run
    from experiments.paper.opened import notices

    level = None if confidence is None else _one("confidence", confidence, 0.5, 1)
    seconds = None if horizon is None else _one("horizon", horizon, 1e-3, 1e9)
    judged = judge_run(folder, Asked(level, seconds))
    notify(notices(folder))
    if target.out is not None:
        backtest_run_report.write(judged, target.out, source=str(folder), overwrite=target.overwrite)
    _print(backtest_run_report.as_json(judged) if target.json else backtest_run_report.text(judged), target)


def _print(text: str, target: _Target) -> None:
    typer.echo(text)
    if target.out is not None and not target.json:
        typer.echo(f"\n{target.out}")


@app.command()
def train(
    data: Annotated[str, typer.Option(help="arch:sp500, or a CSV or Parquet file of prices or returns.")],
    out: Annotated[Path, typer.Option(help="Folder for the model, its report and figure.")],
    *,
    assets: Annotated[str | None, typer.Option(help="Columns to use, with commas; default those of prices.")] = None,
    confidence: Annotated[str, typer.Option(help="Share of days to cover.")] = "0.99",
    horizon: Annotated[int, typer.Option(min=1, help="Days a loss accrues.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that is there already.")] = False,
    plugin: Plugins = None,
) -> None:
    """Train a margin model on a return series; tells what it is worth, and prints the file last."""
    with _answering():
        from experiments.plugins import plug_in

        plug_in(plugin)
        from experiments import train as training
        from experiments.backtest_engines import DAY
        from experiments.series import read_series
        from sim.margin.learned import Learned

        rule = Learned(level=_one("confidence", confidence, 0.5, 1), horizon=horizon * DAY)
        series = read_series(data, _words(assets or ""))
        for note in series.notes:
            typer.echo(note, err=True)
        report = training.train(series, rule)
        path = training.write(report, rule, out, source=data, overwrite=overwrite)
        typer.echo(f"{training.text(report)}\n\n{path}")


def _kind(text: str) -> "Returns":
    from sim.errors import ConfigError, not_one_of

    kinds: dict[str, Returns] = {"auto": "auto", "log": "log", "differences": "differences", "given": "given"}
    if text not in kinds:
        raise ConfigError([f"--returns: {not_one_of(text, kinds)}"])
    return kinds[text]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _one(option: str, text: str, low: float, high: float) -> float:
    from sim.errors import ConfigError

    first, *more = _numbers(option, text, low, high)
    if more:
        raise ConfigError([f"--{option}: '{text}', is one at a time here, give a single number"])
    return first


def _numbers(option: str, text: str, low: float, high: float) -> tuple[float, ...]:
    """Numbers from ``low`` to below ``high``."""
    from sim.errors import ConfigError

    try:
        values = tuple(float(word) for word in _words(text))
    except ValueError:
        values = ()
    if not values or not all(low <= value < high for value in values):
        raise ConfigError(
            [f"--{option}: '{text}', must be numbers from {low:g} to below {high:g}, give one, or more with commas"]
        )
    return values


def _whole(option: str, text: str) -> tuple[int, ...]:
    from sim.errors import ConfigError

    values = tuple(int(word) if word.isdecimal() and len(word) < 10 else 0 for word in _words(text))
    if not values or not all(values):
        raise ConfigError([f"--{option}: '{text}', must be whole numbers from 1 to below 10^9, write 1 or 1,10"])
    return values


@contextmanager
def _answering() -> Iterator[None]:
    """Bad input is told in a line and leaves with its code."""
    from sim.errors import ConfigError, DataError, OutputError

    try:
        yield
    except (ConfigError, DataError, OutputError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

"""The command ``deleverage margin``."""

from typing import Annotated

import typer

from experiments.cli.options import Plugins

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def margin(
    portfolio: Annotated[str, typer.Argument(help="A portfolio file, or a packaged one (portfolios/NAME).")],
    *,
    engines: Annotated[
        str | None, typer.Option(help="Presets or files with commas between, or all; default the portfolio's own.")
    ] = None,
    stress: Annotated[str | None, typer.Option(help="A file of shocks, or a packaged one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    plugin: Plugins = None,
) -> None:
    """Judge one account: margins, liquidation prices and shocks under several engines."""
    from sim.errors import ConfigError

    try:
        from experiments.plugins import plug_in

        plug_in(plugin)
        from experiments.calculator import report
        from experiments.calculator.calculator import StressConfig, accounts, engine_of, engines_of
        from experiments.calculator.portfolio import PortfolioConfig
        from experiments.file_kinds import load_as

        account = load_as("portfolio", portfolio, (), PortfolioConfig)
        shocks = load_as("shocks", stress, (), StressConfig).shocks if stress else ()
        judged = [accounts(account, name, engine_of(name, account)) for name in engines_of(engines, account)]
        found = report.report(account, judged, shocks)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(report.as_json(found) if json else report.text(found))

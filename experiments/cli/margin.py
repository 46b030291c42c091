"""The command ``deleverage margin``."""

from typing import Annotated

import typer

from experiments.cli.options import Plugins

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def margin(
    portfolio: Annotated[
        str, typer.Argument(help="A portfolio file, or a packaged one (portfolios/NAME).")
    ],
    *,
    engines: Annotated[
        str | None,
        typer.Option(
            help="Presets or files with commas between, or all; default the portfolio's own."
        ),
    ] = None,
    stress: Annotated[str | None, typer.Option(help="A file of shocks, or a packaged one.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    plugin: Plugins = None,
) -> None:
    """Judge one account: margins, liquidation prices and shocks under several engines."""
    from sim.errors import ConfigError

    try:
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.calculator import report
        from experiments.calculator.calculator import list_engines, load_engine, margin_portfolio
        from experiments.calculator.portfolio import PortfolioConfig
        from experiments.calculator.stress import StressConfig
        from experiments.file_kinds import load_kind

        account = load_kind("portfolio", portfolio, (), PortfolioConfig)
        shocks = load_kind("shocks", stress, (), StressConfig).shocks if stress else ()
        judged = [
            margin_portfolio(account, name, load_engine(name, account))
            for name in list_engines(engines, account)
        ]
        found = report.build_report(account, judged, shocks)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(report.format_json(found) if json else report.format_text(found))

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
            help="Presets or files, separated by commas, or all; default the portfolio's own."
        ),
    ] = None,
    stress: Annotated[
        str | None, typer.Option(help="A file of shocks, or the name of a packaged one.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    plugin: Plugins = None,
) -> None:
    """Compute margins, liquidation prices and shock losses of one account under several engines."""
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
        results = [
            margin_portfolio(account, name, load_engine(name, account))
            for name in list_engines(engines, account)
        ]
        content = report.build_report(account, results, shocks)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(report.format_json(content) if json else report.format_text(content))

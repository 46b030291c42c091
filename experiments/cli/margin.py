"""The command ``deleverage margin``."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Accounts, Plugins

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def margin(
    portfolio: Annotated[
        str,
        typer.Argument(
            help="A portfolio file or a packaged one (portfolios/NAME); with --accounts a market."
        ),
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
    accounts: Accounts = None,
    beta: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=1.3",
            help="Move of an underlying as all move by one, with --accounts; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for CSV files and a figure, with --accounts.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Compute margins and liquidation prices of one account, or the map of a table of accounts."""
    from sim.errors import ConfigError, DataError

    try:
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        if accounts is not None:
            from experiments.accounts.map_command import print_map, refuse_stress

            refuse_stress(stress)
            print_map((portfolio, accounts, engines), beta or [], out, as_json=json)
            return
        refuse_map_options(beta, out)
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
    except (ConfigError, DataError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(report.format_json(content) if json else report.format_text(content))


def refuse_map_options(beta: list[str] | None, out: Path | None) -> None:
    """Refuse options of the map of a table without a table.

    Raises:
        ConfigError: one of them is given.
    """
    from sim.errors import ConfigError

    given = [name for name, value in (("--beta", beta), ("--out", out)) if value]
    if given:
        raise ConfigError(
            [f"{name}: is for a table of accounts, name one with --accounts" for name in given]
        )

"""The command ``deleverage mechanisms``."""

from typing import Annotated

import typer

from experiments.cli.options import Plugins

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def mechanisms(
    name: Annotated[
        str | None,
        typer.Argument(help="Run two small markets, without and with this mechanism."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """List all mechanisms with their effect, or show the effect of one on the same draws."""
    from sim.errors import ConfigError, DataError

    try:
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.mechanisms import catalogue

        if name is None:
            typer.echo(catalogue.format_catalogue())
            return
        entry = catalogue.find_mechanism(name)
        from experiments.mechanisms.pairs import format_pair, run_pair

        typer.echo(format_pair(entry, run_pair(entry)))
    except (ConfigError, DataError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

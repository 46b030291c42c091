"""The command ``deleverage check``."""

from typing import Annotated

import typer

from experiments.cli.options import Plugins

FAILED, BAD_INPUT = 1, 2

app = typer.Typer()


@app.command()
def check(
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD=VALUE ...]", help="Fields of the component of --kind."),
    ] = None,
    *,
    kind: Annotated[
        str | None, typer.Option(help="Check the component of this kind only; default all.")
    ] = None,
    worlds: Annotated[
        int | None, typer.Option(min=1, help="Worlds of each law at most; default 300.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Check components of your own against the laws of their registry, on generated worlds."""
    from sim.errors import ConfigError

    try:
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments import contract_check

        if settings and kind is None:
            raise ConfigError([f"{settings[0]}: is of no component, name one with --kind"])
        found = contract_check.find_registered(kind, plugin or ())
        checked = list(contract_check.check_registered(found, settings or (), worlds))
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(contract_check.format_checks(checked))
    if any(each.failures for each in checked):
        raise typer.Exit(FAILED)

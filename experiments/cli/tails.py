"""The command ``deleverage tails``."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Plugins, print_notices

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def tails(
    results: Annotated[
        list[Path],
        typer.Argument(help="Result folders of runs or sweeps; markets of several sizes."),
    ],
    *,
    plugin: Plugins = None,
) -> None:
    """Fit cascade sizes: power law against its rivals, and dependence on market size."""
    from sim.errors import DeleverageError

    try:
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.cascades import tails as cascade_tails
        from experiments.paper.load_results import list_code_notices

        sizes = cascade_tails.gather_cascade_sizes(results)
        for folder in results:
            print_notices(list_code_notices(folder))
        typer.echo(cascade_tails.format_tails(sizes))
    except DeleverageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

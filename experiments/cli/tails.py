"""The command ``deleverage tails``."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Plugins, notify

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def tails(
    results: Annotated[list[Path], typer.Argument(help="Folders of runs or sweeps; markets of several sizes.")],
    *,
    plugin: Plugins = None,
) -> None:
    """How large cascades get: power laws against their rivals, and whether a larger market has larger ones."""
    from sim.errors import DeleverageError

    try:
        from experiments.plugins import plug_in

        plug_in(plugin)
        from experiments.cascades import tails as made
        from experiments.paper.load_results import notices

        found = made.gathered(results)
        for folder in results:
            notify(notices(folder))
        typer.echo(made.told(found))
    except DeleverageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

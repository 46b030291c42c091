"""The command ``deleverage tails``."""

from pathlib import Path
from typing import Annotated

import typer

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def tails(
    results: Annotated[list[Path], typer.Argument(help="Folders of runs or sweeps; markets of several sizes.")],
) -> None:
    """How large cascades get: power laws against their rivals, and whether a larger market has larger ones."""
    from sim.errors import DeleverageError

    try:
        from experiments import tails as made

        typer.echo(made.told(made.gathered(results)))
    except DeleverageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

"""The command ``deleverage explain``."""

from pathlib import Path
from typing import Annotated

import typer

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def explain(
    results: Annotated[Path, typer.Argument(help="The folder of a run.")],
    *,
    cascade: Annotated[int | None, typer.Option(min=1, help="Which one, 1 = the largest; default a list.")] = None,
    twins: Annotated[int, typer.Option(min=0, help="Accounts whose removal is tried; 0 = run nothing again.")] = 3,
    export: Annotated[Path | None, typer.Option(help="Folder for graph (GraphML) and tables (Parquet).")] = None,
) -> None:
    """Who pushed whom in a run: its cascades, or one of them in a page, with what would have stopped it."""
    from sim.errors import ConfigError, DataError

    try:
        from experiments import explain as made

        config, frames = made.read(results)
        if export is not None:
            made.export(frames, export)
        if cascade is None:
            text = made.listing(config, frames)
        else:
            case = made.chosen(config, frames, cascade)
            text = made.page(case, list(made.twins(case, twins)) if twins else [])
    except (ConfigError, DataError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error
    typer.echo(text)

"""The command ``deleverage explain``."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Plugins, notify

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def explain(
    results: Annotated[Path, typer.Argument(help="The folder of a run.")],
    *,
    cascade: Annotated[int | None, typer.Option(min=1, help="Which one, 1 = the largest; default a list.")] = None,
    twins: Annotated[int, typer.Option(min=0, help="Accounts whose removal is tried; 0 = run nothing again.")] = 3,
    without: Annotated[
        list[str] | None,
        typer.Option(metavar="WHO", help="Also without a population, an OWNER, or OWNER@STEP; repeatable."),
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(metavar="PRESET", help="Also the run under this margin engine; repeatable.")
    ] = None,
    worlds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Also attribution beside removal of everybody, in so many neighbouring worlds, up to four times as "
            "many for whom they do not tell.",
        ),
    ] = 0,
    export: Annotated[Path | None, typer.Option(help="Folder for graph (GraphML) and tables (Parquet).")] = None,
    plugin: Plugins = None,
) -> None:
    """Who pushed whom in a run: its cascades, or one of them in a page, with what would have stopped it."""
    from sim.errors import ConfigError, DataError, OutputError

    asked = {"--without": without, "--engine": engine, "--worlds": worlds}
    try:
        if one_cascade is None and any(asked.values()):
            names = ", ".join(name for name, value in asked.items() if value)
            raise ConfigError([f"{names}: tells of one cascade, name it with --cascade N"])
        from experiments.plugins import plug_in

        plug_in(plugin)
        from experiments.cascades import attribution_vs_removal, counterfactual, one_cascade
        from experiments.cascades import counterfactual_runs as removal
        from experiments.cascades import explain as made
        from experiments.paper.load_results import notices

        config, frames = one_cascade.read(results)
        notify(notices(results))
        if export is not None:
            made.export(frames, export)
        if one_cascade is None:
            typer.echo(made.listing(config, frames))
            return
        chosen = one_cascade.chosen(config, frames, one_cascade)
        others = [removal.engine(chosen, name) for name in engine or ()]
        gone = list(removal.twins(chosen, twins, without or ()))
        typer.echo(made.page(chosen, [*gone, *others]))
        if worlds:
            many = counterfactual.Worlds(worlds, counterfactual.MORE * worlds)
            table = counterfactual.compared(chosen, removal.fork(chosen), many)
            typer.echo("\n" + "\n".join(attribution_vs_removal.lines(table)))
    except (ConfigError, DataError, OutputError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

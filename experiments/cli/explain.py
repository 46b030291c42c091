"""The command ``deleverage explain``."""

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Plugins, print_notices

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def explain(
    results: Annotated[Path, typer.Argument(help="The folder of a run.")],
    *,
    cascade: Annotated[
        int | None, typer.Option(min=1, help="Which one, 1 = the largest; default a list.")
    ] = None,
    twins: Annotated[
        int, typer.Option(min=0, help="Accounts whose removal is tried; 0 = run nothing again.")
    ] = 3,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO", help="Also without a population, an OWNER, or OWNER@STEP; repeatable."
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="PRESET", help="Also the run under this margin engine; repeatable."),
    ] = None,
    worlds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Also attribution beside removal of everybody, in so many neighbouring worlds, up to four times as "
            "many for whom they do not tell.",
        ),
    ] = 0,
    export: Annotated[
        Path | None, typer.Option(help="Folder for graph (GraphML) and tables (Parquet).")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Who pushed whom in a run: its cascades, or one of them in a page, with what would have stopped it."""
    from sim.errors import ConfigError, DataError, OutputError

    asked = {"--without": without, "--engine": engine, "--worlds": worlds}
    try:
        if cascade is None and any(asked.values()):
            names = ", ".join(name for name, value in asked.items() if value)
            raise ConfigError([f"{names}: tells of one cascade, name it with --cascade N"])
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.cascades import attribution_vs_removal, counterfactual, one_cascade
        from experiments.cascades import counterfactual_runs as removal
        from experiments.cascades import explain as made
        from experiments.paper.load_results import list_code_notices

        config, frames = one_cascade.read_run(results)
        print_notices(list_code_notices(results))
        if export is not None:
            made.export_contagion(frames, export)
        if cascade is None:
            typer.echo(made.format_cascade_list(config, frames))
            return
        chosen = one_cascade.select_cascade(config, frames, cascade)
        others = [removal.run_under_engine(chosen, name) for name in engine or ()]
        gone = list(removal.run_counterfactuals(chosen, twins, without or ()))
        typer.echo(made.format_cascade(chosen, [*gone, *others]))
        if worlds:
            many = counterfactual.NeighbouringWorlds(
                worlds, counterfactual.MAX_WORLDS_FACTOR * worlds
            )
            table = counterfactual.compare_with_removal(
                chosen, removal.snapshot_before(chosen), many
            )
            typer.echo("\n" + "\n".join(attribution_vs_removal.format_comparison(table)))
    except (ConfigError, DataError, OutputError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error

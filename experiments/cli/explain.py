"""The command ``deleverage explain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.options import Plugins, print_notices

if TYPE_CHECKING:
    from experiments.cascades.one_cascade import Cascade

BAD_INPUT = 2

app = typer.Typer()


@app.command()
def explain(
    results: Annotated[Path, typer.Argument(help="Result folder of a run.")],
    *,
    cascade: Annotated[
        int | None,
        typer.Option(min=1, help="Cascade to explain, 1 = the largest; default a list of all."),
    ] = None,
    twins: Annotated[
        int, typer.Option(min=0, help="Accounts to remove in repeated runs; 0 = no repeated run.")
    ] = 3,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHO",
            help="Repeat the run without a population, an OWNER, or OWNER@STEP; repeatable.",
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(metavar="PRESET", help="Repeat the run with this margin engine; repeatable."),
    ] = None,
    worlds: Annotated[
        int,
        typer.Option(
            min=0,
            help="Compare attribution with removal of every owner in this many neighbouring "
            "worlds; up to four times as many where the sign stays open.",
        ),
    ] = 0,
    export: Annotated[
        Path | None,
        typer.Option(help="Folder for the contagion graph (GraphML) and tables (Parquet)."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """List the cascades of a run, or explain one: causes, and what would have stopped it."""
    from sim.errors import ConfigError, DataError, OutputError

    needs_cascade = {"--without": without, "--engine": engine, "--worlds": worlds}
    try:
        if cascade is None and any(needs_cascade.values()):
            names = ", ".join(name for name, value in needs_cascade.items() if value)
            raise ConfigError([f"{names}: applies to one cascade, name it with --cascade N"])
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.cascades import counterfactual_runs, one_cascade
        from experiments.cascades import explain as explanation
        from experiments.paper.load_results import list_code_notices

        config, frames = one_cascade.read_run(results)
        print_notices(list_code_notices(results))
        if export is not None:
            explanation.export_contagion(frames, export)
        if cascade is None:
            typer.echo(explanation.format_cascade_list(config, frames))
            return
        chosen = one_cascade.select_cascade(config, frames, cascade)
        swapped = [counterfactual_runs.run_under_engine(chosen, name) for name in engine or ()]
        removed = list(counterfactual_runs.run_counterfactuals(chosen, twins, without or ()))
        typer.echo(explanation.format_cascade(chosen, [*removed, *swapped]))
        if worlds:
            _print_removal(chosen, worlds)
    except (ConfigError, DataError, OutputError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(BAD_INPUT) from error


def _print_removal(chosen: "Cascade", n_worlds: int) -> None:
    """Print attribution beside the effect of removal in neighbouring worlds."""
    from experiments.cascades import attribution_vs_removal, counterfactual, counterfactual_runs

    most = counterfactual.MAX_WORLDS_FACTOR * n_worlds
    worlds = counterfactual.NeighbouringWorlds(n_worlds, most)
    snapshot = counterfactual_runs.snapshot_before(chosen)
    table = counterfactual.compare_with_removal(chosen, snapshot, worlds)
    typer.echo("\n" + "\n".join(attribution_vs_removal.format_comparison(table)))

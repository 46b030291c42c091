"""The commands ``deleverage sweep`` and ``deleverage studies``."""

import math
from pathlib import Path
from typing import Annotated

import typer

from experiments.cli_options import Plugins

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer()


@app.command()
def sweep(
    study: Annotated[str, typer.Argument(help="A packaged study (deleverage studies), or a YAML file of your own.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[a.b=3 ...]", help="Changes to every run.")] = None,
    *,
    executor: Annotated[str, typer.Option(help="serial, loky, dask, tcp://HOST:PORT or tls://HOST:PORT.")] = "loky",
    jobs: Annotated[int | None, typer.Option(help="Processes; default one per processor.")] = None,
    time_limit: Annotated[float, typer.Option(help="Seconds a run may take.")] = math.inf,
    seeds: Annotated[int | None, typer.Option(min=1, help="Replications, in place of the study's.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller: apply the study's own quick: values.")] = False,
    out: Annotated[Path | None, typer.Option(help="Result folder; default results/NAME or NAME-quick.")] = None,
    known: Annotated[
        list[str] | None, typer.Option(metavar="RESULTS", help="Others, to take the same runs over from; repeatable.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no report.")] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Margin engine of every run, where the study sets none.")
    ] = None,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="Take runs that other code made as they are; every table then says so.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Run a study, many markets: its report, and the result folder last. Started again, it goes on."""
    from sim.errors import DeleverageError

    try:
        from experiments.plugins import plug_in

        plug_in(plugin)
        from experiments.sweep.config import load_study
        from experiments.sweep.executors import processors
        from experiments.sweep.runner import Options
        from experiments.sweep.runner import sweep as execute
        from experiments.sweep.study import StudyError

        config = load_study(study, overrides or (), seeds=seeds, quick=quick, engine=engine)
        place = out or Path("results") / (f"{config.name}-quick" if quick else config.name)
        count = processors() if jobs is None else jobs
        options = Options(executor, count, time_limit, tuple(plugin or ()), tuple(known or ()), quiet, mixed)
        try:
            outcome = execute(config, out=place, options=options)
        except StudyError as error:
            _say(f"study failed: {error}")
            raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        _say("interrupted; all finished runs are kept, the same command goes on")
        raise typer.Exit(INTERRUPTED) from error
    except DeleverageError as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from error
    if outcome.older:
        _say(outcome.older)
    for path in outcome.remade:
        _say(f"{path}: was not what had been written, the run was made again")
    if outcome.report and not quiet:
        typer.echo(f"{outcome.report}\n")
    typer.echo(outcome.folder)
    missing = {status: count for status, count in outcome.counts.items() if status != "complete"}
    if missing:
        words = {"timeout": "out of time"}
        told = ", ".join(f"{count} runs {words.get(status, status)}" for status, count in missing.items())
        longer = ", with a longer --time-limit if need be" if "timeout" in missing else ""
        _say(f"{told}; {outcome.folder / 'runs.parquet'} says why, the same command tries them again{longer}")
        raise typer.Exit(FAILED)


@app.command()
def verify(
    results: Annotated[Path, typer.Argument(help="Folder of a sweep, of one of its runs, or of deleverage run.")],
    *,
    sample: Annotated[int, typer.Option(min=0, help="Runs to make again.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of their choice.")] = 0,
    plugin: Plugins = None,
) -> None:
    """Compare all files of a result with their checksums; make some runs again, and compare bytes."""
    from sim.errors import DeleverageError

    try:
        from experiments.plugins import plug_in

        plug_in(plugin)
        from experiments.sweep.verify import verify as compare

        verdict = compare(results, sample, seed)
    except DeleverageError as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from error
    for line in (*verdict.notices, *verdict.differences):
        _say(line)
    told = f"{len(verdict.differences)} differences" if verdict.differences else "all the same"
    typer.echo(f"{verdict.compared}, {verdict.runs} runs made again: {told}")
    if verdict.differences:
        raise typer.Exit(FAILED)


@app.command()
def studies(
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes to reckon with; default one per processor.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """List the packaged studies: their question, how many runs, how long they take."""
    from sim.errors import ConfigError

    try:
        from experiments.plugins import plug_in

        plug_in(plugin)
        from experiments.sweep.cost import listed
        from experiments.sweep.executors import processors

        typer.echo(listed(processors() if jobs is None else jobs))
    except ConfigError as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from error


def _say(lines: str) -> None:
    typer.echo(lines, err=True)

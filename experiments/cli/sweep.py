"""The commands ``deleverage sweep`` and ``deleverage studies``."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from experiments.cli.options import LossLayers, Plugins, Policy, Traders
from experiments.imports import pause_garbage_collection

if TYPE_CHECKING:
    from experiments.sweep.runner import SweepOutcome

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer()


@app.command()
def sweep(
    study: Annotated[
        str,
        typer.Argument(help="A packaged study (deleverage studies), or a YAML file of your own."),
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[a.b=3 ...]", help="Changes to every run.")
    ] = None,
    *,
    executor: Annotated[
        str,
        typer.Option(
            help="Executor: serial, threads, loky (processes), dask, tcp://HOST:PORT or "
            "tls://HOST:PORT."
        ),
    ] = "loky",
    jobs: Annotated[
        int | None, typer.Option(help="Number of processes or threads; default one per processor.")
    ] = None,
    time_limit: Annotated[float, typer.Option(help="Time limit of each run in s.")] = math.inf,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Replications, instead of the study's.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Smaller sweep: apply the study's own quick: values.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Result folder; default results/NAME or NAME-quick.")
    ] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RESULTS", help="Other results, whose identical runs are copied; repeatable."
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print neither progress nor the report.")
    ] = False,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="PRESET", help="Margin engine of every run, unless the study sets one."
        ),
    ] = None,
    policy: Policy = None,
    waterfall: LossLayers = None,
    population: Traders = None,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed",
            help="Accept runs made by other versions of the code; every table then states it.",
        ),
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Run a study; print its report and, last, the result folder. A second start resumes it."""
    from sim.errors import DeleverageError

    try:
        with pause_garbage_collection():
            from experiments.plugins import import_plugins

            import_plugins(plugin)
            from experiments.processes import count_processors
            from experiments.sweep.config import load_study
            from experiments.sweep.runner import SweepOptions, run_sweep
            from experiments.sweep.study import StudyError

        words = {
            "engine": engine,
            "policy": policy,
            "waterfall": waterfall,
            "population": population,
        }
        config = load_study(study, overrides or (), seeds=seeds, quick=quick, words=words)
        folder = out or Path("results") / (f"{config.name}-quick" if quick else config.name)
        count = count_processors() if jobs is None else jobs
        plugins, others = tuple(plugin or ()), tuple(known or ())
        options = SweepOptions(executor, count, time_limit, plugins, others, quiet, mixed)
        try:
            outcome = run_sweep(config, out=folder, options=options)
        except StudyError as error:
            _print_error(f"study failed: {error}")
            raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        _print_error("interrupted; all finished runs are kept, the same command resumes the sweep")
        raise typer.Exit(INTERRUPTED) from error
    except DeleverageError as error:
        _print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error
    _print_outcome(outcome, quiet)


def _print_outcome(outcome: "SweepOutcome", quiet: bool) -> None:
    """Print the report and the folder; exit with an error if runs are missing."""
    if outcome.older:
        _print_error(outcome.older)
    for path in outcome.remade:
        _print_error(f"{path}: differed from what had been written, the run was made again")
    if outcome.report and not quiet:
        typer.echo(f"{outcome.report}\n")
    typer.echo(outcome.folder)
    missing = {status: count for status, count in outcome.counts.items() if status != "complete"}
    if not missing:
        return
    words = {"timeout": "out of time"}
    counts = ", ".join(
        f"{count} runs {words.get(status, status)}" for status, count in missing.items()
    )
    longer = ", with a longer --time-limit if need be" if "timeout" in missing else ""
    reasons = outcome.folder / "runs.parquet"
    _print_error(f"{counts}; {reasons} holds the reasons, the same command tries again{longer}")
    raise typer.Exit(FAILED)


@app.command()
def verify(
    results: Annotated[
        Path,
        typer.Argument(
            help="Result folder of a sweep, of one of its runs, of a run, or of a comparison."
        ),
    ],
    *,
    sample: Annotated[int, typer.Option(min=0, help="Number of runs to repeat.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the choice of runs.")] = 0,
    plugin: Plugins = None,
) -> None:
    """Compare all files of a result with their checksums, and make some runs again."""
    from sim.errors import DeleverageError

    try:
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.sweep.verify import verify_results

        outcome = verify_results(results, sample, seed)
    except DeleverageError as error:
        _print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error
    for line in (*outcome.notices, *outcome.differences):
        _print_error(line)
    n_differences = len(outcome.differences)
    found = f"{n_differences} differences" if n_differences else "all the same"
    typer.echo(f"{outcome.comparison_text}, {outcome.runs} runs made again: {found}")
    if outcome.differences:
        raise typer.Exit(FAILED)


@app.command()
def studies(
    jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Processes of the estimated time; default one per processor."),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """List the packaged studies with their question, number of runs and estimated time."""
    from sim.errors import ConfigError

    try:
        from experiments.plugins import import_plugins

        import_plugins(plugin)
        from experiments.processes import count_processors
        from experiments.sweep.cost import describe_studies

        typer.echo(describe_studies(count_processors() if jobs is None else jobs))
    except ConfigError as error:
        _print_error(str(error))
        raise typer.Exit(BAD_INPUT) from error


def _print_error(lines: str) -> None:
    typer.echo(lines, err=True)

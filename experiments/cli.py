"""The command ``deleverage``. Heavy imports wait inside the commands, so that help is instant."""

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from experiments import cli_backtest, cli_explain, cli_margin, cli_paper, cli_sweep, cli_tails, neighbours, provenance
from experiments.cli_failures import Commands
from experiments.cli_options import Plugins

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0."""

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cli_backtest.app)
app.add_typer(cli_explain.app)
app.add_typer(cli_margin.app)
app.add_typer(cli_paper.app)
app.add_typer(cli_sweep.app)
app.add_typer(cli_tails.app)


def main() -> None:
    """Entry point."""
    provenance.pin()
    check_neighbours()
    app()


def check_neighbours() -> None:
    """Refuse to run with a user's own module in place of one of ours: their names are common ones."""
    if lines := neighbours.strangers():
        _say("\n".join(lines))
        sys.exit(BAD_INPUT)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"deleverage {provenance.version()}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Version.")] = False,
) -> None:
    """Simulate how margin rules make or break a leveraged market."""
    _warn_plainly()


def _warn_plainly() -> None:
    """Give warnings about settings and data as one line each, without the place in the code."""
    from sim.errors import SettingWarning

    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, SettingWarning):
            _say(str(message))
        else:
            before(message, category, *where, **more)

    warnings.simplefilter("default", SettingWarning)
    warnings.showwarning = show


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a packaged one (deleverage configs).")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[a.b=3 ...]", help="Changes to it.")] = None,
    *,
    data: Annotated[
        str | None,
        typer.Option(help="Replay these prices as the first index: CSV, Parquet, or arch:NAME."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Root seed, in place of the configuration's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Result folder; default results/NAME-CONFIGHASH.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Shorter: apply the configuration's own quick: values.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no closing table.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that is there already.")] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Margin engine of the venues with perpetuals: a name or file.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Run one market: a closing table, and the result folder last."""
    seeded = [] if seed is None else [f"seed={seed}"]
    try:
        _plug_in(plugin)
        from experiments.cautions import cautions
        from experiments.config import load_run, swapped
        from experiments.data import replay_notes
        from experiments.run import COMPLETE, RunError, execute

        given = [*swapped(config, engine), *(overrides or []), *seeded]
        if data is not None:
            from experiments.own_data import on_own_data

            given = [*on_own_data(config, data, given, quick=quick), *given]
        settings = load_run(config, given, quick=quick and data is None)
        for line in [*replay_notes(settings.underlyings), *cautions(settings)]:
            _say(line)
        try:
            outcome = execute(settings, out=out, overwrite=overwrite, quiet=quiet)
        except RunError as error:
            _say(f"run failed: {error}" + (f"; traceback in {error.path}" if error.path else ""))
            raise typer.Exit(FAILED) from error
    except KeyboardInterrupt as error:
        _say("interrupted; nothing was kept")
        raise typer.Exit(INTERRUPTED) from error
    except _bad_input() as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from error
    if outcome.closing and not quiet:
        typer.echo(f"{outcome.closing}\n")
    typer.echo(outcome.folder)
    if outcome.status != COMPLETE:
        _say("interrupted; what was recorded is kept, marked so")
        raise typer.Exit(INTERRUPTED)


@app.command()
def configs(plugin: Plugins = None) -> None:
    """List the packaged configurations."""
    _plug_in(plugin)
    from sim.loading import about
    from sim.packaged import packaged

    names = packaged()
    width = max(map(len, names), default=0)
    for name in names:
        typer.echo(f"{name:<{width}}  {about(name)}".rstrip())


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="File to write; default standard output.")] = None,
    plugin: Plugins = None,
) -> None:
    """Write the JSON Schema of a configuration, for editors."""
    _plug_in(plugin)
    from experiments.schema import schema_text

    text = schema_text()
    if out is None:
        typer.echo(text, nl=False)
        return
    from experiments.store import refused, write_text
    from sim.errors import OutputError

    try:
        write_text(text, out)
    except (OSError, OutputError) as error:
        problem = error if isinstance(error, OutputError) else refused(error, out)
        _say(str(problem))
        raise typer.Exit(BAD_INPUT if isinstance(problem, OutputError) else FAILED) from error


def _bad_input() -> tuple[type[Exception], ...]:
    """What a user's input can raise; asked for when something was raised."""
    from sim.errors import ConfigError, DataError, OutputError

    return ConfigError, DataError, OutputError


def _plug_in(modules: list[str] | None) -> None:
    """Import a user's modules; told in a line if it cannot be done."""
    from experiments.plugins import plug_in
    from sim.errors import ConfigError

    try:
        plug_in(modules)
    except ConfigError as error:
        _say(str(error))
        raise typer.Exit(BAD_INPUT) from error


def _say(lines: str) -> None:
    typer.echo(lines, err=True)

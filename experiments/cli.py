"""The command ``deleverage``. Heavy imports wait inside the commands, so that help is instant."""

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from experiments import cli_backtest, cli_explain, cli_margin, cli_paper, cli_sweep, cli_tails, provenance

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0."""

Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="MODULE", help="Import a module that registers kinds of its own; repeatable."),
]

app = typer.Typer(
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
    for name in ("sim", "agents"):
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin != provenance.ROOT / name / "__init__.py":
            where = origin or "a folder without __init__.py"
            _say(f"{name}: imported from {where}, must be {provenance.ROOT / name}, rename or move the former")
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


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A YAML file, or the name of a packaged one (deleverage configs).")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[a.b=3 ...]", help="Changes to it.")] = None,
    *,
    seed: Annotated[int | None, typer.Option(help="Root seed, in place of the configuration's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Result folder; default results/NAME-CONFIGHASH.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Shorter: apply the configuration's own quick: values.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no closing table.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that is there already.")] = False,
    plugin: Plugins = None,
) -> None:
    """Run one market: a closing table, and the result folder last."""
    seeded = [] if seed is None else [f"seed={seed}"]
    try:
        _plug_in(plugin)
        from experiments.cautions import cautions
        from experiments.config import load_run
        from experiments.run import COMPLETE, RunError, execute

        settings = load_run(config, [*(overrides or []), *seeded], quick=quick)
        for line in cautions(settings):
            _say(line)
        try:
            outcome = execute(settings, out=out, overwrite=overwrite, quiet=quiet)
        except RunError as error:
            _say(f"run failed: {error}; traceback in {error.path}")
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
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        _say(f"{out}: cannot be written ({error.strerror}), choose another file with --out")
        raise typer.Exit(BAD_INPUT) from error


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

"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="Import a module that registers components; repeatable.",
    ),
]

Accounts = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Table of accounts to begin with: owner, instrument, quantity, entry, collateral.",
    ),
]

Policy = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Liquidation policy of the venues with perpetuals: a packaged name, a kind or a file.",
    ),
]

LossLayers = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Waterfall of the venues with perpetuals: a packaged name, a kind or a file.",
    ),
]

Traders = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Traders instead of the present ones, as many: a packaged name, a kind or a file.",
    ),
]

OwnStudy = Annotated[
    Path | None,
    typer.Option("--study", metavar="FILE", help="YAML file or module of the result's own study."),
]


def print_notices(lines: tuple[str, ...]) -> None:
    """Print notices about a result on standard error."""
    for line in lines:
        typer.echo(line, err=True)

"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="MODULE",
        help="Import a module that registers kinds of its own; repeatable.",
    ),
]

OwnStudy = Annotated[
    Path | None,
    typer.Option(
        "--study", metavar="FILE", help="Of a study of your own: its YAML file, or its module."
    ),
]


def print_notices(lines: tuple[str, ...]) -> None:
    """Print what is worth knowing of a result, on stderr."""
    for line in lines:
        typer.echo(line, err=True)

"""Handling of reads and writes that the system refuses: one line and exit code 1."""

import errno
from typing import Any

import typer
from typer.core import TyperGroup

FAILED, BAD_INPUT = 1, 2


class CommandGroup(TyperGroup):
    """Group of all commands, which reports unusable arguments and unexpected system errors."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            Exit: an argument is not text, or is longer than any name.
        """
        from experiments.cli.arguments import find_unusable_arguments
        from sim.errors import escape_unprintable

        if lines := find_unusable_arguments(args):
            for line in lines:
                typer.echo(escape_unprintable(line), err=True)
            raise typer.Exit(BAD_INPUT)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command.

        Raises:
            Exit: the system refused a read or a write.
        """
        try:
            return super().invoke(ctx)
        except RuntimeError as error:
            # Python 3.11 and 3.12 raise this when they resolve a path.
            if not str(error).startswith("Symlink loop"):
                raise
            from sim.errors import escape_unprintable

            place = str(error).removeprefix("Symlink loop from ").strip("'")
            typer.echo(escape_unprintable(f"{place}: is a link to itself, name another"), err=True)
            raise typer.Exit(BAD_INPUT) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader, such as head, closed the pipe
                raise
            from sim.errors import escape_unprintable

            typer.echo(escape_unprintable(describe_os_error(error)), err=True)
            raise typer.Exit(FAILED) from error


def describe_os_error(error: OSError) -> str:
    """Return the message of a failed write of this project, or the system's reason, on one line."""
    if error.errno is None:
        return str(error)
    place = f"{error.filename}: " if error.filename is not None else ""
    reason = error.strerror or type(error).__name__
    return (
        f"{place}the system refused a read or a write ({reason}), "
        "mend that and start the same command again"
    )

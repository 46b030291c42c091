"""The way in, ``deleverage`` or ``python -m experiments``: an interrupt is answered even while modules load."""

import sys


def main() -> None:
    """Entry point."""
    try:
        from experiments.cli.app import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was kept\n")
        sys.exit(130)


if __name__ == "__main__":
    main()

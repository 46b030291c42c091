"""Entry point of ``deleverage`` and ``python -m experiments``.

An interrupt ends the command in one line even while modules load.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from experiments.cli.app import main as command

        command()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; no result was kept\n")
        sys.exit(130)


if __name__ == "__main__":
    main()

"""The entry of the program `soundwatch`, also as `python -m soundwatch.daemon`.

Conventions: imports the command line within `main`: the imports take seconds on a small board, and Ctrl-C during them
is a stop as any other.
"""

import sys


def main() -> None:
    """Run the command line; exit with 0 at a SIGINT that no command has handled."""
    try:
        from soundwatch.daemon.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()

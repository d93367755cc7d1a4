"""The command line, as `intrain` and as `python -m intrain`."""

from __future__ import annotations


import signal
import sys
from typing import NoReturn

from ._intrain import command


def main() -> NoReturn:
    """Runs the command with the words of the process and ends it with its exit code."""
    # The command listens to signals itself, as the program of the same name does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(command(["intrain", *sys.argv[1:]]))


if __name__ == "__main__":
    main()

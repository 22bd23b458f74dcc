# SPDX-License-Identifier: Apache-2.0
"""The command: tracekws, python -m tracekws, or torchrun --nproc-per-node N -m tracekws -- train.

The two dashes are for torchrun, which else takes --run for an option of its own.
"""

import os
import signal
import sys

SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")
"""Of the terminal, where the environment gives them."""


def drop_odd_sizes() -> None:
    """Forget sizes that are no numbers, which what prints does not take, or leave no room."""
    for name in SIZES:
        size = os.environ.get(name, "1")
        if not (size.isascii() and size.isdigit() and int(size) > 0):
            del os.environ[name]


def start() -> None:
    """Run the command line; Ctrl-C ends it without a word from its first moment on.

    What is imported takes a good part of a second, and any of it would end in a traceback.
    """
    there = signal.getsignal(signal.SIGINT)
    if there == signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    drop_odd_sizes()
    from tracekws.cli import main

    signal.signal(signal.SIGINT, there)
    main()


if __name__ == "__main__":
    del sys.argv[1 : 1 + (sys.argv[1:2] == ["--"])]
    start()
